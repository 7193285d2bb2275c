"""Two columns exchanged: each looks like the other did, and not like itself."""

import math
from collections.abc import Iterator
from itertools import combinations

import numpy as np

from petla.core.project import CheckTable
from petla.data.profile.columns import ColumnProfile, Kind, Profile
from petla.data.rules.finding import DataFinding, count_present
from petla.data.rules.kinds import describe, family_of
from petla.data.rules.units import distance

# a column this far from itself may be another one; this near to another one it may be that one
_FAR, _NEAR = 0.25, 0.1


def find_swaps(fresh: Profile, reference: Profile, limits: CheckTable) -> dict[tuple[str, str], DataFinding]:
    """Return a finding for each pair of columns that took each other's place, by their names."""
    moved = [pair for pair in _list_pairs(fresh, reference, limits) if _apart(*pair) > _FAR + 2 * _noise(*pair)]
    found: dict[tuple[str, str], DataFinding] = {}
    taken: set[str] = set()
    for (a, former_a), (b, former_b) in combinations(moved, 2):
        if taken.isdisjoint((a.name, b.name)) and _is_like(a, former_b, former_a) and _is_like(b, former_a, former_b):
            taken |= {a.name, b.name}
            found[a.name, b.name] = _finding(a, b, former_a, former_b)
    return found


def _list_pairs(
    fresh: Profile, reference: Profile, limits: CheckTable
) -> Iterator[tuple[ColumnProfile, ColumnProfile]]:
    for former in reference.columns:
        now = fresh.find(former.name)
        if now is None or former.name in limits.ignore or min(now.rows, former.rows) < limits.minimum_rows:
            continue
        if min(now.distinct, former.distinct) > 1 and min(count_present(now), count_present(former)) > 0:
            yield now, former


def _is_like(now: ColumnProfile, other: ColumnProfile, own: ColumnProfile) -> bool:
    near = _apart(now, other)
    return near <= _NEAR + _noise(now, other) and near <= _apart(now, own) / 3


def _apart(now: ColumnProfile, former: ColumnProfile) -> float:
    """Return how far two columns are from each other: 0 the same, 1 nothing in common."""
    if family_of(now.kind) != family_of(former.kind):
        return 1.0
    if now.kind.is_numeric:
        if not (now.quantiles and former.quantiles):
            return 0.0
        return distance(np.array(now.quantiles), np.array(former.quantiles))
    return _difference(_shares(now), _shares(former))


def _shares(column: ColumnProfile) -> dict[str, float]:
    """Return what a column's values look like: its categories, its hours, or the shapes of its texts."""
    if column.kind is Kind.TIMESTAMP:
        counted: list[tuple[str, int]] = [(str(hour), count) for hour, count in enumerate(column.hours)]
    elif column.categories:
        counted = list(zip(column.categories, column.counts, strict=False))
    else:
        counted = list(column.patterns)
    total = sum(count for _, count in counted)
    return {name: count / total for name, count in counted if count}


def _difference(now: dict[str, float], former: dict[str, float]) -> float:
    """Return the total variation distance."""
    if not now or not former:
        return 0.0
    return sum(abs(now.get(name, 0.0) - former.get(name, 0.0)) for name in now.keys() | former.keys()) / 2


def _noise(now: ColumnProfile, former: ColumnProfile) -> float:
    """What chance alone may put between two samples, with as many values as 20 bins tell apart."""
    return 2 * math.sqrt(1 / count_present(now) + 1 / count_present(former))


def _finding(a: ColumnProfile, b: ColumnProfile, former_a: ColumnProfile, former_b: ColumnProfile) -> DataFinding:
    return DataFinding(
        column=a.name,
        rule="swapped",
        severity="block",
        message=f"columns {a.name!r} and {b.name!r} look swapped: each holds what the other held",
        before=f"{a.name}: {describe(former_a)}; {b.name}: {describe(former_b)}",
        after=f"{a.name}: {describe(a)}; {b.name}: {describe(b)}",
    )
