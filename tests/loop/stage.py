"""A registry with hand-made versions; no pipeline and no model, only what the loop looks at."""

import msgspec
import polars as pl

from petla.core.project import AnswerTable
from petla.data.versions import add
from petla.deployments.deploy import deploy
from petla.gates.verdict import Check, Verdict
from petla.incidents.incident import Incident
from petla.incidents.incidents import open_or_join
from petla.loop.approval import Approval
from petla.loop.approvals import ask
from petla.loop.retraining.retrainings import begin, move_on
from petla.loop.retraining.states import Retraining, RetrainingState
from petla.models import registry
from petla.models.package import ONNX_FILE, Package, Parity, read_seal, store_package
from petla.models.states import State
from petla.models.version import Certificate, ModelVersion
from petla.monitoring.finding import Finding
from petla.monitoring.records import add_findings, list_alarms
from petla.storage.database import reading, writing
from petla.storage.workspace import Workspace
from tests.monitoring.rows import SIGNATURE, make_reference

FIGURES = {"candidate": 0.731, "champion": 0.702, "difference": 0.029, "low": 0.019, "high": 0.038, "rows": 17_000.0}
_REFERENCE = make_reference(1_000)


def make_verdict(version: int = 2, champion: int | None = 1, *, passed: bool = True) -> Verdict:
    """Return a verdict of four gates."""
    checks = [Check(name=name, passed=True, message="fine") for name in ("minimum", "latency", "dirty rows")]
    contest = Check(name="champion", passed=passed, message="better" if passed else "worse by 0.02", figures=FIGURES)
    return Verdict(model="delay", version=version, champion=champion, checks=(*checks, contest), at="2013-07-01")


def add_version(ws: Workspace, version: int, state: State, verdict: Verdict | None = None) -> ModelVersion:
    """Register a version in a state, with a signed package that holds no real model."""
    parity = Parity(rows=10, tolerance=1e-5, largest_difference=0.0)
    package = Package(
        model="delay",
        kind="onnx",
        signature=SIGNATURE,
        answer=AnswerTable(),
        profile=_REFERENCE.profile,
        score_profile=_REFERENCE.score,
        parity=parity,
        golden=(),
        files={},
        requirements={},
    )
    digest = store_package(ws, package, {ONNX_FILE: f"model {version}".encode()})
    certificate = Certificate(
        who="ann",
        when="2013-07-01",
        cause="person",
        commit="",
        is_dirty=False,
        data={},
        parameters={},
        environment={},
        python="3.11",
        metrics={},
        reported={},
        training_rows=10,
        holdout_rows=10,
        kind="onnx",
        parity=parity,
        signature=SIGNATURE,
        package=digest,
        seal=read_seal(ws.objects, digest),
    )
    made = ModelVersion(
        model="delay",
        version=version,
        state=state,
        run_id=version,
        package=digest,
        certificate=certificate,
        verdict=None if verdict is None else msgspec.json.encode(verdict),
        created_at="2013-07-01",
    )
    with ws.ledger.change(actor="ann", action="project.restored", subject=f"delay:{version}") as change:
        registry.restore(change, ws.name, made, state)
    return made


def open_incident(ws: Workspace, version: int = 1, window: int = 1) -> Incident:
    """Raise an alarm of drift about a version and open its incident."""
    store_alarm(ws, version, window)
    with reading(ws.engine) as connection:
        alarms = list_alarms(connection, ws.name, "delay", version, kind="drift", after=0)
    incident = open_or_join(ws, alarms)
    assert incident is not None
    return incident


def store_alarm(ws: Workspace, version: int = 1, window: int = 1) -> None:
    """Store an alarm of drift about a version."""
    alarm = Finding(
        model="delay",
        version=version,
        kind="drift",
        window=window,
        what="wind",
        measure="psi",
        value=0.4,
        limit=0.25,
        rows=500,
        is_alarm=True,
        at="2013-07-01T13:00:00.000000Z",
    )
    with writing(ws.engine) as connection:
        add_findings(connection, ws.name, [alarm])


def begin_trained(ws: Workspace, candidate: int = 2) -> Retraining:
    """Bring a retraining to the point where its challenger has passed the gates."""
    retraining = begin(ws, open_incident(ws), last_feedback=0)
    for state in (RetrainingState.EXPORTED, RetrainingState.COMMITTED):
        retraining = move_on(ws, retraining, state)
    return move_on(ws, retraining, RetrainingState.TRAINED, candidate=candidate)


def commit_retraining(ws: Workspace) -> Retraining:
    """Bring a retraining to the point where it trains; version 1 is live."""
    add_version(ws, 1, State.TESTING)
    deploy(ws, "delay", 1, actor="ann")
    (ws.root / "data").mkdir()
    pl.DataFrame({"wind": [0.1, 0.2], "late": [True, False]}).write_parquet(ws.root / "data" / "flights.parquet")
    version = add(ws, ws.root / "data" / "flights.parquet").version
    retraining = begin(ws, open_incident(ws), last_feedback=0)
    retraining = move_on(ws, retraining, RetrainingState.EXPORTED, dataset_version=version.version)
    return move_on(ws, retraining, RetrainingState.COMMITTED)


def ask_about(ws: Workspace) -> Approval:
    """Put version 1 into production, and the question whether version 2 replaces it."""
    add_version(ws, 1, State.TESTING)
    deploy(ws, "delay", 1, actor="ann")
    verdict = make_verdict()
    add_version(ws, 2, State.TESTING, verdict)
    return ask(ws, begin_trained(ws), verdict)
