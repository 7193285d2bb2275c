"""What a first import may cost: the command starts at once, the data plane needs no database."""

import subprocess
import sys

import pytest

from tests.architecture.source import PACKAGE, list_sources

HEAVY = (
    *("alembic", "litestar", "numpy", "onnxruntime", "pandas", "polars", "pyarrow", "sklearn"),
    *("sqlalchemy", "uvicorn"),
)

pytestmark = pytest.mark.skipif(not (PACKAGE / "bootstrap.py").exists(), reason="the command line is not built yet")


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_command_loads_no_heavy_library(option: str) -> None:
    program = (
        f"import sys; sys.argv = ['petla', {option!r}]\n"
        "from petla.bootstrap import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('loaded', *sorted(set({HEAVY!r}) & set(sys.modules)))"
    )

    assert _run_python("-c", program).splitlines()[-1] == "loaded"


def test_data_plane_loads_no_database() -> None:
    modules = [
        ".".join(("petla", *source.path.with_suffix("").parts)).removesuffix(".__init__")
        for source in list_sources(PACKAGE)
        if source.room == "serving" and source.path.stem != "__main__"
    ]
    program = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        "print('loaded', *sorted({'sqlalchemy', 'petla.storage.database'} & set(sys.modules)))"
    )

    assert modules
    assert _run_python("-c", program).splitlines()[-1] == "loaded"


def _run_python(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
