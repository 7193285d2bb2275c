"""The pipeline: what a step costs beside plain Python, and how long a run with nothing changed takes.

The pipeline has five steps on a table of 1,000 rows, then of 200,000 (16 MB). The peer is plain Python that calls the
same functions in order; Pętla also hashes their code, keeps every output, and writes the run and two audit entries.
All figures are those of the fastest round: a busy machine only ever adds time.

    python benchmarks/pipeline.py [--rounds 7] [--json]
"""

import argparse
import importlib.util
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from petla.core.errors import PetlaError
from petla.core.settings import Settings
from petla.pipeline.plan import RunRequest, make_plan
from petla.pipeline.result import StepResult
from petla.pipeline.runs import run_pipeline
from petla.storage.workspace import Workspace, open_workspace

N_STEPS = 5
PROJECT = """
[project]
name = "benchmark"

[models.delay]
target = "late"

[models.delay.gates]
latency_ms = 1000
"""
CODE = """
import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROUND, ROWS = {number}, {rows}


def rows(n=ROWS, seed=1):
    draw = np.random.default_rng(seed)
    frame = pl.DataFrame({{f"x{{i}}": draw.normal(size=n) for i in range(8)}})
    return frame.with_columns(late=pl.col("x0") + draw.normal(size=n) > ROUND * 0)


def features(rows):
    return rows.with_columns(x8=pl.col("x0") * pl.col("x1"), x9=pl.col("x2").abs())


def training(features):
    return features.head(features.height * 3 // 4)


def holdout(features):
    return features.tail(features.height // 4)


def model(training):
    # few rows: the fit's own time, which swings, must not hide what is measured
    training = training.head(2_000)
    fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=50))
    return fitted.fit(training.drop("late").to_pandas(), training["late"].to_numpy())
"""


class Silent:
    """Shows nothing."""

    def step_started(self, name: str, index: int, total: int) -> None:
        """Show nothing."""

    def step_finished(self, step: StepResult) -> None:
        """Show nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), asked.rounds)
    if asked.json:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        print(f"{name:<48}{figure if isinstance(figure, str) else f'{figure:,.2f}'}")


def measure(folder: Path, rounds: int) -> dict[str, float | str]:
    (folder / "petla.toml").write_text(PROJECT)
    small, large = measure_steps(folder, 1_000, rounds), measure_steps(folder, 200_000, rounds)
    ws = open_workspace(folder, Settings(actor="benchmark"))
    cached = [time_ms(lambda: run_pipeline(ws, "delay", RunRequest(), Silent())) for _ in range(rounds)]
    planned = [time_ms(lambda: make_plan(ws, "delay", RunRequest())) for _ in range(rounds)]
    return {
        **small,
        **large,
        "all cached, in-process with its row, ms": min(cached),
        "plan only, in-process, ms": min(planned),
        **measure_command(folder, rounds),
    }


def measure_steps(folder: Path, rows: int, rounds: int) -> dict[str, float | str]:
    """Time a run with every step executed beside the same functions called plainly."""
    # imports and making the database are not the steps' cost
    run_pipeline(write_code(folder, rows, 0), "delay", RunRequest(), Silent())
    plain, cold = [], []
    for number in range(1, rounds + 1):
        ws = write_code(folder, rows, number)
        plain.append(time_ms(lambda: run_plainly(folder)))
        cold.append(time_ms(lambda ws=ws: run_pipeline(ws, "delay", RunRequest(), Silent())))  # type: ignore[misc]
    return {
        f"{rows:,} rows: plain Python, five steps, ms": min(plain),
        f"{rows:,} rows: Petla, five steps, ms": min(cold),
        f"{rows:,} rows: ratio": min(cold) / min(plain),
        f"{rows:,} rows: overhead a step, ms": (min(cold) - min(plain)) / N_STEPS,
    }


def measure_command(folder: Path, rounds: int) -> dict[str, float | str]:
    """Time the whole command with nothing changed, beside a Python that starts and ends."""
    command = [sys.executable, "-m", "petla", "run"]
    first = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if first.returncode not in (0, 1):
        return {"petla run, nothing changed, ms": f"not measured: {(first.stderr or first.stdout).strip()[-200:]}"}
    done = [
        time_ms(lambda: subprocess.run(command, cwd=folder, capture_output=True, check=False)) for _ in range(rounds)
    ]
    bare = [time_ms(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)) for _ in range(rounds)]
    return {
        "petla run, nothing changed, ms": min(done),
        "python -c pass, ms": min(bare),
        "ratio to python -c pass": min(done) / min(bare),
    }


def write_code(folder: Path, rows: int, number: int) -> Workspace:
    (folder / "pipeline.py").write_text(CODE.format(number=number, rows=rows))
    return open_workspace(folder, Settings(actor="benchmark"))


def run_plainly(folder: Path) -> None:
    spec = importlib.util.spec_from_file_location("plain", folder / "pipeline.py")
    if spec is None or spec.loader is None:
        raise PetlaError("the pipeline cannot be imported")
    plain = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain)
    features = plain.features(plain.rows())
    plain.holdout(features)
    plain.model(plain.training(features))


def time_ms(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


if __name__ == "__main__":
    main()
