"""From a plan to a verdict: run, package, register, judge.

How far a plan has come is remembered, so that a crash between two parts is taken up by the next call,
and a plan that gave a verdict gives it again at once.
"""

import logging
import platform
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from petla.core.clock import to_text
from petla.core.errors import NotFoundError
from petla.gates.memory import Remembered, find_live_version, memory_path, recall, remember
from petla.gates.verdict import Verdict, find_verdict
from petla.models.states import State
from petla.pipeline.plan import RunRequest, make_plan
from petla.pipeline.result import RunResult
from petla.storage.files import lock
from petla.storage.workspace import Workspace

if TYPE_CHECKING:
    from petla.models.packaging import Packaged
    from petla.models.version import Certificate, ModelVersion
    from petla.pipeline.result import Progress

logger = logging.getLogger(__name__)


class TrainResult(msgspec.Struct, frozen=True, kw_only=True):
    """What training handed out."""

    run: RunResult
    version: int
    # after the verdict; a later move, such as a refusal, is in the registry
    state: State
    verdict: Verdict
    # whether nothing had changed, so nothing was done
    is_unchanged: bool
    # measured by Pętla on the holdout, with the packaged model
    metrics: dict[str, float] = {}


def train(ws: Workspace, model: str, request: RunRequest, progress: "Progress") -> TrainResult:
    """Run a model's pipeline, package and register what it made, and judge it.

    NOTE: with nothing changed this imports no heavy library, so that the command stays under 0.3 s. Nothing has
    changed if the plan is the same, and the champion is the one it was judged against or the version that it gave.

    Raises:
        BusyError: another run is still at work after the time to wait.
        GateFailedError: the data's checks refuse it.
        UserCodeError: a step, or the model, failed.
        InvalidError: what the steps hand out cannot be packaged.
        UnavailableError: disk or database failed; the next call goes on from there.
    """
    if request.only_step is not None:
        raise ValueError(f"a run of {request.only_step!r} alone makes no model; call run_pipeline")
    _, table = ws.get_model(model)
    plan = make_plan(ws, model, request)
    path = memory_path(ws.state, model, table, plan.plan_key)
    known = _find_result(ws, model, recall(path))
    if known is not None:
        # what concerns the code as it is, and not what happened in the run that stands
        run = msgspec.structs.replace(known.run, warnings=plan.warnings)
        return msgspec.structs.replace(known, run=run)
    with lock(ws.state / "training.lock", purpose=f"petla run {model}", wait_s=ws.settings.wait_s):
        # it may have been done while we waited
        remembered = recall(path)
        known = _find_result(ws, model, remembered)
        if known is not None:
            return known
        return _train(ws, model, request, progress, path)


def _find_result(ws: Workspace, model: str, remembered: Remembered | None) -> TrainResult | None:
    if remembered is None or remembered.verdict is None or remembered.state is None:
        return None
    verdict, live = remembered.verdict, find_live_version(ws.state, model)
    if live not in (verdict.champion, verdict.version):
        return None
    return TrainResult(
        run=remembered.run,
        version=verdict.version,
        state=State.PRODUCTION if live == verdict.version else remembered.state,
        verdict=verdict,
        is_unchanged=True,
        metrics=remembered.metrics,
    )


def _train(ws: Workspace, model: str, request: RunRequest, progress: "Progress", path: Path) -> TrainResult:
    remembered = recall(path)
    if remembered is not None and remembered.verdict is None:
        try:
            return _finish(ws, remembered.run, request, path)
        except NotFoundError:
            # outputs of its steps were removed from the cache in the meantime
            logger.info("training.repeated", extra={"model": model, "run": remembered.run.run_id})
    from petla.gates.tables import check_tables
    from petla.pipeline.runs import run_pipeline

    _, table = ws.get_model(model)
    checks = {table.model: lambda find: check_tables(table, find(table.training), find(table.holdout))}
    run = run_pipeline(ws, model, _with_reference(ws, model, request), progress, checks)
    remember(path, Remembered(run=run))
    return _finish(ws, run, request, path)


def _with_reference(ws: Workspace, model: str, request: RunRequest) -> RunRequest:
    """Have the data checked against what the champion was trained on, if the caller names nothing else."""
    from petla.models.registry import find_champion

    champion = find_champion(ws, model)
    if champion is None or request.reference:
        return request
    return msgspec.structs.replace(request, reference=champion.certificate.data)


def _finish(ws: Workspace, run: RunResult, request: RunRequest, path: Path) -> TrainResult:
    """Package, register and judge what a run made, leaving out what was done before a crash."""
    from petla.gates.judge import judge
    from petla.models.registry import find_version_of_run, get_version
    from petla.pipeline.runs import load_frame

    _, table = ws.get_model(run.model)
    version = find_version_of_run(ws, run.model, run.run_id) or _register(ws, run, request)
    verdict = find_verdict(version)
    if verdict is None:
        training, holdout = (load_frame(ws, run, step) for step in (table.training, table.holdout))
        verdict = judge(ws, version, training, holdout)
    state = get_version(ws, run.model, version.version).state
    metrics = version.certificate.metrics
    remember(path, Remembered(run=run, verdict=verdict, state=state, metrics=metrics))
    return TrainResult(
        run=run, version=version.version, state=state, verdict=verdict, is_unchanged=False, metrics=metrics
    )


def package_run(ws: Workspace, run: RunResult) -> "Packaged":
    """Package what a run made.

    Raises:
        NotFoundError: the outputs of its steps are not kept any more.
        InvalidError, UserCodeError, UnavailableError: as `package_model`.
    """
    from petla.gates.tables import check_estimator, check_tables
    from petla.models.packaging import Trained, package_model
    from petla.pipeline.runs import load_output

    _, table = ws.get_model(run.model)
    trained = Trained(
        estimator=load_output(ws, run, table.model),
        training=load_output(ws, run, table.training),
        holdout=load_output(ws, run, table.holdout),
    )
    # again, for a run that took the model from the cache
    check_tables(table, trained.training, trained.holdout)
    check_estimator(table.model, trained.estimator)
    return package_model(ws, run.model, table, trained)


def _register(ws: Workspace, run: RunResult, request: RunRequest) -> "ModelVersion":
    from petla.models.registry import register

    return register(ws, run, _certify(ws, run, request, package_run(ws, run)))


def _certify(ws: Workspace, run: RunResult, request: RunRequest, packaged: "Packaged") -> "Certificate":
    from petla.models.environment import list_environment
    from petla.models.package import read_seal
    from petla.models.version import Certificate

    package = packaged.package
    return Certificate(
        who=ws.actor,
        when=to_text(ws.clock()),
        cause=request.cause,
        commit=run.commit,
        is_dirty=run.is_dirty,
        data=run.data,
        parameters=run.parameters,
        environment=list_environment(),
        python=platform.python_version(),
        metrics=packaged.metrics,
        reported=run.metrics,
        training_rows=packaged.training_rows,
        holdout_rows=packaged.holdout_rows,
        kind=package.kind,
        parity=package.parity,
        signature=package.signature,
        package=packaged.digest,
        seal=read_seal(ws.objects, packaged.digest),
        accepted_data=request.accept_data,
    )
