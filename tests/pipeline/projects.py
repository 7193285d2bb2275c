"""Small projects to run."""

import textwrap
from pathlib import Path

from petla.core.errors import PetlaError
from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.pipeline.plan import RunRequest, make_plan
from petla.pipeline.result import RunResult, StepResult
from petla.pipeline.runs import run_pipeline
from petla.storage.workspace import Workspace

PROJECT = """
[project]
name = "flights"

[data.rows]
path = "data/rows.csv"

[data.notes]
path = "data/notes"

[models.delay]
target = "late"
"""

# takes no data, so that a test of the pipeline needs no dataset
PIPELINE = """
import polars as pl


def raw(n: int = 4):
    return pl.DataFrame({"hour": list(range(n)), "late": [h % 2 == 0 for h in range(n)]})


def training(raw):
    return raw.head(3)


def holdout(raw):
    return raw.tail(1)


def model(training, weight: float = 0.5):
    return {"mean": training["hour"].mean() * weight}


def evaluation(model, holdout):
    return {"error": abs(model["mean"] - holdout["hour"][0])}
"""

STEPS = ["raw", "training", "holdout", "model", "evaluation"]


class Watcher:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.executed: list[str] = []
        self.cached: list[str] = []
        self.started: list[tuple[str, int, int]] = []

    def step_started(self, name: str, index: int, total: int) -> None:
        self.started.append((name, index, total))

    def step_finished(self, step: StepResult) -> None:
        (self.cached if step.is_cached else self.executed).append(step.name)


def open_project(folder: Path, code: str = PIPELINE, *, project: str = PROJECT) -> Workspace:
    write(folder / "pipeline.py", code)
    write(folder / "petla.toml", project)
    return Workspace(folder, decode_project(project), Settings(actor="ada"))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")


def run(ws: Workspace, request: RunRequest | None = None) -> tuple[RunResult, Watcher]:
    watcher = Watcher()
    return run_pipeline(ws, "delay", request or RunRequest(), watcher), watcher


def keys_of(ws: Workspace, request: RunRequest | None = None) -> dict[str, str]:
    return {step.name: step.key for step in make_plan(ws, "delay", request or RunRequest()).steps}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def message_of(error: PetlaError) -> str:
    return f"{error}\n{getattr(error, 'traceback', '')}"
