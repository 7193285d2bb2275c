"""`petla audit verify`: yes or no."""

import json
import sqlite3
from pathlib import Path

from petla.cli.commands.projects import create_project
from tests.flows.product import petla


def test_verify_says_no_when_an_entry_was_changed(tmp_path: Path) -> None:
    create_project(tmp_path)
    petla(tmp_path, "data", "add", "data/penguins.csv")
    with sqlite3.connect(tmp_path / ".petla" / "petla.db") as rows:
        rows.execute("UPDATE audit SET actor = 'somebody else' WHERE seq = 1")
    rows.close()

    done = petla(tmp_path, "audit", "verify", "--json")

    assert done.returncode == 1
    assert json.loads(done.stdout)["fault"].startswith("audit entry 1")
