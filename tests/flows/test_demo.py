"""The demo as anybody runs it: the whole loop on real flights."""

import json
from pathlib import Path

import pytest

from tests.flows.product import petla

pytestmark = pytest.mark.slow


def test_demo_goes_all_the_way_round_and_loses_nothing(tmp_path: Path) -> None:
    done = petla(tmp_path, "demo", "--yes", "--json", TMPDIR=str(tmp_path))
    report = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert all(stage["ok"] for stage in report["stages"])
    assert report["requests_failed"] == 0
    assert report["decisions_answered"] == report["decisions_logged"] > 10_000
    assert report["alarm"]["value"] < report["alarm"]["limit"]
    assert report["challenger_metric"] > report["champion_metric"]
    assert report["rollback_ms"] < 1_000
