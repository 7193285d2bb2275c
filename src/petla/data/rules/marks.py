"""Values that stand for "nothing" and were not there before: -1, 9999, "unknown".

A number is such a mark where people use it so, and the column did not have it before, or hardly ever. Within the range
of the former values it may be a value like any other, as may a 0 not far from them, so that it only warns.
"""

import re

from petla.core.project import CheckTable
from petla.data.profile.columns import ColumnProfile, Kind
from petla.data.rules.finding import DataFinding, Severity, count_present, is_news, show_number, show_share, show_values

# runs of one digit, as surveys and weather stations have them, and the ends of the usual kinds of numbers
_RUNS = re.compile(r"-?(7{2,}|8{2,}|9{2,})(\.0+|\.9+)?")
_MARKS = frozenset({0.0, -1.0, -9.0, -999.25, 32767.0, -32768.0, 2147483647.0, -2147483648.0, 1e20, 1e30, -1e30})
# among the other values, a smaller number than this is too ordinary to be a mark, as is a smaller share of the rows
_LEAST_SPIKE, _SPIKE = 99, 0.05
# days that programs write for "no day"
_NO_DAYS = frozenset(
    {
        *("0001-01-01", "1899-12-30", "1899-12-31", "1900-01-01", "1970-01-01"),
        *("2099-12-31", "2999-12-31", "9999-12-31"),
    }
)


def check_marks(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> DataFinding | None:
    """Say whether a column has new marks of missing values."""
    if fresh.kind is Kind.TIMESTAMP:
        return _check_days(fresh, reference) if reference.kind is Kind.TIMESTAMP else None
    if fresh.kind.is_numeric:
        return _check_numbers(fresh, reference, limits) if reference.kind.is_numeric else None
    return _check_words(fresh, reference, limits)


def _check_numbers(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> DataFinding | None:
    if reference.minimum is None or reference.maximum is None or fresh.distinct <= 2 or reference.distinct <= 2:
        return None
    marks = [(value, count) for value, count in fresh.top if _is_mark(value)]
    outside = [(value, count) for value, count in marks if _is_apart(value, fresh, reference)]
    found = outside or [(value, count) for value, count in marks if _is_spike(value, count, fresh, reference)]
    found = [(value, count) for value, count in found if _is_much(count, fresh, reference, limits)]
    if not found:
        return None
    told = ", ".join(f"{show_number(value)} in {show_share(count, fresh.rows)} rows" for value, count in found)
    is_frequent = sum(count for _, count in found) > limits.missing_rise * fresh.rows
    is_sure = bool(outside) and (is_frequent or any(value or _is_far_from_zero(reference) for value, _ in found))
    return _finding(fresh, told, _show_span(reference), _show_span(fresh), "block" if is_sure else "warn")


def _is_mark(value: float) -> bool:
    return value in _MARKS or _RUNS.fullmatch(f"{value:.15g}") is not None


def _is_much(count: int, fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> bool:
    return count > limits.mark_share * fresh.rows and is_news(count, fresh.rows, reference.rows)


def _is_apart(value: float, fresh: ColumnProfile, reference: ColumnProfile) -> bool:
    """Whether a value lies beyond all former ones, and no other fresh value does so on its side: not a season."""
    values = [*fresh.quantiles, *(other for other, _ in fresh.top)]
    if value < (reference.minimum or 0.0):
        return all(_is_mark(other) or other >= (reference.minimum or 0.0) for other in values)
    if value > (reference.maximum or 0.0):
        return all(_is_mark(other) or other <= (reference.maximum or 0.0) for other in values)
    return False


def _is_far_from_zero(reference: ColumnProfile) -> bool:
    """Whether 0 would be odd there: a calm week has no wind, but the pressure of the air is never 0."""
    low, middle, high = (reference.quantiles[i] for i in (0, 10, 20))
    return min(abs(low), abs(high)) > abs(middle - (low if low > 0 else high)) / 2


def _is_spike(value: float, count: int, fresh: ColumnProfile, reference: ColumnProfile) -> bool:
    """Whether a value among the others is the most frequent one, and hardly ever came before."""
    is_listed = any(value == known for known, _ in reference.top)
    return abs(value) >= _LEAST_SPIKE and value == fresh.top[0][0] and not is_listed and count > _SPIKE * fresh.rows


def _check_words(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> DataFinding | None:
    known = {word.strip().casefold() for word, _ in reference.blanks}
    # Of columns of many rare words nobody knows all, and a profile lists the blank ones of all rows.
    found = [(word, count) for word, count in fresh.blanks if word.strip().casefold() not in known]
    total = sum(count for _, count in found)
    if not _is_much(total, fresh, reference, limits):
        return None
    marks = ", ".join(f"{word!r} in {show_share(count, fresh.rows)} rows" for word, count in found[:3])
    if reference.kind.is_numeric:
        marks += ", so that its numbers are text now"
    before = f"missing in {show_share(reference.missing, reference.rows)}, no such mark"
    return _finding(fresh, marks, before, show_values([word for word, _ in found]), "block")


def _check_days(fresh: ColumnProfile, reference: ColumnProfile) -> DataFinding | None:
    pairs = ((fresh.earliest, reference.earliest), (fresh.latest, reference.latest))
    for now, before in pairs:
        day = (now or "")[:10]
        if day in _NO_DAYS and day != (before or "")[:10]:
            return _finding(fresh, day, _show_days(reference), _show_days(fresh), "warn")
    return None


def _show_days(column: ColumnProfile) -> str:
    return f"from {column.earliest} to {column.latest}"


def _show_span(column: ColumnProfile) -> str:
    span = f"between {show_number(column.minimum)} and {show_number(column.maximum)}"
    return f"{count_present(column):,} values {span}, missing in {show_share(column.missing, column.rows)}"


def _finding(fresh: ColumnProfile, marks: str, before: str, after: str, severity: Severity) -> DataFinding:
    return DataFinding(
        column=fresh.name,
        rule="missing_marks",
        severity=severity,
        message=f"column {fresh.name!r} has what looks like a new mark of missing values: {marks}",
        before=before,
        after=after,
    )
