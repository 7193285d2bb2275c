"""`petla data check`: which version it compares with, what it prints, and what its exit status says."""

import json
from pathlib import Path

import msgspec
import polars as pl
import pytest

from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.data.versions import add, get_version
from petla.models.records import insert_version
from petla.models.states import State
from petla.storage.database import writing
from petla.storage.workspace import Workspace
from tests.cli.calling import call
from tests.data.checks.tables import load_penguins
from tests.loop.stage import add_version

PROJECT = """
[project]
name = "penguins"

[data.rows]
path = "rows.csv"

[models.delay]
target = "species"
task = "multiclass"
"""
CLEAN = load_penguins()
ZERO = CLEAN.with_columns(body_mass_g=pl.lit(0))


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    (tmp_path / "petla.toml").write_text(PROJECT)
    (tmp_path / "pipeline.py").write_text("")
    return Workspace(tmp_path, decode_project(PROJECT), Settings(actor="ada"))


def put(ws: Workspace, *tables: pl.DataFrame) -> None:
    for table in tables:
        table.write_csv(ws.root / "rows.csv")
        add(ws, ws.root / "rows.csv")


def crown(ws: Workspace, version: int) -> None:
    """Make a champion that was trained on a version of the rows."""
    made = add_version(ws, 1, State.RETIRED)
    data = {"rows": get_version(ws, "rows", version=version).digest}
    certificate = msgspec.structs.replace(made.certificate, data=data)
    champion = msgspec.structs.replace(made, version=2, run_id=2, state=State.PRODUCTION, certificate=certificate)
    with writing(ws.engine) as connection:
        insert_version(connection, ws.name, champion)


def test_it_compares_with_what_the_champion_was_trained_on_and_says_so(
    ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    put(ws, CLEAN, ZERO, ZERO.reverse())
    crown(ws, 1)

    assert call(ws, "data", "check", "rows") == 1

    told = capsys.readouterr()
    first = "rows version 3, against version 1, what the champion delay:2 was trained on: 1 blocking"
    assert told.out.splitlines()[0] == first
    assert "block: column 'body_mass_g' is 0 in all 344 rows" in told.err
    assert told.out.splitlines()[-1].startswith("next: correct the data")


def test_without_a_champion_it_is_the_version_before_and_a_number_wins(
    ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    put(ws, CLEAN)
    assert call(ws, "data", "check") == 0
    assert capsys.readouterr().out.startswith("rows version 1, the first version: nothing stands out\nnext: petla run")

    put(ws, ZERO, ZERO.reverse())
    assert call(ws, "data", "check") == 0
    assert "against version 2, the version before; no champion" in capsys.readouterr().out

    crown(ws, 3)
    assert call(ws, "data", "check") == 0
    assert "which is itself what the champion delay:2 was trained on" in capsys.readouterr().out
    assert call(ws, "data", "check", "--against", "1") == 1
    assert "against version 1, as asked: 1 blocking" in capsys.readouterr().out


def test_recorded_and_waived_findings_are_listed_and_stop_nothing(
    ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    put(ws, CLEAN, ZERO.drop("island"))
    waiver = "[[data.rows.checks.waivers]]\nrule = 'constant'\nowner = 'ann'\nreason = 'x'\nexpires = 2999-12-31\n"
    (ws.root / "petla.toml").write_text(f"{PROJECT}[data.rows.checks.severity]\nmissing_column = 'record'\n{waiver}")

    assert call(ws, "data", "check") == 0
    told = capsys.readouterr()
    assert "1 recorded, 1 waived" in told.out
    assert "record: column 'island' is missing" in told.err
    assert "waived by ann until 2999-12-31: column 'body_mass_g' is 0" in told.err

    assert call(ws, "data", "check", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["version"], answer["reference"]) == (2, 1)
    assert {(f["rule"], f["severity"], f["waived_by"]) for f in answer["findings"]} == {
        ("missing_column", "record", ""),
        ("constant", "block", "ann"),
    }


def test_proposals_are_shown_as_a_diff_and_written_on_demand(ws: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    put(ws, CLEAN)

    assert call(ws, "data", "check", "--propose") == 0
    told = capsys.readouterr().out
    assert "+++ petla.toml" in told
    assert '+categories = ["Adelie", "Chinstrap", "Gentoo"]' in told
    assert told.splitlines()[-1] == "expectations for 6 columns; next: petla data check rows --propose --write"
    assert (ws.root / "petla.toml").read_text() == PROJECT

    assert call(ws, "data", "check", "--propose", "--write") == 0
    assert (ws.root / "petla.toml").read_text().startswith(PROJECT)
    assert call(ws, "data", "check") == 0
    assert call(ws, "data", "check", "--propose", "--json") == 0
    assert '"columns": []' in capsys.readouterr().out

    put(ws, CLEAN.with_columns(species=pl.col("species").replace("Gentoo", "King")))
    capsys.readouterr()
    assert call(ws, "data", "check") == 1
    assert "column 'species' has values that are not allowed: 'King'" in capsys.readouterr().err
