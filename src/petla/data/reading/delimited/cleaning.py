"""CSV files that the table library would misread: found, and written again in the one way that it reads right."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from petla.core.errors import InvalidError
from petla.data.reading.delimited.codings import UTF8, list_blocks, read_head
from petla.data.reading.delimited.dialects import Dialect, open_fields
from petla.storage.files import reported

_BLANK_LINE = re.compile(rb"\n\r?\n")
# an escaped quotation mark within a field
_ESCAPED = re.compile(rb'[^",;\t|\r\n\\]\\"(?![,;\t|\r\n])')
_SAMPLE_BYTES = 1 << 20


def is_plain(path: Path, dialect: Dialect) -> bool:
    """Whether the table library reads a file right as it is.

    Raises:
        UnavailableError: it cannot be read.
    """
    head = dialect.head
    begins_at_once = head.header_line == 1 or (head.header_line is None and head.first_line == 1)
    if not begins_at_once or head.comment or head.is_trailing or dialect.encoding not in UTF8:
        return False
    quotes = _Quotes(dialect)
    tail = b"\n"
    for block in list_blocks(path):
        # what goes on in the next block is seen there
        whole = tail[-2:] + block
        if _has_odd_lines(whole) or not quotes.check(whole):
            return False
        tail = whole
    return not tail.endswith(b"\n\r") and quotes.check(tail[-2:] + b"\n")


def write_clean(path: Path, dialect: Dialect, target: Path) -> None:
    """Write a CSV file again: UTF-8, commas, the header first, every row with a value for every column.

    Raises:
        InvalidError: a row has more fields than the header, or a quotation mark is never closed; the line is named.
        UnavailableError: it cannot be read.
    """
    with (
        reported(path, "read"),
        path.open(encoding=dialect.encoding, newline="") as source,
        target.open("w", encoding="utf-8", newline="") as out,
    ):
        csv.writer(out, lineterminator="\n").writerows(_list_rows(path, source, dialect))


def _has_odd_lines(block: bytes) -> bool:
    """Whether there are empty lines, or lines that end with a carriage return alone."""
    if _BLANK_LINE.search(block):
        return True
    # the last one may be followed by its line feed in the next block
    return b"\r" in block and block.count(b"\r", 0, -1) != block.count(b"\r\n")


class _Quotes:
    """Whether each quotation mark opens a field, closes one, or is written twice within one."""

    def __init__(self, dialect: Dialect) -> None:
        self._quote = ord(dialect.quote)
        self._around = np.zeros(256, dtype=bool)
        self._around[[ord(dialect.separator), ord("\n"), ord("\r"), self._quote]] = True
        self._is_open = False

    def check(self, block: bytes) -> bool:
        """Look at all bytes of a block but its first and its last."""
        if block.find(self._quote, 1, -1) < 0:
            return True
        values = np.frombuffer(block, dtype=np.uint8)
        at = np.flatnonzero(values[1:-1] == self._quote) + 1
        opens, closes = (at[1::2], at[0::2]) if self._is_open else (at[0::2], at[1::2])
        self._is_open ^= bool(at.size % 2)
        return bool(self._around[values[opens - 1]].all() and self._around[values[closes + 1]].all())


class _Lines:
    """The lines of a file from one on, and whether the last one was asked for."""

    def __init__(self, lines: Iterator[str], start: int) -> None:
        self._lines = lines
        self._start = start
        self.is_ended = False

    def __iter__(self) -> Iterator[str]:
        for number, line in enumerate(self._lines, start=1):
            if number >= self._start:
                yield line.removeprefix("\ufeff") if number == 1 else line
        self.is_ended = True


def _list_rows(path: Path, source: Iterator[str], dialect: Dialect) -> Iterator[list[str]]:
    head = dialect.head
    start = head.header_line or head.first_line
    lines = _Lines(source, start)
    reader = open_fields(iter(lines), dialect.separator, dialect.quote, _find_escape(path, dialect))
    line = start
    try:
        for fields in reader:
            if lines.is_ended:
                raise _refuse(path, line, "opens a quotation mark that is never closed", "close it")
            if not (len(fields) <= 1 and not "".join(fields).strip()) and not _is_comment(fields, head.comment):
                if len(fields) > head.n_fields and any(fields[head.n_fields :]):
                    raise _refuse_long(path, line, len(fields), dialect)
                yield fields[: head.n_fields] + [""] * (head.n_fields - len(fields))
            line = start + reader.line_num
    except csv.Error as error:
        raise _refuse(path, line, f"cannot be read: {error}", "correct the line") from error


def _is_comment(fields: list[str], comment: str) -> bool:
    return bool(comment) and fields[0].startswith(comment)


def _find_escape(path: Path, dialect: Dialect) -> str | None:
    """The backslash, where the file writes quotation marks within a field with it."""
    if dialect.quote != '"' or dialect.encoding not in UTF8:
        return None
    return "\\" if _ESCAPED.search(read_head(path, _SAMPLE_BYTES)) else None


def _refuse_long(path: Path, line: int, n_fields: int, dialect: Dialect) -> InvalidError:
    where = f"the header in line {dialect.head.header_line}" if dialect.head.header_line else "most others"
    what = f"has {n_fields} fields separated by {dialect.separator!r}, but {where} has {dialect.head.n_fields}"
    return _refuse(path, line, what, "quote the fields that contain the separator, or correct the line")


def _refuse(path: Path, line: int, what: str, remedy: str) -> InvalidError:
    return InvalidError(f"line {line} of {path} {what}", hint=f"{remedy}, or say how it is in [data.NAME.format]")
