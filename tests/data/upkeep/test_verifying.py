"""Every flipped bit and every missing byte is found, named, and healed from wherever the bytes are still whole."""

import random
import shutil
from pathlib import Path

import pytest

from petla.core.errors import NotFoundError, PetlaError
from petla.core.project import RemoteTable
from petla.data.checkouts import checkout
from petla.data.content.manifest import read_manifest
from petla.data.transfer.pushing import push
from petla.data.transfer.remotes import add_remote
from petla.data.upkeep.verifying import verify, verify_remote
from petla.data.versions import add
from petla.storage.workspace import Workspace
from tests.data.projects import PROJECT, make_project

FACES = PROJECT + '[data.faces]\npath = "faces"\n'


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    ws = make_project(tmp_path / "project", FACES)
    (ws.root / "faces" / "deep").mkdir(parents=True)
    for number, name in enumerate(("ann", "bob", "deep/eve")):
        (ws.root / "faces" / f"{name}.bin").write_bytes(random.Random(number).randbytes(400_000))
    add(ws, ws.root / "faces")
    return ws


def reopen(ws: Workspace) -> Workspace:
    ws.objects.close()
    return Workspace(ws.root, ws.project, ws.settings)


def flip(path: Path, place: int = -5) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def flip_object(ws: Workspace, name: str) -> None:
    """Change a byte of a file's last chunk where it lies in its pack."""
    entry = read_manifest(ws.objects, newest(ws)).find(name)
    assert entry is not None
    *_, last = [place for place in ws.objects.list_entries([entry.object]) if not place.entry.is_list]
    flip(ws.objects.folder / "packs" / last.pack, last.offset + 7)


def newest(ws: Workspace) -> str:
    return checkout(ws, "faces").digest


def test_a_sound_store_is_sound(ws: Workspace) -> None:
    assert verify(ws).is_sound


def test_a_flipped_bit_is_named_with_what_needs_it(ws: Workspace) -> None:
    flip_object(ws, "bob.bin")

    report = verify(reopen(ws))

    assert not report.is_sound
    assert [each.needed_by for each in report.damaged] == [("faces version 1: bob.bin",)]


def test_the_work_tree_heals(ws: Workspace) -> None:
    flip_object(ws, "bob.bin")

    assert verify(reopen(ws), is_healing=True).is_sound
    assert verify(reopen(ws)).damaged == ()
    shutil.rmtree(ws.root / "faces")
    checkout(reopen(ws), "faces")
    assert (ws.root / "faces" / "bob.bin").read_bytes() == random.Random(1).randbytes(400_000)


@pytest.mark.parametrize("layout", ["packs", "dvc"])
def test_a_remote_heals(ws: Workspace, tmp_path: Path, layout: str) -> None:
    remote = RemoteTable(url=str(tmp_path / "remote"), layout=layout)  # type: ignore[arg-type]
    add_remote(ws, "origin", remote, is_default=True)
    push(ws, ["faces"])
    flip_object(ws, "bob.bin")
    flip_object(ws, "deep/eve.bin")
    shutil.rmtree(ws.root / "faces")

    report = verify(reopen(ws), is_healing=True)

    assert len(report.damaged) == 2
    assert report.is_sound
    checkout(reopen(ws), "faces")
    assert (ws.root / "faces" / "deep" / "eve.bin").read_bytes() == random.Random(2).randbytes(400_000)


def test_what_nobody_has_stays_damaged(ws: Workspace) -> None:
    flip_object(ws, "bob.bin")
    (ws.root / "faces" / "bob.bin").write_bytes(b"something else")

    with pytest.raises(NotFoundError, match="no remote"):
        verify(reopen(ws), is_healing=True)

    (ws.root / "faces" / "bob.bin").write_bytes(random.Random(1).randbytes(400_000))
    assert verify(reopen(ws), is_healing=True).is_sound


def test_a_pack_that_is_gone_is_missed(ws: Workspace) -> None:
    ws.objects.close()
    for pack in (ws.objects.folder / "packs").glob("*.pack"):
        pack.unlink()

    report = verify(reopen(ws))

    assert [each.needed_by for each in report.damaged] == [("faces version 1",)]
    assert not report.is_sound
    with pytest.raises(PetlaError):
        checkout(reopen(ws), "faces", 1, path="ann.bin")


def test_a_pack_that_is_gone_comes_back_from_a_remote(ws: Workspace, tmp_path: Path) -> None:
    add_remote(ws, "origin", RemoteTable(url=str(tmp_path / "remote")), is_default=True)
    push(ws, ["faces"])
    for pack in (ws.objects.folder / "packs").glob("*.pack"):
        pack.unlink()

    assert verify(reopen(ws), is_healing=True).is_sound
    shutil.rmtree(ws.root / "faces")
    checkout(reopen(ws), "faces")
    assert (ws.root / "faces" / "ann.bin").read_bytes() == random.Random(0).randbytes(400_000)


@pytest.mark.parametrize("layout", ["packs", "dvc"])
def test_damage_on_a_remote_is_named(ws: Workspace, tmp_path: Path, layout: str) -> None:
    place = tmp_path / "remote"
    add_remote(ws, "origin", RemoteTable(url=str(place), layout=layout), is_default=True)  # type: ignore[arg-type]
    push(ws, ["faces"])
    assert verify_remote(ws, None).is_sound

    largest = max((path for path in place.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    flip(largest)
    flipped = verify_remote(ws, "origin")
    largest.unlink()
    lost = verify_remote(ws, "origin")

    assert len(flipped.damaged) == 1
    assert flipped.damaged[0].needed_by[0].startswith("faces version 1")
    assert not lost.is_sound
    assert lost.damaged[0].needed_by[0].startswith("faces version 1")
