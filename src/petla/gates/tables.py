"""What must be true of the tables before a model is trained on them, and of the model before it is packaged.

A training may take hours, so what its tables decide is decided before it, in a sentence that names step and column.
"""

from typing import TYPE_CHECKING, Any

from petla.core.errors import InvalidError
from petla.core.project import ModelTable
from petla.data.reading.columns import is_pattern
from petla.models.conversion.estimator import count_targets, is_fitted
from petla.pipeline.outputs.frames import FrameKind, blaming, convert, find_kind

if TYPE_CHECKING:
    import polars as pl

# rows that are tried as a request would carry them
_TRIED_ROWS = 1_000
_OF_PANDAS = {"pandas.interval": "intervals", "pandas.period": "periods"}


def check_tables(table: ModelTable, training: Any, holdout: Any) -> None:  # noqa: ANN401 - frames of three libraries
    """Accept only tables that a model can be trained on, packaged with and measured on.

    Args:
        table: what the project file says of the model.
        training: what the training step returned; None: it is not there yet.
        holdout: what the holdout step returned; None: it is not there yet.

    Raises:
        InvalidError: a table or a column is not as it must be; names step and column.
    """
    frames = [
        _read(step, value)
        for step, value in ((table.training, training), (table.holdout, holdout))
        if value is not None
    ]
    if training is None:
        return
    names = _check_inputs(table, frames[0])
    if holdout is not None:
        _check_holdout(table, frames[0], frames[1], names)


def check_estimator(step: str, estimator: Any) -> None:  # noqa: ANN401 - whatever the step returned
    """Accept only one fitted estimator of one target.

    Raises:
        InvalidError: it is something else.
    """
    if isinstance(estimator, type) or not hasattr(estimator, "predict"):
        what = f"the class {estimator.__name__}" if isinstance(estimator, type) else f"a {type(estimator).__name__}"
        raise InvalidError(
            f"step {step} must return a fitted estimator, got {what}",
            hint="return what has been fitted; put several parts into a sklearn.pipeline.Pipeline, "
            "or into a class of your own with 'predict', for a classification also 'predict_proba' and 'classes_'",
            field=step,
        )
    if not is_fitted(estimator):
        raise InvalidError(
            f"step {step} returned a {type(estimator).__name__} that is not fitted",
            hint=f"call its 'fit' in {step}()",
            field=step,
        )
    if (n_targets := count_targets(estimator)) > 1:
        raise InvalidError(
            f"step {step} returned a {type(estimator).__name__} of {n_targets} targets, but a model has one",
            hint="train a model for each target",
            field=step,
        )


def _read(step: str, value: Any) -> "pl.DataFrame":  # noqa: ANN401
    from petla.models.packaging import as_polars

    with blaming(step):
        converted = convert(value, FrameKind.POLARS)
        if find_kind(value) is FrameKind.PANDAS:
            _check_names(list(value.columns))
    frame = as_polars(converted if find_kind(converted) is FrameKind.POLARS else value, step)
    with blaming(step):
        _check_columns(frame)
    return frame


def _check_names(names: list[object]) -> None:
    others = [name for name in names if not isinstance(name, str)]
    if others:
        raise InvalidError(
            f"{len(others)} column names are not strings, such as {others[0]!r}",
            hint="name the columns, such as with 'frame.columns = [f\"x{n}\" for n in range(frame.shape[1])]'",
        )


def _check_columns(frame: "pl.DataFrame") -> None:
    import polars as pl

    for name, dtype in frame.schema.items():
        if is_pattern(name):
            raise InvalidError(f"column {name!r} has a name that Polars takes for a pattern", hint="rename it")
        if isinstance(dtype, pl.BaseExtension):
            kind = _OF_PANDAS.get(dtype.ext_name(), f"values of the type {dtype.ext_name()}")
            raise InvalidError(
                f"column {name!r} holds {kind}, which no model's input can be",
                hint=f"turn it into strings, such as with frame[{name!r}].astype(str), or drop it",
            )
        if dtype in {pl.Int128, getattr(pl, "UInt128", pl.Int128)}:
            raise InvalidError(
                f"column {name!r} holds integers of 128 bits, which no model's input can be",
                hint="drop it, or turn it into strings",
            )


def _check_inputs(table: ModelTable, training: "pl.DataFrame") -> list[str]:
    """Try some rows as a request would carry them; return the names of the inputs."""
    from petla.data.profile.profiles import profile_frame
    from petla.models.conversion.features import list_rows, make_fields
    from petla.models.signature import Signature

    head = training.head(_TRIED_ROWS)
    with blaming(table.training):
        inputs = make_fields(head, profile_frame(head), table.target)
        list_rows(head, Signature(inputs=inputs, target=table.target, task=table.task))
    return [field.name for field in inputs]


def _check_holdout(table: ModelTable, training: "pl.DataFrame", holdout: "pl.DataFrame", names: list[str]) -> None:
    from petla.models.conversion.features import require_columns

    with blaming(table.holdout):
        require_columns(holdout, [*names, table.target])
        for name in names:
            kinds = _family_of(training.schema[name]), _family_of(holdout.schema[name])
            if kinds[0] != kinds[1] and "null" not in kinds:
                raise InvalidError(
                    f"column {name!r} is {holdout.schema[name]}, but {training.schema[name]} in step {table.training}",
                    hint="give it one type in both steps",
                )
        if table.task == "regression":
            _check_numbers(holdout.get_column(table.target))


def _check_numbers(target: "pl.Series") -> None:
    import polars as pl

    if not (target.dtype.is_numeric() or target.dtype == pl.Boolean):
        raise InvalidError(
            f"the target {target.name!r} is {target.dtype}, but a regression predicts numbers",
            hint="turn it into numbers, or correct 'task' in petla.toml",
        )
    numbers = target.cast(pl.Float64)
    n_bad = len(numbers) - int(numbers.is_finite().sum() or 0)
    if n_bad:
        raise InvalidError(
            f"the target {target.name!r} is missing or not finite in {n_bad:,} of {len(target):,} rows",
            hint="drop these rows in the step that returns the table",
        )


def _family_of(dtype: "pl.DataType") -> str:
    """Return what a request carries a column as."""
    import polars as pl

    if dtype == pl.Null:
        return "null"
    if dtype.is_numeric() or dtype == pl.Boolean:
        return "number"
    if dtype.is_temporal():
        return "timestamp"
    if dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum):
        return "string"
    return "array" if dtype.is_nested() else str(dtype)
