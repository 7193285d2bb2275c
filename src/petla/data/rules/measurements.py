"""Columns of numbers: moved, or with codes that were not there before."""

import math

import numpy as np

from petla.core.project import CheckTable
from petla.data.profile.columns import ColumnProfile, Kind
from petla.data.rules.finding import (
    DataFinding,
    chance,
    count_present,
    show_number,
    show_range,
    show_share,
    show_values,
)

# a standard deviation of a normal distribution is this part of its interquartile range
_SD_PER_IQR = 1 / 1.349


def check_shift(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> DataFinding | None:
    """Say whether a column's median moved far; seasons do that too, so it is never more than a warning."""
    if not (fresh.quantiles and reference.quantiles):
        return None
    iqr = reference.quantiles[15] - reference.quantiles[5]
    sd = iqr * _SD_PER_IQR if iqr > 0 else reference.sd
    if not sd:
        return None
    moved = (fresh.quantiles[10] - reference.quantiles[10]) / sd
    # the standard error of a median is 1.25 sd / sqrt(n)
    if not math.isfinite(moved) or abs(moved) <= limits.shift_sd + 5 / math.sqrt(count_present(fresh)):
        return None
    return DataFinding(
        column=fresh.name,
        rule="shift",
        severity="warn",
        message=f"column {fresh.name!r} lies {abs(moved):.1f} standard deviations "
        f"{'higher' if moved > 0 else 'lower'} than before: another season, or another source",
        before=show_range(reference),
        after=show_range(fresh),
    )


def check_codes(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> DataFinding | None:
    """Say whether whole numbers that stand for something hold values that were not there before.

    Never more than a warning: the months of another quarter are such values too.
    """
    known = list_codes(reference)
    if not known or fresh.kind is not Kind.INTEGER or not fresh.counts:
        return None
    n_fresh, n_reference = count_present(fresh), count_present(reference)
    codes = list_codes(fresh)
    if codes:
        # the bin of a code is the one above its edge
        n_unseen = sum(count for code, count in zip(codes, fresh.counts[1:], strict=False) if code not in known)
    else:
        n_unseen = _count_outside(fresh, known)
    if n_unseen / n_fresh <= limits.unseen_share + chance(limits.unseen_share, n_fresh, n_reference):
        return None
    return DataFinding(
        column=fresh.name,
        rule="unseen",
        severity="warn",
        message=f"column {fresh.name!r} has values that were not there before in {show_share(n_unseen, n_fresh)} rows",
        before=show_values([show_number(code) for code in known]),
        after=show_values([show_number(code) for code in codes], fresh.distinct) if codes else show_range(fresh),
    )


def list_codes(column: ColumnProfile) -> tuple[float, ...]:
    """Return all values of a column of few whole numbers; empty: it is not one."""
    if column.kind is not Kind.INTEGER or len(column.edges) != column.distinct + 1:
        return ()
    return column.edges[:-1]


def share_of(column: ColumnProfile, value: float) -> float:
    """Return the share of the bin that a value falls into: at most this many rows have it."""
    place = int(np.searchsorted(column.edges, value, side="right"))
    return column.counts[place] / max(count_present(column), 1)


def _count_outside(fresh: ColumnProfile, known: tuple[float, ...]) -> int:
    """At least this many of many different whole numbers lie below or above all known ones."""
    outside = sum(1 for value in fresh.quantiles if not known[0] <= value <= known[-1])
    return round(max(outside - 1, 0) / (len(fresh.quantiles) - 1) * count_present(fresh))
