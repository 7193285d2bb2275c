"""The shipper: moves what the workers spooled into the rows, each record exactly once.

A batch's rows, what the counters make of it, and the place in the spool behind it are committed in one transaction: a
crash repeats the whole batch or none of it. Feedback and shadow answers are moved only as far as they had come before
the decisions were moved, so that none arrives before the decision that it is about.

What can never be moved stops nothing, and is kept aside for a person to look at: a segment in which something is
damaged, whole; and records that the database refuses for their own sake, found by halves, in a file of the same form.
"""

import contextlib
import logging
import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from sqlalchemy import Connection

from petla.core.errors import ConflictError, InvalidError, PetlaError
from petla.decisions import records
from petla.decisions.record import Decision, Feedback, ShadowAnswer
from petla.decisions.spool import (
    DAMAGED_FOLDER,
    DECISIONS,
    FEEDBACK,
    SHADOWS,
    SPOOL_FOLDER,
    Places,
    Position,
    Segment,
    SpoolReader,
    encode_frame,
    end_of,
    list_left_behind,
    list_segments,
    note_shipped,
    segment_path,
)
from petla.decisions.store import Counter, ShadowCounter, Store, days_of
from petla.storage.database import attempting, reading, writing
from petla.storage.files import lock, make_folder, reported, write_atomic
from petla.storage.partitions import DAYS_AHEAD, analyse_new, days_from, has_days, make_days
from petla.storage.workspace import Workspace

logger = logging.getLogger(__name__)

Records = TypeVar("Records", bound=msgspec.Struct)
# a record, and why the database does not take it
Refusal = tuple[msgspec.Struct, PetlaError]

# the database does not take a record, and never will; all else is an outage, or a fault of ours, and is tried again
_REFUSALS = (ConflictError, InvalidError)
# batches are closed at this many rows where some of them are refused
_CAREFUL_ROWS = 1_000


class Shipped(msgspec.Struct, frozen=True):
    """What one call moved into the rows."""

    decisions: int
    feedback: int
    # feedback about a decision that the log does not have; it is kept all the same
    unknown_feedback: int
    shadows: int = 0
    # what could not be read or was refused, in words; it is kept aside
    damaged: tuple[str, ...] = ()
    # decisions among those moved that a counter failed at
    uncounted: int = 0


def ship(
    ws: Workspace,
    counters: Sequence[Counter] = (),
    shadow_counters: Sequence[ShadowCounter] = (),
    *,
    limit_rows: int = 20_000,
    is_over: Callable[[], bool] = lambda: False,
) -> Shipped:
    """Move into the rows what was in the spools when this was called.

    Args:
        ws: the project.
        counters: called with each batch of decisions, inside its transaction.
        shadow_counters: called with each batch of shadow answers in the same way.
        limit_rows: batches are closed at this many rows; it bounds memory and the time for which other writers wait.
        is_over: asked between batches; once it says so, which it must not take back, the next call goes on.

    Raises:
        BusyError: another process ships.
        UnavailableError: the database cannot be written; what was not committed is shipped by the next call.
    """
    with lock(ws.state / SPOOL_FOLDER / "shipping.lock", purpose="shipping decisions", wait_s=ws.settings.wait_s):
        return _Shipment(ws, Store(ws, counters, shadow_counters), limit_rows, is_over).run()


def after(seconds: float, stop: threading.Event | None = None) -> Callable[[], bool]:
    """Return what says whether so many seconds have passed since now, or `stop` is set."""
    until_s = time.monotonic() + seconds
    return lambda: time.monotonic() >= until_s or (stop is not None and stop.is_set())


class _Stream(NamedTuple):
    """One kind of records, and what is done with them."""

    name: str
    kind: type[Any]
    store: Callable[[Connection, list[Any]], None]
    table: str
    # sees what was stored, in the same transaction
    show: Callable[[Connection, list[Any]], None] = lambda *_: None
    has_days: bool = False


class _Batch(NamedTuple):
    """Records of one transaction, and what is damaged among them."""

    records: list[Any]
    # the places behind the first frame and behind the last
    first: Position
    behind: Position
    # of each origin, the place behind its last frame
    places: Places
    # segment and what is wrong with it, in words
    damage: list[tuple[Segment, str]]


class _Shipment:
    """One call: the spools, and the faults met on the way."""

    def __init__(self, ws: Workspace, store: Store, limit_rows: int, is_over: Callable[[], bool]) -> None:
        self._ws = ws
        self._store = store
        self._limit_rows = limit_rows
        self._is_over = is_over
        self._damaged: list[str] = []
        # stream -> records that were moved
        self._moved: Tally[str] = Tally()
        # (table, day) that is there
        self._days: set[tuple[str, str]] = set()

    def run(self) -> Shipped:
        spool, store = self._ws.state / SPOOL_FOLDER, self._store
        folders = sorted(path for path in spool.iterdir() if path.is_dir())
        # NOTE: looked up before the decisions' ends, so that all before them is about decisions that are moved.
        labels_ends, shadows_ends = ({each: end_of(each, name) for each in folders} for name in (FEEDBACK, SHADOWS))
        decisions = _Stream(DECISIONS, Decision, store.add_decisions, "decisions", store.count, has_days=True)
        shadows = _Stream(SHADOWS, ShadowAnswer, store.add_shadows, "shadows", store.count_shadows, has_days=True)
        labels = _Stream(FEEDBACK, Feedback, store.add_feedback, "feedback")
        for folder in folders:
            self._move(folder, decisions, end_of(folder, DECISIONS))
        # NOTE: where this ended early, decisions are left whose labels must not be moved before them.
        for folder in folders:
            self._move(folder, labels, labels_ends[folder])
        for folder in folders:
            self._move(folder, shadows, shadows_ends[folder])
        moved = self._moved
        return Shipped(
            decisions=moved[DECISIONS],
            feedback=moved[FEEDBACK],
            unknown_feedback=store.unknown,
            shadows=moved[SHADOWS],
            damaged=tuple(self._damaged),
            uncounted=store.uncounted,
        )

    def _move(self, folder: Path, stream: _Stream, end: Position) -> None:
        """Move one stream up to a place."""
        with reading(self._ws.engine) as connection:
            places = records.list_positions(connection, self._ws.name, folder, stream.name)
        if "" in places:
            self._keep_overtaken(folder, stream.name, places[""])
        # a crash left something, or a writer has ended since
        _remove_shipped(folder, stream.name, places)
        # another one where the last note could not be left, or the database is another
        note_shipped(folder, stream.name, places)
        self._move_until(folder, stream, places, end, self._limit_rows)

    def _move_until(self, folder: Path, stream: _Stream, places: Places, end: Position, limit_rows: int) -> None:
        for batch in _batches(SpoolReader(folder, stream.name, stream.kind), places, end, limit_rows):
            if self._is_over():
                return
            if stream.has_days:
                self._make_days(stream.table, batch.records)
            is_small = limit_rows <= _CAREFUL_ROWS
            behind = {**places, **batch.places}
            try:
                self._put(folder, stream, batch, behind, is_careful=is_small)
            except _REFUSALS:
                if is_small:
                    raise
                # some of it can never be stored: once more in small transactions, so that nobody waits long for one
                self._move_until(folder, stream, places, batch.behind, _CAREFUL_ROWS)
            places = behind

    def _put(self, folder: Path, stream: _Stream, batch: _Batch, behind: Places, *, is_careful: bool) -> None:
        """Store one batch and the places behind it.

        Args:
            folder: the worker's.
            stream: of the worker.
            batch: lies in it.
            behind: how far the stream is shipped with it.
            is_careful: whether records that the database refuses are found and kept aside.
        """
        taken: list[Any] = batch.records
        refused: list[Refusal] = []
        with writing(self._ws.engine) as connection:
            if is_careful:
                taken, refused = _sift(connection, stream, batch.records)
            elif taken:
                stream.store(connection, taken)
            if taken:
                stream.show(connection, taken)
                if has_days(self._ws.engine):
                    analyse_new(connection, stream.table)
            # before what steps over it is committed: a crash in between repeats the batch, and makes the same files
            for segment, what in batch.damage:
                self._set_aside(folder, stream.name, segment, what)
            if refused:
                self._keep_refused(folder, stream.name, batch.first, refused)
            for place in batch.places.values():
                records.set_position(connection, self._ws.name, f"{folder.name}/{stream.name}", place)
        self._moved[stream.name] += len(taken)
        _remove_shipped(folder, stream.name, behind)
        note_shipped(folder, stream.name, behind)

    def _make_days(self, table: str, batch: Sequence[Any]) -> None:
        """Make the tables of a batch's days, and of some days ahead, before its transaction."""
        if not has_days(self._ws.engine):
            return
        wanted = [day for day in days_of(batch) if (table, day) not in self._days]
        if wanted:
            wanted += days_from(max(wanted), 1 + DAYS_AHEAD)
            with writing(self._ws.engine) as connection:
                make_days(connection, table, self._ws.name, wanted)
            self._days |= {(table, day) for day in wanted}

    def _keep_overtaken(self, folder: Path, stream: str, place: Position) -> None:
        """Keep segments without an origin that a place without one overtook: they may be another folder's, unread."""
        for segment in list_segments(folder, stream):
            if not segment.origin and segment.number < place.segment:
                path = segment_path(folder, stream, segment)
                aside = _keep_aside(folder, path)
                said = f"{path.name} was written before version 0.2 and may not be in the log; it is kept in {aside}"
                logger.warning("segment.kept", extra={"worker": folder.name, "error": said})
                self._damaged.append(said)

    def _set_aside(self, folder: Path, stream: str, segment: Segment, what: str) -> None:
        """Keep a damaged segment under a second name; the first one is removed when it was shipped."""
        aside = _keep_aside(folder, segment_path(folder, stream, segment))
        said = f"{what}; what is whole around it is in the log, and the file is kept in {aside}"
        logger.error("spool.found_damaged", extra={"worker": folder.name, "error": said})
        self._damaged.append(said)

    def _keep_refused(self, folder: Path, stream: str, first: Position, refused: Sequence[Refusal]) -> None:
        """Keep records in a file of the form of a segment, named by the first frame of their batch."""
        origin = f"-{first.origin}" if first.origin else ""
        path = folder / DAMAGED_FOLDER / f"{stream}-{first.segment}-{first.offset}{origin}.log"
        write_atomic(path, encode_frame(msgspec.msgpack.encode([record for record, _ in refused])))
        # the rest of what the database says may show the row
        why = refused[0][1].message.splitlines()[0]
        said = f"records of {stream} were refused: {len(refused)}, one since {why}; they are kept in {path}"
        logger.error("records.refused", extra={"worker": folder.name, "error": said})
        self._damaged.append(said)


def _keep_aside(folder: Path, path: Path) -> Path:
    """Give a segment a second name in the folder of what is kept aside; return that folder."""
    aside = folder / DAMAGED_FOLDER
    with reported(aside):
        make_folder(aside)
        with contextlib.suppress(FileExistsError):
            (aside / path.name).hardlink_to(path)
    return aside


def _sift(connection: Connection, stream: _Stream, batch: list[Any]) -> tuple[list[Any], list[Refusal]]:
    """Store records in order but for those that the database refuses for their own sake, which are found by halves.

    Returns:
        What was stored, and what was not.
    """
    if not batch:
        return [], []
    try:
        with attempting(connection):
            stream.store(connection, batch)
    except _REFUSALS as error:
        if len(batch) == 1:
            return [], [(batch[0], error)]
    else:
        return batch, []
    middle = len(batch) // 2
    (taken, refused), (more_taken, more_refused) = (
        _sift(connection, stream, part) for part in (batch[:middle], batch[middle:])
    )
    return taken + more_taken, refused + more_refused


def _batches(reader: SpoolReader[Records], places: Places, end: Position, limit_rows: int) -> Iterator[_Batch]:
    batch: _Batch | None = None
    for frame in reader.frames(places, end):
        if batch is not None and batch.records and len(batch.records) + len(frame.records) > limit_rows:
            yield batch
            batch = None
        if batch is None:
            batch = _Batch([], frame.end, frame.end, {}, [])
        damage = [*batch.damage, (frame.end.file, frame.damage)] if frame.damage else batch.damage
        batch.records.extend(frame.records)
        batch = batch._replace(behind=frame.end, places={**batch.places, frame.end.origin: frame.end}, damage=damage)
    if batch is not None:
        yield batch


def _remove_shipped(folder: Path, stream: str, places: Places) -> None:
    for segment in list_left_behind(folder, stream, places):
        segment_path(folder, stream, segment).unlink(missing_ok=True)
