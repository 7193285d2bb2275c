"""Rows that two datasets share which must not, such as training and holdout.

Rows that repeat within a dataset turn up in a clean part of it, too. So the share that is expected is that of the rows
that come again in the same table: leaving one out, that is what a clean part would show. It grows with the table, so
that the larger one gives the bound.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from petla.core.project import CheckTable
from petla.data.rules.finding import DataFinding, chance, show_share
from petla.data.rules.rows.scanning import Rows, count_parts


class Overlap(msgspec.Struct, frozen=True):
    """What two tables have in common."""

    n_rows: int
    # of these rows, those that the other table has as well
    shared: int
    n_other: int
    # rows that come again in the same table, of the table that has more rows
    repeated: int


def check_overlap(rows: Rows, other: Rows, name: str, n_most: int, limits: CheckTable) -> list[DataFinding]:
    """Say whether another dataset has rows, or keys, of this one.

    Args:
        rows: the table that is judged.
        other: the rows that it must not share.
        name: of the other dataset.
        n_most: the number of rows of the larger one, about.
        limits: the checks of the table that is judged.
    """
    together = [column for column in rows.plain_columns if column in other.plain_columns]
    compared = [column for column in together if column not in limits.key and column not in limits.ignore]
    keys = list(limits.key) if limits.key and set(limits.key) <= set(together) else []
    found = (
        _judge(measure_overlap(rows, other, columns, n_most), name, what, limits)
        for columns, what in ((compared, "rows"), (keys, "keys"))
        if columns
    )
    return [finding for finding in found if finding is not None]


def measure_overlap(rows: Rows, other: Rows, columns: Sequence[str], n_most: int) -> Overlap:
    """Count the rows of a table that another one has as well; one pass of each for every eight million rows."""
    parts = count_parts(n_most)
    n_rows = n_other = shared = own = others = 0
    for part in range(parts):
        left, right = (_collect(table, columns, part, parts) for table in (rows, other))
        n_rows, n_other = n_rows + int(left[1].sum()), n_other + int(right[1].sum())
        own, others = own + _count_repeated(left), others + _count_repeated(right)
        shared += int(left[1][np.isin(left[0], right[0], assume_unique=True)].sum())
    return Overlap(n_rows, shared, n_other, own if n_rows > n_other else others)


_Counted = tuple[NDArray[np.uint64], NDArray[np.int64]]


def _collect(table: Rows, columns: Sequence[str], part: int, parts: int) -> _Counted:
    hashes = np.concatenate([np.zeros(0, dtype=np.uint64), *table.hashes(columns, part, parts)])
    values, counts = np.unique(hashes, return_counts=True)
    return values, counts


def _count_repeated(counted: _Counted) -> int:
    return int(counted[1][counted[1] > 1].sum())


def _judge(found: Overlap, name: str, what: str, limits: CheckTable) -> DataFinding | None:
    if min(found.n_rows, found.n_other) == 0:
        return None
    most = max(found.n_rows, found.n_other)
    # a key comes once, so none is expected again
    expected = found.repeated / most if what == "rows" else 0.0
    by_chance = chance(expected, found.n_rows, most) if what == "rows" else 0.0
    if found.shared / found.n_rows <= limits.overlap_share + expected + by_chance:
        return None
    share = show_share(found.shared, found.n_rows)
    return DataFinding(
        column="",
        rule="overlap",
        severity="block",
        message=f"{share} {what} are in dataset {name!r} as well, which must be apart from this one",
        before=f"about {expected:.1%} expected, since rows repeat" if expected else "none expected",
        after=f"{found.shared:,} shared",
    )
