"""Columns on the way from one library to another: what keeps its values, and a refusal that names what cannot."""

from collections.abc import Callable
from typing import Any

from petla.core.errors import InvalidError

# beyond it a float cannot hold every whole number
_EXACT_IN_FLOAT = 2**53


def to_pandas(frame: Any) -> Any:  # noqa: ANN401 - polars and pandas are not loaded yet
    """Turn a Polars frame into a pandas one whose whole numbers are exact.

    pandas turns whole numbers with missing values into floats; where that would change them, they become its nullable
    integers.

    Raises:
        InvalidError: Arrow cannot hold a column; names it.
    """
    frame = narrow(frame)
    converted = _try(lambda each: each.to_pandas(), frame, "a pandas column")
    import pandas as pd

    for column in frame.get_columns():
        if column.dtype.is_integer() and column.null_count() and not _is_exact_in_float(column):
            kind = "UInt64" if column.dtype.is_unsigned_integer() else "Int64"
            converted[column.name] = pd.array(column.to_list(), dtype=kind)
    return converted


def to_arrow(frame: Any) -> Any:  # noqa: ANN401 - polars and pyarrow are not loaded yet
    """Turn a Polars frame into an Arrow table.

    Raises:
        InvalidError: Arrow cannot hold a column; names it.
    """
    return _try(lambda each: each.to_arrow(), narrow(frame), "an Arrow column")


def narrow(frame: Any) -> Any:  # noqa: ANN401 - polars is not loaded yet
    """Give integers of 128 bits, which Arrow has not, 64 bits where all values fit, and make them strings elsewhere."""
    import polars as pl

    wide = {pl.Int128, getattr(pl, "UInt128", pl.Int128)}
    found = [column for column in frame.get_columns() if column.dtype in wide]
    return frame.with_columns([column.cast(_find_narrow(column)) for column in found])


def from_pandas(frame: Any) -> Any:  # noqa: ANN401 - pandas is not loaded yet
    """Turn a pandas frame into a Polars one.

    Columns of NumPy arrays of one shape become Polars' arrays; Arrow takes those of one axis only, and as lists. Sparse
    columns become dense.

    Raises:
        InvalidError: two columns share a name, or a column has no counterpart; names it.
    """
    import pandas as pd
    import polars as pl

    _require_own_names(frame)
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    sparse = [name for name, dtype in frame.dtypes.items() if isinstance(dtype, pd.SparseDtype)]
    if sparse:
        frame = frame.assign(**{name: frame[name].sparse.to_dense() for name in sparse})
    arrays = {name: series for name in frame.columns if (series := _stack(name, frame[name])) is not None}
    if not arrays:
        return _try(pl.from_pandas, frame, "a Polars column")
    plain = [name for name in frame.columns if name not in arrays]
    rest = _try(pl.from_pandas, frame[plain], "a Polars column") if plain else pl.DataFrame()
    return rest.with_columns(list(arrays.values())).select(list(frame.columns))


def from_arrow(table: Any) -> Any:  # noqa: ANN401 - pyarrow is not loaded yet
    """Turn an Arrow table into a Polars frame.

    Raises:
        InvalidError: two columns share a name, or a column has no counterpart; names it.
    """
    import polars as pl

    names = table.column_names
    double = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if double:
        raise _two_of(double[0])
    return _try(pl.from_arrow, table, "a Polars column")


def _is_exact_in_float(column: Any) -> bool:  # noqa: ANN401
    return max(abs(int(column.min() or 0)), abs(int(column.max() or 0))) <= _EXACT_IN_FLOAT


def _find_narrow(column: Any) -> Any:  # noqa: ANN401
    import polars as pl

    low, high = int(column.min() or 0), int(column.max() or 0)
    if low >= 0 and high < 2**64:
        return pl.UInt64
    return pl.Int64 if low >= -(2**63) and high < 2**63 else pl.String


def _require_own_names(frame: Any) -> None:  # noqa: ANN401
    double = frame.columns[frame.columns.duplicated()]
    if len(double):
        raise _two_of(double[0])
    texts = [str(name) for name in frame.columns]
    if len(set(texts)) < len(texts):
        raise _two_of(next(text for text in texts if texts.count(text) > 1))


def _two_of(name: object) -> InvalidError:
    return InvalidError(
        f"two columns are named {name!r}", hint="give each column a name of its own, or drop one", field=str(name)
    )


def _try(convert: Callable[[Any], Any], frame: Any, what: str) -> Any:  # noqa: ANN401 - frames of three libraries
    """Convert a frame; if the library refuses it, find the first column that it refuses and say so."""
    import polars as pl
    import pyarrow as pa

    of_python = (ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError)
    refusals = (pa.ArrowException, pl.exceptions.PolarsError, *of_python)
    try:
        return convert(frame)
    except refusals as error:
        for name in list(getattr(frame, "column_names", frame.columns)):
            part = frame.select([name]) if hasattr(frame, "select") else frame[[name]]
            try:
                convert(part)
            except refusals as reason:
                raise _refuse(name, part, reason, what) from error
        raise InvalidError(
            f"the table cannot be converted: {error}", hint="return plain columns: numbers, strings, timestamps"
        ) from error


def _refuse(name: object, part: Any, reason: Exception, what: str) -> InvalidError:  # noqa: ANN401
    dtype = getattr(part, "dtypes", None)
    kind = part.schema.types[0] if dtype is None else next(iter(dtype))
    said = str(reason).partition("\n")[0]
    advice = "give its values one type, such as strings" if str(kind) == "object" else "give it a plain type"
    return InvalidError(
        f"column {name!r} of type {kind} cannot become {what}: {said}",
        hint=f"{advice}, or drop it in the step that returns the table",
        field=str(name),
    )


def _stack(name: str, column: Any) -> Any:  # noqa: ANN401
    import numpy as np
    import polars as pl

    values = column.to_list() if column.dtype == object else []
    found = [value for value in values if isinstance(value, np.ndarray)]
    is_alike = len({(value.shape, value.dtype) for value in found}) == 1 and found[0].ndim > 0
    if not is_alike or any(value is not None for value in values if not isinstance(value, np.ndarray)):
        return None
    if len(found) == len(values):
        return pl.Series(name, np.stack(values))
    kind = pl.Series(found[0].ravel()).dtype
    lists = [None if value is None else value.tolist() for value in values]
    return pl.Series(name, lists, dtype=pl.Array(kind, found[0].shape))
