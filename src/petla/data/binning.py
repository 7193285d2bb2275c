"""Counts of values along a column's profile: what a window of decisions is compared by."""

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

from petla.data.columns import ColumnProfile, Kind


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
    bins = _bins_of_numbers(column, values) if column.kind.is_numeric else _bins_of_categories(column, values)
    n_bins = (len(column.edges) if column.kind.is_numeric else len(column.categories)) + 1
    counts = np.bincount(bins, minlength=n_bins)
    return np.append(counts, len(values) - bins.size).astype(np.int64)


def _bins_of_numbers(column: ColumnProfile, values: pl.Series) -> NDArray[np.int64]:
    floats = values.cast(pl.Float64, strict=False).fill_null(math.nan).to_numpy()
    bins: NDArray[np.int64] = np.searchsorted(np.array(column.edges), floats[~np.isnan(floats)], side="right")
    return bins


def _bins_of_categories(column: ColumnProfile, values: pl.Series) -> NDArray[np.int64]:
    if column.kind is Kind.BOOLEAN and values.dtype.is_numeric():
        values = values.cast(pl.Boolean)
    present = values.drop_nulls()
    if not column.categories:
        return np.zeros(len(present), dtype=np.int64)
    codes = present.cast(pl.String).cast(pl.Enum(column.categories), strict=False).to_physical()
    bins: NDArray[np.int64] = codes.cast(pl.Int64).fill_null(len(column.categories)).to_numpy()
    return bins
