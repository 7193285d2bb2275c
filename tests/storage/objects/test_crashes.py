"""What kills, full disks, lost files and many processes at once leave behind: the former state or the new one."""

import os
import random
import shutil
from pathlib import Path

import pytest

from petla.core.errors import UnavailableError
from petla.storage.objects import ObjectStore
from tests.contracts.processes import GATE, run_python, run_together

CONTENT = random.Random(5).randbytes(700_000)
# dies when it does something for the given time
PUT_AND_DIE = """
import os, pathlib, random, signal, sys
from petla.storage.objects import ObjectStore
from petla.storage.objects.index import Index
place, after = sys.argv[2], int(sys.argv[3])
owner = {"pwritev": os, "fdatasync": os, "insert": Index}[place]
real = getattr(owner, place)
def dying(*args, **more):
    global after
    after -= 1
    if after < 0:
        if place == "pwritev":
            os.write(os.dup(args[0]), b"")
            real(args[0], [bytes(args[1][0])[:20]], args[2])
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **more)
setattr(owner, place, dying)
store = ObjectStore(pathlib.Path(sys.argv[1]))
store.put_bytes(b"first")
store.put_bytes(random.Random(5).randbytes(700_000))
"""
PUT_MANY = (
    """
import pathlib, random, sys
from petla.storage.objects import ObjectStore
"""
    + GATE
    + """
store = ObjectStore(pathlib.Path(sys.argv[1]))
with store.writing() as writer:
    for seed in range(int(sys.argv[2]), int(sys.argv[3])):
        print(writer.put_bytes(random.Random(seed).randbytes(100_000)))
print(store.put_bytes(b"alone" + sys.argv[2].encode()))
"""
)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")


@pytest.mark.parametrize("place", ["pwritev", "fdatasync", "insert"])
@pytest.mark.parametrize("after", [0, 1])
def test_kill_leaves_what_was_put_before(store: ObjectStore, place: str, after: int) -> None:
    run_python(PUT_AND_DIE, store.folder, place, after, status=-9)

    kept = store.put_bytes(b"second")

    assert list(store.verify_all()) == []
    assert (after == 0) or store.get_bytes(store.put_bytes(b"first")) == b"first"
    assert store.get_bytes(kept) == b"second"
    assert store.get_bytes(store.put_bytes(CONTENT)) == CONTENT


def test_what_was_flushed_is_found_without_the_index(store: ObjectStore) -> None:
    run_python(PUT_AND_DIE, store.folder, "insert", 2, status=-9)

    before = store.usage().entries

    assert before > 3
    store.close()
    (store.folder / "index.db").unlink()
    assert store.usage().entries == before
    assert list(store.verify_all()) == []


@pytest.mark.parametrize("content", [b"", b"no database at all" * 1000])
def test_damaged_index_is_made_again(store: ObjectStore, content: bytes) -> None:
    digest = store.put_bytes(CONTENT)
    store.close()
    for path in store.folder.glob("index.db*"):
        path.write_bytes(content)

    assert ObjectStore(store.folder).get_bytes(digest) == CONTENT


def test_lost_pack_is_missing_and_can_be_put_again(store: ObjectStore) -> None:
    digest = store.put_bytes(CONTENT)
    store.close()
    shutil.rmtree(store.folder / "packs")

    assert digest not in store
    assert store.put_bytes(CONTENT) == digest
    assert store.get_bytes(digest) == CONTENT


def test_truncated_pack_has_lost_its_end_only(store: ObjectStore) -> None:
    first = store.put_bytes(b"first")
    digest = store.put_bytes(CONTENT)
    store.close()
    (pack,) = (store.folder / "packs").iterdir()
    os.truncate(pack, pack.stat().st_size - 300_000)

    missing = store.find_missing([first, digest])

    assert missing == {digest}
    assert store.put_bytes(CONTENT) == digest
    assert (store.get_bytes(first), store.get_bytes(digest)) == (b"first", CONTENT)
    assert list(store.verify_all()) == []


def test_folder_that_may_not_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ObjectStore(tmp_path / "objects")
    digest = store.put_bytes(CONTENT)
    store.close()
    # Root may write everywhere; what a read-only disk answers is asked for here.
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.W_OK)

    assert ObjectStore(store.folder).get_bytes(digest) == CONTENT
    assert "0" * 64 not in ObjectStore(tmp_path / "elsewhere")


def test_processes_that_write_at_once_lose_nothing(store: ObjectStore) -> None:
    spans = [(0, 60), (30, 90), (60, 120)]

    said = run_together(PUT_MANY, *((store.folder, *span) for span in spans))

    for (start, end), names in zip(spans, said, strict=True):
        *many, alone = names.split()
        contents = [random.Random(seed).randbytes(100_000) for seed in range(start, end)]
        assert [store.get_bytes(name) for name in many] == contents
        assert store.get_bytes(alone) == f"alone{start}".encode()
    assert list(store.verify_all()) == []
    assert not [path for path in store.folder.rglob("*") if path.name.startswith(".tmp-")]


def test_full_disk_keeps_what_was_there(tiny_disk: Path) -> None:
    store = ObjectStore(tiny_disk / "objects")
    kept = store.put_bytes(b"kept")

    with pytest.raises(UnavailableError, match="the disk is full"):
        store.put_bytes(CONTENT)

    assert store.get_bytes(kept) == b"kept"
    assert list(store.verify_all()) == []
    assert store.get_bytes(store.put_bytes(b"small")) == b"small"
    store.close()


def test_full_disk_leaves_the_target_of_a_copy(tiny_disk: Path, tmp_path: Path) -> None:
    store = ObjectStore(tmp_path / "objects")
    digest = store.put_bytes(CONTENT)
    (tiny_disk / "target").write_bytes(b"as it was")

    with pytest.raises(UnavailableError, match="the disk is full"):
        store.copy_out(digest, tiny_disk / "target")

    assert (tiny_disk / "target").read_bytes() == b"as it was"
    assert len(list(tiny_disk.iterdir())) == 1


def test_session_that_fails_leaves_nothing_behind(store: ObjectStore) -> None:
    with pytest.raises(ZeroDivisionError), store.writing() as writer:  # noqa: PT012
        name = writer.put_bytes(CONTENT)
        raise ZeroDivisionError

    assert name not in store
    assert store.get_bytes(store.put_bytes(CONTENT)) == CONTENT
