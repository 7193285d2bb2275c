"""How a CSV file is written: its encoding, what separates and quotes its fields, where its rows begin."""

import codecs
import csv
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from petla.core.errors import InvalidError
from petla.core.project.formats import FOUND_OUT, FormatTable
from petla.data.reading.delimited.codings import find_encoding, read_head
from petla.data.reading.delimited.headers import Head, Record, find_head
from petla.storage.files import reported

_SAMPLE_BYTES = 1 << 20
_SAMPLE_RECORDS = 200
_SEPARATORS = ",;\t|"
# Excel's own first line
_SEP_LINE = re.compile(r"\ufeff?\"?sep=(.)\"?", re.IGNORECASE)
# a field within single quotation marks
_SINGLE = re.compile(r"(?:^|[,;\t|])'[^']*'(?=$|[,;\t|])")
_COMMA_DECIMAL = re.compile(r"[+-]?\d+,\d+")
_SEPARATOR_NAMES = {"\t": "tab", " ": "space"}


class FieldReader(Protocol):
    """A reader of the standard library, for which it has no public type."""

    @property
    def line_num(self) -> int:
        """The lines read so far."""

    def __iter__(self) -> Iterator[list[str]]:
        """Yield the fields of each record."""


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """How a CSV file is written."""

    encoding: str
    separator: str
    quote: str
    head: Head

    def describe(self) -> str:
        """Say it in a few words.

        Example:
            >>> head = Head(header_line=2, first_line=3, n_fields=2, comment="", is_trailing=False)
            >>> Dialect(encoding="cp1250", separator=";", quote='"', head=head).describe()
            "cp1250, ';', header in line 2"
        """
        head = self.head
        separator = _SEPARATOR_NAMES.get(self.separator, repr(self.separator))
        words = [self.encoding, separator] + ["quotes '"] * (self.quote == "'")
        words.append("no header" if head.header_line is None else f"header in line {head.header_line}")
        words += [f"comments {head.comment}"] * bool(head.comment)
        words += ["a separator ends each row"] * head.is_trailing
        return ", ".join(words)


def find_dialect(path: Path, given: FormatTable = FOUND_OUT, *, limit: int | None = None) -> Dialect:
    """Find out how a CSV file is written.

    Args:
        path: the file.
        given: what is known already, and not found out.
        limit: bytes that are looked at for the encoding; None: all.

    Raises:
        InvalidError: it is no text, or its rows do not go with its header.
        UnavailableError: it cannot be read.
    """
    encoding = given.encoding or find_encoding(path, limit=limit)
    sample = read_head(path, _SAMPLE_BYTES)
    text = codecs.getincrementaldecoder(encoding)("replace").decode(sample).removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    # the last line may have been cut off
    lines = lines[:-1] if len(sample) == _SAMPLE_BYTES and len(lines) > 1 else lines
    separator, n_said = _find_separator_line(lines)
    later = lines[n_said:][: 2 * _SAMPLE_RECORDS]
    quote = given.quote or _find_quote(later)
    separator = given.separator or separator or _find_separator(later, quote)
    records = [
        msgspec.structs.replace(record, line=record.line + n_said)
        for record in _list_records(lines[n_said:], separator, quote)
    ]
    try:
        head = find_head(records, given)
    except InvalidError as error:
        raise InvalidError(f"{path}: {error.message}", hint=error.hint) from error
    return Dialect(encoding=encoding, separator=separator, quote=quote, head=head)


def open_fields(lines: Iterator[str], separator: str, quote: str, escape: str | None = None) -> FieldReader:
    """Return a reader of fields of any length."""
    # NOTE: the limit is one of the whole process; 131,072 characters by default, which a text may well have
    csv.field_size_limit(sys.maxsize)
    return csv.reader(lines, delimiter=separator, quotechar=quote, escapechar=escape)


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
    last = text.replace("\r", "\n").rpartition("\n")[2]
    if dialect.head.comment and last.startswith(dialect.head.comment):
        return ""
    fields = next(iter(open_fields(iter([last]), dialect.separator, dialect.quote)), [])
    if len(fields) < n_fields:
        return f"its last line has {len(fields)} of {n_fields} fields and no end: the file looks cut off"
    return ""


def _list_records(lines: list[str], separator: str, quote: str) -> list[Record]:
    """Return the first records that are not empty."""
    reader = open_fields(iter([f"{line}\n" for line in lines]), separator, quote)
    records, line = list[Record](), 1
    for fields in reader:
        if any(field.strip() for field in fields) or len(fields) > 1:
            records.append(Record(line, tuple(fields)))
        line = reader.line_num + 1
        if len(records) == _SAMPLE_RECORDS:
            break
    return records


def _find_separator_line(lines: list[str]) -> tuple[str, int]:
    """Return the separator that the first line states, and the number of such lines."""
    stated = _SEP_LINE.fullmatch(lines[0]) if lines else None
    return (stated[1], 1) if stated else ("", 0)


def _find_quote(lines: list[str]) -> str:
    """The single mark, where most lines have a field within two of them and none has a double one."""
    n_single = sum(_SINGLE.search(line) is not None for line in lines)
    has_double = any('"' in line for line in lines)
    return "'" if n_single > sum(map(bool, lines)) / 2 and not has_double else '"'


def _find_separator(lines: list[str], quote: str) -> str:
    """The one that cuts most lines into the same number of fields, and into the most."""

    def judge(separator: str) -> tuple[float, int]:
        fields = open_fields(iter([f"{line}\n" for line in lines if line]), separator, quote)
        counts = Counter(len(each) for each in fields if each)
        n_fields, n_lines = counts.most_common(1)[0] if counts else (1, 0)
        return (n_lines / counts.total() if n_fields > 1 else 0.0, n_fields)

    best = max(_SEPARATORS, key=judge)
    if best == "," and (other := max(_SEPARATORS[1:], key=judge)) and judge(other)[0] == judge(",")[0] > 0:
        # both cut every line: the commas are decimal ones, if they stand nowhere else
        cells = [cell for line in lines for cell in line.split(other) if "," in cell]
        best = other if all(_COMMA_DECIMAL.fullmatch(cell.strip(quote)) for cell in cells) else ","
    return best if judge(best)[1] > 1 else ","
