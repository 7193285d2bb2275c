"""A small project whose pipeline trains a real model."""

import textwrap
from pathlib import Path

import polars as pl

from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.models.registry import find_version_of_run, move
from petla.models.states import State
from petla.models.version import ModelVersion
from petla.pipeline.result import StepResult
from petla.storage.workspace import Workspace

PROJECT = """
[project]
name = "flights"

[models.delay]
target = "late"

[models.delay.gates]
metric = "auc"
minimum = 0.6
latency_ms = 1000
"""

PIPELINE = """
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression


def rows(n_rows: int = 600):
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"hour": random.uniform(0, 24, n_rows), "wind": random.gamma(2.0, 5.0, n_rows)})
    frame["late"] = frame["hour"] / 4 + frame["wind"] / 4 + random.normal(0, 1, n_rows) > 6
    return frame


def training(rows: pd.DataFrame):
    return rows.head(300)


def holdout(rows: pd.DataFrame):
    return rows.tail(300)


def model(training: pd.DataFrame, strength: float = 1.0):
    return LogisticRegression(C=strength, max_iter=1000).fit(training[["hour", "wind"]], training["late"])


def evaluation(model):
    return {"weight": float(model.coef_[0][0])}
"""


class Silence:
    """A progress that remembers what was executed."""

    def __init__(self) -> None:
        self.executed: list[str] = []

    def step_started(self, name: str, index: int, total: int) -> None:
        del index, total
        self.executed.append(name)

    def step_finished(self, result: StepResult) -> None:
        del result


def open_project(folder: Path, *, project: str = PROJECT, code: str = PIPELINE) -> Workspace:
    (folder / "petla.toml").write_text(project, encoding="utf-8")
    (folder / "pipeline.py").write_text(textwrap.dedent(code), encoding="utf-8")
    return Workspace(folder, decode_project(project), Settings(actor="ada", wait_s=0.0))


def crown(ws: Workspace, version: int) -> None:
    """Make a version that passed its gates the champion, as a deployment does."""
    with ws.ledger.change(actor="ada", action="model.deployed", subject=f"delay:{version}") as change:
        move(change, ws.name, "delay", version, State.PRODUCTION)


def publish(ws: Workspace, live: int) -> None:
    """Write the part of a snapshot that gates look at."""
    path = ws.state / "serving" / "snapshot.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{{"number": 1, "routes": {{"delay": {{"live": {{"version": {live}, "package": "p"}}}}}}}}')


def find_run(ws: Workspace, run_id: int) -> ModelVersion:
    found = find_version_of_run(ws, "delay", run_id)
    assert found is not None
    return found


def make_frame(rows: dict[str, list[object]]) -> pl.DataFrame:
    return pl.DataFrame(rows)
