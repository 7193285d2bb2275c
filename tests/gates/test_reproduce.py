"""Any version can be rebuilt from its certificate and gives the same metrics."""

import subprocess
from pathlib import Path

import pytest

from petla.core.errors import ConflictError
from petla.data.versions import add
from petla.gates.reproduce import reproduce
from petla.gates.training import train
from petla.pipeline.plan import RunRequest
from petla.pipeline.runs import list_runs
from petla.storage.workspace import Workspace
from tests.gates.examples import PIPELINE, PROJECT, Silence, open_project

DATA_PROJECT = PROJECT + '\n[data.flights]\npath = "data/flights.csv"\n'
DATA_PIPELINE = PIPELINE.replace("def rows(n_rows: int = 600):", "def rows(flights: pd.DataFrame, n_rows: int = 600):")


def git(ws: Workspace, *arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=ada", "-c", "user.email=ada@x", *arguments], cwd=ws.root, check=True)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    """A committed project that uses a dataset."""
    ws = open_project(tmp_path, project=DATA_PROJECT, code=DATA_PIPELINE)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "flights.csv").write_text("hour\n1\n2\n", encoding="utf-8")
    (tmp_path / ".gitignore").write_text(".petla/\n", encoding="utf-8")
    git(ws, "init", "-q")
    add(ws, tmp_path / "data" / "flights.csv")
    git(ws, "add", "-A")
    git(ws, "commit", "-qm", "start")
    return ws


def test_version_is_rebuilt_with_its_code_data_and_parameters(ws: Workspace) -> None:
    made = train(ws, "delay", RunRequest(parameters={"strength": "0.01", "n_rows": "700"}), Silence())
    (ws.root / "pipeline.py").write_text("what stands here now does not matter", encoding="utf-8")
    (ws.root / "data" / "flights.csv").write_text("hour\n9\n", encoding="utf-8")
    entries, progress = len(ws.ledger.list_entries()), Silence()

    again = reproduce(ws, "delay", made.version, progress)

    assert again.is_same
    assert again.is_identical
    assert again.metrics_now == pytest.approx(again.metrics_then)
    assert again.changed_environment == {}
    assert "model" in progress.executed
    assert len(ws.ledger.list_entries()) == entries


def test_rebuilding_leaves_a_shared_database_alone(tmp_path: Path) -> None:
    shared = tmp_path / "shared.db"
    text = PROJECT + f'\n[storage]\ndatabase = "sqlite:///{shared}"\n'
    (tmp_path / "project").mkdir()
    ws = open_project(tmp_path / "project", project=text)
    (ws.root / ".gitignore").write_text(".petla/\n", encoding="utf-8")
    git(ws, "init", "-q")
    git(ws, "add", "-A")
    git(ws, "commit", "-qm", "start")
    made = train(ws, "delay", RunRequest(), Silence())
    before = len(list_runs(ws)), len(ws.ledger.list_entries())

    assert reproduce(ws, "delay", made.version, Silence()).is_same

    assert (len(list_runs(ws)), len(ws.ledger.list_entries())) == before


def test_version_of_uncommitted_code_is_refused(ws: Workspace) -> None:
    with (ws.root / "pipeline.py").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    made = train(ws, "delay", RunRequest(), Silence())

    with pytest.raises(ConflictError, match="with changes on top"):
        reproduce(ws, "delay", made.version, Silence())
