"""Leakage: a column that is the label, or a one-to-one function of it, and was not so before.

Such a column is not known when the model has to answer. It is looked for among up to 65,536 rows, drawn evenly from the
whole table; a few rows that differ do not hide it. A relation that the former version had as well is nothing new.
"""

import math
from collections.abc import Collection, Iterable

import numpy as np
import polars as pl

from petla.data.profile.columns import ColumnProfile, Kind, Profile
from petla.data.profile.sketches import RowSample
from petla.data.reading.columns import column_of
from petla.data.rules.finding import DataFinding, show_share
from petla.data.rules.rows.scanning import Rows

# this share of the rows may differ
_EXCEPTIONS = 0.002
# chance makes such a relation less often than this, in logarithms: one in a billion
_UNLIKELY = math.log(1e9)
# a label with more different values is a quantity
_CLASSES = 50
_LEAST_ROWS = 20


def list_suspects(profile: Profile, label: str) -> list[str]:
    """Return the columns that may be a label, by their number of different values."""
    truth = profile.find(label)
    if truth is None or truth.distinct < 2 or truth.rows - truth.missing < _LEAST_ROWS:
        return []
    return [column.name for column in profile.columns if column.name != label and _may_be(column, truth)]


def find_leaks(rows: Rows, label: str, suspects: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Return the columns that tell the label; of each, in how many of how many rows."""
    names = [name for name in suspects if name in rows.plain_columns]
    if label not in rows.plain_columns or not names:
        return {}
    sample = RowSample()
    for batch in rows.batches([label, *names]):
        sample.update(batch)
    if not sample.n_seen:
        return {}
    frame = sample.collect()
    found = {name: _match(frame.select(column_of(name).alias("x"), column_of(label).alias("y"))) for name in names}
    return {name: match for name, match in found.items() if match is not None}


def tell_leaks(
    leaks: dict[str, tuple[int, int]], known: Collection[str], label: str, *, is_first: bool
) -> list[DataFinding]:
    """Write what was found; in a first version, where nothing says what is usual, it only warns.

    Args:
        leaks: what `find_leaks` returned.
        known: columns that told the label in the former version, too.
        label: the target of a model.
        is_first: there is no former version.
    """
    return [
        DataFinding(
            column=name,
            rule="leakage",
            severity="warn" if is_first else "block",
            message=f"column {name!r} gives the label {label!r} away: it is the label, or says the same, "
            f"in {show_share(*match)} rows",
            before="no former version" if is_first else f"did not tell {label!r}",
            after=f"one value for each of {label!r}",
        )
        for name, match in leaks.items()
        if name not in known
    ]


def _may_be(column: ColumnProfile, truth: ColumnProfile) -> bool:
    if column.kind is Kind.TIMESTAMP or column.distinct < 2:
        return False
    if truth.distinct <= _CLASSES:
        # a few rows that differ may have further values
        return truth.distinct <= column.distinct <= 2 * truth.distinct + 2
    is_quantity = column.kind.is_numeric and truth.kind.is_numeric
    return is_quantity and abs(column.distinct - truth.distinct) <= 0.1 * truth.distinct


def _match(pairs: pl.DataFrame) -> tuple[int, int] | None:
    pairs = pairs.drop_nulls()
    if pairs.height < _LEAST_ROWS:
        return None
    n_classes = pairs["y"].n_unique()
    if n_classes > _CLASSES:
        return _match_quantities(pairs)
    counted = pairs.group_by("x", "y").len()
    forward = int(counted.group_by("x").agg(pl.col("len").max())["len"].sum())
    backward = int(counted.group_by("y").agg(pl.col("len").max())["len"].sum())
    matching = min(forward, backward)
    is_match = matching >= (1 - _EXCEPTIONS) * pairs.height
    return (matching, pairs.height) if is_match and _ways(pairs["y"]) > _UNLIKELY else None


def _ways(labels: pl.Series) -> float:
    """Return the logarithm of how many ways there are to deal these labels out to the rows."""
    counts = labels.value_counts()["count"].to_list()
    return math.lgamma(len(labels) + 1) - sum(math.lgamma(count + 1) for count in counts)


def _match_quantities(pairs: pl.DataFrame) -> tuple[int, int] | None:
    """Quantities say the same where they rise together, or one falls as the other rises."""
    if not (pairs["x"].dtype.is_numeric() and pairs["y"].dtype.is_numeric()):
        return None
    ranks = pairs.select(pl.all().cast(pl.Float64).rank("dense"))
    x, y = ranks["x"].to_numpy(), ranks["y"].to_numpy()
    matching = 0
    for ordered in (x, x.max() + 1 - x):
        matching = max(matching, int((ordered == y).sum()), _rising(ordered, y))
    return (matching, pairs.height) if matching >= (1 - _EXCEPTIONS) * pairs.height else None


def _rising(x: "np.typing.NDArray[np.float64]", y: "np.typing.NDArray[np.float64]") -> int:
    """Return how many rows keep in step: the next larger of the one is the next larger of the other."""
    order = np.lexsort((y, x))
    step_x, step_y = np.diff(x[order]), np.diff(y[order])
    return int(((step_x > 0) == (step_y > 0)).sum() - (step_y < 0).sum()) + 1
