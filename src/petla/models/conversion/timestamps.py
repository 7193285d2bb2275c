"""Timestamps as text: one type, one reader, one canonical form.

- Read: ISO 8601 (`2026-03-01T15:00:00.5+02:00`), as RFC 3339 and JavaScript, Go, Java and Python write it: `T` or a
  blank, seconds and a fraction of up to nine digits may be missing, `Z` or an offset may be there, a date alone is its
  midnight. Nothing else: the order of day and month is never guessed.
- A text with an offset is converted to UTC. For a column without a zone the zone is then dropped; for a column with a
  zone a text without an offset is taken as UTC.
- Digits of a fraction that are finer than the column's unit are cut off.
- A column of dates takes a date, or a timestamp that is midnight in UTC.
- Written: a date as `2026-03-01`, a time of day as `15:00:00`, everything else as `2026-03-01T15:00:00`, with `Z`
  where the column has a zone; a fraction with three, six or nine digits where there is one.
"""

import re
from datetime import date, timedelta
from enum import StrEnum
from typing import NamedTuple

PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

_EPOCH = date(1970, 1, 1).toordinal()
_DAY_S = 86_400
_NS = PER_SECOND["ns"]
_LARGEST = 2**63 - 1
_CLOCK = r"(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
_TIME = re.compile(_CLOCK, re.ASCII)
_DATETIME = re.compile(rf"(\d{{4}}-\d\d-\d\d)(?:[Tt ]{_CLOCK}(?: ?([Zz]|[+-]\d\d(?::?\d\d)?))?)?", re.ASCII)
_TYPE = re.compile(r"datetime\[(s|ms|us|ns)(?:, (.+))?\]")


class Form(StrEnum):
    """What a column of timestamps holds."""

    DATE = "date"
    # of the day
    TIME = "time"
    DATETIME = "datetime"


class TimestampType(NamedTuple):
    """The stored type of a column of timestamps.

    A value is a count: days since 1970, or units since midnight or since 1970 UTC.
    """

    form: Form
    unit: str = "ns"
    # empty: the column has none
    zone: str = ""

    def __str__(self) -> str:
        """Write it as signatures keep it."""
        if self.form is not Form.DATETIME:
            return self.form.value
        return f"datetime[{self.unit}, {self.zone}]" if self.zone else f"datetime[{self.unit}]"


def parse_type(text: str) -> TimestampType | None:
    """Read what `str` wrote of a type; None for a type that is not known.

    Example:
        >>> parse_type("datetime[us, Europe/Warsaw]").zone
        'Europe/Warsaw'
    """
    if text in (Form.DATE, Form.TIME):
        return TimestampType(Form(text))
    found = _TYPE.fullmatch(text)
    return TimestampType(Form.DATETIME, found[1], found[2] or "") if found else None


def read_timestamp(text: str, kind: TimestampType) -> int:
    """Return the count that a text means in a column of a type.

    Raises:
        ValueError: it is not ISO 8601, or the type does not hold it.

    Example:
        >>> read_timestamp("1970-01-01T02:00:01.5+02:00", TimestampType(Form.DATETIME, "ms"))
        1500
    """
    if kind.form is Form.TIME:
        found = _TIME.fullmatch(text)
        if found is None:
            raise ValueError("it is no time of day")
        return _read_clock(found.groups())
    found = _DATETIME.fullmatch(text)
    if found is None:
        raise ValueError("it is not ISO 8601")
    day, *clock, offset = found.groups()
    days = date.fromisoformat(day).toordinal() - _EPOCH
    count_ns = (days * _DAY_S - _read_offset(offset)) * _NS + (_read_clock(clock) if clock[0] else 0)
    if kind.form is Form.DATE:
        days, rest = divmod(count_ns, _DAY_S * _NS)
        if rest:
            raise ValueError("it has a time of day")
        return days
    count = count_ns * PER_SECOND[kind.unit] // _NS
    if abs(count) > _LARGEST:
        raise ValueError("it is out of range")
    return count


def write_timestamp(count: int, kind: TimestampType) -> str:
    """Write a count in the canonical form.

    Raises:
        ValueError: it is before the year 1 or after 9999.

    Example:
        >>> write_timestamp(1500, TimestampType(Form.DATETIME, "ms", "Europe/Warsaw"))
        '1970-01-01T00:00:01.500Z'
    """
    if kind.form is Form.DATE:
        return _write_date(count)
    seconds, rest = divmod(count, PER_SECOND[kind.unit])
    days, second = divmod(seconds, _DAY_S)
    digits = f"{rest * _NS // PER_SECOND[kind.unit]:09}" if rest else ""
    while digits.endswith("000"):
        digits = digits[:-3]
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}{'.' if digits else ''}{digits}"
    if kind.form is Form.TIME:
        return clock
    return f"{_write_date(days)}T{clock}{'Z' if kind.zone else ''}"


def normalize_timestamp(text: str, kind: TimestampType | None) -> str:
    """Write a text in the canonical form of a column's type; of an unknown type in that of the text itself.

    Raises:
        ValueError: as `read_timestamp`.

    Example:
        >>> normalize_timestamp("2026-03-01 17:00+02", TimestampType(Form.DATETIME, "us"))
        '2026-03-01T15:00:00'
    """
    kind = kind or _guess_type(text)
    return write_timestamp(read_timestamp(text, kind), kind)


def _guess_type(text: str) -> TimestampType:
    found = _DATETIME.fullmatch(text)
    if found is not None and found[2] is None:
        return TimestampType(Form.DATE)
    return TimestampType(Form.DATETIME, "us", "UTC" if found is not None and found[6] else "")


def _read_clock(parts: "list[str] | tuple[str, ...]") -> int:
    hour, minute, second = (int(part or 0) for part in parts[:3])
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("there is no such time of day")
    return ((hour * 60 + minute) * 60 + second) * _NS + int((parts[3] or "").ljust(9, "0"))


def _read_offset(text: str | None) -> int:
    """Return seconds east of UTC."""
    if not text or text in "Zz":
        return 0
    hours, minutes = int(text[1:3]), int(text[-2:]) if len(text) > 3 else 0
    if hours > 23 or minutes > 59:
        raise ValueError("there is no such offset")
    return (hours * 60 + minutes) * (-60 if text[0] == "-" else 60)


def _write_date(days: int) -> str:
    try:
        return (date(1970, 1, 1) + timedelta(days=days)).isoformat()
    except OverflowError as error:
        raise ValueError("it is not in the years 1 to 9999") from error
