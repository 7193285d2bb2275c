"""What was found out about the files of a table, in words."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from petla.core.project.formats import DateOrder, FormatTable
from petla.data.reading.delimited.dialects import find_dialect
from petla.data.reading.names import CSV_SUFFIXES

if TYPE_CHECKING:
    from petla.data.reading.delimited.kinds import ColumnFormat

_HEAD_BYTES = 1 << 20
# columns that are named; more are counted
_SHOWN = 5
_ORDERS: dict[DateOrder, str] = {"dmy": "days first", "mdy": "months first"}


class ReadAs(msgspec.Struct, frozen=True):
    """How CSV files were read."""

    # the first says how they are written; the others name what should be looked at
    lines: tuple[str, ...]
    # in which dates are read; None: there are none that could be read in both
    date_order: DateOrder | None


def describe_files(parts: Sequence[Path], given: FormatTable, *, is_small: bool) -> ReadAs:
    """Say how the CSV files of a table are read; no line where there are none.

    Args:
        parts: the files of the table.
        given: what the project file says.
        is_small: they are read whole; else only the beginning of the first one is.

    Raises:
        InvalidError: one of them cannot be read.
    """
    parts = [part for part in parts if part.suffix.lower() in CSV_SUFFIXES]
    if not parts:
        return ReadAs((), None)
    more = f" (and {len(parts) - 1} more files)" if len(parts) > 1 else ""
    if not is_small:
        dialect = find_dialect(parts[0], given, limit=_HEAD_BYTES)
        return ReadAs((f"read as CSV{more}: {dialect.describe()}, by its first MiB",), None)
    # NOTE: this loads the table library
    from petla.data.reading.tables import agree, look

    given = agree(parts, given)
    known = [look(part, given) for part in parts]
    columns = {column.name: column for each in known for column in each.columns}
    words = [known[0].dialect.describe(), *_describe_columns(list(columns.values()))]
    order = next((c.order for each in known for c in each.columns if c.order), None)
    notes = [note for column in columns.values() if (note := _warn(column, given))]
    return ReadAs((f"read as CSV{more}: {', '.join(words)}", *notes), order)


def _describe_columns(columns: "list[ColumnFormat]") -> list[str]:
    found: dict[str, list[str]] = {}
    for column in columns:
        if column.kind in ("decimal comma", "thousands comma"):
            found.setdefault(column.kind, []).append(column.name)
        if column.is_code:
            found.setdefault("leading zeros kept", []).append(column.name)
        if column.order is not None:
            found.setdefault(_ORDERS[column.order], []).append(column.name)
    return [f"{what} in {_list(names)}" for what, names in found.items()]


def _list(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def _warn(column: "ColumnFormat", given: FormatTable) -> str:
    if column.order is None:
        return ""
    if column.is_order_open and not given.date_order:
        return (
            f"column {column.name!r}: no day above 12 shows whether days or months come first; "
            f"read {_ORDERS[column.order]}; next: set date_order in [data.NAME.format] if that is wrong"
        )
    if given.date_order and column.order != given.date_order:
        return (
            f"column {column.name!r} is read {_ORDERS[column.order]}, since a number above 12 shows it, "
            f"though date_order is {given.date_order!r}; next: look at the dates of the versions before"
        )
    return ""
