"""A large file comes into a fresh clone while it arrives: whole, or not at all."""

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from petla.core.errors import CorruptError, UnavailableError
from petla.core.project import RemoteTable, decode_project
from petla.core.settings import Settings
from petla.data.statuses import list_statuses
from petla.data.transfer.pulling import pull
from petla.data.transfer.pushing import push
from petla.data.transfer.remotes import add_remote
from petla.data.versions import add
from petla.storage.objects.disk import landing
from petla.storage.objects.store import ObjectStore
from petla.storage.workspace import Workspace
from tests.contracts.processes import run_python
from tests.data.projects import make_project

CONTENT = random.Random(9).randbytes(50_000_000)
PULL_AND_DIE = """
import os, pathlib, signal, sys
from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.data.content import placing
from petla.data.transfer.pulling import pull
from petla.storage.objects.disk import landing
from petla.storage.objects.index import Index
from petla.storage.objects.disk.uncached import Flow
from petla.storage.workspace import Workspace
landing.LARGE_BYTES = 1 << 20
owner, name, after = {
    "first block": (Flow, "_send", 0),
    "fifth block": (Flow, "_send", 4),
    "first pack": (Index, "insert", 0),
    "last list": (landing.Landings, "finish", 1),
    "landed": (placing, "_move", 0),
    "taking its place": (placing, "_take_place", 0),
}[sys.argv[2]]
real = getattr(owner, name)
def dying(*args, **more):
    global after
    after -= 1
    if after < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **more)
setattr(owner, name, dying)
root = pathlib.Path(sys.argv[1])
pull(Workspace(root, decode_project((root / "petla.toml").read_text()), Settings(actor="bob")), ["rows"])
"""


@pytest.fixture(autouse=True)
def few_bytes_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing, "LARGE_BYTES", 1 << 20)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose data were pushed to the folder `remote` beside it."""
    folder = tmp_path_factory.mktemp("origin")
    ws = make_project(folder / "mine")
    (ws.root / "petla.toml").write_text((ws.root / "petla.toml").read_text().replace("rows.csv", "rows.bin"))
    ws.project = decode_project((ws.root / "petla.toml").read_text())
    add_remote(ws, "origin", RemoteTable(url=str(folder / "remote")), is_default=False)
    (ws.root / "data").mkdir()
    (ws.root / "data" / "rows.bin").write_bytes(CONTENT)
    add(ws, ws.root / "data" / "rows.bin")
    push(ws, ["rows"])
    return folder


@pytest.fixture
def clone(origin: Path, tmp_path: Path) -> Workspace:
    """The pointers and nothing else; beside it a remote of its own, whose files are shared with the origin's."""
    root = tmp_path / "yours"
    (root / "data").mkdir(parents=True)
    table = (origin / "mine" / "petla.toml").read_text()
    (root / "petla.toml").write_text(table.replace(str(origin / "remote"), str(tmp_path / "remote")))
    shutil.copy(origin / "mine" / "data" / "rows.bin.dvc", root / "data")
    shutil.copytree(origin / "remote", tmp_path / "remote", copy_function=os.link)
    return open_again(root)


def open_again(root: Path) -> Workspace:
    return Workspace(root, decode_project((root / "petla.toml").read_text()), Settings(actor="bob"))


def names(ws: Workspace) -> list[str]:
    return sorted(path.name for path in (ws.root / "data").iterdir())


def test_file_is_moved_into_place_and_never_read_again(clone: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(ObjectStore, "write_files", lambda _store, wanted, *_: written.extend(w.digest for w in wanted))

    pull(clone, ["rows"])

    assert written == []
    assert (clone.root / "data" / "rows.bin").read_bytes() == CONTENT
    assert (clone.root / "data" / "rows.bin").stat().st_mode & 0o777 == 0o644
    assert names(clone) == [".gitignore", "rows.bin", "rows.bin.dvc"] or names(clone) == ["rows.bin", "rows.bin.dvc"]
    assert [status.state for status in list_statuses(clone)] == ["clean"]
    assert list(clone.objects.verify_all()) == []


@pytest.mark.parametrize(
    "place", ["first block", "fifth block", "first pack", "last list", "landed", "taking its place"]
)
def test_killed_pull_leaves_no_half_file_and_is_completed(clone: Workspace, place: str) -> None:
    run_python(PULL_AND_DIE, clone.root, place, status=-9)
    assert not (clone.root / "data" / "rows.bin").exists()

    pull(open_again(clone.root), ["rows"])

    assert (clone.root / "data" / "rows.bin").read_bytes() == CONTENT
    assert list(clone.objects.verify_all()) == []


@pytest.mark.parametrize("where", [0.1, 0.5, 0.99])
def test_flipped_bit_on_the_remote_is_refused_and_no_file_appears(
    clone: Workspace, tmp_path: Path, where: float
) -> None:
    packs = sorted((tmp_path / "remote" / "packs").glob("*.pack"))
    pack = packs[int(where * len(packs))]
    content = bytearray(pack.read_bytes())
    content[len(content) // 2] ^= 1
    pack.unlink()
    pack.write_bytes(content)

    with pytest.raises(CorruptError, match="is damaged"):
        pull(clone, ["rows"])

    assert names(clone) == ["rows.bin.dvc"]


def test_full_disk_in_the_middle_leaves_no_file(clone: Workspace, work_tree_disk: Path) -> None:
    with pytest.raises(UnavailableError, match="the disk is full"):
        pull(clone, ["rows"])

    assert [path.name for path in work_tree_disk.iterdir()] == ["rows.bin.dvc"]


@pytest.fixture
def work_tree_disk(clone: Workspace) -> Iterator[Path]:
    """The folder of the data is a disk of 20 MB."""
    folder = clone.root / "data"
    pointer = (folder / "rows.bin.dvc").read_bytes()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("nobody but root may mount a small disk")
    (folder / "rows.bin.dvc").write_bytes(pointer)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)
