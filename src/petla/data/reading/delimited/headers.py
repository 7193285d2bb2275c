"""Where the rows of a CSV file begin: what precedes the header, and whether there is one."""

import re
from collections import Counter
from collections.abc import Sequence

import msgspec

from petla.core.errors import InvalidError
from petla.core.project.formats import FormatTable

# What people write for "nothing", beside an empty field.
# NOTE: a column that uses one of these as a value, such as NA for Namibia, belongs into Parquet.
MISSING_WORDS = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null")

_VALUE = re.compile(
    r"[+-]?(\d+([.,' ]\d+)*|[.,]\d+)([eE][+-]?\d+)?|(?i:true|false)"
    r"|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?|\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"
)
_YEAR = re.compile(r"(19|20)\d\d")
_COMMENT = "#"


class Record(msgspec.Struct, frozen=True):
    """One record of a CSV file; a field with line ends makes it longer than a line."""

    # where it begins, from 1
    line: int
    fields: tuple[str, ...]


class Head(msgspec.Struct, frozen=True):
    """How a CSV file begins."""

    # None: no line names the columns
    header_line: int | None
    # of the first row
    first_line: int
    n_fields: int
    comment: str
    # every row ends with a separator that separates nothing
    is_trailing: bool


def find_head(records: Sequence[Record], given: FormatTable) -> Head:
    """Find out where the header and the rows begin.

    Args:
        records: the first ones of the file that are not empty.
        given: what is known already.

    Raises:
        InvalidError: the rows have more fields than the header.
    """
    comment = given.comment or _find_comment(records)
    kept = [record for record in records if not (comment and record.fields[0].startswith(comment))]
    kept = [record for record in kept if record.line > (given.skip_lines or 0)]
    if not kept:
        return Head(None, (given.skip_lines or 0) + 1, 1, comment, False)
    usual = _count_fields(kept)
    start, is_trailing = _find_start(kept, usual) if given.skip_lines is None else (0, False)
    body = kept[start:]
    if not is_trailing and usual > 1:
        is_trailing = len(body) > 1 and all(len(r.fields) == usual and r.fields[-1] == "" for r in body)
    n_fields = usual - is_trailing
    has_header = given.header if given.header is not None else _is_header(body, n_fields)
    first = body[1].line if has_header and len(body) > 1 else body[0].line + has_header
    if has_header and len(body[0].fields) < n_fields:
        raise _refuse_short_header(body[0], next(r for r in body[1:] if len(r.fields) > len(body[0].fields)))
    return Head(body[0].line if has_header else None, first, n_fields, comment, is_trailing)


def _find_comment(records: Sequence[Record]) -> str:
    """A # at the beginning of the file, where that line is not the header."""
    first = records[0].fields if records else ("",)
    if not first[0].startswith(_COMMENT):
        return ""
    comments = [record for record in records if record.fields[0].startswith(_COMMENT)]
    others = [record for record in records if not record.fields[0].startswith(_COMMENT)]
    usual = _count_fields(others) if others else 0
    is_header = len(comments) == 1 and usual > 1 and len(first) == usual and not _is_header(others, usual)
    return "" if is_header or not others else _COMMENT


def _count_fields(records: Sequence[Record]) -> int:
    """Return how many fields most records have; of two that are as frequent, that of the later ones."""
    counts = Counter(len(record.fields) for record in reversed(records))
    several = Counter({n_fields: count for n_fields, count in counts.items() if n_fields > 1})
    is_table = several.total() * 2 >= counts.total()
    return (several if is_table else counts).most_common(1)[0][0]


def _find_start(records: Sequence[Record], usual: int) -> tuple[int, bool]:
    """Return the number of records before the header or the first row, and whether only the rows end with a comma."""
    if usual == 1:
        return 0, False
    start = next(i for i, record in enumerate(records) if len(record.fields) == usual)
    before, body = records[:start], records[start:]
    if not before:
        return 0, False
    is_empty = all(record.fields[-1] == "" for record in body if len(record.fields) == usual)
    if len(before[-1].fields) == usual - 1 and is_empty:
        return start - 1, True
    if len(before[-1].fields) == usual - 1 and usual > 2 and not _is_header(body, usual):
        raise _refuse_short_header(before[-1], body[0])
    if max(len(record.fields) for record in before) > usual:
        return 0, False
    return start, False


def _refuse_short_header(header: Record, row: Record) -> InvalidError:
    return InvalidError(
        f"line {row.line} has {len(row.fields)} fields, but the header in line {header.line} has {len(header.fields)}",
        hint="give each column a name, or set skip_lines or header in [data.NAME.format]",
    )


def _is_header(records: Sequence[Record], n_fields: int) -> bool:
    """Whether the first record names the columns: its fields are words, and words stand above numbers."""
    names = records[0].fields[:n_fields]
    values = [name for name in names if _is_value(name)]
    if not values:
        return any(name.strip() for name in names)
    if _are_labels(values, records[1:]):
        return True
    columns = [[r.fields[i] for r in records[1:] if len(r.fields) > i] for i in range(len(names))]
    present = [[text for text in column if text.strip() not in MISSING_WORDS] for column in columns]
    return any(
        name.strip() not in MISSING_WORDS and not _is_value(name) and len(column) > 0 and all(map(_is_value, column))
        for name, column in zip(names, present, strict=True)
    )


def _are_labels(values: list[str], rows: Sequence[Record]) -> bool:
    """Whether numbers in a header are names: 0, 1, 2 as libraries number columns, or different years."""
    numbers = [int(value) for value in values if value.isascii() and value.isdigit()]
    if len(numbers) < len(values):
        return False
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[0] + len(numbers))) and numbers[0] <= 1:
        return True
    is_year = len(numbers) > 1 and len(set(numbers)) == len(numbers) and all(map(_YEAR.fullmatch, values))
    return is_year and not all(any(_YEAR.fullmatch(field) for field in row.fields) for row in rows)


def _is_value(text: str) -> bool:
    return _VALUE.fullmatch(text.strip()) is not None
