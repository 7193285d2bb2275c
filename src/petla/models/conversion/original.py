"""The original: an estimator as the project trained it, scored as a person would, on a table of the project's kind."""

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from numpy.typing import NDArray

from petla.core.errors import InvalidError
from petla.data.profile.columns import Kind
from petla.models.conversion.dtypes import to_arrow_times, type_of_arrow, type_of_polars
from petla.models.conversion.timestamps import Form, TimestampType, parse_type, read_timestamp
from petla.models.signature import InputField, Row, decode_picture
from petla.pipeline.execution.user_code import guarded

if TYPE_CHECKING:
    import polars as pl

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S = 86_400
# NumPy's count that stands for no time
_NOT_A_TIME = -(2**63)


class Original(msgspec.Struct, frozen=True):
    """An estimator, and an empty table of the kind and column types it was trained on, inputs only.

    An estimator whose only input is a tensor may have been trained on one array of all rows; then that is the table.
    """

    estimator: Any
    template: Any
    # the signature's, where some are pictures, tensors or timestamps
    special: tuple[InputField, ...] = ()
    # pandas' object columns: what the training rows had where a value is missing, NaN or None, which estimators tell
    # apart
    nulls: dict[str, Any] = {}


def make_original(
    estimator: Any,  # noqa: ANN401 - whatever the project made
    training: Any,  # noqa: ANN401
    names: Sequence[str],
    special: Sequence[InputField] = (),
) -> Original:
    """Put an estimator beside the kind of table it was trained on.

    Args:
        estimator: has `predict_proba` or `predict`, as scikit-learn's have.
        training: the rows it was trained on, as Pandas, Polars or PyArrow table.
        names: the inputs, in order.
        special: the same as fields, where some are pictures, tensors or timestamps.

    Raises:
        InvalidError: it has neither method, or the rows are no table.
    """
    if not hasattr(estimator, "predict"):
        raise InvalidError(
            f"the pipeline's model is a {type(estimator).__name__}, which cannot predict",
            hint="let that step return the trained estimator",
            field="model",
        )
    if hasattr(estimator, "classes_") and not hasattr(estimator, "predict_proba"):
        raise InvalidError(
            f"the pipeline's model is a {type(estimator).__name__}, which gives classes but no probabilities",
            hint="wrap it in sklearn.calibration.CalibratedClassifierCV",
            field="model",
        )
    table = select_columns(training, names)
    return Original(estimator, table[:0], tuple(special), _find_nulls(table))


def select_columns(frame: Any, names: Sequence[str]) -> Any:  # noqa: ANN401
    """Return some columns of a Pandas, Polars or PyArrow table, as a table of the same kind; an array is its own."""
    if isinstance(frame, np.ndarray):
        return frame
    if type(frame).__module__.startswith("pyarrow"):
        return frame.select(list(names))
    return frame[list(names)]


def take_rows(frame: Any, positions: list[int]) -> Any:  # noqa: ANN401
    """Return some rows of a Pandas, Polars or PyArrow table or of an array, as one of the same kind."""
    if type(frame).__module__.startswith("pyarrow"):
        return frame.take(positions)
    return frame.iloc[positions] if type(frame).__module__.startswith("pandas") else frame[positions]


def score_original(original: Original, table: Any) -> NDArray[np.float64]:  # noqa: ANN401
    """Score a table of the original's own kind.

    Shapes: classification (n_rows, n_classes), regression (n_rows,).

    Raises:
        UserCodeError: the estimator raised; with its traceback.
    """
    estimator = original.estimator
    with guarded("scoring rows with the model", Path.cwd(), field="model"):
        if hasattr(estimator, "classes_"):
            return np.asarray(estimator.predict_proba(table), dtype=np.float64)
        return np.asarray(estimator.predict(table), dtype=np.float64).reshape(len(table))


def make_table(original: Original, rows: Sequence[Row]) -> Any:  # noqa: ANN401
    """Turn rows into a table like the one that the estimator was trained on."""
    template = original.template
    if original.special:
        rows = _restore(original, rows)
    if isinstance(template, np.ndarray):
        return np.array([row[0] for row in rows], dtype=template.dtype).reshape(len(rows), *template.shape[1:])
    if type(template).__module__.startswith("pandas"):
        return _make_pandas(original, rows)
    if type(template).__module__.startswith("polars"):
        return _make_polars(template, rows)
    return _make_arrow(template, rows)


def _find_nulls(table: Any) -> dict[str, Any]:  # noqa: ANN401
    if not type(table).__module__.startswith("pandas"):
        return {}
    lacking = {name: column[column.isna()] for name, column in table.items() if column.dtype == object}
    return {name: column.iloc[0] for name, column in lacking.items() if len(column)}


def _restore(original: Original, rows: Sequence[Row]) -> list[Row]:
    """Turn pictures back into bytes, and tensors into arrays for pandas, whose columns have no type for them."""
    is_pandas = type(original.template).__module__.startswith("pandas")
    return [
        tuple(_restore_value(field, value, is_pandas) for field, value in zip(original.special, row, strict=True))
        for row in rows
    ]


def _restore_value(field: InputField, value: Any, is_pandas: bool) -> Any:  # noqa: ANN401 - any JSON value
    if value is None:
        return None
    if field.kind is Kind.IMAGE:
        return decode_picture(value)
    return np.array(value, dtype=field.dtype) if field.kind is Kind.TENSOR and is_pandas else value


def _make_pandas(original: Original, rows: Sequence[Row]) -> Any:  # noqa: ANN401
    import pandas as pd

    template = original.template
    kinds = {field.name: parse_type(field.dtype) for field in original.special if field.kind is Kind.TIMESTAMP}
    frame = pd.DataFrame.from_records(list(rows), columns=list(template.columns))
    for i, (name, dtype) in enumerate(template.dtypes.items()):
        if dtype.kind == "M" or name in kinds:
            frame[name] = _make_times([row[i] for row in rows], dtype, kinds.get(name))
        else:
            frame[name] = _convert_column(frame[name], dtype)
        if name in original.nulls:
            frame[name] = frame[name].astype(object).where(frame[name].notna(), original.nulls[name])
    return frame


def _make_times(texts: Sequence[Any], dtype: Any, kind: TimestampType | None) -> Any:  # noqa: ANN401 - pandas
    import pandas as pd

    if isinstance(dtype, pd.ArrowDtype):
        return pd.Series(_make_arrow_times(texts, dtype.pyarrow_dtype), dtype=dtype)
    if dtype.kind != "M":
        return pd.Series([_to_object(text, kind) for text in texts], dtype=dtype)
    unit = dtype.unit if isinstance(dtype, pd.DatetimeTZDtype) else np.datetime_data(dtype)[0]
    counts = [_NOT_A_TIME if each is None else each for each in _count_all(texts, TimestampType(Form.DATETIME, unit))]
    times = pd.Series(np.array(counts, dtype=np.int64).view(f"M8[{unit}]"))
    return times.dt.tz_localize("UTC").astype(dtype) if isinstance(dtype, pd.DatetimeTZDtype) else times


def _to_object(text: str | None, kind: TimestampType | None) -> Any:  # noqa: ANN401
    """Return what a pandas column of objects held in training."""
    if text is None or kind is None:
        return text
    unit = TimestampType(kind.form, "us", kind.zone)
    (count,) = _count_all([text], unit)
    match kind.form:
        case Form.DATE:
            return (_EPOCH + timedelta(days=count or 0)).date()
        case Form.TIME:
            return (_EPOCH + timedelta(microseconds=(count or 0) // 1_000)).time()
        case Form.DATETIME:
            at = _EPOCH + timedelta(microseconds=count or 0)
            return at.astimezone(ZoneInfo(kind.zone)) if kind.zone else at.replace(tzinfo=None)


def _count_all(texts: Sequence[str | None], kind: TimestampType) -> list[int | None]:
    """Return the counts of texts, each read by itself; of a column of dates the day, whatever the time of day is.

    NOTE: where the signature knows the column's type, the endpoint has refused what that type does not hold.
    """
    if kind.form is not Form.DATE:
        return [None if text is None else read_timestamp(text, kind) for text in texts]
    seconds = _count_all(texts, TimestampType(Form.DATETIME, "s"))
    return [None if each is None else each // _DAY_S for each in seconds]


def _convert_column(column: Any, dtype: Any) -> Any:  # noqa: ANN401 - pandas
    """Give a column the type that it had in training; where its values do not fit, the nearest one that they do."""
    import pandas as pd

    if pd.api.types.is_integer_dtype(dtype):
        limits = np.iinfo(getattr(dtype, "numpy_dtype", dtype))
        is_within = bool(column.dropna().between(limits.min, limits.max).all())
        if pd.api.types.is_extension_array_dtype(dtype):
            return column.astype(dtype if is_within else "Int64")
        return column.astype(dtype if is_within and column.notna().all() else np.float64)
    if isinstance(dtype, pd.CategoricalDtype):
        return column.where(column.isin(dtype.categories)).astype(dtype)
    if dtype == np.bool_ and column.isna().any():
        return column.astype(object)
    return column.astype(dtype)


def _make_polars(template: "pl.DataFrame", rows: Sequence[Row]) -> "pl.DataFrame":
    import polars as pl

    columns = list(zip(*rows, strict=True)) or [()] * len(template.columns)
    series = zip(template.schema.items(), columns, strict=True)
    return pl.DataFrame([_make_series(name, dtype, values) for (name, dtype), values in series])


def _make_series(name: str, dtype: Any, values: Sequence[Any]) -> "pl.Series":  # noqa: ANN401 - a polars type
    import polars as pl

    if dtype.is_nested():
        return pl.Series(name, values, dtype=dtype)
    if dtype.is_temporal():
        counts = _count_all(values, type_of_polars(dtype))
        return pl.Series(name, counts, dtype=pl.Int64).cast(dtype)
    natural = pl.Series(name, values, strict=False)
    # as in pandas: a whole number that does not fit makes the column wider, and is never lost
    wider = (pl.Int64(), pl.Float64()) if dtype.is_integer() else ()
    columns = (natural.cast(each, strict=False) for each in (dtype, *wider))
    return next(column for column in columns if not wider or column.null_count() == natural.null_count())


def _make_arrow(template: Any, rows: Sequence[Row]) -> Any:  # noqa: ANN401 - a pyarrow table
    import polars as pl
    import pyarrow as pa

    found = _make_polars(pl.DataFrame(template), rows).to_arrow()
    for i, field in enumerate(template.schema):
        if pa.types.is_temporal(field.type):
            column = _make_arrow_times([row[i] for row in rows], field.type)  # type: ignore[misc] # texts, by the signature
        else:
            column = found.column(i)
            with contextlib.suppress(pa.ArrowInvalid):
                column = column.cast(field.type)
        found = found.set_column(i, field.name, column)
    return found


def _make_arrow_times(texts: Sequence[str | None], kind: Any) -> Any:  # noqa: ANN401 - pyarrow's own types
    return to_arrow_times(_count_all(texts, type_of_arrow(kind)), kind)
