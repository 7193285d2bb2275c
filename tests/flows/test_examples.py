"""The tests of the example projects, run as whoever takes one of them runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.slow
@pytest.mark.parametrize("example", sorted(path.parent.name for path in EXAMPLES.glob("*/petla.toml")))
def test_tests_of_an_example_pass(example: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=EXAMPLES / example,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTEST_ADDOPTS": ""},
    )

    assert done.returncode == 0, done.stdout + done.stderr
