"""How a CSV file is written: its encoding, what separates its fields, what quotes them."""

import codecs
import csv
import re
from collections import Counter
from pathlib import Path

import msgspec

from petla.core.errors import InvalidError
from petla.data.reading.alphabets import guess_single_byte
from petla.storage.files import reported

_SAMPLE_BYTES = 1 << 20
_SAMPLE_LINES = 200
_SEPARATORS = ",;\t|"
# a field within single quotation marks
_SINGLE = re.compile(r"(?:^|[,;\t|])'[^']*'(?=$|[,;\t|])")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
UTF8 = ("utf-8", "utf-8-sig")


class Dialect(msgspec.Struct, frozen=True):
    """How a CSV file is written."""

    encoding: str
    separator: str
    quote: str


def find_dialect(path: Path) -> Dialect:
    """Find out from its beginning how a CSV file is written.

    Raises:
        InvalidError: it is no text.
        UnavailableError: it cannot be read.
    """
    with reported(path, "read"), path.open("rb") as file:
        sample = file.read(_SAMPLE_BYTES)
    encoding = find_encoding(path, sample)
    text = codecs.getincrementaldecoder(encoding)("replace").decode(sample)
    lines = text.splitlines()
    # the last line may have been cut off
    lines = lines[: max(len(lines) - 1, 1)][:_SAMPLE_LINES] if len(sample) == _SAMPLE_BYTES else lines[:_SAMPLE_LINES]
    quote = _find_quote(lines)
    return Dialect(encoding, _find_separator(lines, quote), quote)


def find_encoding(path: Path, sample: bytes) -> str:
    """Return the encoding of a text.

    Args:
        path: named in errors.
        sample: of its bytes; may end within a character.

    Raises:
        InvalidError: it is no text.
    """
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return encoding
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return _guess_encoding(path, sample)
    if b"\0" in sample:
        return _guess_encoding(path, sample)
    return "utf-8"


def find_torn_end(path: Path, dialect: Dialect, n_fields: int) -> str:
    """Say what is wrong with a CSV file's last line; empty: nothing.

    Args:
        path: the file.
        dialect: how it is written.
        n_fields: of every other line.
    """
    with reported(path, "read"), path.open("rb") as file:
        file.seek(max(path.stat().st_size - _SAMPLE_BYTES, 0))
        text = file.read().decode(dialect.encoding.replace("utf-16", "utf-16-le"), errors="replace")
    if not text or text.endswith(("\n", "\r")):
        return ""
    last = text.splitlines()[-1]
    fields = next(csv.reader([last], delimiter=dialect.separator, quotechar=dialect.quote), [])
    if len(fields) < n_fields:
        return f"its last line has {len(fields)} of {n_fields} fields and no end: the file looks cut off"
    return ""


def _guess_encoding(path: Path, sample: bytes) -> str:
    if b"\0" not in sample and (guessed := guess_single_byte(sample)):
        return guessed
    from charset_normalizer import from_bytes

    best = from_bytes(sample[: 1 << 16]).best()
    if best is None or (b"\0" in sample and not best.encoding.startswith(("utf_16", "utf_32"))):
        raise InvalidError(
            f"{path} is no text in any known encoding", hint="save it as UTF-8, or correct the file's ending"
        )
    return best.encoding.replace("_", "-")


def _find_quote(lines: list[str]) -> str:
    """The single mark, where most lines have a field within two of them and none has a double one."""
    n_single = sum(_SINGLE.search(line) is not None for line in lines)
    has_double = any('"' in line for line in lines)
    return "'" if n_single > len(lines) / 2 and not has_double else '"'


def _find_separator(lines: list[str], quote: str) -> str:
    """The one that cuts most lines into the same number of fields, and into the most."""

    def judge(separator: str) -> tuple[float, int]:
        counts = Counter(len(fields) for fields in csv.reader(lines, delimiter=separator, quotechar=quote) if fields)
        n_fields, n_lines = counts.most_common(1)[0] if counts else (1, 0)
        return (n_lines / counts.total() if n_fields > 1 else 0.0, n_fields)

    best = max(_SEPARATORS, key=judge)
    return best if judge(best)[1] > 1 else ","
