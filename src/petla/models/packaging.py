"""From what a pipeline hands out to a signed package: signature, model, comparison with the original, golden rows."""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from petla.core.errors import InvalidError, UserCodeError
from petla.core.project import ModelTable
from petla.data.profile.columns import ColumnProfile, Kind, Profile
from petla.models.conversion.dirty_rows import list_dirty_rows
from petla.models.conversion.estimator import learned_pandas_nulls, list_classes, require_known_target, settle_answer
from petla.models.conversion.features import list_rows, list_truths, make_fields, require_columns, to_arrays
from petla.models.conversion.original import Original, make_original, score_original, select_columns, take_rows
from petla.models.conversion.parity import Sample, make_files
from petla.models.environment import list_requirements
from petla.models.metrics import make_outcome, measure_all
from petla.models.package import ONNX_FILE, GoldenRow, Package, load_package, store_package
from petla.models.runtime.decide import record_scores
from petla.models.runtime.labels import encode_labels, is_missing
from petla.models.runtime.running import check_golden, open_runtime
from petla.models.signature import Row, Signature
from petla.pipeline.outputs.frames import FrameKind, find_kind
from petla.pipeline.outputs.frames import convert as convert_frame
from petla.storage.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

_GOLDEN_ROWS = 16
# training rows with missing values that are compared too: the holdout may have none
_MISSING_ROWS = 500


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """What a pipeline hands out: the estimator, and two tables with the target, as Pandas, Polars or PyArrow."""

    estimator: Any
    training: Any
    holdout: Any


class Packaged(msgspec.Struct, frozen=True, kw_only=True):
    """A stored package and what was measured while it was made."""

    digest: str
    package: Package
    # on the holdout, with the packaged model
    metrics: dict[str, float]
    training_rows: int
    holdout_rows: int


def package_model(ws: Workspace, model: str, table: ModelTable, trained: Trained) -> Packaged:
    """Package an estimator and store it, signed.

    Args:
        ws: the project.
        model: its name.
        table: what the project file says of it.
        trained: what the pipeline handed out.

    Raises:
        InvalidError: the tables lack columns, rows or targets, or the estimator is none, of another task or of other
            classes, or its answers are not finite.
        UserCodeError: the estimator cannot score its own rows, or cannot be loaded again.
        UnavailableError: the disk is full or may not be written.
    """
    training, holdout = as_polars(trained.training, "training"), as_polars(trained.holdout, "holdout")
    profile, signature = _describe(training, table, trained.estimator)
    names = [field.name for field in signature.inputs]
    require_columns(holdout, [*names, table.target])
    require_known_target(signature, list_truths(training, table.target))
    truths = _list_truths(holdout, signature)
    fitted = _as_fitted(trained, signature)
    samples = _list_samples(fitted, (training, holdout), signature)
    dirty = list(list_dirty_rows(signature, samples[0].rows)) if table.gates.dirty_rows else []
    made = make_files(_make_original(fitted, signature), signature, samples, dirty)
    scores = made.scores[: holdout.height]
    answer, remark = settle_answer(table.answer, signature, fitted.estimator, samples[0].table, scores)
    _require_finite(scores)
    package = Package(
        model=model,
        version=0,
        kind="onnx" if ONNX_FILE in made.files else "python",
        signature=signature,
        answer=answer,
        profile=profile,
        score_profile=_profile_scores(signature, scores),
        parity=msgspec.structs.replace(made.parity, remark=remark),
        golden=_choose_golden(samples[0].rows, scores),
        files={},
        requirements=list_requirements(),
    )
    outcome = make_outcome(signature, truths, scores, threshold=answer.threshold)
    return Packaged(
        digest=_store(ws, package, made.files),
        package=package,
        metrics=measure_all(signature, outcome),
        training_rows=training.height,
        holdout_rows=holdout.height,
    )


def as_polars(frame: Any, step: str) -> "pl.DataFrame":  # noqa: ANN401 - frames of three libraries
    """Return a step's table as a Polars frame.

    Raises:
        InvalidError: it is no table, or has no rows.
    """
    import polars as pl

    unnamed = [name for name in getattr(frame, "columns", ()) if not isinstance(name, str)]
    if find_kind(frame) is FrameKind.PANDAS and unnamed:
        raise InvalidError(
            f"the step {step!r} returned columns whose names are no strings: {', '.join(map(repr, unnamed[:5]))}",
            hint="name them, such as `frame.columns = [f'x{i}' for i in range(frame.shape[1])]`",
            field=step,
        )
    converted = convert_frame(frame, FrameKind.POLARS)
    if not isinstance(converted, pl.DataFrame):
        raise InvalidError(
            f"the step {step!r} returned a {type(frame).__name__}, which is no table",
            hint="let it return a Pandas, Polars or PyArrow table that includes the target",
            field=step,
        )
    if converted.is_empty():
        raise InvalidError(f"the step {step!r} returned a table without rows", field=step)
    return to_arrays(converted)


def _describe(training: "pl.DataFrame", table: ModelTable, estimator: Any) -> tuple[Profile, Signature]:  # noqa: ANN401
    from petla.data.profile.profiles import profile_frame

    whole = profile_frame(training)
    signature = Signature(
        inputs=make_fields(training, whole, table.target),
        target=table.target,
        task=table.task,
        classes=list_classes(table, estimator),
    )
    kinds = {field.name: field.kind for field in signature.inputs}
    columns = tuple(msgspec.structs.replace(c, kind=kinds[c.name]) for c in whole.columns if c.name != table.target)
    return Profile(rows=whole.rows, columns=columns), signature


def _list_truths(holdout: "pl.DataFrame", signature: Signature) -> list[Any]:
    """Return the holdout's target, having seen that every row has one, and that the model can be right at all."""
    target = signature.target
    truths = list_truths(holdout, target)
    if signature.task == "regression":
        truths = [int(value) if isinstance(value, bool) else value for value in truths]
        is_bad = ~np.isfinite(encode_labels(signature, truths))
        fault = "is not a finite number"
    else:
        is_bad = np.array([is_missing(value) for value in truths])
        fault = "is missing"
    if is_bad.any():
        raise InvalidError(
            f"the target {target!r} {fault} in {_name_rows(is_bad)} of the step 'holdout'",
            hint="let the step leave these rows out: nobody knows whether an answer to them is right",
            field=target,
        )
    require_known_target(signature, truths)
    return truths


def _require_finite(scores: NDArray[np.float64]) -> None:
    is_bad = np.asarray(~np.isfinite(scores.reshape(len(scores), -1)).all(axis=1))
    if is_bad.any():
        raise InvalidError(
            f"the model's answer is not a finite number in {_name_rows(is_bad)} of the step 'holdout'",
            hint="correct the model, or let the step leave these rows out",
            field="holdout",
        )


def _name_rows(is_bad: NDArray[Any]) -> str:
    """Count rows and name the first ones, counted from 1."""
    positions = (np.flatnonzero(is_bad)[:5] + 1).tolist()
    more = ", ..." if is_bad.sum() > len(positions) else ""
    shown = f"row {positions[0]}" if len(positions) == 1 else f"rows {', '.join(map(str, positions))}{more}"
    return f"{int(is_bad.sum()):,} of {len(is_bad):,} rows ({shown})"


def _as_fitted(trained: Trained, signature: Signature) -> Trained:
    """Return the tables in the kind that the estimator takes: that of the training rows, else Pandas.

    A step that asks for Pandas gets it whatever the step before returned, and no estimator says what it was fitted on.
    One whose only input is a tensor may take an array of all rows, or that with one axis for all numbers of a row.
    """
    kind = find_kind(trained.training)
    own = _convert_tables(trained, FrameKind.POLARS if kind is FrameKind.LAZY else kind)
    others: list[Callable[[], Trained]] = (
        [] if kind is FrameKind.PANDAS else [lambda: _convert_tables(trained, FrameKind.PANDAS)]
    )
    if [field.kind for field in signature.inputs] == [Kind.TENSOR]:
        others += [lambda: _stack_tables(trained, signature, is_flat=True), lambda: _stack_tables(trained, signature)]
    try:
        _try(own, signature)
    except UserCodeError:
        is_own = False
    else:
        is_own = not (others and learned_pandas_nulls(trained.estimator))
    if is_own:
        return own
    for make in others:
        found = make()
        with contextlib.suppress(UserCodeError):
            _try(found, signature)
            return found
    _try(own, signature)
    return own


def _try(fitted: Trained, signature: Signature) -> None:
    """Score one row."""
    names = [field.name for field in signature.inputs]
    score_original(_make_original(fitted, signature), select_columns(fitted.holdout, names)[:1])


def _make_original(fitted: Trained, signature: Signature) -> Original:
    fields = signature.inputs
    is_special = any(field.kind in (Kind.IMAGE, Kind.TENSOR, Kind.TIMESTAMP) for field in fields)
    names = [field.name for field in fields]
    return make_original(fitted.estimator, fitted.training, names, fields if is_special else ())


def _stack_tables(trained: Trained, signature: Signature, *, is_flat: bool = False) -> Trained:
    """Return the tables as arrays of their only input."""
    name = signature.inputs[0].name
    arrays = [
        as_polars(frame, step).get_column(name).to_numpy()
        for frame, step in ((trained.training, "training"), (trained.holdout, "holdout"))
    ]
    training, holdout = [array.reshape(len(array), -1) for array in arrays] if is_flat else arrays
    return Trained(estimator=trained.estimator, training=training, holdout=holdout)


def _convert_tables(trained: Trained, kind: FrameKind | None) -> Trained:
    training, holdout = convert_frame(trained.training, kind), convert_frame(trained.holdout, kind)
    return Trained(estimator=trained.estimator, training=training, holdout=holdout)


def _list_samples(fitted: Trained, frames: tuple["pl.DataFrame", "pl.DataFrame"], signature: Signature) -> list[Sample]:
    """Return what is compared: the holdout, and training rows that lack values, which the holdout may not have."""
    import polars as pl

    training, holdout = frames
    names = [field.name for field in signature.inputs]
    is_missing = training.select(pl.any_horizontal(pl.col(names).is_null())).to_series()
    positions = is_missing.arg_true().head(_MISSING_ROWS).to_list()
    lacking = take_rows(select_columns(fitted.training, names), positions)
    return [
        Sample(list_rows(holdout, signature), select_columns(fitted.holdout, names)),
        Sample(list_rows(training[positions], signature), lacking),
    ]


def _profile_scores(signature: Signature, scores: NDArray[np.float64]) -> ColumnProfile:
    from petla.data.profile.profiles import profile_numbers

    return profile_numbers("score", record_scores(signature, scores))


def _choose_golden(rows: list[Row], scores: NDArray[np.float64]) -> tuple[GoldenRow, ...]:
    positions = np.unique(np.linspace(0, len(rows) - 1, _GOLDEN_ROWS).astype(int))
    return tuple(GoldenRow(rows[i], tuple(np.atleast_1d(scores[i]).tolist())) for i in positions.tolist())


def _store(ws: Workspace, package: Package, files: dict[str, bytes]) -> str:
    """Store the package, then see that it answers its golden rows as it will be run."""
    digest = store_package(ws, package, files)
    stored = load_package(ws.objects, ws.keys, digest)
    runtime = open_runtime(stored, ws.objects)
    try:
        check_golden(stored, runtime)
    finally:
        runtime.close()
    return digest
