"""The spool: what was appended is read again, whatever cut the writing short."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petla.core.errors import BusyError, UnavailableError
from petla.core.ids import DecisionId
from petla.decisions.record import Feedback
from petla.decisions.spool import (
    FEEDBACK,
    Bounds,
    Places,
    Segment,
    SpoolReader,
    SpoolWriter,
    end_of,
    list_segments,
    note_shipped,
    segment_path,
)
from tests.decisions.logged import FAR, fix_numbers, next_segments, oldest_segment

START: Places = {}


def make_batch(first: int, n: int = 2) -> list[Feedback]:
    return [Feedback(DecisionId(f"id-{i}"), truth=i % 2 == 0, at_ns=i) for i in range(first, first + n)]


def write(folder: Path, *batches: list[Feedback], segment_bytes: int = 1 << 20) -> None:
    writer = SpoolWriter(folder, FEEDBACK, segment_bytes=segment_bytes)
    for batch in batches:
        writer.append(batch)
    writer.close()


def read(folder: Path, start: Places = START) -> list[list[Feedback]]:
    reader = SpoolReader(folder, FEEDBACK, Feedback)
    return [frame.records for frame in reader.frames(start, end_of(folder, FEEDBACK))]


def places_of(folder: Path) -> Places:
    end = end_of(folder, FEEDBACK)
    return {end.origin: end}


class Stranger(msgspec.Struct, array_like=True):
    number: int


def append_often(writer: SpoolWriter) -> None:
    for _ in range(200):
        writer.append(make_batch(0))


def is_taken_again(writer: SpoolWriter) -> bool:
    """Whether the writer finds out by itself, which it does a little later."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(UnavailableError):
            writer.append(make_batch(6))
            return True
    return False


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_appended_batches_are_read_in_order(tmp_path: Path) -> None:
    batches = [make_batch(0), make_batch(2, 5), make_batch(7, 1)]

    write(tmp_path, *batches)

    assert read(tmp_path) == batches


def test_reading_goes_on_where_a_frame_ended(tmp_path: Path) -> None:
    write(tmp_path, make_batch(0), make_batch(2))
    frames = SpoolReader(tmp_path, FEEDBACK, Feedback).frames(START, end_of(tmp_path, FEEDBACK))

    behind_first = next(frames).end

    assert read(tmp_path, {behind_first.origin: behind_first}) == [make_batch(2)]


def test_reading_stops_at_the_end_it_was_given(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, FEEDBACK)
    writer.append(make_batch(0))
    end = end_of(tmp_path, FEEDBACK)
    writer.append(make_batch(2))
    writer.close()

    frames = SpoolReader(tmp_path, FEEDBACK, Feedback).frames(START, end)

    assert [frame.records for frame in frames] == [make_batch(0)]


def test_full_segment_is_followed_by_the_next(tmp_path: Path) -> None:
    batches = [make_batch(i) for i in range(0, 20, 2)]

    write(tmp_path, *batches, segment_bytes=64)

    assert len(list_segments(tmp_path, FEEDBACK)) > 2
    assert read(tmp_path) == batches


def test_each_writer_begins_a_segment_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, make_batch(0))
    write(tmp_path, make_batch(2))

    assert len(list_segments(tmp_path, FEEDBACK)) == 2
    assert read(tmp_path) == [make_batch(0), make_batch(2)]


def test_segment_number_never_comes_twice(tmp_path: Path) -> None:
    write(tmp_path, *[make_batch(i) for i in range(0, 20, 2)], segment_bytes=64)
    segments = list_segments(tmp_path, FEEDBACK)
    for segment in segments[:-1]:
        segment_path(tmp_path, FEEDBACK, segment).unlink()

    write(tmp_path, make_batch(0))

    kept, begun = list_segments(tmp_path, FEEDBACK)
    assert kept == segments[-1]
    assert kept.number < begun.number


def test_clock_that_was_set_back_brings_no_number_twice(tmp_path: Path) -> None:
    segment_path(tmp_path, FEEDBACK, Segment(FAR)).touch()

    write(tmp_path, *[make_batch(i) for i in (0, 2)], segment_bytes=1)

    assert [each.number for each in list_segments(tmp_path, FEEDBACK)] == [FAR, FAR + 1, FAR + 2]


# no deadline: it flushes files
@settings(max_examples=40, deadline=None)
@given(cut=st.integers(min_value=0))
def test_any_cut_tail_leaves_the_whole_frames_before_it(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("spool")
    batches = [make_batch(0), make_batch(2, 9), make_batch(11)]
    write(folder, *batches)
    path = oldest_segment(folder, FEEDBACK)
    content = path.read_bytes()
    path.write_bytes(content[: cut % len(content)])

    before = read(folder)
    write(folder, make_batch(50))

    assert before == batches[: len(before)]
    assert read(folder) == [*before, make_batch(50)]
    assert path.stat().st_size < len(content)


def test_zeros_left_by_loss_of_power_are_cut_off(tmp_path: Path) -> None:
    write(tmp_path, make_batch(0))
    path = oldest_segment(tmp_path, FEEDBACK)
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(bytes(4096))

    write(tmp_path, make_batch(2))

    assert path.stat().st_size == size
    assert read(tmp_path) == [make_batch(0), make_batch(2)]


# the middle of the second frame's payload, its checksum, and its length
@pytest.mark.parametrize("place", [20, 5, 1])
def test_damage_is_named_and_stepped_over(tmp_path: Path, place: int) -> None:
    write(tmp_path, make_batch(0), make_batch(2), make_batch(4))
    path = oldest_segment(tmp_path, FEEDBACK)
    damaged = bytearray(path.read_bytes())
    second = len(damaged) // 3
    damaged[second + place] ^= 0xFF
    path.write_bytes(damaged)
    write(tmp_path, make_batch(6))
    frames = list(SpoolReader(tmp_path, FEEDBACK, Feedback).frames(START, end_of(tmp_path, FEEDBACK)))

    assert [frame.records for frame in frames if not frame.damage] == [make_batch(0), make_batch(4), make_batch(6)]
    assert [frame.damage for frame in frames if frame.damage] == [
        f"{path.name} is damaged at byte {second}: a record misses its checksum"
    ]
    assert path.read_bytes() == damaged


def test_record_of_another_form_is_damage(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, FEEDBACK)
    writer.append([Stranger(5)])
    writer.append(make_batch(0))
    writer.close()

    first, second = SpoolReader(tmp_path, FEEDBACK, Feedback).frames(START, end_of(tmp_path, FEEDBACK))

    assert "is unreadable" in first.damage
    assert second.records == make_batch(0)


def test_batches_that_wait_are_written_together_and_read_apart(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, FEEDBACK, durability="power")

    writer.append_all([make_batch(0), make_batch(2, 5)])
    writer.close()

    assert read(tmp_path) == [make_batch(0), make_batch(2, 5)]


def test_stream_that_is_full_refuses_until_it_was_shipped(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, FEEDBACK, bounds=Bounds(4_000))

    with pytest.raises(UnavailableError, match="more than may wait for the database"):
        append_often(writer)
    segments = list_segments(tmp_path, FEEDBACK)
    assert 4_000 < sum(segment_path(tmp_path, FEEDBACK, each).stat().st_size for each in segments) < 5_000
    note_shipped(tmp_path, FEEDBACK, places_of(tmp_path))

    assert is_taken_again(writer)
    writer.close()


def test_shipped_segment_that_is_larger_than_a_new_bound_refuses_nothing(tmp_path: Path) -> None:
    write(tmp_path, *(make_batch(i) for i in range(0, 200, 2)))
    end, places = end_of(tmp_path, FEEDBACK), places_of(tmp_path)
    note_shipped(tmp_path, FEEDBACK, places)
    writer = SpoolWriter(tmp_path, FEEDBACK, bounds=Bounds(end.offset // 2))

    writer.append(make_batch(200))
    writer.close()

    assert read(tmp_path, places) == [make_batch(200)]


def test_stream_has_one_writer(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, FEEDBACK)

    with pytest.raises(BusyError, match="writing feedback"):
        SpoolWriter(tmp_path, FEEDBACK)

    writer.close()


def test_full_disk_is_an_error_and_writing_recovers(tmp_path: Path) -> None:
    fix_numbers(tmp_path, FEEDBACK)
    writer = SpoolWriter(tmp_path, FEEDBACK)
    (full,) = next_segments(tmp_path, FEEDBACK, 1)
    full.symlink_to("/dev/full")

    with pytest.raises(UnavailableError, match="No space left"):
        writer.append(make_batch(0))
    full.unlink()
    writer.append(make_batch(2))
    writer.close()

    assert read(tmp_path) == [make_batch(2)]


def test_part_of_a_batch_that_does_not_fit_is_taken_back(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, FEEDBACK)
    writer.append(make_batch(0))
    size = end_of(tmp_path, FEEDBACK).offset

    with file_size_limit(size + 100), pytest.raises(UnavailableError, match="cannot be written"):
        writer.append(make_batch(2, 50))

    assert end_of(tmp_path, FEEDBACK).offset == size
    writer.append(make_batch(60))
    writer.close()
    assert read(tmp_path) == [make_batch(0), make_batch(60)]


def test_power_durability_flushes_and_reads_the_same(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, FEEDBACK, durability="power")
    writer.append(make_batch(0))
    writer.close()

    assert read(tmp_path) == [make_batch(0)]
