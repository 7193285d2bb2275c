"""Checks of fresh data against the profile of the data it follows, before anything trains on it.

A finding blocks where clean data practically never look like that, and warns where a season may be the reason. All
limits leave room for chance, so that two random parts of the same data pass.
"""

import math

import msgspec

from petla.core.project import CheckTable
from petla.data.profile.columns import ColumnProfile, Kind, Profile
from petla.data.rules.categories import check_categories
from petla.data.rules.finding import (
    DataFinding,
    chance,
    count_present,
    show_number,
    show_range,
    show_share,
    show_values,
)
from petla.data.rules.measurements import check_codes, check_shift, list_codes, share_of
from petla.data.rules.units import check_unit

__all__ = ["DataFinding", "check_profile"]

# A column that chance makes constant less often than this was made constant by somebody.
_CONSTANT_CHANCE = 1e-6
# so few different values may be codes of categories
_CODES = 50

_WORDS = {
    Kind.NUMBER: "numbers",
    Kind.INTEGER: "whole numbers",
    Kind.BOOLEAN: "true and false",
    Kind.CATEGORY: "text",
    Kind.TEXT: "text",
    Kind.TIMESTAMP: "points in time",
}


def check_profile(new: Profile, reference: Profile, limits: CheckTable) -> tuple[DataFinding, ...]:
    """Compare a table's profile with that of the data it follows.

    Returns:
        What was found, in the order of the reference's columns; nothing: the data look like those before.
    """
    if new.rows == 0 and reference.rows > 0:
        return (_finding("", "empty", "the table has no rows", f"{reference.rows:,} rows", "0 rows"),)
    findings: list[DataFinding] = []
    for column in reference.columns:
        if column.name in limits.ignore:
            continue
        fresh = new.find(column.name)
        if fresh is None:
            message = f"column {column.name!r} is missing"
            findings.append(_finding(column.name, "missing_column", message, _describe(column), "not there"))
        else:
            findings.extend(_check_column(fresh, column, limits))
    known = {column.name for column in reference.columns}.union(limits.ignore)
    for column in new.columns:
        if column.name not in known:
            message = f"column {column.name!r} is new: it was not in the data before"
            findings.append(_finding(column.name, "extra_column", message, "not there", _describe(column)))
    return tuple(findings)


def _check_column(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> list[DataFinding]:
    missing = _check_missing(fresh, reference, limits)
    first = [missing] if missing else []
    if min(count_present(fresh), count_present(reference)) == 0:
        return first
    other = _check_kind(fresh, reference) or _check_constant(fresh, reference, limits)
    if other is not None:
        return [*first, other]
    if min(fresh.rows, reference.rows) < limits.minimum_rows:
        return first
    if not fresh.kind.is_numeric:
        found = check_categories(fresh, reference, limits)
        return [*first, found] if found else first
    if _is_numbering(fresh) and _is_numbering(reference):
        return first
    unit = check_unit(fresh, reference, limits)
    if unit is not None and unit.severity == "block":
        # A converted column has moved as well, which nobody needs to be told.
        return [*first, unit]
    rest = (unit, check_shift(fresh, reference, limits), check_codes(fresh, reference, limits))
    return first + [finding for finding in rest if finding is not None]


def _check_missing(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> DataFinding | None:
    is_gone = count_present(fresh) == 0 and count_present(reference) > 0 and limits.missing_rise < 1
    rise = fresh.missing_share - reference.missing_share
    by_chance = chance(reference.missing_share, fresh.rows, reference.rows)
    is_judged = min(fresh.rows, reference.rows) >= limits.minimum_rows
    if not is_gone and not (is_judged and rise > limits.missing_rise / 2 + by_chance):
        return None
    what = "has no values at all" if is_gone else "has more missing values than before"
    finding = _finding(
        fresh.name,
        "missing_values",
        f"column {fresh.name!r} {what}: {show_share(fresh.missing, fresh.rows)}",
        f"missing in {show_share(reference.missing, reference.rows)}",
        f"missing in {show_share(fresh.missing, fresh.rows)}",
    )
    return finding if is_gone or rise > limits.missing_rise + by_chance else _soften(finding)


def _check_kind(fresh: ColumnProfile, reference: ColumnProfile) -> DataFinding | None:
    if _family(fresh.kind) == _family(reference.kind):
        return None
    before, after = _WORDS[reference.kind], _WORDS[fresh.kind]
    message = f"column {fresh.name!r} held {before} and holds {after} now"
    is_recoded = _may_be_codes(reference) and fresh.distinct <= _CODES and fresh.kind is not Kind.TIMESTAMP
    if is_recoded:
        message += ": it looks re-coded"
    rule = "recoded" if is_recoded else "kind"
    return _finding(fresh.name, rule, message, _describe(reference), _describe(fresh))


def _check_constant(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> DataFinding | None:
    if fresh.distinct != 1 or reference.distinct < 2 or fresh.kind is Kind.TIMESTAMP:
        return None
    value, share = _only_value(fresh, reference)
    if not _is_unlikely(share, count_present(fresh), count_present(reference)):
        return None
    finding = _finding(
        fresh.name,
        "constant",
        f"column {fresh.name!r} is {value} in all {count_present(fresh):,} rows",
        f"{reference.distinct:,} different values: {_describe(reference)}",
        f"nothing but {value}",
    )
    return finding if fresh.rows >= limits.minimum_rows else _soften(finding)


def _is_unlikely(share: float, n_fresh: int, n_reference: int) -> bool:
    """Whether so many rows in a row hardly ever have a value that had this share of the reference."""
    others = (1 - share) * n_reference
    # at least so many rows in the long run, had the reference been drawn again
    others = max(others - 4 * math.sqrt(others), 0.0)
    # the logarithm of (1 - others / n_reference) ** n_fresh, which may be 0
    return n_fresh * math.log1p(-min(others / n_reference, 1 - 1e-12)) < math.log(_CONSTANT_CHANCE)


def _only_value(fresh: ColumnProfile, reference: ColumnProfile) -> tuple[str, float]:
    """Return a constant column's value in words, and at most which share of the reference had it."""
    if fresh.kind.is_numeric:
        known = fresh.minimum is not None
        return show_number(fresh.minimum), share_of(reference, fresh.minimum or 0.0) if known else 1.0
    value = next((name for name, count in zip(fresh.categories, fresh.counts, strict=False) if count), "")
    counts = dict(zip(reference.categories, reference.counts, strict=False))
    n_with_value = counts.get(value, reference.counts[len(reference.categories)])
    return repr(value), n_with_value / max(count_present(reference), 1)


def _may_be_codes(column: ColumnProfile) -> bool:
    is_discrete = column.kind in (Kind.INTEGER, Kind.BOOLEAN, Kind.CATEGORY)
    return is_discrete and column.distinct <= _CODES


def _is_numbering(column: ColumnProfile) -> bool:
    """Whether whole numbers only tell rows apart: they grow with the table, and that means nothing."""
    return column.kind is Kind.INTEGER and column.distinct == count_present(column)


def _family(kind: Kind) -> str:
    # Text is one or the other by the number of its values, which another sample has more or fewer of.
    return "number" if kind.is_numeric else _WORDS[kind]


def _describe(column: ColumnProfile) -> str:
    if codes := list_codes(column):
        return f"{_WORDS[column.kind]}: {', '.join(show_number(code) for code in codes)}"
    if column.categories:
        return f"{_WORDS[column.kind]}: {show_values(column.categories, column.distinct)}"
    if column.quantiles:
        return f"{_WORDS[column.kind]}: {show_range(column)}"
    return _WORDS[column.kind]


def _finding(column: str, rule: str, message: str, before: str, after: str) -> DataFinding:
    return DataFinding(column=column, rule=rule, severity="block", message=message, before=before, after=after)


def _soften(finding: DataFinding) -> DataFinding:
    return msgspec.structs.replace(finding, severity="warn")
