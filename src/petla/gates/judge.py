"""Judging a candidate: every gate, its figures, and the verdict."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from petla.core.clock import to_text
from petla.core.errors import InvalidError, UserCodeError
from petla.core.project import Metric, ModelTable
from petla.gates.apart import check_apart
from petla.gates.contest import Contender, check_champion, check_minimum, pass_without_champion
from petla.gates.service import check_dirty_rows, check_latency
from petla.gates.verdict import Check, Verdict
from petla.models.conversion.features import list_rows, list_truths
from petla.models.metrics import make_outcome
from petla.models.package import Package, load_version
from petla.models.registry import find_champion, move, set_verdict
from petla.models.runtime.running import Runtime, open_runtime
from petla.models.states import State, require_move
from petla.models.version import Certificate, ModelVersion
from petla.storage.ledger import shortened
from petla.storage.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl


def judge(ws: Workspace, version: ModelVersion, training: "pl.DataFrame", holdout: "pl.DataFrame") -> Verdict:
    """Hold a candidate against every gate; passed, it goes to testing, else it is rejected.

    Args:
        ws: the project.
        version: a candidate.
        training: the rows that it was trained on, with the target.
        holdout: rows that its training never saw, with the target.

    Raises:
        ConflictError: it is not a candidate.
        CorruptError: its package, or the champion's, was altered.
    """
    subject = _name(version)
    require_move(subject, version.state, State.TESTING)
    _, table = ws.get_model(version.model)
    champion = find_champion(ws, version.model)
    checks = (
        check_apart(training, holdout, table.gates.holdout_overlap),
        *_list_checks(ws, table, version, champion, holdout),
    )
    verdict = Verdict(
        model=version.model,
        version=version.version,
        champion=None if champion is None else champion.version,
        checks=checks,
        at=to_text(ws.clock()),
        packaged=_describe_package(version.certificate, checks),
    )
    to = State.TESTING if verdict.passed else State.REJECTED
    reason = "; ".join(check.message for check in verdict.checks if not check.passed) or "every gate passed"
    with ws.ledger.change(actor=ws.actor, action="model.judged", subject=subject, reason=shortened(reason)) as change:
        move(change, ws.name, version.model, version.version, to)
        set_verdict(change, ws.name, version.model, version.version, msgspec.json.encode(verdict))
        change.record(
            passed=verdict.passed,
            champion=verdict.champion,
            checks={check.name: {"passed": check.passed, "figures": check.figures} for check in verdict.checks},
        )
    return verdict


def _describe_package(certificate: Certificate, checks: tuple[Check, ...]) -> str:
    took_ms = next(check.figures["p50_ms"] for check in checks if check.name == "latency")
    speed, parity = f"{took_ms * 1000:,.0f} microseconds a row", certificate.parity
    if parity.reason:
        line = f"packaged as Python ({speed}), because {parity.reason}; next: {parity.advice}"
    else:
        line = f"packaged as ONNX (largest difference {parity.largest_difference:.2g}, {speed})"
    return f"{line}. NOTE: {parity.remark}" if parity.remark else line


def _list_checks(
    ws: Workspace, table: ModelTable, version: ModelVersion, champion: ModelVersion | None, holdout: "pl.DataFrame"
) -> Iterator[Check]:
    metric, gates = table.gate_metric, table.gates
    with _running(ws, version) as (package, runtime):
        rows = list_rows(holdout, package.signature)
        candidate = _contend(version, package, runtime, holdout)
        yield check_minimum(metric, gates, candidate)
        if champion is None:
            yield pass_without_champion(metric, candidate)
        else:
            yield _contest(ws, table, candidate, champion, holdout)
        yield check_latency(runtime, rows, gates.latency_ms)
        if gates.dirty_rows:
            yield check_dirty_rows(runtime, package.signature, rows)


def _contest(
    ws: Workspace, table: ModelTable, candidate: Contender, champion: ModelVersion, holdout: "pl.DataFrame"
) -> Check:
    metric: Metric = table.gate_metric
    try:
        with _running(ws, champion) as (package, runtime):
            return check_champion(metric, table.gates, candidate, _contend(champion, package, runtime, holdout))
    except (InvalidError, UserCodeError) as error:
        message = f"the champion {_name(champion)} cannot score these rows, so no gain is shown: {error}"
        return Check(name="champion", passed=False, message=message)


@contextmanager
def _running(ws: Workspace, version: ModelVersion) -> Iterator[tuple[Package, Runtime]]:
    package = load_version(ws.objects, ws.keys, version.package, version.model, version.version)
    _, table = ws.get_model(version.model)
    runtime = open_runtime(package, ws.objects, limits=table.serving)
    try:
        yield package, runtime
    finally:
        runtime.close()


def _contend(version: ModelVersion, package: Package, runtime: Runtime, holdout: "pl.DataFrame") -> Contender:
    signature = package.signature
    scores = runtime.score(list_rows(holdout, signature))
    truth = list_truths(holdout, signature.target)
    return Contender(_name(version), make_outcome(signature, truth, scores, threshold=package.answer.threshold))


def _name(version: ModelVersion) -> str:
    return f"{version.model}:{version.version}"
