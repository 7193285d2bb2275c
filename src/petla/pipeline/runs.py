"""Runs of a pipeline: one at a time in a project, each with its row, resumed where a killed one stopped."""

import contextlib
import logging
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from petla.core.errors import CorruptError, NotFoundError, PetlaError, UnavailableError
from petla.core.names import suggest
from petla.pipeline.plan import Plan, RunRequest, make_plan
from petla.pipeline.result import Executed, Progress, Run, RunResult, RunState
from petla.storage.files import lock, write_atomic
from petla.storage.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

    from petla.pipeline.execution.runner import Checks
    from petla.pipeline.records import Beginning

logger = logging.getLogger(__name__)


def run_pipeline(
    ws: Workspace, model: str, request: RunRequest, progress: Progress, checks: "Checks | None" = None
) -> RunResult:
    """Run a model's pipeline, taking what is cached from the cache.

    A run that was killed is gone on with: its finished steps are in the cache, and its row is marked as interrupted.

    Args:
        ws: the project.
        model: its name.
        request: what is wanted.
        progress: sees the steps come and go.
        checks: step -> what is looked at before that step is executed, such as the tables before a training.

    Raises:
        BusyError: another run of this project is under way; says which.
        InvalidError, NotFoundError, ConflictError: as `make_plan`.
        GateFailedError: the data was not accepted; names the columns.
        UserCodeError: a step failed; carries the project's own traceback.
        UnavailableError: the disk is full or may not be written.
    """
    with lock(ws.state / "run.lock", purpose=f"petla run {model}"):
        plan = make_plan(ws, model, request)
        _mark_interrupted(ws)
        beginning = _describe(ws, request)
        run_id = _start(ws, plan, beginning, request)
        try:
            warnings = _check(ws, plan, request)
            done = _execute(ws, plan, request, progress, checks or {})
            _finish(ws, plan, run_id, done)
        except BaseException as error:
            _break_off(ws, plan.model, run_id, error)
            raise
    for warning in done.warnings:
        logger.warning("output.made_again", extra={"run": run_id, "warning": warning})
    return RunResult(
        run_id=run_id,
        model=plan.model,
        plan_key=plan.plan_key,
        steps=done.steps,
        parameters=plan.parameters,
        data=plan.data,
        metrics=done.metrics,
        commit=beginning.commit,
        is_dirty=beginning.is_dirty,
        warnings=(*plan.warnings, *warnings, *done.warnings),
    )


def load_output(ws: Workspace, run: RunResult, step: str) -> object:
    """Return what a step returned, of the same type.

    Raises:
        NotFoundError: the run has no such step, or its output is gone.
        CorruptError: its bytes are damaged, or a pickle is not signed by this project's key; it was set aside, so that
            the next run makes it again.
    """
    from petla.pipeline.outputs import cache

    keys = {each.name: each.key for each in run.steps}
    if step not in keys:
        raise NotFoundError(f"run {run.run_id} has no step {step!r}", hint=suggest(step, keys), field="step")
    record = cache.find_record(ws.state, keys[step])
    if record is None:
        raise NotFoundError(
            f"the output of step {step} of run {run.run_id} is not kept any more", hint="make it again with 'petla run'"
        )
    try:
        value: object = cache.load_output(ws, record)
    except CorruptError as error:
        raise CorruptError(cache.discard(ws, record, error), hint="run 'petla run' again") from error
    return value


def load_frame(ws: Workspace, run: RunResult, step: str) -> "pl.DataFrame":
    """Return what a step returned as a Polars frame.

    Raises:
        UserCodeError: it is no frame.
        NotFoundError, CorruptError: as `load_output`.
    """
    import polars as pl

    from petla.core.errors import UserCodeError
    from petla.pipeline.outputs.frames import FrameKind, blaming, convert

    value = load_output(ws, run, step)
    with blaming(step):
        frame = convert(value, FrameKind.POLARS)
    if not isinstance(frame, pl.DataFrame):
        raise UserCodeError(
            f"step {step} returned a {type(value).__qualname__}, but must return a table",
            hint="return a frame of Polars, pandas or PyArrow",
            field=step,
        )
    return frame


def list_runs(ws: Workspace, model: str | None = None, limit: int = 50) -> list[Run]:
    """Return the newest runs first."""
    from petla.pipeline.records import list_newest
    from petla.storage.database import reading

    with reading(ws.engine) as connection:
        return list_newest(connection, ws.name, model, limit)


def list_keys_of(ws: Workspace, digests: Collection[str]) -> set[str]:
    """Return the keys of the steps of all runs that used one of some dataset versions."""
    runs = list_runs(ws, limit=1_000_000)
    return {step.key for run in runs if set(run.data.values()) & set(digests) for step in run.steps}


def get_run(ws: Workspace, run_id: int) -> Run:
    """Return one run.

    Raises:
        NotFoundError: there is no such run.
    """
    from petla.pipeline.records import find_run
    from petla.storage.database import reading

    with reading(ws.engine) as connection:
        run = find_run(connection, ws.name, run_id)
    if run is None:
        raise NotFoundError(f"there is no run {run_id}", hint="see 'petla runs list'", field="run")
    return run


def _describe(ws: Workspace, request: RunRequest) -> "Beginning":
    from petla.data.git import read_state
    from petla.pipeline.records import Beginning

    if request.commit is not None:
        return Beginning(cause=request.cause, commit=request.commit, is_dirty=False, started_by=ws.actor)
    git = read_state(request.source or ws.root)
    return Beginning(cause=request.cause, commit=git.commit, is_dirty=git.is_dirty, started_by=ws.actor)


def _start(ws: Workspace, plan: Plan, beginning: "Beginning", request: RunRequest) -> int:
    from petla.pipeline.records import add_run

    with ws.ledger.change(actor=ws.actor, action="run.started", subject=plan.model) as change:
        run_id = add_run(change.connection, ws.name, plan, beginning, change.now)
        change.record(run=run_id, commit=beginning.commit, cause=beginning.cause, plan=plan.plan_key, data=plan.data)
        if request.accept_data:
            change.record(accepted_data=request.accept_data)
        # Written before the commit: whatever happens, a row that says `running` is found again.
        write_atomic(_memory(ws), msgspec.json.encode(run_id))
    logger.info("run.started", extra={"run": run_id, "model": plan.model})
    return run_id


def _check(ws: Workspace, plan: Plan, request: RunRequest) -> tuple[str, ...]:
    if not plan.data:
        return ()
    from petla.pipeline.checks import check_data

    return tuple(str(found) for found in check_data(ws, plan, request))


def _execute(ws: Workspace, plan: Plan, request: RunRequest, progress: Progress, checks: "Checks") -> Executed:
    from petla.pipeline.execution.inputs import opened
    from petla.pipeline.execution.loading import imported
    from petla.pipeline.execution.runner import Runner

    in_place = set() if request.source else set(plan.data) - set(request.datasets)
    with opened(ws, plan.data, in_place) as datasets, imported(plan.code) as load:
        return Runner(ws, plan, load, datasets, progress).run(checks)


def _finish(ws: Workspace, plan: Plan, run_id: int, done: Executed) -> None:
    from petla.pipeline.records import finish_run

    n_cached = sum(step.is_cached for step in done.steps)
    with ws.ledger.change(actor=ws.actor, action="run.finished", subject=plan.model) as change:
        finish_run(change.connection, ws.name, run_id, done, change.now)
        change.record(run=run_id, metrics=done.metrics, steps=len(done.steps), cached=n_cached)
    _memory(ws).unlink(missing_ok=True)
    logger.info("run.finished", extra={"run": run_id, "model": plan.model, "cached": n_cached})


def _break_off(ws: Workspace, model: str, run_id: int, error: BaseException) -> None:
    """Mark a run as failed, or as interrupted if somebody stopped it."""
    from petla.pipeline.records import break_off_run
    from petla.storage.ledger import shortened

    state = RunState.FAILED if isinstance(error, Exception) else RunState.INTERRUPTED
    said = error.message if isinstance(error, PetlaError) else f"{type(error).__name__}: {error}"
    # If the disk is full, the next run marks it; the error that brought us here is the one to show.
    with contextlib.suppress(UnavailableError):
        with ws.ledger.change(actor=ws.actor, action=f"run.{state}", subject=model, reason=shortened(said)) as change:
            break_off_run(change.connection, ws.name, run_id, state, said, change.now)
            change.record(run=run_id)
        _memory(ws).unlink(missing_ok=True)
    logger.info("run.failed", extra={"run": run_id, "model": model, "state": str(state)})


def _mark_interrupted(ws: Workspace) -> None:
    """Mark the run before, if it did not come to its end: we hold the lock, so nobody is at it any more."""
    from petla.pipeline.records import break_off_run, find_run
    from petla.storage.database import reading

    try:
        run_id = msgspec.json.decode(_memory(ws).read_bytes(), type=int)
    except (FileNotFoundError, msgspec.DecodeError):
        return
    with reading(ws.engine) as connection:
        run = find_run(connection, ws.name, run_id)
    if run is not None and run.state is RunState.RUNNING:
        said = "its process ended before it did"
        with ws.ledger.change(actor=ws.actor, action="run.interrupted", subject=run.model, reason=said) as change:
            break_off_run(change.connection, ws.name, run_id, RunState.INTERRUPTED, said, change.now)
            change.record(run=run_id)
    _memory(ws).unlink(missing_ok=True)


def _memory(ws: Workspace) -> Path:
    """The file that names the run under way."""
    return ws.state / "cache" / "running.json"
