"""Which single-byte encoding a text without a mark is in: the one in which its letters make up one language.

Libraries for this judge running text. A column of towns has a few dozen words, and the same byte is an `ł` in one
encoding and a `³` in the other, so the letters themselves have to decide.
"""

import codecs
import itertools
from collections import Counter

# the letters beyond a to z, in the languages of each encoding's region
_WEST = ("àâæçéèêëîïôœùûüÿ", "äöüß", "áéíñóúü¿¡", "àèéìíîòóùú", "áâãàçéêíóôõúü", "äåæöøé", "áéëïóöü", "áðéíóúýþæö")
_CENTRE = ("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "čćđšž", "ăâîșşțţ")
_EAST = ("абвгдеёжзийклмнопрстуфхцчшщъыьэюя", "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя")
_GREEK = ("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋ",)
_TURKISH = ("âçğıîöşüûİ",)
_BALTIC = ("āčēģīķļņšūž", "ąčęėįšųūž", "äõöüšž")
# the likelier encoding first
_ENCODINGS = (
    ("cp1252", _WEST),
    ("cp1250", _CENTRE),
    ("iso8859-2", _CENTRE),
    ("cp1251", _EAST),
    ("koi8-r", _EAST),
    ("koi8-u", _EAST),
    ("iso8859-5", _EAST),
    ("cp866", _EAST),
    ("cp1253", _GREEK),
    ("cp1254", _TURKISH),
    ("cp1257", _BALTIC),
    ("cp852", _CENTRE),
    ("cp850", _WEST),
    ("mac-roman", _WEST),
)
# signs that may stand in a text of any language
_SIGNS = frozenset("\u00a0°±²³§©®€£–—‘’“”„…•·«»×½")  # noqa: RUF001 - they are meant
_LEAST_SCORE = 0.9


def guess_single_byte(sample: bytes) -> str:
    """Return the encoding in which the letters of a text suit one language; empty: none.

    Example:
        >>> guess_single_byte("Łódź, Gdańsk".encode("cp1250")), guess_single_byte("garçon, où".encode("cp1252"))
        ('cp1250', 'cp1252')
    """
    scores = {encoding: _judge(sample, encoding, alphabets) for encoding, alphabets in _ENCODINGS}
    best = max(scores, key=lambda encoding: scores[encoding])
    return best if scores[best] >= _LEAST_SCORE else ""


def _judge(sample: bytes, encoding: str, alphabets: tuple[str, ...]) -> float:
    """Return the share of the odd letters that one language has."""
    try:
        text = codecs.decode(sample, encoding)
    except UnicodeDecodeError:
        return 0.0
    odd = Counter(letter for letter in text if not letter.isascii())
    letters = {letter: n for letter, n in odd.items() if letter not in _SIGNS}
    total = sum(odd.values())
    if not letters or not total:
        return 0.5 if encoding == "cp1252" else 0.0
    # signs count a little less than letters: what is a sign in one encoding is a letter in another
    signs = 0.8 * (total - sum(letters.values()))
    own = max(
        sum(n for letter, n in letters.items() if {letter, letter.lower()} & set(alphabet)) for alphabet in alphabets
    )
    # a capital within a word is a sign of the wrong encoding
    return (own + signs) / total - 0.5 * _count_odd_capitals(text) / total


def _count_own(letters: dict[str, int], alphabet: set[str]) -> int:
    return sum(n for letter, n in letters.items() if alphabet & {letter, letter.lower()})


def _count_odd_capitals(text: str) -> int:
    pairs = itertools.pairwise(text)
    return sum(before.islower() and after.isupper() and not after.isascii() for before, after in pairs)
