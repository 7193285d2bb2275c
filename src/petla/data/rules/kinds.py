"""What a column holds, in words, and whether it holds something else now, or one value only."""

import math

from petla.core.project import CheckTable
from petla.data.profile.columns import ColumnProfile, Kind
from petla.data.rules.finding import DataFinding, count_present, show_number, show_range, show_values, soften
from petla.data.rules.measurements import list_codes, share_of

# so few different values may be codes of categories
_CODES = 50
# A column that chance makes constant less often than this was made constant by somebody.
_CONSTANT_CHANCE = 1e-6

_WORDS = {
    Kind.NUMBER: "numbers",
    Kind.INTEGER: "whole numbers",
    Kind.BOOLEAN: "true and false",
    Kind.CATEGORY: "text",
    Kind.TEXT: "text",
    Kind.TIMESTAMP: "points in time",
}


def check_kind(fresh: ColumnProfile, reference: ColumnProfile) -> DataFinding | None:
    """Say whether a column holds another kind of values than before."""
    if family_of(fresh.kind) == family_of(reference.kind):
        return None
    before, after = _WORDS[reference.kind], _WORDS[fresh.kind]
    message = f"column {fresh.name!r} held {before} and holds {after} now"
    is_recoded = _may_be_codes(reference) and fresh.distinct <= _CODES and fresh.kind is not Kind.TIMESTAMP
    if is_recoded:
        message += ": it looks re-coded"
    return DataFinding(
        column=fresh.name,
        rule="recoded" if is_recoded else "kind",
        severity="block",
        message=message,
        before=describe(reference),
        after=describe(fresh),
    )


def check_constant(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> DataFinding | None:
    """Say whether a column that held several values has one left; one day is what a day's rows have."""
    if fresh.distinct != 1 or reference.distinct < 2:
        return None
    value, share = _only_value(fresh, reference)
    is_day = fresh.kind is Kind.TIMESTAMP and not (fresh.hours and reference.distinct > _CODES)
    if is_day or not _is_unlikely(share, count_present(fresh), count_present(reference)):
        return None
    finding = DataFinding(
        column=fresh.name,
        rule="constant",
        severity="block",
        message=f"column {fresh.name!r} is {value} in all {count_present(fresh):,} rows",
        before=f"{reference.distinct:,} different values: {describe(reference)}",
        after=f"nothing but {value}",
    )
    return finding if fresh.rows >= limits.minimum_rows else soften(finding)


def family_of(kind: Kind) -> str:
    """Return what a kind is but for what another sample of the same rows may change."""
    # Text is one or the other by the number of its values, which another sample has more or fewer of.
    return "number" if kind.is_numeric else _WORDS[kind]


def describe(column: ColumnProfile) -> str:
    """Write what a column holds."""
    if codes := list_codes(column):
        return f"{_WORDS[column.kind]}: {', '.join(show_number(code) for code in codes)}"
    if column.categories:
        return f"{_WORDS[column.kind]}: {show_values(column.categories, column.distinct)}"
    if column.quantiles:
        return f"{_WORDS[column.kind]}: {show_range(column)}"
    if column.earliest and column.latest:
        return f"{_WORDS[column.kind]}: from {column.earliest} to {column.latest}"
    return _WORDS[column.kind]


def _may_be_codes(column: ColumnProfile) -> bool:
    is_discrete = column.kind in (Kind.INTEGER, Kind.BOOLEAN, Kind.CATEGORY)
    return is_discrete and column.distinct <= _CODES


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
    if fresh.kind is Kind.TIMESTAMP:
        return fresh.earliest or "", 1 / reference.distinct
    value = next((name for name, count in zip(fresh.categories, fresh.counts, strict=False) if count), "")
    counts = dict(zip(reference.categories, reference.counts, strict=False))
    n_with_value = counts.get(value, reference.counts[len(reference.categories)])
    return repr(value), n_with_value / max(count_present(reference), 1)
