"""The real dvc and we read each other's pointers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from petla.data.checkouts import checkout
from petla.data.current import current_digest
from petla.data.pointers import find_pointer
from petla.data.statuses import list_statuses
from petla.data.versions import add
from petla.storage.workspace import Workspace
from tests.data.projects import CSV, make_project, write_folder, write_rows

# starting dvc takes most of a second, several times a test
pytestmark = pytest.mark.slow


class Dvc:
    """The program, that calls nobody; `--no-scm` is for a project without Git."""

    def __init__(self, root: Path, home: Path, *options: str) -> None:
        self.root = root
        settings = home / "dvc"
        settings.mkdir(parents=True)
        (settings / "config").write_text("[core]\nanalytics = false\ncheck_update = false\n")
        self.environment = os.environ | {
            "HOME": str(home),
            "DVC_NO_ANALYTICS": "1",
            "DVC_GLOBAL_CONFIG_DIR": str(settings),
            "DVC_SYSTEM_CONFIG_DIR": str(settings),
            "DVC_SITE_CACHE_DIR": str(home / "site"),
        }
        self("init", "--quiet", *options)

    def __call__(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "dvc", *arguments]
        done = subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return make_project(tmp_path / "project")


@pytest.fixture
def dvc(ws: Workspace, tmp_path: Path) -> Dvc:
    return Dvc(ws.root, tmp_path / "home", "--no-scm")


def test_dvc_accepts_our_pointers(ws: Workspace, dvc: Dvc) -> None:
    path, folder = write_rows(ws), write_folder(ws)
    add(ws, path)
    add(ws, folder)
    ours = path.with_name("rows.csv.dvc").read_bytes(), folder.with_name("parts.dvc").read_bytes()

    assert "not in cache" in dvc("status")
    dvc("commit", "--force")

    assert dvc("status") == "Data and pipelines are up to date."
    assert ours == (path.with_name("rows.csv.dvc").read_bytes(), folder.with_name("parts.dvc").read_bytes())


def test_dvc_checks_out_what_our_pointers_name(ws: Workspace, dvc: Dvc) -> None:
    path, folder = write_rows(ws), write_folder(ws)
    add(ws, path)
    add(ws, folder)
    dvc("commit", "--force")
    add(ws, write_rows(ws, "hour\n9\n"))
    dvc("commit", "--force")
    checkout(ws, "rows", 1)
    path.unlink()

    dvc("checkout", "--force")

    assert path.read_text() == CSV
    assert [status.state for status in list_statuses(ws)] == ["clean", "clean"]


def test_we_read_a_pointer_that_dvc_wrote(ws: Workspace, dvc: Dvc) -> None:
    path, folder = write_rows(ws), write_folder(ws)
    dvc("add", "data/rows.csv", "data/parts")
    theirs = {p: find_pointer(p.with_name(p.name + ".dvc")) for p in (path, folder)}

    versions = [add(ws, path).version, add(ws, folder).version]

    assert [pointer.md5 for pointer in theirs.values() if pointer] == [version.md5 for version in versions]
    assert all(pointer and pointer.digest == "" for pointer in theirs.values())


def test_pointer_that_dvc_changed_is_known_by_its_md5(ws: Workspace, dvc: Dvc) -> None:
    path = write_rows(ws)
    first = add(ws, path).version
    second = add(ws, write_rows(ws, "hour\n9\n")).version
    pointer = path.with_name("rows.csv.dvc")

    write_rows(ws)
    dvc("add", "data/rows.csv")

    found = find_pointer(pointer)
    assert found is not None
    assert f"digest: {second.digest}" in pointer.read_text()
    assert (found.md5, found.digest) == (first.md5, "")
    assert [(s.state, s.version) for s in list_statuses(ws)] == [("clean", 1)]
    assert current_digest(ws.root, ws.state, ws.project.data["rows"], "rows") == first.digest
    path.unlink()
    assert checkout(ws, "rows").version == 1
