"""A project in the middle of its loop: an alarm, a challenger that passed, and a question that waits for a person.

Rows are written straight into the tables: the pages are tested, not how the rows came about.
"""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, insert

from petla.core.clock import to_text
from petla.core.project import AnswerTable, decode_project
from petla.core.settings import Settings
from petla.data.profile.columns import ColumnProfile, Kind, Profile
from petla.gates.verdict import Check, Verdict
from petla.models.package import Package, Parity, store_package
from petla.models.signature import InputField, Signature
from petla.models.states import State
from petla.models.version import Certificate
from petla.storage import tables
from petla.storage.database import writing
from petla.storage.ledger import Change
from petla.storage.workspace import Workspace

PROJECT = """
[project]
name = "flights"
owner = "Olga"

[data.flights]
path = "data/flights.parquet"

[models.delay]
target = "late"

[models.delay.gates]
metric = "auc"
minimum = 0.65

[models.delay.monitor]
window_rows = 5000
quality_metric = "accuracy"
quality_limit = 0.74

[models.delay.retrain]
dataset = "flights"
"""
MORE_MODELS = """
[models.cancelled]
target = "is_cancelled"

[models.cancelled.monitor]
quality_metric = "accuracy"
quality_limit = 0.74

[models.taxi]
target = "minutes"
task = "regression"
"""
EMPTY = '[project]\nname = "flights"\n'

NOW = datetime(2026, 7, 14, 9, 30, tzinfo=UTC)
FEATURES = {
    "month": 1.34,
    "hour": 0.412,
    "temperature": 0.287,
    "carrier": 0.121,
    "distance": 0.093,
    "wind_speed": 0.058,
    "origin": 0.021,
    "destination": 0.018,
}
ACCURACY = (0.792, 0.795, 0.788, 0.790, 0.781, 0.785, 0.776, 0.779, 0.768, 0.771, 0.759, 0.752, 0.731, 0.702)
ROWS = 5_000
SIGNATURE = Signature(
    inputs=tuple(
        InputField(name, Kind.CATEGORY if name in ("carrier", "origin", "destination") else Kind.NUMBER, i % 3 == 0)
        for i, name in enumerate(FEATURES)
    ),
    target="late",
    task="binary",
    classes=(False, True),
)


def open_project(folder: Path, text: str = PROJECT) -> Workspace:
    """Open a project at a moment that stays."""
    (folder / "petla.toml").write_text(text, encoding="utf-8")
    return Workspace(folder, decode_project(text), Settings(actor="Ada Lovelace"), clock=lambda: NOW)


def seed_loop(ws: Workspace, model: str = "delay") -> None:
    """Write everything up to the question whether version 3 goes live."""
    packages = [_store_package(ws, model, version) for version in (1, 2, 3)]
    with ws.ledger.change(actor="Ada Lovelace", action="model.deployed", subject=f"{model}:2") as change:
        change.record(live=2, standby=1)
        _seed_versions(ws, change, model, packages)
        _add(
            change.connection,
            tables.deployments,
            ws,
            model=model,
            live=2,
            standby=1,
            changed_at=_at(300),
            changed_by="Ada Lovelace",
        )
        _seed_windows(ws, change.connection, model)
        _seed_findings(ws, change.connection, model)
        _seed_decisions(ws, change.connection, model)
    evidence = _make_evidence()
    title = f"{model}:2 lost quality: accuracy 0.702, limit 0.74, 5,000 labelled decisions"
    with ws.ledger.change(actor="controller", action="incident.opened", subject=f"{model}:2", reason=title) as change:
        _seed_incident(ws, change.connection, model, title, evidence)
    with ws.ledger.change(actor="controller", action="approval.asked", subject=f"{model}:3") as change:
        change.record(question=QUESTION)
        _seed_approval(ws, change.connection, model)


def seed_after_swap(ws: Workspace, model: str) -> None:
    """Write a model that was swapped some windows ago and is healthy since."""
    packages = [_store_package(ws, model, version) for version in (1, 2, 3)]
    with ws.ledger.change(actor="Ada Lovelace", action="model.deployed", subject=f"{model}:2") as change:
        _seed_versions(ws, change, model, packages)
        live = {"live": 2, "standby": 1, "changed_at": _at(90), "changed_by": "Ada Lovelace"}
        _add(change.connection, tables.deployments, ws, model=model, **live)
        _seed_windows(ws, change.connection, model, version=1)
        _seed_findings(ws, change.connection, model, strength=0.15)
        for number, accuracy in enumerate((0.781, 0.786, 0.779), 1):
            key = {"model": model, "version": 2, "number": number, "rows": ROWS}
            span = {"started_at": _at(9 - number), "ended_at": _at(8 - number)}
            _add(change.connection, tables.windows, ws, **key, counts="{}", closed=True, **span)
            metrics = msgspec.json.encode({"accuracy": accuracy}).decode()
            _add(change.connection, tables.quality_windows, ws, **key, metrics=metrics, last_feedback=1, **span)


def add_decision(ws: Workspace, i: int) -> None:
    """Write one more decision; those up to 11 are there already."""
    with writing(ws.engine) as connection:
        _add_decision(ws, connection, "delay", i)


QUESTION = (
    "delay:3 is 4.3 points better than delay:2 on auc (0.745 against 0.702, 95% interval +3.1 to +5.5, 12,408 rows) "
    "and passed 4 of 4 gates: deploy?"
)


def _seed_versions(ws: Workspace, change: Change, model: str, packages: list[str]) -> None:
    states = {1: State.RETIRED, 2: State.PRODUCTION, 3: State.TESTING}
    for version, state in states.items():
        certificate = _make_certificate(version, packages[version - 1])
        change.record(**{f"{model}:{version}": {"package": packages[version - 1], "state": state}})
        _add(
            change.connection,
            tables.model_versions,
            ws,
            model=model,
            version=version,
            state=state.value,
            run_id=10 + version,
            package=packages[version - 1],
            certificate=msgspec.json.encode(certificate).decode(),
            verdict=msgspec.json.encode(_make_verdict(model, version)).decode(),
            created_at=certificate.when,
        )


def _make_certificate(version: int, package: str) -> Certificate:
    auc = {1: 0.698, 2: 0.718, 3: 0.745}[version]
    return Certificate(
        who="Ada Lovelace" if version < 3 else "controller",
        when=_at({1: 4_000, 2: 3_000, 3: 6}[version]),
        cause="person" if version < 3 else "retraining:1",
        commit="8f14e45fceea167a5a36dedd4bea2543f3c2a1d0",
        is_dirty=version == 1,
        data={"flights": "b3f9" * 16},
        parameters={"trees": 200, "learning_rate": 0.1},
        environment={"numpy": "2.3.1", "pandas": "2.3.0", "scikit-learn": "1.7.0"},
        python="3.11.7",
        metrics={"auc": auc, "accuracy": auc + 0.03, "f1": auc - 0.2},
        reported={"rows": 80_431.0},
        training_rows=80_431,
        holdout_rows=12_408,
        kind="onnx",
        parity=Parity(rows=12_408, tolerance=1e-4, largest_difference=3.1e-7),
        signature=SIGNATURE,
        package=package,
        seal="5c" * 64,
    )


def _make_verdict(model: str, version: int) -> Verdict:
    champion = {"champion": 0.702, "candidate": 0.745, "difference": 0.043, "low": 0.031, "high": 0.055}
    facts = {"rows": 12_408.0, "margin": 0.005, "confidence": 0.95, "seed": 7.0}
    name = f"{model}:{version - 1}"
    return Verdict(
        model=model,
        version=version,
        champion=version - 1 or None,
        at=_at(5),
        checks=(
            Check(
                name="minimum",
                passed=True,
                message="auc is 0.745 on 12,408 holdout rows; at least 0.65 is demanded",
                figures={"value": 0.745, "rows": 12_408.0, "minimum": 0.65},
            ),
            Check(
                name="champion",
                passed=True,
                message=f"auc is 0.745 against 0.702 of the champion {name} on the same 12,408 rows: better by "
                "0.043 (95% interval +0.031 to +0.055); it is shown to be better",
                figures=champion | facts,
            ),
            Check(
                name="latency",
                passed=True,
                message="99 of 100 single rows take at most 0.041 ms, half of them 0.018 ms; at most 50 ms is demanded",
                figures={"p50_ms": 0.018, "p99_ms": 0.041, "limit_ms": 50.0, "rows": 500.0},
            ),
            Check(
                name="dirty rows",
                passed=True,
                message="all 41 rows with missing, unseen and extreme values are answered",
                figures={"rows": 41.0, "failed": 0.0},
            ),
        ),
    )


def _seed_windows(ws: Workspace, connection: Connection, model: str, version: int = 2) -> None:
    for number, accuracy in enumerate(ACCURACY, 1):
        started, ended = 310 - 20 * number, 291 - 20 * number
        span = {"started_at": _at(started), "ended_at": _at(ended + 4 * math.sin(number))}
        key = {"model": model, "version": version, "number": number, "rows": ROWS}
        _add(connection, tables.windows, ws, **key, counts="{}", closed=True, **span)
        metrics = msgspec.json.encode({"accuracy": accuracy, "auc": accuracy - 0.05}).decode()
        _add(connection, tables.quality_windows, ws, **key, metrics=metrics, last_feedback=number * ROWS, **span)
    now = {"model": model, "version": 2, "number": len(ACCURACY) + 1, "rows": 3_120}
    _add(connection, tables.windows, ws, **now, counts="{}", closed=False, started_at=_at(2), ended_at=_at(0))


def _seed_findings(ws: Workspace, connection: Connection, model: str, strength: float = 1.0) -> None:
    newest = len(ACCURACY)
    rows: list[dict[str, Any]] = []
    for window in range(1, newest + 1):
        for feature, value in FEATURES.items():
            psi = strength * value * (0.2 + 0.8 * window / newest)
            drift = {"model": model, "version": 2, "kind": "drift", "window": window, "what": feature, "rows": ROWS}
            drift |= {"project": ws.name, "at": _at(300 - 20 * window)}
            rows.append(drift | {"measure": "psi", "value": psi, "limit": 0.25, "is_alarm": psi >= 0.25})
            rows.append(drift | {"measure": "js", "value": psi / 3, "limit": None, "is_alarm": False})
    connection.execute(insert(tables.findings), rows)


def _make_evidence() -> list[dict[str, Any]]:
    worst = [(13, 0.731), (14, 0.702)]
    return [
        {
            "finding": window,
            "window": window,
            "what": "accuracy",
            "measure": "accuracy",
            "value": value,
            "limit": 0.74,
            "rows": ROWS,
            "since": _at(60 - window),
            "at": _at(30 - window),
        }
        for window, value in worst
    ]


def _seed_incident(
    ws: Workspace, connection: Connection, model: str, title: str, evidence: list[dict[str, Any]]
) -> None:
    _add(
        connection,
        tables.incidents,
        ws,
        model=model,
        version=2,
        kind="quality",
        state="open",
        title=title,
        evidence=msgspec.json.encode(evidence).decode(),
        owner="",
        opened_at=_at(16),
        acknowledged_at=None,
        resolved_at=None,
        outcome="",
    )


def _seed_approval(ws: Workspace, connection: Connection, model: str) -> None:
    _add(
        connection,
        tables.approvals,
        ws,
        model=model,
        version=3,
        champion=2,
        state="waiting",
        question=QUESTION,
        asked_by="controller",
        asked_at=_at(4),
        decided_by="",
        decided_at=None,
        reason="",
    )
    _add(
        connection,
        tables.retrainings,
        ws,
        model=model,
        incident_id=1,
        state="waiting",
        dataset_version=2,
        commit="45c48cce2e2d7fbdea1afc51c7c6ad26aa11bb22",
        candidate=3,
        approval_id=1,
        last_feedback=70_000,
        outcome="",
        started_at=_at(15),
        changed_at=_at(4),
    )


def _seed_decisions(ws: Workspace, connection: Connection, model: str) -> None:
    for i in range(12):
        name, label = _add_decision(ws, connection, model, i)
        if model == "delay" and i in (2, 6, 7):
            _add_review(ws, connection, name, i, label)
        if i < 9:
            truth = "true" if i % 4 == 0 else "false"
            said = {"truth": truth, "at": _at(1), "decided_at": _at(12 - i), "status": "first"}
            _add(connection, tables.feedback, ws, decision_id=name, **said)


def _add_decision(ws: Workspace, connection: Connection, model: str, i: int) -> tuple[str, str]:
    inputs = {"month": 7, "hour": 6 + i, "temperature": 24.5 + i, "carrier": "DL", "distance": 733, "wind_speed": None}
    score = 0.12 + 0.06 * i
    label = "true" if score >= 0.5 else "false"
    name = f"01920000-0000-7000-8000-{i:012d}"
    _add(
        connection,
        tables.decisions,
        ws,
        id=name if model == "delay" else name.replace("0192", model[:4]),
        request_id="r",
        at=_at(12 - i),
        model=model,
        version=2,
        inputs=msgspec.json.encode(inputs).decode(),
        label=label,
        score=score,
        served_by="champion" if i % 4 else "canary",
        latency_us=190 + 7 * i,
        worker="0",
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736" if i % 3 == 0 else "",
        arm="champion" if i % 4 else "canary",
        flags='["far_outside"]' if i % 5 == 0 else "[]",
        subject=f"passenger-{i % 2}",
        explanation="[0.1,-0.3,0.2,0.05,0.0,0.01]" if i % 6 == 0 else "[]",
    )
    return name, label


def _add_review(ws: Workspace, connection: Connection, name: str, i: int, label: str) -> None:
    is_decided = i == 2
    _add(
        connection,
        tables.reviews,
        ws,
        id=name,
        model="delay",
        version=2,
        at=_at(12 - i),
        label=label,
        flags='["range"]' if i < 7 else '["confidence","night flights"]',
        state="decided" if is_decided else "waiting",
        answer="true" if is_decided else None,
        decided_by="Olga" if is_decided else "",
        decided_at=_at(2) if is_decided else None,
        reason="The crew is late, says the airport." if is_decided else "",
        deliver_at=None,
        attempts=1 if is_decided else 0,
        delivered_at=_at(2) if is_decided else None,
        delivery_error="",
    )


def _store_package(ws: Workspace, model: str, version: int) -> str:
    score = ColumnProfile(name="score", kind=Kind.NUMBER, rows=1, missing=0, distinct=1)
    package = Package(
        model=model,
        kind="onnx",
        signature=SIGNATURE,
        answer=AnswerTable(),
        profile=Profile(
            rows=60_000, columns=(_make_column("temperature", -8.0, 27.5), _make_column("hour", 5.0, 23.0))
        ),
        score_profile=score,
        parity=Parity(rows=1, tolerance=1e-4, largest_difference=0.0),
        golden=(),
        files={},
        requirements={},
    )
    return store_package(ws, package, {"model.onnx": f"version {version}".encode()})


def _make_column(name: str, low: float, high: float) -> ColumnProfile:
    quantiles = tuple(low + i * (high - low) / 20 for i in range(21))
    return ColumnProfile(
        name=name,
        kind=Kind.NUMBER,
        rows=60_000,
        missing=0,
        distinct=400,
        minimum=low,
        maximum=high,
        quantiles=quantiles,
    )


def _add(connection: Connection, table: Table, ws: Workspace, **values: Any) -> None:  # noqa: ANN401 - rows
    connection.execute(insert(table).values(project=ws.name, **values))


def _at(minutes_ago: float) -> str:
    return to_text(NOW - timedelta(minutes=minutes_ago))
