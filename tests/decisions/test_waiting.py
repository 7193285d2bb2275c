"""What waits to be shipped: counted exactly, by the shipper's note beside the segments, and never too little."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from petla.core.errors import UnavailableError
from petla.decisions.record import Decision
from petla.decisions.shipper import ship
from petla.decisions.spool import (
    DECISIONS,
    FEEDBACK,
    SHADOWS,
    SPOOL_FOLDER,
    Bounds,
    Position,
    Segment,
    SpoolWriter,
    Waiting,
    age_of,
    end_of,
    list_segments,
    measure,
    read_shipped,
)
from petla.decisions.summary import summarise
from petla.storage.database import writing
from petla.storage.tables import decisions, spool_positions
from petla.storage.workspace import Workspace
from tests.decisions.logged import NOON_NS, SECOND_NS, make_decision, make_feedback, make_shadow, oldest_segment, spool
from tests.deployments.tiny import open_shop

HOUR_S = 3_600


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    return open_shop(tmp_path)


def folder_of(ws: Workspace) -> Path:
    return ws.state / SPOOL_FOLDER / "0"


def find_waiting(ws: Workspace) -> Waiting:
    """What a writer of decisions believes to wait."""
    return measure(folder_of(ws), DECISIONS, read_shipped(folder_of(ws), DECISIONS))


def make_present(number: int, *, age_s: int = 0) -> Decision:
    return msgspec.structs.replace(make_decision(number), at_ns=time.time_ns() - age_s * SECOND_NS)


def test_shipped_segment_is_not_overdue_after_a_long_stop(shop: Workspace) -> None:
    spool(shop, [make_present(0, age_s=9 * HOUR_S)])
    ship(shop)
    os.utime(oldest_segment(folder_of(shop), DECISIONS), (0, 0))

    # each looks before it writes
    for number in (1, 2, 3):
        writer = SpoolWriter(folder_of(shop), DECISIONS, bounds=Bounds(1 << 20, HOUR_S))
        writer.append([make_present(number)])
        writer.close()


def test_stream_that_is_too_old_refuses_all_until_it_was_shipped(shop: Workspace) -> None:
    spool(shop, [make_present(0, age_s=9 * HOUR_S)])
    writer = SpoolWriter(folder_of(shop), DECISIONS, bounds=Bounds(1 << 20, HOUR_S))

    for _ in range(20):
        with pytest.raises(UnavailableError, match="older than may wait"):
            writer.append([make_present(1)])
    ship(shop)
    writer.close()
    writer = SpoolWriter(folder_of(shop), DECISIONS, bounds=Bounds(1 << 20, HOUR_S))

    writer.append([make_present(1)])
    writer.close()


@pytest.mark.parametrize(
    ("stream", "make"), [(DECISIONS, make_decision), (FEEDBACK, make_feedback), (SHADOWS, make_shadow)]
)
def test_age_is_that_of_the_oldest_record_that_waits(
    shop: Workspace, stream: str, make: Callable[[int], msgspec.Struct]
) -> None:
    writer = SpoolWriter(folder_of(shop), stream)
    writer.append([make(0)])
    behind_first = end_of(folder_of(shop), stream)
    writer.append([make(60), make(90)])
    writer.close()
    now_s = NOON_NS / 1e9 + 100

    ages = []
    for shipped in (Position(0, 0), behind_first, end_of(folder_of(shop), stream)):
        waiting = measure(folder_of(shop), stream, {behind_first.origin: shipped})
        ages.append(round(age_of(folder_of(shop), stream, waiting, now_s)))

    assert ages == [100, 40, 0]


def test_age_of_a_damaged_record_is_that_of_the_last_write_to_its_segment(shop: Workspace) -> None:
    spool(shop, [make_decision(0)])
    path = oldest_segment(folder_of(shop), DECISIONS)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    os.utime(path, (1_000, 1_000))

    assert age_of(folder_of(shop), DECISIONS, find_waiting(shop), 1_500) == 500


@pytest.mark.parametrize("content", [b"", b"12345", bytes(20), b"a file of somebody else's", b"\1" * 20])
def test_note_that_cannot_be_read_lets_all_wait_that_lies_there(shop: Workspace, content: bytes) -> None:
    spool(shop, [make_decision(0)])
    ship(shop)
    note = folder_of(shop) / "decisions.shipped"
    assert find_waiting(shop).size_bytes == 0

    note.write_bytes(content)

    end = end_of(folder_of(shop), DECISIONS)
    assert find_waiting(shop) == (end.offset, end._replace(offset=0))
    ship(shop)
    assert find_waiting(shop) == (0, None)


def test_note_that_cannot_be_left_stops_no_shipping(shop: Workspace) -> None:
    spool(shop, [make_decision(0)])
    (folder_of(shop) / ".decisions.shipped.tmp").mkdir()

    assert ship(shop).decisions == 1

    assert find_waiting(shop).size_bytes > 0
    (folder_of(shop) / ".decisions.shipped.tmp").rmdir()
    ship(shop)
    assert find_waiting(shop).size_bytes == 0


def test_workers_have_notes_of_their_own(shop: Workspace) -> None:
    spool(shop, [make_decision(0)], worker="0")
    spool(shop, [make_decision(1)], [make_decision(2)], worker="1")

    ship(shop)
    spool(shop, [make_decision(3)], worker="1")

    assert [(each.worker, each.stream) for each in summarise(shop).backlog] == [("1", DECISIONS)]
    assert find_waiting(shop).size_bytes == 0


class Model:
    """A stream and what must be known of it: each frame, and whether the present database has it."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self.writer = self._open()
        # segment, bytes, whether it was shipped
        self.frames: list[tuple[Segment, int, bool]] = []

    def _open(self) -> SpoolWriter:
        return SpoolWriter(folder_of(self.ws), DECISIONS, segment_bytes=400)

    def write(self, length: int) -> None:
        before = end_of(folder_of(self.ws), DECISIONS)
        decision = make_decision(len(self.frames))
        self.writer.append([msgspec.structs.replace(decision, inputs=("x" * 60 * length,))])
        end = end_of(folder_of(self.ws), DECISIONS)
        self.frames.append((end.file, end.offset - before.offset * (end.file == before.file), False))

    def restart(self, _: int) -> None:
        self.writer.close()
        self.writer = self._open()

    def ship(self, n_frames: int) -> None:
        goes_on = iter([False] * n_frames)
        shipped = ship(self.ws, limit_rows=1, is_over=lambda: next(goes_on, True)).decisions
        waiting = [place for place, frame in enumerate(self.frames) if not frame[2]]
        assert shipped == min(n_frames, len(waiting))
        for place in waiting[:shipped]:
            self.frames[place] = (*self.frames[place][:2], True)

    def lose_note(self, _: int) -> None:
        (folder_of(self.ws) / "decisions.shipped").unlink(missing_ok=True)
        self.ship(0)

    def lose_database(self, _: int) -> None:
        with writing(self.ws.engine) as connection:
            connection.execute(delete(decisions))
            connection.execute(delete(spool_positions))
        there = list_segments(folder_of(self.ws), DECISIONS)
        self.frames = [(segment, size, segment not in there) for segment, size, _ in self.frames]
        self.ship(0)

    @property
    def waiting_bytes(self) -> int:
        return sum(size for _, size, is_shipped in self.frames if not is_shipped)


Step = Callable[[Model, int], None]
steps: list[Step] = [Model.write, Model.write, Model.ship, Model.restart, Model.lose_note, Model.lose_database]


@settings(max_examples=6, deadline=None)
@given(story=st.lists(st.tuples(st.sampled_from(steps), st.integers(0, 3)), min_size=4, max_size=12))
def test_what_waits_is_exactly_what_lies_behind_the_shipper(
    tmp_path_factory: pytest.TempPathFactory, story: list[tuple[Step, int]]
) -> None:
    ws = open_shop(tmp_path_factory.mktemp("shop"))
    model = Model(ws)

    for step, number in story:
        step(model, number)

        assert find_waiting(ws).size_bytes == model.waiting_bytes
        assert sum(each.size_bytes for each in summarise(ws).backlog) == model.waiting_bytes

    model.writer.close()
    ws.engine.dispose()
