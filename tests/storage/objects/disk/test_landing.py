"""Files that are written while their chunks arrive are what the store would have written, in whatever order."""

import random
from pathlib import Path

import pytest

from petla.core.errors import UnavailableError
from petla.storage.objects import ObjectStore
from petla.storage.objects.disk import landing
from petla.storage.objects.disk.landing import Landings
from petla.storage.objects.naming import ChunkList, decode_list
from petla.storage.objects.packs import Entry, Payload, open_payload

SIZE = 12_000_000
CONTENT = random.Random(3).randbytes(SIZE)

Pairs = list[tuple[Entry, Payload]]


@pytest.fixture(autouse=True)
def few_bytes_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing, "LARGE_BYTES", 1 << 20)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")


def split(store: ObjectStore, digest: str) -> tuple[dict[bytes, ChunkList], Pairs]:
    """Return the lists and the chunks of an object, as they would arrive."""
    pairs = list(store.read_payloads(store.list_entries([digest])))
    lists = {entry.digest: decode_list(open_payload(entry, payload)) for entry, payload in pairs if entry.is_list}
    return lists, [pair for pair in pairs if not pair[0].is_list]


def land(store: ObjectStore, content: bytes, folder: Path, order: str) -> Path | None:
    digest = store.put_bytes(content)
    lists, chunks = split(store, digest)
    match order:
        case "shuffled":
            random.Random(1).shuffle(chunks)
        case "half first":
            chunks = chunks[len(chunks) // 3 :] + chunks[: len(chunks) // 3]
        case "gaps":
            chunks = [pair for number, pair in enumerate(chunks) if number % 5]
    landings = Landings(folder)
    landings.want([digest])
    landings.expect(lists)
    landings.take(chunks)
    landings.finish(store.read)
    landings.close()
    return landings.pop(digest)


@pytest.mark.parametrize("order", ["as it lies", "half first", "gaps"])
@pytest.mark.parametrize(
    "content",
    [
        CONTENT,
        CONTENT[: SIZE // 2] + bytes(9_000_000) + CONTENT[SIZE // 2 :],
        CONTENT[:4_000_000] * 2 + b"end",
        b"twenty bytes of text " * 400_000 + CONTENT,
    ],
    ids=["random", "zeros", "repeated", "compressed"],
)
def test_what_landed_is_the_object(store: ObjectStore, tmp_path: Path, content: bytes, order: str) -> None:
    path = land(store, content, tmp_path, order)

    assert path is None or path.read_bytes() == content
    assert (path is not None) or order != "as it lies" or content.count(content[:1000]) > 1


def test_what_came_in_no_order_is_left_to_the_store(store: ObjectStore, tmp_path: Path) -> None:
    assert land(store, CONTENT, tmp_path, "shuffled") is None
    assert [path.name for path in tmp_path.iterdir()] == ["objects"]


def test_small_objects_do_not_land(store: ObjectStore, tmp_path: Path) -> None:
    assert land(store, CONTENT[:500_000], tmp_path, "as it lies") is None


def test_one_after_the_other_lands(store: ObjectStore, tmp_path: Path) -> None:
    digests = [store.put_bytes(CONTENT[half * SIZE // 2 : (half + 1) * SIZE // 2]) for half in range(2)]
    arriving = [split(store, digest) for digest in digests]
    landings = Landings(tmp_path)
    landings.want(digests)
    for lists, _ in arriving:
        landings.expect(lists)
    for _, chunks in arriving:
        landings.take(chunks)
    landings.finish(store.read)

    landed = [landings.pop(digest) for digest in digests]

    assert b"".join(path.read_bytes() for path in landed if path) == CONTENT


def test_nobody_wants_any_and_none_is_written(store: ObjectStore, tmp_path: Path) -> None:
    digest = store.put_bytes(CONTENT)
    lists, chunks = split(store, digest)
    store.landings.want([digest])
    store.landings.expect(lists)
    store.landings.take(chunks)
    store.landings.finish(store.read)

    assert store.landings.pop(digest) is None
    assert [path.name for path in tmp_path.iterdir()] == ["objects"]


def test_block_that_ends_leaves_no_file(store: ObjectStore, tmp_path: Path) -> None:
    digest = store.put_bytes(CONTENT)
    lists, chunks = split(store, digest)
    with store.landing(tmp_path / "beside"):
        store.landings.want([digest])
        store.landings.expect(lists)
        store.landings.take(chunks[: len(chunks) // 2])
        assert list(tmp_path.rglob(digest))

    assert list((tmp_path / "beside").iterdir()) == []


def test_full_disk_is_told(store: ObjectStore, tiny_disk: Path) -> None:
    digest = store.put_bytes(CONTENT)
    lists, chunks = split(store, digest)
    with store.landing(tiny_disk), pytest.raises(UnavailableError, match="the disk is full"):
        fail_to_land(store, digest, lists, chunks)

    assert list(tiny_disk.iterdir()) == []


def fail_to_land(store: ObjectStore, digest: str, lists: dict[bytes, ChunkList], chunks: Pairs) -> None:
    store.landings.want([digest])
    store.landings.expect(lists)
    store.landings.take(chunks)
    store.landings.finish(store.read)
    raise AssertionError("it went on")
