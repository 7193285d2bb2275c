"""Checks of fresh data against the profile of the data it follows, before anything trains on it.

A finding blocks where clean data practically never look like that, and warns where a season may be the reason. All
limits leave room for chance, so that two random parts of the same data pass, in any order.
"""

from petla.core.project import CheckTable
from petla.data.profile.columns import ColumnProfile, Kind, Profile
from petla.data.rules.categories import check_categories
from petla.data.rules.decimals import check_decimal
from petla.data.rules.files import check_duplicates, check_encoding, check_flaws
from petla.data.rules.finding import DataFinding, chance, count_present, show_share, soften
from petla.data.rules.kinds import check_constant, check_kind, describe
from petla.data.rules.marks import check_marks
from petla.data.rules.measurements import check_codes, check_shift
from petla.data.rules.swaps import find_swaps
from petla.data.rules.times import check_times
from petla.data.rules.units import check_unit

__all__ = ["DataFinding", "check_profile"]


def check_profile(new: Profile, reference: Profile, limits: CheckTable) -> tuple[DataFinding, ...]:
    """Compare a table's profile with that of the data it follows.

    Returns:
        What was found: of the whole table, then in the order of the reference's columns; nothing: the data look like
        those before.
    """
    if new.rows == 0 and reference.rows > 0:
        return (_finding("", "empty", "the table has no rows", f"{reference.rows:,} rows", "0 rows"),)
    whole = (check_flaws(new, reference), check_duplicates(new, reference, limits))
    swapped = find_swaps(new, reference, limits)
    findings = [finding for finding in whole if finding is not None] + list(swapped.values())
    judged = {name for pair in swapped for name in pair}.union(limits.ignore)
    for column in reference.columns:
        if column.name in judged:
            continue
        fresh = new.find(column.name)
        if fresh is None:
            message = f"column {column.name!r} is missing"
            findings.append(_finding(column.name, "missing_column", message, describe(column), "not there"))
        else:
            findings.extend(_check_column(fresh, column, limits))
    known = {column.name for column in reference.columns}.union(limits.ignore)
    for column in new.columns:
        if column.name not in known:
            message = f"column {column.name!r} is new: it was not in the data before"
            findings.append(_finding(column.name, "extra_column", message, "not there", describe(column)))
    return tuple(findings)


def _check_column(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> list[DataFinding]:
    missing = _check_missing(fresh, reference, limits)
    first = [missing] if missing else []
    if min(count_present(fresh), count_present(reference)) == 0:
        return first
    is_judged = min(fresh.rows, reference.rows) >= limits.minimum_rows
    marks = check_marks(fresh, reference, limits) if is_judged else None
    if marks is not None:
        return [*first, marks]
    other = check_kind(fresh, reference) or check_constant(fresh, reference, limits)
    if other is not None:
        return [*first, other]
    return [*first, *_compare(fresh, reference, limits)] if is_judged else first


def _compare(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> list[DataFinding]:
    """Compare columns of the same kind with rows enough."""
    if fresh.kind is Kind.TIMESTAMP:
        return check_times(fresh, reference, limits)
    if fresh.kind.is_numeric:
        return _compare_numbers(fresh, reference, limits)
    found = check_encoding(fresh, reference, limits) or check_categories(fresh, reference, limits)
    return [found] if found else []


def _compare_numbers(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> list[DataFinding]:
    if _is_numbering(fresh) and _is_numbering(reference):
        return []
    unit = check_decimal(fresh, reference, limits) or check_unit(fresh, reference, limits)
    if unit is not None and unit.severity == "block":
        # A converted column has moved as well, which nobody needs to be told.
        return [unit]
    rest = (unit, check_shift(fresh, reference, limits), check_codes(fresh, reference, limits))
    return [finding for finding in rest if finding is not None]


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
    return finding if is_gone or rise > limits.missing_rise + by_chance else soften(finding)


def _is_numbering(column: ColumnProfile) -> bool:
    """Whether whole numbers only tell rows apart: they grow with the table, and that means nothing."""
    return column.kind is Kind.INTEGER and column.distinct == count_present(column)


def _finding(column: str, rule: str, message: str, before: str, after: str) -> DataFinding:
    return DataFinding(column=column, rule=rule, severity="block", message=message, before=before, after=after)
