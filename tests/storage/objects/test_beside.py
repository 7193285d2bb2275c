"""The processes beside this one: what they say of files, and what they run into."""

import contextlib
import fcntl
import hashlib
import os
import random
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from petla.core.errors import ConflictError, UnavailableError
from petla.storage.objects import ObjectStore
from petla.storage.objects.beside import counting, sharing
from petla.storage.objects.beside.counter import MOST_APART_BYTES
from petla.storage.objects.beside.counting import Md5s
from petla.storage.objects.beside.sharing import Partner
from petla.storage.objects.intake import digest_file, digest_files
from petla.storage.objects.sources import Source, find_source

SIZES = (0, 1, 20_000, 5 << 20, (4 << 20) + 1, 4 << 20, 70_000)


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    for number, size in enumerate(SIZES):
        (tmp_path / f"a file\n{number}").write_bytes(random.Random(number).randbytes(size))
    return [find_source(tmp_path / f"a file\n{number}") for number in range(len(SIZES))]


@pytest.fixture
def many(tmp_path: Path) -> list[Source]:
    """Small files in groups of a few, some the same, with a large one among them."""
    draw = random.Random(7)
    paths = [tmp_path / f"{number:03}" for number in range(90)]
    for number, path in enumerate(paths):
        path.write_bytes(draw.randbytes(2 << 20 if number == 40 else 100 * (number % 60)))
    paths[80].write_bytes(paths[3].read_bytes())
    return [find_source(path) for path in paths]


@pytest.fixture
def md5s(sources: list[Source]) -> Iterator[Md5s]:
    running = Md5s(sources)
    yield running
    running.close()


@pytest.fixture
def partners(monkeypatch: pytest.MonkeyPatch) -> list[Partner]:
    """Have a partner for anything, and groups of four files; return those that were started."""
    started: list[Partner] = []

    class Noted(Partner):
        def __init__(self, store: Path | None) -> None:
            super().__init__(store)
            started.append(self)

    monkeypatch.setattr(sharing, "_LEAST_BYTES", 0)
    monkeypatch.setattr(sharing, "_AT_ONCE", 4)
    monkeypatch.setattr(sharing, "Partner", Noted)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    return started


def test_files_are_counted_in_their_order(md5s: Md5s, sources: list[Source]) -> None:
    assert [md5s.take() for _ in sources] == [_md5(each) for each in sources]


def test_reader_far_ahead_waits_for_the_count_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(MOST_APART_BYTES + (64 << 20))
    source = find_source(path)
    md5s = Md5s([source, source])

    with contextlib.closing(md5s):
        for offset in range(4 << 20, source.numbers[0], 4 << 20):
            md5s.keep_pace(offset)
        assert md5s.take() == md5s.take()


@pytest.mark.parametrize("damage", ["removed", "changed", "not ours"])
def test_file_that_cannot_be_counted_is_named(sources: list[Source], damage: str) -> None:
    broken, wrong = Path(sources[1].path), {"removed": FileNotFoundError, "changed": ConflictError}
    if damage == "removed":
        broken.unlink()
    elif damage == "changed":
        broken.write_bytes(b"other")
    else:
        broken.unlink()
        broken.mkdir()

    with contextlib.closing(Md5s(sources)) as md5s:
        assert md5s.take() == _md5(sources[0])
        with pytest.raises(wrong.get(damage, UnavailableError), match="a file"):
            md5s.take()
        assert md5s.take() == _md5(sources[2])


def test_end_of_the_process_is_said_and_keeps_nobody_waiting(md5s: Md5s) -> None:
    _kill(md5s.pid)

    with pytest.raises(UnavailableError, match="has ended"):
        md5s.take()


def test_files_are_the_same_with_and_without_it(
    tmp_path: Path, sources: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = list(digest_files(sources))
    monkeypatch.setattr(counting, "_LEAST_BYTES", 0)

    with ObjectStore(tmp_path / "objects").writing() as writer:
        assert list(writer.put_files(sources)) == alone == list(digest_files(sources))


@pytest.mark.parametrize("module", [counting, sharing])
def test_no_process_to_be_had_is_no_fault(many: list[Source], monkeypatch: pytest.MonkeyPatch, module: object) -> None:
    monkeypatch.setattr(module, "_LEAST_BYTES", 0)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    assert [each.md5 for each in digest_files(many)] == [_md5(each) for each in many]


def test_partner_says_and_keeps_what_would_be_kept_here(
    tmp_path: Path, many: list[Source], partners: list[Partner], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger=sharing.__name__)
    alone = [digest_file(Path(source.path)) for source in many]
    store = ObjectStore(tmp_path / "objects")

    with store.writing() as writer:
        assert list(writer.put_files(many)) == alone == list(digest_files(many))

    assert len(partners) == 2
    assert not caplog.records
    assert [store.get_bytes(each.digest) for each in alone] == [Path(source.path).read_bytes() for source in many]
    assert list(store.verify_all()) == []


@pytest.mark.parametrize("moment", ["ask", "receive", "commit"])
def test_partner_that_is_killed_loses_nothing(
    tmp_path: Path,
    many: list[Source],
    partners: list[Partner],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    moment: str,
) -> None:
    caplog.set_level("INFO", logger=sharing.__name__)
    store = ObjectStore(tmp_path / "objects")
    as_usual = getattr(Partner, moment)

    def kill_first(partner: Partner, *args: object) -> object:
        _kill(partner.pid)
        return as_usual(partner, *args)

    monkeypatch.setattr(Partner, moment, kill_first)
    with store.writing() as writer:
        found = list(writer.put_files(many))

    assert len(partners) == 1
    assert "objects.partner_ended" in caplog.messages
    assert found == [digest_file(Path(source.path)) for source in many]
    assert [store.get_bytes(each.digest) for each in found] == [Path(source.path).read_bytes() for source in many]


def test_partner_and_this_process_never_wait_for_each_other(
    tmp_path: Path, partners: list[Partner], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever has many pipes open gets small ones, into which neither what is given nor an answer fits."""
    caplog.set_level("INFO", logger=sharing.__name__)
    paths = [tmp_path / f"{number:0200}" for number in range(300)]
    for path in paths:
        path.touch()
    monkeypatch.setattr(sharing, "_AT_ONCE", 60)
    as_usual = Partner.ask

    def ask(partner: Partner, group: Sequence[Source]) -> None:
        for descriptor in (partner._orders.fileno(), partner._replies):
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 4096)
        as_usual(partner, group)

    monkeypatch.setattr(Partner, "ask", ask)
    # ends a wait that would have no end
    watch = threading.Timer(10, lambda: _kill(partners[0].pid))
    watch.start()
    found = list(digest_files([find_source(path) for path in paths]))
    watch.cancel()

    assert len(found) == 300
    assert "objects.partner_ended" not in caplog.messages


@pytest.mark.parametrize("damage", ["removed", "changed"])
def test_file_that_the_partner_cannot_take_is_named(
    tmp_path: Path, many: list[Source], partners: list[Partner], damage: str
) -> None:
    # the first groups are the partner's
    broken = Path(many[1].path)
    broken.unlink()
    if damage == "changed":
        broken.write_bytes(b"other than it was")

    wrong = FileNotFoundError if damage == "removed" else ConflictError
    with pytest.raises(wrong, match="001"), ObjectStore(tmp_path / "objects").writing() as writer:
        list(writer.put_files(many))
    assert len(partners) == 1


def _kill(pid: int) -> None:
    os.kill(pid, 9)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def _md5(source: Source) -> str:
    return hashlib.md5(Path(source.path).read_bytes(), usedforsecurity=False).hexdigest()
