"""Which version lies in the work tree: found without reading what has not changed, and without heavy libraries."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from petla.core.errors import ConflictError, NotFoundError, PetlaError
from petla.data import current
from petla.data.current import current_digest
from petla.data.versions import add
from petla.storage.workspace import Workspace
from tests.contracts.damage import lose
from tests.data.projects import CSV, make_project, write_folder, write_rows

HEAVY = ("alembic", "numpy", "pandas", "polars", "pyarrow", "sqlalchemy")


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return make_project(tmp_path)


def _digest(ws: Workspace, name: str = "rows") -> str:
    return current_digest(ws.root, ws.state, ws.project.data[name], name)


def _make_older(path: Path, seconds: float = 60) -> None:
    moment = time.time() - seconds
    os.utime(path, (moment, moment))


def test_digest_is_that_of_the_version(ws: Workspace) -> None:
    assert add(ws, write_rows(ws)).version.digest == _digest(ws)
    assert add(ws, write_folder(ws)).version.digest == _digest(ws, "parts")


@pytest.mark.parametrize(
    ("spoil", "kind", "said"),
    [
        (lambda path: path.write_text("hour\n8\n"), ConflictError, "petla data checkout rows"),
        (lambda path: path.unlink(), ConflictError, "is not there"),
        (lambda path: path.with_name("rows.csv.dvc").unlink(), ConflictError, "petla data add data/rows.csv"),
    ],
    ids=["changed", "missing", "untracked"],
)
def test_working_copy_that_is_not_the_version_is_refused(
    ws: Workspace, spoil: object, kind: type[PetlaError], said: str
) -> None:
    path = write_rows(ws)
    add(ws, path)
    assert callable(spoil)
    spoil(path)

    with pytest.raises(kind, match=said):
        _digest(ws)


def test_nothing_at_all_is_not_found(ws: Workspace) -> None:
    with pytest.raises(NotFoundError, match=r"no data/rows\.csv"):
        _digest(ws)


def test_version_that_this_store_lacks_is_refused(ws: Workspace) -> None:
    version = add(ws, write_rows(ws)).version
    lose(ws.objects, version.digest)

    with pytest.raises(ConflictError, match="not in this project's store"):
        _digest(ws)


def test_unchanged_file_is_not_read_again(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_rows(ws)
    _make_older(path)
    digest = add(ws, path).version.digest
    # The one thing that tells reading from not reading.
    monkeypatch.delattr(current, "digest_files")

    assert _digest(ws) == digest


def test_file_touched_just_before_it_was_read_is_read_again(ws: Workspace) -> None:
    path = write_rows(ws)
    add(ws, path)
    # now that the database is open, not much comes between writing and reading
    path = write_rows(ws, CSV + CSV)
    add(ws, path)
    status = path.stat()
    path.write_text((CSV + CSV).replace("1", "7"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    with pytest.raises(ConflictError, match="is not the version"):
        _digest(ws)


def test_change_that_keeps_the_size_is_noticed(ws: Workspace) -> None:
    path = write_rows(ws)
    _make_older(path)
    add(ws, path)
    path.write_text(CSV.replace("1", "7"))
    _make_older(path, 30)

    with pytest.raises(ConflictError, match="is not the version"):
        _digest(ws)


def test_damaged_cache_is_read_over(ws: Workspace) -> None:
    digest = add(ws, write_rows(ws)).version.digest
    (ws.state / "cache" / "data" / "rows.json").write_text("{")

    assert _digest(ws) == digest


@pytest.mark.parametrize("module", ["petla.data.current", "petla.data.git"])
def test_module_loads_nothing_heavy(module: str) -> None:
    program = f"import sys, {module}; print(*(set({HEAVY!r}) & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []


def test_finding_the_digest_loads_nothing_heavy(ws: Workspace) -> None:
    digest = add(ws, write_rows(ws)).version.digest
    program = (
        "import sys; from pathlib import Path; from petla.core.project import DatasetTable\n"
        "from petla.data.current import current_digest\n"
        f"root = Path({str(ws.root)!r})\n"
        "print(current_digest(root, root / '.petla', DatasetTable(path='data/rows.csv'), 'rows'))\n"
        f"print(*(set({HEAVY!r}) & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == [digest]
