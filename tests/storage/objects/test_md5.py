"""The process that counts md5: what it says of files, and what it runs into."""

import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from petla.core.errors import ConflictError, UnavailableError
from petla.storage.objects import ObjectStore
from petla.storage.objects.intake import digest_files
from petla.storage.objects.md5 import counting
from petla.storage.objects.md5.child import MOST_APART_BYTES
from petla.storage.objects.md5.counting import Md5s
from petla.storage.objects.sources import Source, find_source

SIZES = (0, 1, 20_000, 5 << 20, (4 << 20) + 1, 4 << 20, 70_000)


@pytest.fixture
def md5s() -> Iterator[Md5s]:
    running = Md5s()
    yield running
    running.close()


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    for number, size in enumerate(SIZES):
        (tmp_path / f"a file\n{number}").write_bytes(random.Random(number).randbytes(size))
    return [find_source(tmp_path / f"a file\n{number}") for number in range(len(SIZES))]


def test_groups_are_counted_in_the_order_in_which_they_were_asked_for(md5s: Md5s, sources: list[Source]) -> None:
    groups = [sources[:3], [sources[3]], sources[4:]]
    for group in groups:
        md5s.ask(group)

    assert [md5s.take() for _ in groups] == [[_md5(each) for each in group] for group in groups]


def test_reader_far_ahead_waits_for_the_count_and_goes_on(md5s: Md5s, tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(MOST_APART_BYTES + (64 << 20))
    source = find_source(path)
    md5s.ask([source])
    md5s.ask([source])

    for offset in range(4 << 20, source.numbers[0], 4 << 20):
        md5s.keep_pace(offset)

    assert md5s.take() == md5s.take()


@pytest.mark.parametrize("damage", ["removed", "changed", "not ours"])
def test_file_that_cannot_be_counted_is_named(md5s: Md5s, sources: list[Source], damage: str) -> None:
    broken, wrong = Path(sources[1].path), {"removed": FileNotFoundError, "changed": ConflictError}
    if damage == "removed":
        broken.unlink()
    elif damage == "changed":
        broken.write_bytes(b"other")
    else:
        broken.unlink()
        broken.mkdir()
    md5s.ask(sources[:3])
    md5s.ask(sources[3:])

    with pytest.raises(wrong.get(damage, UnavailableError), match="a file"):
        md5s.take()
    assert md5s.take() == [_md5(each) for each in sources[3:]]


def test_end_of_the_process_is_said_and_keeps_nobody_waiting(md5s: Md5s, sources: list[Source]) -> None:
    os.kill(md5s.pid, 9)
    os.waitid(os.P_PID, md5s.pid, os.WEXITED | os.WNOWAIT)

    with pytest.raises(UnavailableError, match="has ended"):
        md5s.ask(sources)


def test_files_are_the_same_with_and_without_it(
    tmp_path: Path, sources: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = list(digest_files(sources))
    monkeypatch.setattr(counting, "_LEAST_BYTES", 0)

    with ObjectStore(tmp_path / "objects").writing() as writer:
        assert list(writer.put_files(sources)) == alone == list(digest_files(sources))


def test_no_process_to_be_had_is_no_fault(sources: list[Source], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_LEAST_BYTES", 0)
    monkeypatch.setattr("sys.executable", "/nowhere/python")

    assert [each.md5 for each in digest_files(sources)] == [_md5(each) for each in sources]


def _md5(source: Source) -> str:
    return hashlib.md5(Path(source.path).read_bytes(), usedforsecurity=False).hexdigest()
