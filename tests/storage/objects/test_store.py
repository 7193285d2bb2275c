"""The object store: bytes under their own name, verified whenever they are read."""

import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from petla.core.errors import CorruptError, NotFoundError, UnavailableError
from petla.storage.objects import ObjectStore
from petla.storage.objects.intake import digest_file, digest_files
from petla.storage.objects.naming import Stored, cut, digest_content, md5_of
from petla.storage.objects.sources import find_source
from tests.contracts.damage import flip

MISSING = "0" * 64
# longer than two chunks in any case
LONG = random.Random(1).randbytes(1_000_000)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(size=st.sampled_from([0, 1, 32_768, 32_769, 262_145, 3_000_000, 9_000_000]), seed=st.integers(0, 3))
def test_what_was_put_comes_back(store: ObjectStore, tmp_path: Path, size: int, seed: int) -> None:
    content = random.Random(seed).randbytes(size)
    source = tmp_path / "source"
    source.write_bytes(content)

    stored = store.put_file(source)

    assert stored == Stored(digest_content(content), size, md5_of(content).hexdigest())
    assert store.put_bytes(content) == stored.digest == digest_file(source).digest
    assert store.get_bytes(stored.digest) == content
    store.verify(stored.digest)
    store.copy_out(stored.digest, tmp_path / "deep" / "target", mode=0o755)
    assert (tmp_path / "deep" / "target").read_bytes() == content
    assert (tmp_path / "deep" / "target").stat().st_mode & 0o777 == 0o755


def test_names_do_not_change() -> None:
    """Other cut points would make every version another one: whatever changes them must not be used."""
    sizes = [len(chunk) for chunk in cut(LONG)]

    assert sizes[:9] == [74185, 106069, 51688, 78084, 66565, 101816, 100216, 75214, 79992]
    assert sizes[9:] == [65561, 71019, 55970, 69770, 3851]
    assert digest_content(b"") == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert digest_content(LONG) == "b7947b3aab53c7a1391fcccefd0fa02ce0b1ccce325a202d913d36906a7f0b6b"


def test_many_files_are_what_they_are_alone(store: ObjectStore, tmp_path: Path) -> None:
    contents = [random.Random(n).randbytes(n * 7_001) for n in range(200)] + [LONG * 2, b"", b"last"]
    paths = [tmp_path / f"{n}" for n in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    sources = [find_source(path) for path in paths]

    with store.writing() as writer:
        stored = list(writer.put_files(sources))

    assert stored == list(digest_files(sources)) == [digest_file(path) for path in paths]
    assert [store.get_bytes(each.digest) for each in stored] == contents
    assert store.usage().packs < 7


def test_changed_rows_store_little_more(store: ObjectStore, tmp_path: Path) -> None:
    draw = random.Random(3)
    rows = [f"{number},{draw.random()},{draw.choice(['a', 'b'])}\n" for number in range(400_000)]
    (tmp_path / "table").write_text("".join(rows))
    store.put_file(tmp_path / "table")
    before = store.usage().stored_bytes
    for place in range(50_000, 350_000, 50_000):
        rows[place] = f"{place},another,c\n"
    rows.insert(7, "0,inserted,d\n")

    (tmp_path / "table").write_text("".join(rows))
    store.put_file(tmp_path / "table")

    assert store.usage().stored_bytes - before < 700_000


def test_text_is_compressed_and_noise_is_not(store: ObjectStore) -> None:
    store.put_bytes(b"the same again and again\n" * 10_000)
    text = store.usage()
    store.put_bytes(os.urandom(100_000))
    noise = store.usage()

    assert text.stored_bytes < text.size_bytes / 10
    assert noise.stored_bytes - text.stored_bytes >= 100_000


def test_nothing_that_is_known_is_written_again(store: ObjectStore) -> None:
    digest = store.put_bytes(LONG)
    before = store.usage()

    assert store.put_bytes(LONG) == digest
    with store.writing() as writer:
        assert writer.put_bytes(LONG) == digest

    assert store.usage() == before


def test_list_cannot_pass_for_content(store: ObjectStore) -> None:
    """Whoever puts the bytes of a list gets another name than the content it lists."""
    digest = store.put_bytes(LONG)
    *_, place = store.list_entries([digest])
    ((entry, payload),) = store.read_payloads([place])

    assert entry.is_list
    assert store.put_bytes(bytes(payload)) != digest


def test_damaged_object_is_named_and_nothing_overwritten(store: ObjectStore, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"as it was")
    for content in (b"right", LONG):
        digest = store.put_bytes(content)
        flip(store, digest)

        for read in (store.get_bytes, store.verify, lambda name: store.copy_out(name, target)):
            with pytest.raises(CorruptError, match=r"object .* is damaged: its bytes do not match its name"):
                read(digest)

    assert target.read_bytes() == b"as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["objects", "target"]


def test_set_aside_object_can_be_put_again(store: ObjectStore) -> None:
    digest = store.put_bytes(LONG)
    flip(store, digest)

    pack = store.set_aside(digest)

    assert pack.is_file()
    assert store.find_missing([digest]) == {digest}
    with store.writing() as writer:
        writer.put_bytes(LONG)
    assert store.get_bytes(digest) == LONG
    assert store.find_missing([digest]) == set()


def test_verifying_names_each_damaged_entry(store: ObjectStore) -> None:
    digests = [store.put_bytes(bytes([number]) * 100) for number in range(5)]
    flip(store, digests[1])
    flip(store, digests[3])

    assert [damage.digest for damage in store.verify_all()] == [digests[1], digests[3]]


def test_missing_object_is_named(store: ObjectStore, tmp_path: Path) -> None:
    target = tmp_path / "target"

    for read in (store.get_bytes, store.verify, lambda name: store.copy_out(name, target)):
        with pytest.raises(NotFoundError, match=f"object {MISSING} is not in"):
            read(MISSING)

    assert not target.exists()


def test_looking_makes_nothing(store: ObjectStore) -> None:
    assert MISSING not in store
    assert store.find_missing([MISSING]) == {MISSING}


def test_source_that_cannot_be_read_is_named(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=f"cannot read {tmp_path}: Is a directory"):
        store.put_file(tmp_path)
    with pytest.raises(FileNotFoundError):
        store.put_file(tmp_path / "absent")


def test_file_of_zeros_takes_no_room(store: ObjectStore, tmp_path: Path) -> None:
    with (tmp_path / "zeros").open("wb") as file:
        file.truncate(50 << 20)

    stored = store.put_file(tmp_path / "zeros")
    store.copy_out(stored.digest, tmp_path / "again")

    assert store.usage().stored_bytes < 1_000_000
    assert (tmp_path / "again").stat().st_size == 50 << 20
    assert (tmp_path / "again").stat().st_blocks * 512 < 1_000_000


@pytest.mark.slow
def test_file_of_more_than_four_gigabytes(store: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.seek((4 << 30) + 12_345)
        file.write(b"the end")

    stored = store.put_file(path)
    store.copy_out(stored.digest, tmp_path / "again")

    assert stored.size == store.size_of(stored.digest) == (4 << 30) + 12_352
    with (tmp_path / "again").open("rb") as again:
        again.seek(-10, os.SEEK_END)
        assert again.read() == b"\0\0\0the end"


def test_index_is_made_by_all_who_open_it_at_once(tmp_path: Path) -> None:
    everybody = threading.Barrier(4)

    def ask(number: int) -> bool:
        store = ObjectStore(tmp_path / str(number))
        (store.folder / "packs").mkdir(parents=True, exist_ok=True)
        everybody.wait()
        return MISSING in store

    with ThreadPoolExecutor(4) as pool:
        for number in range(20):
            assert list(pool.map(ask, [number] * 4)) == [False] * 4
