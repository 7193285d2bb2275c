"""The original: an estimator as the project trained it, scored as a person would, on a table of the project's kind."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from petla.core.errors import InvalidError
from petla.data.profile.columns import Kind
from petla.models.signature import InputField, Row, decode_picture
from petla.pipeline.execution.user_code import guarded

if TYPE_CHECKING:
    import polars as pl


class Original(msgspec.Struct, frozen=True):
    """An estimator, and an empty table of the kind and column types it was trained on, inputs only.

    An estimator whose only input is a tensor may have been trained on one array of all rows; then that is the table.
    """

    estimator: Any
    template: Any
    # the signature's, where some are pictures or tensors
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
        special: the same as fields, where some are pictures or tensors.

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
        return _make_pandas(template, rows, original.nulls)
    if type(template).__module__.startswith("polars"):
        return _make_polars(template, rows)
    import polars as pl

    frame = _make_polars(pl.DataFrame(template), rows)
    return frame.to_arrow().cast(template.schema)


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


def _make_pandas(template: Any, rows: Sequence[Row], nulls: dict[str, Any]) -> Any:  # noqa: ANN401
    import pandas as pd

    frame = pd.DataFrame.from_records(list(rows), columns=list(template.columns))
    for name, dtype in template.dtypes.items():
        frame[name] = _convert_column(frame[name], dtype)
        if name in nulls:
            frame[name] = frame[name].astype(object).where(frame[name].notna(), nulls[name])
    return frame


def _convert_column(column: Any, dtype: Any) -> Any:  # noqa: ANN401 - pandas
    """Give a column the type that it had in training; where its values do not fit, the nearest one that they do."""
    import pandas as pd

    if pd.api.types.is_integer_dtype(dtype) and not pd.api.types.is_extension_array_dtype(dtype):
        is_exact = column.notna().all() and column.abs().max() <= np.iinfo(dtype).max
        return column.astype(dtype if is_exact else np.float64)
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
        return pl.Series(name, values, dtype=pl.String).str.to_datetime(strict=False).cast(dtype, strict=False)
    return pl.Series(name, values, strict=False).cast(dtype, strict=False)
