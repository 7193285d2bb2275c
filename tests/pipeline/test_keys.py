"""Keys: what changes the key of a step, and what does not."""

import subprocess
import sys
from pathlib import Path

import pytest

from petla.pipeline.plan import RunRequest, make_plan
from tests.pipeline.projects import PIPELINE, changed, keys_of, open_project, write

FEATURES = """
LIMIT = 3


def clean(rows):
    return _clip(rows, LIMIT)


def _clip(rows, limit):
    return rows


def unrelated():
    return 1
"""

USING = """
import features
from features import clean as tidy

SCALE = 2


def training(n=1):
    return tidy([n * SCALE])


def holdout(n=1):
    return features.clean([n])


def model(training):
    return _fit(training)


def _fit(rows):
    return sum(rows)
"""


@pytest.mark.parametrize(
    ("old", "fresh"),
    [
        ("return raw.head(3)", "return raw.head(3)  # the first"),
        ("def training(raw):", 'def training(raw):\n    """Take the first rows."""'),
        ("    return raw.head(3)", "\n\n    return raw.head(\n        3\n    )"),
        ("import polars as pl", "import polars as pl\n\nUNUSED = 1"),
    ],
    ids=["comment", "docstring", "layout", "unused constant"],
)
def test_what_does_not_run_does_not_count(tmp_path: Path, old: str, fresh: str) -> None:
    ws = open_project(tmp_path)
    before = keys_of(ws)
    write(tmp_path / "pipeline.py", PIPELINE.replace(old, fresh))

    assert changed(before, keys_of(ws)) == set()


@pytest.mark.parametrize(
    ("file", "old", "fresh", "hit"),
    [
        ("pipeline.py", "sum(rows)", "max(rows)", {"model"}),
        ("pipeline.py", "SCALE = 2", "SCALE = 3", {"training", "model"}),
        ("pipeline.py", "SCALE = 2", "SCALE = 2\nimport random\nrandom.seed(1)", {"training", "holdout", "model"}),
        ("features.py", "LIMIT = 3", "LIMIT = 4", {"training", "holdout", "model"}),
        ("features.py", "return rows\n", "return rows[:limit]\n", {"training", "holdout", "model"}),
        ("features.py", "return 1", "return 2", set()),
        (
            "pipeline.py",
            "from features import clean as tidy",
            "from features import unrelated as tidy",
            {"training", "model"},
        ),
    ],
    ids=["own function", "constant", "import effect", "far constant", "far function", "unused", "other function"],
)
def test_reached_code_counts(tmp_path: Path, file: str, old: str, fresh: str, hit: set[str]) -> None:
    ws = open_project(tmp_path, USING)
    write(tmp_path / "features.py", FEATURES)
    before = keys_of(ws)
    text = (tmp_path / file).read_text()
    assert old in text
    write(tmp_path / file, text.replace(old, fresh))

    assert changed(before, keys_of(ws)) == hit


def test_code_of_packages_and_relative_imports_counts(tmp_path: Path) -> None:
    ws = open_project(
        tmp_path,
        """
        from tools import shape
        import tools.deep.depth as depth

        def training():
            return shape.area(2)

        def holdout():
            return depth.measure()

        def model(training):
            return training
        """,
    )
    write(tmp_path / "tools" / "__init__.py", "")
    write(tmp_path / "tools" / "shape.py", "from .deep import half\n\ndef area(x):\n    return half(x)\n")
    write(tmp_path / "tools" / "deep" / "__init__.py", "from .depth import half\n")
    write(tmp_path / "tools" / "deep" / "depth.py", "def half(x):\n    return x / 2\n\ndef measure():\n    return 1\n")
    before = keys_of(ws)
    deep = tmp_path / "tools" / "deep" / "depth.py"
    write(deep, deep.read_text().replace("x / 2", "x / 4"))

    assert changed(before, keys_of(ws)) == {"training", "model"}


def test_parameter_counts_where_it_is_used(tmp_path: Path) -> None:
    ws = open_project(tmp_path)

    hit = changed(keys_of(ws), keys_of(ws, RunRequest(parameters={"weight": "0.7"})))

    assert hit == {"model", "evaluation"}


def test_version_of_imported_package_counts(tmp_path: Path) -> None:
    ws = open_project(tmp_path)
    before = keys_of(ws)
    memory = ws.state / "cache" / "packages.json"
    memory.write_text(memory.read_text().replace("polars ", "polars 0."))

    assert changed(before, keys_of(ws)) == set(before)


def test_plan_loads_no_heavy_library(tmp_path: Path) -> None:
    ws = open_project(tmp_path)
    make_plan(ws, "delay", RunRequest())
    program = f"""
import sys
from pathlib import Path
from petla.core.settings import Settings
from petla.pipeline.plan import RunRequest, make_plan
from petla.storage.workspace import open_workspace
make_plan(open_workspace(Path({str(tmp_path)!r}), Settings()), "delay", RunRequest())
heavy = {{"numpy", "pandas", "polars", "pyarrow", "sqlalchemy", "sklearn", "cryptography"}} & set(sys.modules)
print("loaded", *sorted(heavy))
"""

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["loaded"]
