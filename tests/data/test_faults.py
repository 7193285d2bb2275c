"""Damaged objects, full disks, folders that cannot be written: a clear error, and everything as it was."""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from petla.core.errors import BusyError, CorruptError, NotFoundError, UnavailableError
from petla.data.checkouts import checkout
from petla.data.content.manifest import read_manifest
from petla.data.versions import add, add_content, list_versions, materialize
from petla.storage.files import lock
from petla.storage.objects import ObjectStore
from petla.storage.workspace import Workspace
from tests.contracts.damage import flip
from tests.data.projects import CSV, make_project, write_folder, write_rows


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return make_project(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None or _run("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)) != 0:
        pytest.skip("nobody but root may mount a small disk")
    yield folder
    _run("umount", "--lazy", str(folder))


def _run(*command: str) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_damaged_file_is_named_and_nothing_is_overwritten(ws: Workspace) -> None:
    path = write_rows(ws)
    first = add(ws, path).version
    add(ws, write_rows(ws, "hour\n9\n"))
    damaged = read_manifest(ws.objects, first.digest).files[0].object
    flip(ws.objects, damaged)

    with pytest.raises(CorruptError, match=damaged):
        checkout(ws, "rows", 1)

    assert path.read_text() == "hour\n9\n"
    assert sorted(p.name for p in path.parent.iterdir()) == [".gitignore", "rows.csv", "rows.csv.dvc"]


def test_folder_with_one_damaged_file_stays_as_it_was(ws: Workspace) -> None:
    folder = write_folder(ws)
    first = add(ws, folder).version
    (folder / "deep" / "1.parquet").unlink()
    add(ws, folder)
    flip(ws.objects, read_manifest(ws.objects, first.digest).files[1].object)

    with pytest.raises(CorruptError):
        checkout(ws, "parts", 1)

    assert [p.name for p in folder.rglob("*.parquet")] == ["0.parquet"]


def test_damaged_manifest_is_named(ws: Workspace, tmp_path: Path) -> None:
    version = add(ws, write_rows(ws)).version
    flip(ws.objects, version.digest)

    with pytest.raises(CorruptError, match=version.digest):
        materialize(ws, version.digest, tmp_path / "out.csv")

    assert not (tmp_path / "out.csv").exists()


def test_object_that_is_no_version_is_refused(ws: Workspace, tmp_path: Path) -> None:
    version = add(ws, write_rows(ws)).version
    file = read_manifest(ws.objects, version.digest).files[0].object

    with pytest.raises(CorruptError, match="is no dataset version"):
        materialize(ws, file, tmp_path / "out.csv")
    with pytest.raises(NotFoundError):
        materialize(ws, "0" * 64, tmp_path / "out.csv")


def test_full_disk_leaves_state_as_before(ws: Workspace, small_disk: Path) -> None:
    path = write_rows(ws)
    first = add(ws, path).version
    ws.objects.close()
    shutil.copytree(ws.objects.folder, small_disk / "objects")
    ws.objects = ObjectStore(small_disk / "objects")
    pointer = path.with_name("rows.csv.dvc").read_bytes()
    path.write_bytes(os.urandom(400_000))

    with pytest.raises(UnavailableError, match="the disk is full"):
        add(ws, path)

    assert list_versions(ws, "rows") == [first]
    assert path.with_name("rows.csv.dvc").read_bytes() == pointer
    assert not list(ws.objects.folder.rglob(".tmp-*"))
    assert add(ws, write_rows(ws, CSV + "5,UA\n")).version.version == 2


def test_file_too_large_for_the_disk_leaves_state_as_before(ws: Workspace) -> None:
    """The same for people who are not root: the system's own limit of a file's size."""
    path = write_rows(ws)
    first = add(ws, path).version
    path.write_bytes(os.urandom(400_000))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(UnavailableError, match="File too large"):
            add(ws, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert list_versions(ws, "rows") == [first]
    assert not list(ws.objects.folder.rglob(".tmp-*"))


def test_store_that_cannot_be_written_is_a_clear_error(ws: Workspace) -> None:
    path = write_rows(ws)
    first = add(ws, path).version
    ws.objects.close()
    shutil.rmtree(ws.objects.folder)
    # Root may write everywhere; into a file nobody may put another.
    ws.objects.folder.write_text("")
    write_rows(ws, "hour\n9\n")

    with pytest.raises(UnavailableError, match=r"cannot write .*objects"):
        add(ws, path)

    assert list_versions(ws, "rows") == [first]


def test_two_at_once_say_who_holds_it(ws: Workspace) -> None:
    path = write_rows(ws)
    impatient = Workspace(ws.root, ws.project, type(ws.settings)(actor="ada", wait_s=0.05))

    with lock(ws.state / "data.lock", purpose="petla data add other"), pytest.raises(BusyError, match="data add other"):
        add(impatient, path)


def test_death_between_row_and_pointer_is_completed_by_adding_again(ws: Workspace) -> None:
    path = write_rows(ws)
    version = add(ws, path).version
    path.with_name("rows.csv.dvc").unlink()

    report = add(ws, path)

    assert (report.version, report.is_new) == (version, False)
    assert path.with_name("rows.csv.dvc").exists()


def test_add_content_names_missing_file(ws: Workspace, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no file .*lost\.csv"):
        add_content(ws, "rows", tmp_path / "lost.csv", actor="controller", origin="decisions")
