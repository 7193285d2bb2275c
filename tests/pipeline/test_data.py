"""Datasets in a run: the kind of frame that is asked for, the version, the checks before the first step."""

from pathlib import Path

import polars as pl
import pytest

from petla.core.errors import ConflictError, GateFailedError, InvalidError
from petla.data.versions import add, add_content, get_version
from petla.pipeline.plan import RunRequest, make_plan
from petla.pipeline.result import RunState
from petla.pipeline.runs import list_runs, load_frame, load_output
from petla.storage.workspace import Workspace
from tests.pipeline.projects import open_project, run, write

KINDS = """
from pathlib import Path
import pandas as pd, polars, pyarrow as pa
from polars import LazyFrame


def plain(rows):
    return rows

def panda(rows: pd.DataFrame):
    return rows

def quoted(rows: "pd.DataFrame | None"):
    return rows

def arrow(rows: pa.Table):
    return rows

def lazy(rows: LazyFrame):
    return rows

def content(rows: Path, notes: Path):
    return [rows.read_text(), sorted(each.name for each in notes.iterdir())]

def training(panda: polars.DataFrame, arrow: pd.DataFrame, lazy: pa.Table, plain, quoted, content):
    return [name(panda), name(arrow), name(lazy), name(plain), name(quoted)]

def name(value):
    return type(value).__module__.split(".")[0] + "." + type(value).__name__

def holdout(panda):
    return panda

def model(training):
    return 1
"""

USING = """
def training(rows):
    return rows.head(150)

def holdout(rows):
    return rows.tail(50)

def model(training):
    return float(training["hour"].mean())
"""


def make_rows(n: int = 200) -> pl.DataFrame:
    return pl.DataFrame({"hour": [float(i % 24) for i in range(n)], "late": [i % 3 == 0 for i in range(n)]})


def make_constant(n: int) -> pl.DataFrame:
    return make_rows(n).with_columns(hour=pl.lit(0.0))


def open_with_rows(folder: Path, code: str = USING) -> Workspace:
    ws = open_project(folder, code)
    (folder / "data").mkdir()
    make_rows().write_csv(folder / "data" / "rows.csv")
    add(ws, folder / "data" / "rows.csv")
    return ws


def test_frames_arrive_as_annotated(tmp_path: Path) -> None:
    ws = open_with_rows(tmp_path, KINDS)
    write(tmp_path / "data" / "notes" / "a.txt", "first")
    add(ws, tmp_path / "data" / "notes")

    result, _ = run(ws)

    assert load_output(ws, result, "training") == [
        "polars.DataFrame",
        "pandas.DataFrame",
        "pyarrow.Table",
        "polars.DataFrame",
        "pandas.DataFrame",
    ]
    assert load_output(ws, result, "content") == [(tmp_path / "data" / "rows.csv").read_text(), ["a.txt"]]
    assert type(load_output(ws, result, "holdout")).__module__.startswith("pandas")
    assert load_frame(ws, result, "holdout").equals(make_rows())
    assert isinstance(load_output(ws, result, "lazy"), pl.LazyFrame)


def test_folder_that_is_no_table_has_to_be_taken_as_a_path(tmp_path: Path) -> None:
    ws = open_with_rows(tmp_path, USING.replace("def holdout(rows)", "def holdout(rows, notes)"))
    write(tmp_path / "data" / "notes" / "a.txt", "first")
    add(ws, tmp_path / "data" / "notes")

    with pytest.raises(InvalidError, match=r"annotate the parameter: 'notes: pathlib.Path'"):
        run(ws)


def test_changed_working_copy_is_refused_until_it_is_added(tmp_path: Path) -> None:
    ws = open_with_rows(tmp_path)
    first, _ = run(ws)
    make_rows(300).write_csv(tmp_path / "data" / "rows.csv")

    with pytest.raises(ConflictError, match="petla data"):
        make_plan(ws, "delay", RunRequest())
    add(ws, tmp_path / "data" / "rows.csv")
    second, seen = run(ws)

    assert sorted(seen.executed) == ["holdout", "model", "training"]
    assert first.data != second.data
    assert second.data == {"rows": get_version(ws, "rows", version=2).digest}


def test_other_version_is_used_without_touching_the_working_copy(tmp_path: Path) -> None:
    ws = open_with_rows(tmp_path)
    fresh = tmp_path / "fresh.csv"
    make_rows(240).write_csv(fresh)
    version = add_content(ws, "rows", fresh, actor="controller", origin="decisions")
    before = (tmp_path / "data" / "rows.csv").read_bytes()

    result, _ = run(ws, RunRequest(datasets={"rows": version.digest}))

    assert result.data == {"rows": version.digest}
    assert load_frame(ws, result, "holdout").equals(make_rows(240).tail(50))
    assert (tmp_path / "data" / "rows.csv").read_bytes() == before
    assert list((ws.state / "cache").glob("data-*")) == []


def test_code_of_another_folder_runs_with_the_pointers_there(tmp_path: Path) -> None:
    ws = open_with_rows(tmp_path / "project")
    write(tmp_path / "tree" / "pipeline.py", USING.replace("tail(50)", "tail(7)"))
    (tmp_path / "tree" / "data").mkdir()
    pointer = Path("data") / "rows.csv.dvc"
    (tmp_path / "tree" / pointer).write_bytes((tmp_path / "project" / pointer).read_bytes())

    result, _ = run(ws, RunRequest(source=tmp_path / "tree", commit="c0ffee"))

    assert load_frame(ws, result, "holdout").height == 7
    assert (result.commit, result.is_dirty) == ("c0ffee", False)
    assert result.data == {"rows": get_version(ws, "rows", version=1).digest}


def test_data_unlike_the_version_before_blocks_unless_accepted(tmp_path: Path) -> None:
    ws = open_with_rows(tmp_path)
    make_constant(200).write_csv(tmp_path / "data" / "rows.csv")
    add(ws, tmp_path / "data" / "rows.csv")

    with pytest.raises(GateFailedError, match="dataset rows: column 'hour' is 0") as caught:
        run(ws)
    assert caught.value.field == "hour"
    assert list_runs(ws)[0].state is RunState.FAILED

    accepted, _ = run(ws, RunRequest(accept_data="the clock was changed"))

    assert "column 'hour'" in accepted.warnings[0]
    started = [entry for entry in ws.ledger.list_entries() if entry.action == "run.started"]
    assert started[-1].details["accepted_data"] == "the clock was changed"


def test_data_is_compared_with_the_reference_that_is_named(tmp_path: Path) -> None:
    ws = open_with_rows(tmp_path)
    for n in (200, 210):
        make_constant(n).write_csv(tmp_path / "data" / "rows.csv")
        add(ws, tmp_path / "data" / "rows.csv")
    champion = get_version(ws, "rows", version=1).digest

    with pytest.raises(GateFailedError):
        run(ws, RunRequest(reference={"rows": champion}))

    assert run(ws)[0].data == {"rows": get_version(ws, "rows", version=3).digest}


def test_data_that_was_refused_does_not_become_what_the_next_is_compared_with(tmp_path: Path) -> None:
    ws = open_with_rows(tmp_path)
    run(ws)
    for n in (200, 190):
        make_constant(n).write_csv(tmp_path / "data" / "rows.csv")
        add(ws, tmp_path / "data" / "rows.csv")

        with pytest.raises(GateFailedError, match=r"column 'hour' is 0 .*version 1: "):
            run(ws)
