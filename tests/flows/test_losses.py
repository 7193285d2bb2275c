"""Nothing that was answered is lost, whatever is killed, stopped or full; the short form of benchmarks/losses.py."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.contracts.postgresql import find_programs

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "losses.py"
SECONDS = 10


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_every_answered_decision_is_in_the_log_exactly_once(database: str) -> None:
    if database == "postgresql" and find_programs() is None:
        pytest.skip("no PostgreSQL server program, or no user that may run it")
    command = [sys.executable, str(SCRIPT), "--seconds", str(SECONDS), "--threads", "2", "--database", database]

    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 of them not in the log, 0 in it twice" in done.stdout
