"""Broken clients harm nobody: no 5xx, no death, nothing lost; the short form of benchmarks/fuzz.py."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz.py"


@pytest.mark.slow
def test_right_and_broken_requests_side_by_side() -> None:
    command = [sys.executable, str(SCRIPT), "--requests", "4000", "--threads", "3"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 of them not in the log, 0 in it twice" in done.stdout
