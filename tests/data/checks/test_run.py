"""A run is stopped by what blocks and is not waived, and by nothing else."""

from pathlib import Path

import polars as pl
import pytest

from petla.core.errors import GateFailedError
from petla.data.versions import add
from petla.pipeline.plan import RunRequest
from petla.pipeline.runs import list_runs
from petla.storage.workspace import Workspace
from tests.pipeline.projects import PROJECT, open_project, run

CODE = """
def training(rows):
    return rows.head(150)

def holdout(rows):
    return rows.tail(50)

def model(training):
    return 1
"""
CLEAN = pl.DataFrame({"id": range(200), "hour": [n % 24 for n in range(200)], "late": [n % 3 == 0 for n in range(200)]})
ZERO = CLEAN.with_columns(hour=pl.lit(0))


def open_with(folder: Path, checks: str, *tables: pl.DataFrame) -> Workspace:
    ws = open_project(folder, CODE, project=f"{PROJECT}\n{checks}")
    (folder / "data").mkdir()
    for table in tables:
        table.write_csv(folder / "data" / "rows.csv")
        add(ws, folder / "data" / "rows.csv")
    return ws


def test_recorded_finding_neither_stops_nor_warns(tmp_path: Path) -> None:
    ws = open_with(tmp_path, "[data.rows.checks.severity]\nconstant = 'record'", CLEAN, ZERO)

    assert run(ws)[0].warnings == ()


def test_warning_of_the_project_file_does_not_stop(tmp_path: Path) -> None:
    ws = open_with(tmp_path, "[data.rows.checks.severity]\nconstant = 'warn'", CLEAN, ZERO)

    (warning,) = run(ws)[0].warnings
    assert "column 'hour' is 0 in all 200 rows" in warning


def test_waived_finding_does_not_stop_and_the_warning_says_who_waived_it(tmp_path: Path) -> None:
    waiver = "[[data.rows.checks.waivers]]\nrule = 'constant'\ncolumn = 'hour'\nowner = 'ann'\nreason = 'winter'\n"
    ws = open_with(tmp_path, f"{waiver}expires = 2999-12-31", CLEAN, ZERO)

    (warning,) = run(ws)[0].warnings
    assert warning.endswith("waived by ann until 2999-12-31")


def test_expired_waiver_stops(tmp_path: Path) -> None:
    waiver = "[[data.rows.checks.waivers]]\nrule = 'constant'\nowner = 'ann'\nreason = 'winter'\nexpires = 2020-12-31"
    ws = open_with(tmp_path, waiver, CLEAN, ZERO)

    with pytest.raises(GateFailedError, match="dataset rows: column 'hour' is 0"):
        run(ws)


def test_what_is_declared_stops_a_first_version_and_one_that_was_used_before(tmp_path: Path) -> None:
    ws = open_with(tmp_path, "[data.rows.checks]\nkey = ['hour']", CLEAN)

    with pytest.raises(GateFailedError, match="the key 'hour' is not unique"):
        run(ws)
    accepted, _ = run(ws, RunRequest(accept_data="hours repeat"))
    with pytest.raises(GateFailedError, match="the key 'hour' is not unique"):
        run(ws)

    assert "(expected: each key once" in accepted.warnings[0]
    assert len(list_runs(ws)) == 3


def test_leak_in_a_first_version_warns(tmp_path: Path) -> None:
    ws = open_with(tmp_path, "", CLEAN.with_columns(delayed=pl.col("late").cast(pl.Int8)))

    (warning,) = run(ws)[0].warnings
    assert "column 'delayed' gives the label 'late' away" in warning
