"""Dropping what nobody needs, and a long life of a store against a simple model of it."""

import os
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from petla.core.errors import NotFoundError
from petla.storage.objects import ObjectStore
from tests.contracts.processes import run_python

DIE_WHILE_SWEEPING = """
import os, pathlib, signal, sys
from petla.storage.objects import ObjectStore
from petla.storage.objects.index import Index
def dying(*_):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(Index, sys.argv[2], dying)
ObjectStore(pathlib.Path(sys.argv[1])).remove([sys.argv[3]], [sys.argv[4]])
"""


def noise(seed: int, size: int = 300_000) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")


def test_sweep_keeps_what_is_named_and_what_it_consists_of(store: ObjectStore) -> None:
    kept, dropped = store.put_bytes(noise(1)), store.put_bytes(noise(2))
    planned = store.plan_sweep([kept], min_age_s=0)

    done = store.sweep([kept], min_age_s=0)

    assert done == planned
    assert done.bytes_freed > 250_000
    assert store.get_bytes(kept) == noise(1)
    assert dropped not in store
    assert store.usage().stored_bytes < 350_000


def test_sweep_leaves_what_somebody_just_relied_on(store: ObjectStore) -> None:
    digest = store.put_bytes(noise(1))

    assert store.sweep([], min_age_s=60).entries == 0

    assert store.get_bytes(digest) == noise(1)


def test_removed_bytes_are_in_no_file(store: ObjectStore) -> None:
    secret, shared = noise(3), noise(4)
    kept, gone = store.put_bytes(shared + b"kept"), store.put_bytes(shared + secret)

    n_bytes = store.remove([gone], [kept])

    packs = b"".join(path.read_bytes() for path in (store.folder / "packs").iterdir())
    assert n_bytes > 200_000
    assert secret[100_000:100_100] not in packs
    assert store.get_bytes(kept) == shared + b"kept"
    assert gone not in store
    store.close()
    (store.folder / "index.db").unlink()
    assert gone not in ObjectStore(store.folder)


@pytest.mark.parametrize("place", ["insert", "doom", "_bury"])
def test_kill_while_removing_loses_nothing_and_is_finished_by_doing_it_again(store: ObjectStore, place: str) -> None:
    kept, gone = store.put_bytes(noise(1)), store.put_bytes(noise(2))
    store.close()

    run_python(DIE_WHILE_SWEEPING, store.folder, place, gone, kept, status=-9)

    assert store.get_bytes(kept) == noise(1)
    store.remove([gone], [kept])
    assert store.get_bytes(kept) == noise(1)
    assert gone not in store
    packs = b"".join(path.read_bytes() for path in (store.folder / "packs").iterdir())
    assert noise(2)[100_000:100_100] not in packs


def test_reader_survives_a_sweep(store: ObjectStore) -> None:
    kept = store.put_bytes(noise(1, 6_000_000))
    store.put_bytes(noise(2, 6_000_000))
    reading = ObjectStore(store.folder).read(kept)
    begin = next(reading)

    store.sweep([kept], min_age_s=0)

    assert b"".join([begin, *reading]) == noise(1, 6_000_000)


def test_many_small_packs_are_put_together(store: ObjectStore) -> None:
    digests = []
    for number in range(12):
        with store.writing() as first, store.writing() as second:
            digests += [first.put_bytes(noise(number, 9_000)), second.put_bytes(noise(-number - 1, 9_000))]
    before = store.usage().packs

    store.sweep(digests, min_age_s=0)

    assert store.usage().packs <= before
    assert store.find_missing(digests) == set()


class StoreLife(RuleBasedStateMachine):
    """Puts, reads, sweeps, losses and restarts in any order: what must be there is there."""

    names: Bundle[str] = Bundle("names")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.store = ObjectStore(Path(self._folder.name) / "objects")
        self.model: dict[str, bytes] = {}

    def teardown(self) -> None:
        self.store.close()
        self._folder.cleanup()

    @rule(target=names, seed=st.integers(0, 5), size=st.sampled_from([0, 10, 40_000, 300_000]), shared=st.booleans())
    def put(self, seed: int, size: int, shared: bool) -> str:
        content = (noise(99) if shared else b"") + noise(seed, size)
        name = self.store.put_bytes(content)
        self.model[name] = content
        return name

    @rule(target=names, seeds=st.lists(st.integers(6, 9), min_size=1, max_size=3))
    def put_many(self, seeds: list[int]) -> MultipleResults[str]:
        with self.store.writing() as writer:
            names = [writer.put_bytes(noise(seed, 100_000)) for seed in seeds]
        self.model.update(zip(names, (noise(seed, 100_000) for seed in seeds), strict=True))
        return multiple(*names)

    @rule(name=names)
    def read(self, name: str) -> None:
        if name in self.model:
            assert self.store.get_bytes(name) == self.model[name]

    @rule(name=consumes(names))
    def remove(self, name: str) -> None:
        self.model.pop(name, None)
        self.store.remove([name], list(self.model))

    @rule()
    def sweep(self) -> None:
        self.store.sweep(list(self.model), min_age_s=0)

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = ObjectStore(self.store.folder)

    @rule()
    def lose_index(self) -> None:
        self.store.close()
        (self.store.folder / "index.db").unlink(missing_ok=True)

    @rule(n_bytes=st.integers(1, 200))
    def tear(self, n_bytes: int) -> None:
        """What a writer that died left at the end of a pack."""
        self.store.close()
        for pack in sorted((self.store.folder / "packs").glob("*"))[:1]:
            with pack.open("ab") as file:
                file.write(os.urandom(n_bytes))

    @invariant()
    def everything_is_there(self) -> None:
        assert self.store.find_missing(self.model) == set()


TestStoreLife = StoreLife.TestCase
TestStoreLife.settings = settings(max_examples=6, stateful_step_count=15, deadline=None)


@pytest.mark.slow
def test_long_life() -> None:
    run_state_machine_as_test(StoreLife, settings=settings(max_examples=15, stateful_step_count=60, deadline=None))


def test_removed_object_is_not_found(store: ObjectStore) -> None:
    digest = store.put_bytes(b"x")
    store.remove([digest], [])

    with pytest.raises(NotFoundError):
        store.get_bytes(digest)
