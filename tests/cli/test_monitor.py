"""`petla monitor show`: one model, all models, another version."""

import json
import re
from pathlib import Path

import pytest

from petla.decisions.shipper import ship
from petla.monitoring.counting import make_counter
from petla.storage.workspace import Workspace
from tests.cli.calling import call
from tests.decisions.logged import make_decision, make_feedback, spool
from tests.deployments.tiny import MODEL, PROJECT, open_live_shop


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    """A shop with a live model and another one that is not live."""
    ws = open_live_shop(tmp_path)
    text = PROJECT + '\n[models.second]\ntarget = "y"\n'
    (tmp_path / "petla.toml").write_text(text, encoding="utf-8")
    return ws


def test_labels_that_cannot_be_used_are_said(shop: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    spool(shop, [make_decision(n) for n in range(5)], [make_feedback(n, "maybe") for n in range(5)])
    ship(shop)

    assert call(shop, "monitor", "show", MODEL, "--version", "1") == 0

    said = capsys.readouterr().out
    assert "of 5 labels in the open window, 5 cannot be used: 5 labels are no class of the model" in said
    assert call(shop, "monitor", "show", MODEL, "--version", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["labels"]["unusable"] == 5


def test_all_models_are_listed_without_a_name(shop: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(shop, "monitor", "show") == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == [MODEL, "second"]
    assert "no window is full yet" in lines[1]
    assert "not judged yet" in lines[1]
    assert "not live" in lines[2]
    assert "fine" not in "".join(lines)


def test_present_pace_is_that_of_the_last_minute(shop: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    spool(shop, [make_decision(n) for n in range(5)])
    ship(shop, counters=[make_counter(shop)])

    assert call(shop, "monitor", "show", MODEL) == 0

    assert re.search(r"5 decisions in all, last decision \d+ h ago", capsys.readouterr().out)
