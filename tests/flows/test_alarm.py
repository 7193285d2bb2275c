"""An alarm: decisions of a changed world -> windows -> incident -> retraining -> approval -> another champion."""

import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from petla.core.ids import uuid7_source
from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.data.git import read_state
from petla.data.versions import add, list_versions
from petla.decisions.record import Decision, Feedback
from petla.decisions.spool import SpoolWriter
from petla.deployments.deploy import deploy
from petla.deployments.snapshot import read_snapshot
from petla.gates.training import train
from petla.incidents.incidents import list_incidents
from petla.loop.approvals import Approval, grant, list_approvals, refuse
from petla.loop.controller import Controller
from petla.loop.retraining.retrainings import list_retrainings
from petla.loop.retraining.states import RetrainingState
from petla.models import registry
from petla.models.package import load_package
from petla.models.registry import find_champion, get_version
from petla.models.runtime.decide import decide
from petla.models.runtime.running import open_runtime
from petla.models.signature import Row
from petla.models.states import State
from petla.monitoring.views import count_traffic, list_quality, make_drift_table
from petla.pipeline.plan import RunRequest
from petla.pipeline.result import StepResult
from petla.storage.workspace import Workspace

pytestmark = pytest.mark.slow

PROJECT = """
[project]
name = "flights"
owner = "olga"

[data.flights]
path = "flights.parquet"

[models.delay]
target = "late"

[models.delay.gates]
metric = "accuracy"
latency_ms = 1000

[models.delay.monitor]
window_rows = 500
quality_limit = 0.7

[models.delay.retrain]
dataset = "flights"
minimum_rows = 1000
"""
PIPELINE = """
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def training(flights: pd.DataFrame) -> pd.DataFrame:
    return flights.iloc[: len(flights) * 3 // 4]


def holdout(flights: pd.DataFrame) -> pd.DataFrame:
    return flights.iloc[len(flights) * 3 // 4 :]


def model(training):
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(training[["wind", "hour"]], training["late"])
"""
_PATIENCE_S = 60.0


class Silence:
    """A progress that nobody watches."""

    def step_started(self, name: str, index: int, total: int) -> None: ...

    def step_finished(self, result: StepResult) -> None: ...


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    """A committed project with version 1 live."""
    (tmp_path / "petla.toml").write_text(PROJECT)
    (tmp_path / "pipeline.py").write_text(textwrap.dedent(PIPELINE))
    (tmp_path / ".gitignore").write_text(".petla/\nflights.parquet\n")
    make_flights(2_000, calm=0.0, seed=1).write_parquet(tmp_path / "flights.parquet")
    workspace = Workspace(tmp_path, decode_project(PROJECT), Settings(actor="ann"))
    add(workspace, tmp_path / "flights.parquet")
    identity = ["-c", "user.name=ann", "-c", "user.email=ann@example.com"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], [*identity, "commit", "-q", "-m", "First model"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    version = train(workspace, "delay", RunRequest(), Silence()).version
    deploy(workspace, "delay", version, actor="ann")
    yield workspace
    workspace.engine.dispose()


def make_flights(n: int, *, calm: float, seed: int) -> pl.DataFrame:
    """Return flights that are late in more wind than `calm`, which is also the usual wind."""
    chance = np.random.default_rng(seed)
    wind = chance.normal(calm, 1, n)
    late = wind + chance.normal(0, 0.4, n) > calm
    return pl.DataFrame({"wind": wind, "hour": chance.integers(0, 24, n).astype(float), "late": late})


def serve(ws: Workspace, flights: pl.DataFrame) -> None:
    """Answer flights with the champion, as a worker does, and send the truth afterwards."""
    champion = find_champion(ws, "delay")
    assert champion is not None
    package = load_package(ws.objects, ws.keys, champion.package)
    names = [field.name for field in package.signature.inputs]
    rows: list[Row] = flights.select(names).rows()
    runtime = open_runtime(package, ws.objects)
    labels, scores = decide(package, runtime.score(rows))
    runtime.close()
    make_id = uuid7_source()
    made = [
        Decision(make_id(), "", time.time_ns(), "delay", champion.version, row, label, float(score), "live", 90, "0")
        for row, label, score in zip(rows, labels, scores, strict=True)
    ]
    truths = [Feedback(d.id, late, time.time_ns()) for d, late in zip(made, flights["late"].to_list(), strict=True)]
    for stream, records in (("decisions", made), ("feedback", truths)):
        writer = SpoolWriter(ws.state / "spool" / "0", stream)
        writer.append(records)
        writer.close()


def tick_until(controller: Controller, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "the loop stands still"
        controller.tick()
        time.sleep(0.02)


def ask(ws: Workspace) -> Approval:
    """Let the world change, and the loop go on until it asks."""
    serve(ws, make_flights(1_500, calm=2.0, seed=2))
    controller = Controller(ws)
    tick_until(controller, lambda: _asked(ws) or any(not each.is_open for each in list_retrainings(ws)))
    controller.close()
    assert _asked(ws), list_retrainings(ws)[0].outcome
    return list_approvals(ws, "waiting")[0]


def _asked(ws: Workspace) -> bool:
    return bool(list_approvals(ws, "waiting"))


def test_changed_world_ends_in_a_champion_that_knows_it(ws: Workspace) -> None:
    asked = ask(ws)

    assert "delay:2 is" in asked.question
    assert "better than delay:1 on accuracy" in asked.question
    drift, quality = make_drift_table(ws, "delay", 1), list_quality(ws, "delay")
    assert (drift.features[0].feature, drift.features[0].state) == ("wind", "alarm")
    assert quality[0].metrics["accuracy"] < 0.7
    assert count_traffic(ws, "delay").total == 1_500
    incidents = list_incidents(ws)
    assert {incident.kind for incident in incidents} == {"drift", "quality"}
    head = read_state(ws.root)
    (retraining,) = list_retrainings(ws)
    certificate = get_version(ws, "delay", 2).certificate
    assert (certificate.commit, certificate.cause) == (retraining.commit, "retraining:1")
    assert not head.is_dirty
    assert list_versions(ws, "flights")[0].digest == certificate.data["flights"]

    grant(ws, asked.id, actor="olga")
    controller = Controller(ws)
    controller.tick()
    controller.close()

    snapshot = read_snapshot(ws.state)
    assert snapshot is not None
    assert snapshot.routes["delay"].live.version == 2
    assert all(incident.is_resolved for incident in list_incidents(ws))
    assert not (ws.state / "worktrees" / "1").exists()
    serve(ws, make_flights(1_000, calm=2.0, seed=3))
    controller.tick()
    assert list_quality(ws, "delay", version=2)[0].metrics["accuracy"] > 0.8
    assert len(list_incidents(ws)) == len(incidents)
    assert ws.ledger.verify() > 0


def test_no_keeps_the_champion_and_the_same_labels_start_nothing(ws: Workspace) -> None:
    asked = ask(ws)
    refuse(ws, asked.id, actor="olga", reason="after the holidays")
    controller = Controller(ws)

    serve(ws, make_flights(500, calm=2.0, seed=4))
    controller.tick()
    controller.tick()

    champion = find_champion(ws, "delay")
    assert champion is not None
    assert champion.version == 1
    assert get_version(ws, "delay", 2).state is State.REJECTED
    assert [retraining.state for retraining in list_retrainings(ws)] == [RetrainingState.REFUSED]
    serve(ws, make_flights(500, calm=2.0, seed=5))
    controller.tick()
    controller.close()
    assert len(list_retrainings(ws)) == 2


def test_controller_that_is_killed_at_every_step_goes_on(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(ws, make_flights(1_500, calm=2.0, seed=2))
    for done in (RetrainingState.EXPORTED, RetrainingState.COMMITTED):
        with pytest.raises(KeyboardInterrupt):
            tick_and_die(monkeypatch, Controller(ws))
        Controller(ws).tick()
        assert [retraining.state for retraining in list_retrainings(ws)] == [done]

    # its training is still at work when the next controller starts another one
    killed, controller = Controller(ws), Controller(ws)
    killed.tick()
    with pytest.raises(KeyboardInterrupt):
        tick_until_it_dies(monkeypatch, controller)
    controller = Controller(ws)
    tick_until(controller, lambda: _asked(ws))
    controller.close()
    killed.close()

    assert len(list_retrainings(ws)) == 1
    assert len(list_approvals(ws)) == 1
    assert len(list_versions(ws, "flights")) == 2
    assert [version.version for version in registry.list_versions(ws, "delay")] == [2, 1]


def tick_and_die(monkeypatch: pytest.MonkeyPatch, controller: Controller) -> None:
    """Make a pass that ends, as by kill -9, when a step of the retraining was taken and not recorded yet."""

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        # the one moment that a real kill does not hit on purpose
        patched.setattr("petla.loop.retraining.steps.move_on", die)
        controller.tick()


def tick_until_it_dies(monkeypatch: pytest.MonkeyPatch, controller: Controller) -> None:
    while True:
        tick_and_die(monkeypatch, controller)
        time.sleep(0.02)
