"""What is pushed comes back, whatever the cloud, whoever else pushes, and whatever dies on the way."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from petla.core.errors import BusyError, CorruptError, ForbiddenError, NotFoundError, PetlaError, UnavailableError
from petla.core.project import RemoteTable
from petla.storage.objects import ObjectStore
from petla.storage.remotes import upkeep
from petla.storage.remotes.addresses import open_bucket
from petla.storage.remotes.bucket import Bucket
from petla.storage.remotes.packs import Mark, PackRemote
from petla.storage.remotes.tombstones import Graveyard, Tombstone
from tests.contracts.object_stores import KEYS, Place
from tests.contracts.processes import GATE, run_python, run_together

PUSH = """
import os, pathlib, signal, sys
from petla.core.project import RemoteTable
from petla.storage.objects import ObjectStore
from petla.storage.remotes.addresses import open_bucket
from petla.storage.remotes.bucket import Bucket
from petla.storage.remotes.packs import Mark, PackRemote
folder, url, endpoint, dies_at, *digests = sys.argv[1:]
os.environ |= {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "s3cret-of-somebody"}
bucket = open_bucket("origin", RemoteTable(url=url, endpoint=endpoint), pathlib.Path("."))
real = Bucket.put
def dying(self, key, content):
    if key.startswith(dies_at):
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, key, content)
Bucket.put = dying
"""
PUSH_ALL = """
remote = PackRemote(bucket, pathlib.Path(folder) / "cache")
remote.push(ObjectStore(pathlib.Path(folder) / "objects"), digests, Mark(digests[-1], "", "d", {}))
"""


def noise(seed: int, size: int = 500_000) -> bytes:
    return random.Random(seed).randbytes(size)


class Desk:
    """A store of its own and its way to the remote."""

    def __init__(self, folder: Path, place: Place) -> None:
        self.folder = folder
        self.objects = ObjectStore(folder / "objects")
        self.bucket = open_bucket("origin", place.table, folder, place.environment)
        self.remote = PackRemote(self.bucket, folder / "cache")

    def push(self, *digests: str) -> int:
        return self.remote.push(self.objects, digests, Mark(digests[-1], "md5", "d", {"rows": 3})).bytes

    def pull(self, *digests: str) -> int:
        return self.remote.pull(self.objects, digests).bytes


@pytest.fixture
def mine(tmp_path: Path, place: Place) -> Iterator[Desk]:
    desk = Desk(tmp_path / "mine", place)
    yield desk
    desk.remote.close()


@pytest.fixture
def yours(tmp_path: Path, place: Place) -> Iterator[Desk]:
    desk = Desk(tmp_path / "yours", place)
    yield desk
    desk.remote.close()


class TestPackRemote:
    def test_what_is_pushed_comes_back(self, mine: Desk, yours: Desk) -> None:
        contents = [b"", b"small", noise(1), noise(2, 20_000_000), b"text again\n" * 100_000]
        digests = [mine.objects.put_bytes(content) for content in contents]

        sent = mine.push(*digests)
        came = yours.pull(*digests)

        assert [yours.objects.get_bytes(digest) for digest in digests] == contents
        assert 20_000_000 < sent < 21_000_000
        assert came < 21_000_000
        assert (mine.push(*digests), yours.pull(*digests)) == (0, 0)
        mark = Mark(digests[-1], "md5", "d", {"rows": 3})
        assert yours.remote.list_marks() == [mark] == yours.remote.list_marks("d")
        assert yours.remote.find_mark(md5="md5") == mark == yours.remote.find_mark(digest=digests[-1])
        assert yours.remote.find_mark(digest=digests[0]) is None
        assert mine.remote.was_pushed(digests[-1])
        assert not mine.remote.was_pushed(digests[0])

    def test_only_what_is_new_travels(self, mine: Desk, yours: Desk) -> None:
        first = mine.objects.put_bytes(noise(3, 5_000_000))
        second = mine.objects.put_bytes(noise(3, 5_000_000) + b"and a little more")
        mine.push(first)
        yours.pull(first)

        assert mine.push(second) < 400_000
        assert yours.pull(second) < 400_000
        assert yours.objects.get_bytes(second)[-17:] == b"and a little more"

    def test_bucket_does_what_it_says(self, mine: Desk, tmp_path: Path) -> None:
        bucket = mine.bucket
        (tmp_path / "file").write_bytes(noise(4, 9_000_000))

        assert bucket.create("a/one", b"1")
        assert not bucket.create("a/one", b"2")
        bucket.put("a/two words é", b"22")
        bucket.put_file("b/file", tmp_path / "file")
        bucket.get_to("b/file", tmp_path / "again")

        assert (bucket.get("a/one"), bucket.get("a/two words é")) == (b"1", b"22")
        assert bucket.get_range("b/file", 5, 7) == noise(4, 9_000_000)[5:12]
        assert (tmp_path / "again").read_bytes() == noise(4, 9_000_000)
        assert sorted((item.key, item.size_bytes) for item in bucket.list("a")) == [("a/one", 1), ("a/two words é", 2)]
        bucket.delete(["a/one", "a/never there"])
        assert (bucket.size_of("a/one"), bucket.size_of("b/file")) == (None, 9_000_000)
        with pytest.raises(NotFoundError, match="origin"):
            bucket.get("a/one")

    def test_damaged_pack_is_named_and_nothing_of_it_kept(self, mine: Desk, yours: Desk) -> None:
        digest = mine.objects.put_bytes(noise(5))
        mine.push(digest)
        pack = next(item.key for item in mine.bucket.list("packs") if item.key.endswith(".pack"))
        content = bytearray(mine.bucket.get(pack))
        content[len(content) // 2] ^= 1
        mine.bucket.put(pack, bytes(content))

        with pytest.raises(CorruptError, match=r"origin: object .* is damaged"):
            yours.pull(digest)

        assert digest not in yours.objects

    def test_tombstones_are_seen_by_others(self, mine: Desk, yours: Desk) -> None:
        stone = Tombstone("0" * 64, "c" * 32, "asked to", "2026-01-01T00:00:00Z", "ada")

        Graveyard(mine.bucket, "forgotten").bury(stone)

        assert list(Graveyard(yours.bucket, "forgotten").list_all()) == [stone]
        assert not list(Graveyard(yours.bucket, "forgotten").list_all(known={stone.digest}))

    def test_sweep_and_push_do_not_meet(self, mine: Desk, yours: Desk) -> None:
        digest = mine.objects.put_bytes(b"x")
        with mine.remote.sweeping():
            with pytest.raises(BusyError, match="being swept"):
                mine.push(digest)
            with pytest.raises(BusyError, match="swept by somebody else"), yours.remote.sweeping():
                pass
        with mine.remote._pushing(), pytest.raises(BusyError, match="1 pushes are at work"), yours.remote.sweeping():
            pass

        assert mine.push(digest) > 0
        assert [item.key for item in mine.bucket.list("pushes")] == []

    def test_a_sweep_keeps_what_is_needed_and_frees_the_rest(self, mine: Desk, yours: Desk) -> None:
        shared = noise(20, 3_000_000)
        kept, gone = (mine.objects.put_bytes(shared + noise(seed, 3_000_000)) for seed in (21, 22))
        mine.push(kept, gone)
        before = sum(item.size_bytes for item in mine.bucket.list("packs"))

        with mine.remote.sweeping() as catalog:
            planned = upkeep.plan_sweep(mine.bucket, catalog, mine.objects, [kept])
            done = upkeep.sweep(mine.bucket, catalog, mine.objects, [kept])

        after = sum(item.size_bytes for item in mine.bucket.list("packs"))
        assert planned == done
        assert done.bytes_freed > 2_900_000
        assert before - after == pytest.approx(done.bytes_freed, rel=0.1)
        yours.pull(kept)
        assert yours.objects.get_bytes(kept)[:3_000_000] == shared
        with pytest.raises(NotFoundError):
            yours.pull(gone)
        assert mine.push(gone) > 2_900_000

    def test_what_is_removed_is_in_no_object(self, mine: Desk, yours: Desk) -> None:
        secret = noise(30, 200_000)
        kept, gone = mine.objects.put_bytes(noise(31)), mine.objects.put_bytes(secret)
        mine.push(kept, gone)
        yours.objects.put_bytes(secret)
        yours.push(gone)

        with mine.remote.sweeping() as catalog:
            assert upkeep.remove(mine.bucket, catalog, mine.objects, [gone], [kept]) >= 200_000

        contents = [mine.bucket.get(item.key) for item in mine.bucket.list("packs")]
        assert not [content for content in contents if secret[100_000:100_020] in content]
        yours.objects.remove([gone], [])
        assert yours.pull(kept) > 0

    def test_verifying_finds_what_is_damaged_and_what_is_missing(self, mine: Desk) -> None:
        mine.push(mine.objects.put_bytes(noise(40, 900_000)))
        assert list(upkeep.verify(mine.bucket, mine.remote.read_catalog())) == []
        pack = next(item.key for item in mine.bucket.list("packs") if item.key.endswith(".pack"))
        content = bytearray(mine.bucket.get(pack))
        content[len(content) // 2] ^= 1
        mine.bucket.put(pack, bytes(content))

        (damage,) = upkeep.verify(mine.bucket, mine.remote.read_catalog())

        assert damage.pack in pack
        assert "is damaged" in damage.problem

    def test_what_the_remote_lacks_is_named(self, yours: Desk) -> None:
        with pytest.raises(NotFoundError, match="origin does not have all of it"):
            yours.pull("1" * 64)


@pytest.fixture
def folder_place(tmp_path: Path) -> Place:
    return Place(RemoteTable(url=str(tmp_path / "remote")), {})


@pytest.mark.parametrize("dies_at", ["packs", "versions"])
def test_killed_push_goes_on_where_it_was(tmp_path: Path, folder_place: Place, dies_at: str) -> None:
    desk = Desk(tmp_path / "mine", folder_place)
    digests = [desk.objects.put_bytes(noise(seed, 9_000_000)) for seed in range(4)]
    url = folder_place.table.url

    run_python(PUSH + PUSH_ALL, desk.folder, url, "", dies_at, *digests, status=-9)

    assert desk.remote.find_mark(digest=digests[-1]) is None
    again = desk.push(*digests)
    assert again < (36_100_000 if dies_at == "packs" else 1)
    other = Desk(tmp_path / "yours", folder_place)
    other.pull(*digests)
    assert other.objects.find_missing(digests) == set()


def test_two_who_push_at_once_lose_nothing(tmp_path: Path, folder_place: Place) -> None:
    desks = [Desk(tmp_path / name, folder_place) for name in ("mine", "yours")]
    mine = [desks[0].objects.put_bytes(noise(seed)) for seed in range(6)]
    yours = [desks[1].objects.put_bytes(noise(seed)) for seed in range(3, 9)]
    way = (folder_place.table.url, "", "never")

    run_together(PUSH + GATE + PUSH_ALL, (desks[0].folder, *way, *mine), (desks[1].folder, *way, *yours))

    third = Desk(tmp_path / "third", folder_place)
    third.pull(*mine, *yours)
    assert third.objects.find_missing([*mine, *yours]) == set()
    assert len(third.remote.list_marks()) == 2


@pytest.mark.slow
def test_wrong_credentials_are_said_without_showing_them(tmp_path: Path, seaweed_endpoint: str) -> None:
    wrong = KEYS | {"AWS_SECRET_ACCESS_KEY": "not-the-secret"}
    desk = Desk(tmp_path, Place(RemoteTable(url="s3://shelf/x", endpoint=seaweed_endpoint), wrong))

    with pytest.raises(ForbiddenError, match=r"origin .* does not let us in") as caught:
        desk.push(desk.objects.put_bytes(b"x"))

    assert "not-the-secret" not in f"{caught.value!r}{caught.value.hint}{desk.bucket!r}"


def test_no_such_bucket_and_nobody_there(tmp_path: Path, moto_endpoint: str) -> None:
    def push_to(table: RemoteTable) -> PetlaError:
        desk = Desk(tmp_path / "mine", Place(table, KEYS))
        with pytest.raises(PetlaError) as caught:
            desk.push(desk.objects.put_bytes(b"x"))
        return caught.value

    missing = push_to(RemoteTable(url="s3://nowhere/x", endpoint=moto_endpoint))
    silent = push_to(RemoteTable(url="s3://shelf/x", endpoint="http://127.0.0.1:9"))

    assert isinstance(missing, NotFoundError)
    assert isinstance(silent, UnavailableError)
    assert "origin" in silent.message
    assert "next: " in str(silent)


def test_bucket_names_no_secret(tmp_path: Path) -> None:
    bucket = open_bucket("origin", RemoteTable(url="s3://shelf"), tmp_path, KEYS)

    assert isinstance(bucket, Bucket)
    assert "s3cret" not in repr(bucket)
