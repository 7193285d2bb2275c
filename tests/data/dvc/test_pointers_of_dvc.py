"""The real dvc and we read each other's pointers."""

from pathlib import Path

import pytest

from petla.data.checkouts import checkout
from petla.data.current import current_digest
from petla.data.pointers import find_pointer
from petla.data.statuses import list_statuses
from petla.data.versions import add
from petla.storage.workspace import Workspace
from tests.data.dvc.programs import Dvc
from tests.data.projects import CSV, make_project, write_folder, write_rows

# starting dvc takes most of a second, several times a test
pytestmark = pytest.mark.slow


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
