"""The object store: bytes under their own name, verified whenever they are read."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from petla.core.digests import digest_bytes
from petla.core.errors import CorruptError, NotFoundError, UnavailableError
from petla.storage.objects import ObjectStore
from tests.contracts.processes import run_python

MISSING = "0" * 64
PUT_AND_DIE = """
import os, pathlib, signal, sys
from petla.storage.objects import ObjectStore
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
ObjectStore(pathlib.Path(sys.argv[1])).put_file(pathlib.Path(sys.argv[2]))
"""


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(content=st.binary())
def test_what_was_put_comes_back(store: ObjectStore, tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "source"
    source.write_bytes(content)

    digest = store.put_file(source)

    assert store.put_bytes(content) == digest == digest_bytes(content)
    assert store.get_bytes(digest) == content
    store.verify(digest)
    store.copy_out(digest, tmp_path / "deep" / "target")
    assert (tmp_path / "deep" / "target").read_bytes() == content


def test_store_lists_what_it_holds(store: ObjectStore) -> None:
    assert list(store) == []

    digests = {store.put_bytes(bytes([number])) for number in range(20)}

    assert list(store) == sorted(digests)
    assert all(digest in store for digest in digests)
    assert MISSING not in store


def test_observer_sees_every_block_once(store: ObjectStore, tmp_path: Path) -> None:
    content = os.urandom(2_500_000)
    (tmp_path / "source").write_bytes(content)
    seen: list[bytes] = []

    digest = store.put_file(tmp_path / "source", observe=seen.append)

    assert len(seen) == 3
    assert b"".join(seen) == content
    assert digest == digest_bytes(content)


def test_object_cannot_be_written_by_mistake(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"two")

    paths = [_path_of(store, store.put_bytes(b"one")), _path_of(store, store.put_file(tmp_path / "source"))]

    assert [path.stat().st_mode & 0o777 for path in paths] == [0o444, 0o444]


def test_damaged_object_is_named_and_nothing_overwritten(store: ObjectStore, tmp_path: Path) -> None:
    digest = store.put_bytes(b"right")
    _damage(store, digest)
    target = tmp_path / "target"
    target.write_bytes(b"as it was")

    for read in (store.get_bytes, store.verify, lambda name: store.copy_out(name, target)):
        with pytest.raises(CorruptError, match=f"object {digest} .* is damaged"):
            read(digest)

    assert target.read_bytes() == b"as it was"
    assert _path_of(store, digest).read_bytes() == b"wrong"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["objects", "target"]


def test_putting_the_bytes_again_does_not_touch_the_damaged_object(store: ObjectStore) -> None:
    digest = store.put_bytes(b"right")
    _damage(store, digest)

    store.put_bytes(b"right")

    assert _path_of(store, digest).read_bytes() == b"wrong"


def test_putting_the_file_again_names_the_damaged_object(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"right")
    digest = store.put_file(tmp_path / "source")
    _damage(store, digest)

    with pytest.raises(CorruptError, match=f"object {digest} .* is damaged"):
        store.put_file(tmp_path / "source")

    assert _path_of(store, digest).read_bytes() == b"wrong"
    assert [path.name for path in store.folder.rglob(".tmp-*")] == []


def test_removing_the_damaged_file_and_adding_again_heals(store: ObjectStore) -> None:
    digest = store.put_bytes(b"right")
    _damage(store, digest)

    _path_of(store, digest).unlink()
    store.put_bytes(b"right")

    assert store.get_bytes(digest) == b"right"


def test_missing_object_is_named(store: ObjectStore, tmp_path: Path) -> None:
    target = tmp_path / "target"

    for read in (store.get_bytes, store.verify, lambda name: store.copy_out(name, target)):
        with pytest.raises(NotFoundError, match=f"object {MISSING} is not in"):
            read(MISSING)

    assert not target.exists()


def test_missing_source_is_a_missing_file_and_leaves_nothing(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.put_file(tmp_path / "absent")

    assert not store.folder.exists()


def test_source_that_cannot_be_read_is_named(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=f"cannot read {tmp_path}: Is a directory"):
        store.put_file(tmp_path)


def test_observer_that_fails_leaves_nothing(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x")

    def fail(_: bytes) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.put_file(tmp_path / "source", observe=fail)

    assert list(store.folder.iterdir()) == []


def test_full_disk_leaves_nothing_of_a_new_object(tiny_disk: Path, tmp_path: Path) -> None:
    store = ObjectStore(tiny_disk / "objects")
    kept = store.put_bytes(b"kept")
    source = tmp_path / "source"
    source.write_bytes(os.urandom(1_000_000))

    with pytest.raises(UnavailableError, match="the disk is full"):
        store.put_file(source)

    assert list(store) == [kept]
    assert [path.name for path in store.folder.iterdir()] == [kept[:2]]


def test_full_disk_leaves_the_target_of_a_copy(tiny_disk: Path, tmp_path: Path) -> None:
    store = ObjectStore(tmp_path / "objects")
    digest = store.put_bytes(os.urandom(1_000_000))
    (tiny_disk / "target").write_bytes(b"as it was")

    with pytest.raises(UnavailableError, match="the disk is full"):
        store.copy_out(digest, tiny_disk / "target")

    assert (tiny_disk / "target").read_bytes() == b"as it was"
    assert len(list(tiny_disk.iterdir())) == 1


def test_kill_while_putting_leaves_no_object(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x" * 100_000)
    store.folder.mkdir()

    run_python(PUT_AND_DIE, store.folder, tmp_path / "source", status=-9)

    assert list(store) == []
    assert store.put_file(tmp_path / "source") in store


def _path_of(store: ObjectStore, digest: str) -> Path:
    (path,) = (path for path in store.folder.rglob("*") if path.is_file() and path.parent.name + path.name == digest)
    return path


def _damage(store: ObjectStore, digest: str) -> None:
    path = _path_of(store, digest)
    path.chmod(0o644)
    path.write_bytes(b"wrong")
