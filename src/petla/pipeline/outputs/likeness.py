"""Whether a frame that went through Arrow is still the frame that it was, by type and content."""

import datetime as dt
from decimal import Decimal
from typing import Any

# scalars that are alike if they are written alike
_SCALARS = frozenset({bool, int, float, str, bytes, type(None), Decimal, dt.date, dt.time, dt.timedelta})
# dtypes of pandas that Arrow brings back value by value; object, interval, masked float and others are looked at
_EXACT = frozenset("biufmM")


def are_frames_alike(frame: Any, again: Any) -> bool:  # noqa: ANN401 - pandas is not loaded yet
    """Whether a pandas frame equals another by its columns' types and values, its index, attributes and flags."""
    return bool(
        not frame.attrs
        and frame.flags.allows_duplicate_labels
        and frame.columns.identical(again.columns)
        and frame.dtypes.equals(again.dtypes)
        and _are_indexes_alike(frame.index, again.index)
        and all(_are_columns_alike(frame.iloc[:, n], again.iloc[:, n]) for n in range(frame.shape[1]))
    )


def are_alike(one: Any, other: Any) -> bool:  # noqa: ANN401 - any value of an object column
    """Whether two values are equal and of the same type, all the way down; in doubt they are not."""
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is str:
        return bool(one == other)
    if kind in _SCALARS:
        return repr(one) == repr(other)
    if kind is dict:
        return are_alike(list(one.items()), list(other.items()))
    if kind in (list, tuple):
        return len(one) == len(other) and all(map(are_alike, one, other))
    return False


def _are_columns_alike(one: Any, other: Any) -> bool:  # noqa: ANN401
    import pandas as pd

    dtype = one.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _are_indexes_alike(one.cat.categories, other.cat.categories)
    if _is_exact(dtype):
        return True
    return are_alike(one.to_list(), other.to_list())


def _is_exact(dtype: Any) -> bool:  # noqa: ANN401
    import pandas as pd

    if isinstance(dtype, pd.DatetimeTZDtype | pd.StringDtype):
        return True
    if not pd.api.types.is_extension_array_dtype(dtype):
        return dtype.kind in _EXACT
    return pd.api.types.is_integer_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)


def _are_indexes_alike(one: Any, other: Any) -> bool:  # noqa: ANN401
    is_same = (
        type(one) is type(other)
        and one.dtype == other.dtype
        and are_alike(list(one.names), list(other.names))
        and getattr(one, "freq", None) == getattr(other, "freq", None)
    )
    return is_same and (_is_exact(one.dtype) or are_alike(one.to_list(), other.to_list()))
