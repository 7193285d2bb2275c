"""Profiles: one look at each column of a table gives all that is known of it.

The same table gives the same profile, whatever the machine and the number of threads.
"""

import math

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from petla.data.profile.columns import ColumnProfile, Kind, Profile
from petla.data.profile.features import TextFeatures, TimeFeatures, list_patterns
from petla.data.reading.columns import column_of

BINS = 20
CATEGORIES = 50
# Text with more distinct values than this, or with hardly any that come twice, is free text.
_CATEGORY_DISTINCT = 1_000
_CATEGORY_SHARE = 0.5
# So few distinct values are categories however few the rows are.
_ALWAYS_CATEGORY = 10
# from here on, different whole numbers may be the same 64-bit float
_EXACT_INTEGERS = 2.0**53
# numbers listed one by one
_TOP, _TOP_SHARE = 10, 0.001


def profile_frame(frame: pl.DataFrame) -> Profile:
    """Describe every column of a table.

    Missing are nulls and, in columns of numbers, NaN. Infinite values count as values in the outermost bins; range,
    mean and quantiles are those of the finite ones.

    Example:
        >>> profile = profile_frame(pl.DataFrame({"n": [1, 2, 2, None], "word": ["a", "b", "a", "a"]}))
        >>> [(c.name, c.kind.value, c.distinct, c.missing) for c in profile.columns]
        [('n', 'integer', 2, 1), ('word', 'category', 2, 0)]
    """
    columns = tuple(profile_series(values) for values in frame.get_columns())
    # NOTE: lists and the like cannot be hashed by every version of the library.
    flat = frame.select(column_of(name) for name, kind in frame.schema.items() if not kind.is_nested())
    duplicates = frame.height - flat.n_unique() if flat.width == frame.width and frame.height else 0
    return Profile(rows=frame.height, columns=columns, duplicates=duplicates if flat.width == frame.width else None)


def profile_numbers(name: str, values: NDArray[np.float64], *, kind: Kind = Kind.NUMBER) -> ColumnProfile:
    """Describe a column of numbers, such as the scores of a model.

    Args:
        name: the column's name.
        values: (n_rows,); NaN is missing.
        kind: `NUMBER` or `INTEGER`.
    """
    # Sorted once: distinct values, quantiles and bins are then look-ups. Polars sorts 3 times as fast as NumPy here.
    present = pl.Series(values[~np.isnan(values)]).sort().to_numpy()
    finite = present[np.searchsorted(present, -np.inf, "right") : np.searchsorted(present, np.inf, "left")]
    distinct = _distinct_of(present)
    edges = _edges_of(finite, n_distinct=distinct.size)
    below = np.searchsorted(present, edges, side="left")
    bins = np.diff(below, prepend=0, append=present.size)
    missing = values.size - present.size
    has_values = finite.size > 0
    return ColumnProfile(
        name=name,
        kind=kind,
        rows=values.size,
        missing=missing,
        distinct=distinct.size,
        minimum=float(finite[0]) if has_values else None,
        maximum=float(finite[-1]) if has_values else None,
        mean=_mean_of(finite),
        sd=_sd_of(finite),
        quantiles=tuple(_quantiles_of(finite).tolist()),
        edges=tuple(edges.tolist()),
        counts=(*bins.tolist(), missing),
        top=_top_of(present),
    )


def profile_series(values: pl.Series) -> ColumnProfile:
    """Describe one column of a table."""
    # NOTE: the table library takes some names for patterns, in methods of one column as well
    return msgspec.structs.replace(_profile_values(values.rename("values")), name=values.name)


def _profile_values(values: pl.Series) -> ColumnProfile:
    kind = find_kind(values.dtype)
    match kind:
        case Kind.NUMBER | Kind.INTEGER:
            floats = values.cast(pl.Float64).fill_null(math.nan)
            column = profile_numbers(values.name, floats.to_numpy(), kind=kind)
            return column if _fits_float(values.dtype, column) else _count_exactly(column, values)
        case Kind.TIMESTAMP:
            times = TimeFeatures()
            times.update(values)
            other = _profile_other(values, kind, distinct=values.drop_nulls().n_unique())
            return msgspec.structs.replace(other, **times.fields())
        case Kind.BOOLEAN:
            return _profile_boolean(values)
        case Kind.CATEGORY | Kind.TEXT | Kind.TENSOR | Kind.IMAGE:
            return _profile_text(values)


def find_kind(dtype: pl.DataType) -> Kind:
    """Return what a column of a type holds; text may turn out to be categories."""
    if dtype.is_integer():
        return Kind.INTEGER
    if dtype.is_numeric():
        return Kind.NUMBER
    if dtype == pl.Boolean:
        return Kind.BOOLEAN
    if dtype.is_temporal() and dtype != pl.Duration:
        return Kind.TIMESTAMP
    return Kind.TEXT


def _fits_float(dtype: pl.DataType, column: ColumnProfile) -> bool:
    """Whether different values of a column are different as 64-bit floats."""
    if dtype.is_float():
        return True
    widest = max(abs(column.minimum or 0.0), abs(column.maximum or 0.0))
    return dtype.is_integer() and widest < _EXACT_INTEGERS


def _count_exactly(column: ColumnProfile, values: pl.Series) -> ColumnProfile:
    """Return the profile of floats with its distinct and most frequent values counted as they are written."""
    counted = values.drop_nulls().rename("value").value_counts()
    is_much = (pl.col("count") >= 2) & (pl.col("count") >= _TOP_SHARE * column.rows)
    top = counted.filter(is_much).sort("count", "value", descending=[True, False]).head(_TOP)
    pairs = zip(top["value"].cast(pl.Float64).to_list(), top["count"].to_list(), strict=True)
    return msgspec.structs.replace(column, distinct=counted.height, top=tuple(pairs))


def _profile_boolean(values: pl.Series) -> ColumnProfile:
    n_true, missing = int(values.sum() or 0), values.null_count()
    n_false = len(values) - missing - n_true
    return ColumnProfile(
        name=values.name,
        kind=Kind.BOOLEAN,
        rows=len(values),
        missing=missing,
        distinct=(n_true > 0) + (n_false > 0),
        categories=("false", "true"),
        counts=(n_false, n_true, 0, missing),
    )


def _profile_text(values: pl.Series) -> ColumnProfile:
    if values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Object, pl.Duration):
        return _profile_other(values, Kind.TEXT, distinct=len(values) - values.null_count())
    texts = values.cast(pl.String)
    features = TextFeatures()
    features.update(texts)
    fields = features.fields() | {"patterns": list_patterns(texts)}
    return msgspec.structs.replace(_profile_categories(texts), **fields)


def is_category(n_distinct: int, n_values: int) -> bool:
    """Whether texts are so few different ones that each of them means something."""
    is_few = n_distinct <= _ALWAYS_CATEGORY or n_distinct <= _CATEGORY_SHARE * n_values
    return is_few and n_distinct <= _CATEGORY_DISTINCT


def _profile_categories(texts: pl.Series) -> ColumnProfile:
    missing = texts.null_count()
    n_values, n_distinct = len(texts) - missing, texts.n_unique() - (missing > 0)
    if not is_category(n_distinct, n_values):
        return _profile_other(texts, Kind.TEXT, distinct=n_distinct)
    counted = texts.drop_nulls().rename("value").value_counts()
    # ties in order of the text, so that the result does not depend on the order of the rows
    ordered = counted.sort("count", "value", descending=[True, False])
    top = ordered.head(CATEGORIES)
    counts = top["count"].to_list()
    return ColumnProfile(
        name=texts.name,
        kind=Kind.CATEGORY,
        rows=len(texts),
        missing=missing,
        distinct=n_distinct,
        categories=tuple(top["value"].to_list()),
        rare=tuple(ordered["value"].slice(CATEGORIES).to_list()),
        counts=(*counts, n_values - sum(counts), missing),
    )


def _profile_other(values: pl.Series, kind: Kind, *, distinct: int) -> ColumnProfile:
    missing = values.null_count()
    counts = (len(values) - missing, missing)
    return ColumnProfile(
        name=values.name, kind=kind, rows=len(values), missing=missing, distinct=distinct, counts=counts
    )


def _distinct_of(ordered: NDArray[np.float64]) -> NDArray[np.float64]:
    if ordered.size == 0:
        return ordered
    return ordered[np.concatenate(([True], ordered[1:] != ordered[:-1]))]


def _top_of(ordered: NDArray[np.float64]) -> tuple[tuple[float, int], ...]:
    if ordered.size < 2:
        return ()
    starts = np.concatenate(([0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1))
    counts = np.diff(starts, append=ordered.size)
    is_much = (counts >= 2) & (counts >= _TOP_SHARE * ordered.size)
    values, counts = ordered[starts[is_much]], counts[is_much]
    best = np.lexsort((values, -counts))[:_TOP].tolist()
    # A mark of missing values is an extreme, and may be rarer than ten of the others.
    best += [
        i
        for i in dict.fromkeys((0, values.size - 1))
        if values.size and i not in best and values[i] in ordered[[0, -1]]
    ]
    return tuple((float(values[i]), int(counts[i])) for i in best if np.isfinite(values[i]))


def _quantiles_of(ordered: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values that occur, never something between two of them: a quantile of codes is a code."""
    if ordered.size == 0:
        return ordered
    ranks = np.rint(np.linspace(0, 1, BINS + 1) * (ordered.size - 1)).astype(np.int64)
    return ordered[ranks]


def _edges_of(ordered: NDArray[np.float64], *, n_distinct: int) -> NDArray[np.float64]:
    """Return a bin for each of few distinct values, with one below and one above them; else bins of about equal counts.

    A value that two or more of the quantiles have gets a bin of its own too: zeros are never counted with what is just
    above them. Such a value takes the places of at least two edges, so there are at most 19.
    """
    if ordered.size == 0:
        return ordered
    if n_distinct < BINS - 1:
        distinct = _distinct_of(ordered)
        return np.append(distinct, np.nextafter(distinct[-1], np.inf))
    inner, n_ranks = np.unique(_quantiles_of(ordered)[1:-1], return_counts=True)
    is_heavy = n_ranks > 1
    above = np.nextafter(inner[is_heavy], np.inf)
    if inner[0] == ordered[0] and not is_heavy[0]:
        # nothing is below the smallest value, so its bin needs no lower edge
        inner[0] = np.nextafter(inner[0], np.inf)
    return np.union1d(inner, above)


def _mean_of(finite: NDArray[np.float64]) -> float | None:
    with np.errstate(over="ignore", invalid="ignore"):
        return _known(finite.mean()) if finite.size else None


def _sd_of(finite: NDArray[np.float64]) -> float | None:
    with np.errstate(over="ignore", invalid="ignore"):
        return _known(finite.std()) if finite.size else None


def _known(value: np.floating) -> float | None:
    """JSON knows no infinity; a mean that overflows is not known."""
    return float(value) if np.isfinite(value) else None
