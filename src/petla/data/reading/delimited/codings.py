"""The encoding of a text file, from all of its bytes: the first letter beyond ASCII may come late."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from petla.core.errors import InvalidError
from petla.data.reading.delimited.alphabets import guess_single_byte
from petla.storage.files import reported

_BLOCK_BYTES = 4 << 20
_SAMPLE_BYTES = 1 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
UTF8 = ("utf-8", "utf-8-sig")
_ODD_LINES = re.compile(rb"[^\r\n]*[\x80-\xff][^\r\n]*")


def find_encoding(path: Path, *, limit: int | None = None) -> str:
    """Return the encoding of a text file.

    Args:
        path: the file.
        limit: bytes that are looked at; None: all.

    Raises:
        InvalidError: it is no text.
        UnavailableError: it cannot be read.
    """
    head = read_head(path, _SAMPLE_BYTES)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if b"\0" in head:
        return _guess(path, head)
    if _is_utf8(path, limit):
        return "utf-8"
    # words with letters beyond ASCII say more than the beginning, which may have none
    return _guess(path, b"\n".join(_list_odd_lines(path, limit)) or head)


def read_head(path: Path, size: int) -> bytes:
    """Return the first bytes of a file.

    Raises:
        UnavailableError: it cannot be read.
    """
    with reported(path, "read"), path.open("rb") as file:
        return file.read(size)


def list_blocks(path: Path, limit: int | None = None) -> Iterator[bytes]:
    """Yield the bytes of a file, many at a time.

    Raises:
        UnavailableError: it cannot be read.
    """
    left = limit
    with reported(path, "read"), path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES if left is None else min(_BLOCK_BYTES, left)):
            yield block
            left = None if left is None else left - len(block)


def _is_utf8(path: Path, limit: int | None) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_within = False
    try:
        for block in list_blocks(path, limit):
            # NOTE: ten times as fast as decoding, and true for most blocks
            if not is_within and block.isascii():
                continue
            decoder.decode(block)
            is_within = bool(decoder.getstate()[0])
        decoder.decode(b"", final=limit is None)
    except UnicodeDecodeError:
        return False
    return True


def _list_odd_lines(path: Path, limit: int | None) -> Iterator[bytes]:
    n_bytes = 0
    for block in list_blocks(path, limit):
        for line in _ODD_LINES.findall(block):
            n_bytes += len(line)
            yield line[:_BLOCK_BYTES]
            if n_bytes > _SAMPLE_BYTES:
                return


def _guess(path: Path, sample: bytes) -> str:
    if b"\0" not in sample and (guessed := guess_single_byte(sample)):
        return guessed
    from charset_normalizer import from_bytes

    best = from_bytes(sample[: 1 << 16]).best()
    if best is None or (b"\0" in sample and not best.encoding.startswith(("utf_16", "utf_32"))):
        raise InvalidError(
            f"{path} is no text in any known encoding",
            hint="save it as UTF-8, name its encoding in [data.NAME.format], or correct the file's ending",
        )
    return best.encoding.replace("_", "-")
