"""Stored types of columns, as signatures name them and as Polars and PyArrow have them."""

from collections.abc import Sequence
from typing import Any

from petla.models.conversion.timestamps import PER_SECOND, Form, TimestampType

_DAY_MS = 86_400_000


def name_dtype(dtype: Any) -> str:  # noqa: ANN401 - a polars type
    """Return the name of a Polars type in a signature; empty for texts, booleans and decimals."""
    if dtype.is_temporal():
        return str(type_of_polars(dtype))
    if dtype.is_integer():
        # the decision log holds 64 bits
        return "int64" if str(dtype).endswith("128") else str(dtype).lower()
    return str(dtype).lower() if dtype.is_float() else ""


def type_of_polars(dtype: Any) -> TimestampType:  # noqa: ANN401 - a polars type
    """Return what a Polars column of dates, times of day or timestamps holds."""
    import polars as pl

    if isinstance(dtype, pl.Datetime):
        return TimestampType(Form.DATETIME, dtype.time_unit, dtype.time_zone or "")
    return TimestampType(Form.DATE if dtype == pl.Date else Form.TIME)


def type_of_arrow(dtype: Any) -> TimestampType:  # noqa: ANN401 - a pyarrow type
    """Return what an Arrow column of dates, times of day or timestamps holds."""
    import pyarrow as pa

    if pa.types.is_timestamp(dtype):
        return TimestampType(Form.DATETIME, dtype.unit, dtype.tz or "")
    return TimestampType(Form.DATE if pa.types.is_date(dtype) else Form.TIME)


def arrow_type_of(kind: TimestampType | None) -> Any:  # noqa: ANN401 - pyarrow's own types
    """Return the Arrow type of a column of timestamps; of one that is not known microseconds without a zone."""
    import pyarrow as pa

    if kind is None:
        return pa.timestamp("us")
    if kind.form is Form.DATETIME:
        return pa.timestamp(kind.unit, kind.zone or None)
    return pa.date32() if kind.form is Form.DATE else pa.time64("ns")


def to_arrow_times(counts: Sequence[int | None], dtype: Any) -> Any:  # noqa: ANN401 - pyarrow's own types
    """Return the Arrow array of counts, as `read_timestamp` returns them for the type."""
    import pyarrow as pa

    if pa.types.is_date64(dtype):
        counts = [None if each is None else each * _DAY_MS for each in counts]
    elif pa.types.is_time(dtype):
        per_unit = PER_SECOND["ns"] // PER_SECOND[dtype.unit]
        counts = [None if each is None else each // per_unit for each in counts]
    return pa.array(counts, type=pa.int64() if dtype.bit_width == 64 else pa.int32()).cast(dtype)
