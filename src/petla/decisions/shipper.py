"""The shipper: moves what the workers spooled into the rows, each record exactly once.

A batch's rows, what the counters make of it, and the place in the spool behind it are committed in one transaction: a
crash repeats the whole batch or none of it. Feedback is moved only as far as it had come before the decisions were
moved, so that a label never arrives before the decision that it is about. What is damaged is stepped over, and the
whole segment is kept aside for a person to look at.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from sqlalchemy import Connection

from petla.core.clock import to_text
from petla.core.errors import NotFoundError
from petla.decisions import records
from petla.decisions.feedback.arrivals import Arrival
from petla.decisions.feedback.records import add_feedback, take_waiting
from petla.decisions.record import LONGEST_SUBJECT, Decision, Feedback, FeedbackStatus, ShadowAnswer
from petla.decisions.spool import (
    DAMAGED_FOLDER,
    DECISIONS,
    FEEDBACK,
    SHADOWS,
    SPOOL_FOLDER,
    Position,
    SpoolReader,
    end_of,
    list_segments,
    note_shipped,
    segment_path,
)
from petla.models import registry
from petla.storage.database import reading, writing
from petla.storage.files import lock, make_folder, reported
from petla.storage.partitions import DAYS_AHEAD, analyse_new, day_of, days_from, has_days, make_days
from petla.storage.workspace import Workspace

logger = logging.getLogger(__name__)

# sees each batch of decisions within the transaction that stores it
Counter = Callable[[Connection, Sequence[Decision]], None]
Records = TypeVar("Records", bound=msgspec.Struct)

_NS = 1_000_000_000
# of an INTEGER column; a clock that was set forward makes any latency
_LARGEST = 2**31 - 1
_NO_ROWS = frozenset((FeedbackStatus.WAITING, FeedbackStatus.LATE))


class Shipped(msgspec.Struct, frozen=True):
    """What one call moved into the rows."""

    decisions: int
    feedback: int
    # feedback about a decision that the log does not have; it is kept all the same
    unknown_feedback: int
    shadows: int = 0
    # what could not be read, in words; its segments are kept aside
    damaged: tuple[str, ...] = ()


def ship(
    ws: Workspace,
    counters: Sequence[Counter] = (),
    *,
    limit_rows: int = 20_000,
    is_over: Callable[[], bool] = lambda: False,
) -> Shipped:
    """Move into the rows what was in the spools when this was called.

    Args:
        ws: the project.
        counters: called with each batch, inside its transaction.
        limit_rows: batches are closed at this many rows; it bounds memory and the time for which other writers wait.
        is_over: asked between batches; once it says so, which it must not take back, the next call goes on.

    Raises:
        BusyError: another process ships.
        UnavailableError: the database cannot be written; what was not committed is shipped by the next call.
    """
    with lock(ws.state / SPOOL_FOLDER / "shipping.lock", purpose="shipping decisions", wait_s=ws.settings.wait_s):
        return _Shipment(ws, counters, limit_rows, is_over).run()


def after(seconds: float, stop: threading.Event | None = None) -> Callable[[], bool]:
    """Return what says whether so many seconds have passed since now, or `stop` is set."""
    until_s = time.monotonic() + seconds
    return lambda: time.monotonic() >= until_s or (stop is not None and stop.is_set())


class _Stream(NamedTuple):
    """One kind of records, and how a batch of them is stored."""

    name: str
    kind: type[Any]
    # returns how many of them are about a decision that the log does not have
    store: Callable[[Connection, list[Any]], int]
    table: str
    has_days: bool = False


class _Batch(NamedTuple):
    """Records of one transaction, the place behind them, and what is damaged among them."""

    records: list[Any]
    behind: Position
    # segment and what is wrong with it, in words
    damage: list[tuple[int, str]]


class _Shipment:
    """One call: the spools, the names of the inputs, and the faults met on the way."""

    def __init__(
        self, ws: Workspace, counters: Sequence[Counter], limit_rows: int, is_over: Callable[[], bool]
    ) -> None:
        self._ws = ws
        self._counters = counters
        self._limit_rows = limit_rows
        self._is_over = is_over
        self._names: dict[tuple[str, int], tuple[str, ...]] = {}
        self._encode = msgspec.json.Encoder().encode
        self._damaged: list[str] = []
        # (table, day) that is there
        self._days: set[tuple[str, str]] = set()
        keep_days = ws.project.decisions.keep_days
        self._kept_since = ws.clock() - timedelta(days=keep_days) if keep_days else None

    def run(self) -> Shipped:
        spool = self._ws.state / SPOOL_FOLDER
        folders = sorted(path for path in spool.iterdir() if path.is_dir())
        labels_end = {folder: end_of(folder, FEEDBACK) for folder in folders}
        decisions = _Stream(DECISIONS, Decision, self._store_decisions, "decisions", has_days=True)
        shadows = _Stream(SHADOWS, ShadowAnswer, self._store_shadows, "shadows", has_days=True)
        labels = _Stream(FEEDBACK, Feedback, self._store_feedback, "feedback")
        n_decisions = sum(self._move(folder, decisions, end_of(folder, DECISIONS))[0] for folder in folders)
        # NOTE: where this ended early, decisions are left whose labels must not be moved before them.
        moved = [self._move(folder, labels, labels_end[folder]) for folder in folders]
        n_shadows = sum(self._move(folder, shadows, end_of(folder, SHADOWS))[0] for folder in folders)
        n_labels, n_unknown = sum(each[0] for each in moved), sum(each[1] for each in moved)
        return Shipped(n_decisions, n_labels, n_unknown, n_shadows, tuple(self._damaged))

    def _move(self, folder: Path, stream: _Stream, end: Position) -> tuple[int, int]:
        """Move one stream up to a place; return the number of records, and the sum of what `store` returned."""
        name = f"{folder.name}/{stream.name}"
        with reading(self._ws.engine) as connection:
            start = records.get_position(connection, self._ws.name, name)
        # another one where the last note could not be left, or the database is another
        note_shipped(folder, stream.name, start)
        n_rows, n_marked = 0, 0
        reader = SpoolReader(folder, stream.name, stream.kind)
        for batch in _batches(reader, start, end, self._limit_rows):
            if self._is_over():
                break
            if stream.has_days:
                self._make_days(stream.table, batch.records)
            for segment, what in batch.damage:
                self._set_aside(folder, stream.name, segment, what)
            with writing(self._ws.engine) as connection:
                if batch.records:
                    n_marked += stream.store(connection, batch.records)
                    if has_days(self._ws.engine):
                        analyse_new(connection, stream.table)
                records.set_position(connection, self._ws.name, name, batch.behind)
            n_rows += len(batch.records)
            _remove_shipped(folder, stream.name, batch.behind)
            note_shipped(folder, stream.name, batch.behind)
        return n_rows, n_marked

    def _make_days(self, table: str, batch: Iterable[Any]) -> None:
        """Make the tables of a batch's days, and of some days ahead, before its transaction."""
        if not has_days(self._ws.engine):
            return
        moment = _moments()
        days = {day_of(moment(record.at_ns)) for record in batch}
        wanted = [day for day in days if (table, day) not in self._days]
        if wanted:
            wanted += days_from(max(wanted), 1 + DAYS_AHEAD)
            with writing(self._ws.engine) as connection:
                make_days(connection, table, self._ws.name, wanted)
            self._days |= {(table, day) for day in wanted}

    def _set_aside(self, folder: Path, stream: str, segment: int, what: str) -> None:
        """Keep a damaged segment under a second name, before the first one is removed as shipped."""
        aside = folder / DAMAGED_FOLDER
        path = segment_path(folder, stream, segment)
        with reported(aside):
            make_folder(aside)
            with contextlib.suppress(FileExistsError):
                (aside / path.name).hardlink_to(path)
        said = f"{what}; what is whole around it is in the log, and the file is kept in {aside}"
        logger.error("spool.found_damaged", extra={"worker": folder.name, "error": said})
        self._damaged.append(said)

    def _store_decisions(self, connection: Connection, batch: list[Decision]) -> int:
        moment = _moments()
        encode = self._encode
        project = self._ws.name
        rows = [
            records.DecisionRow(
                d.id,
                project,
                _fit(d.request_id),
                moment(d.at_ns),
                d.model,
                d.version,
                encode(dict(zip(self._names_of(d), d.inputs, strict=True))).decode(),
                encode(d.label).decode(),
                d.score,
                d.served_by,
                min(d.latency_us, _LARGEST),
                d.worker,
                d.trace_id,
                d.arm,
                encode(d.flags).decode() if d.flags else "[]",
                _fit(d.subject),
                encode(d.explanation).decode() if d.explanation else "[]",
            )
            for d in batch
        ]
        records.add_decisions(connection, rows)
        take_waiting(connection, project, [d.id for d in batch])
        for counter in self._counters:
            counter(connection, batch)
        return 0

    def _store_shadows(self, connection: Connection, batch: list[ShadowAnswer]) -> int:
        moment = _moments()
        encode = self._encode
        rows = [
            records.ShadowRow(
                self._ws.name,
                s.decision_id,
                moment(s.at_ns),
                s.model,
                s.version,
                encode(s.label).decode(),
                s.score,
                min(s.latency_us, _LARGEST),
                s.worker,
                s.error,
            )
            for s in batch
        ]
        records.add_shadows(connection, rows)
        return 0

    def _store_feedback(self, connection: Connection, batch: list[Feedback]) -> int:
        moment = _moments()
        arrivals = [Arrival(_fit(f.decision_id), f.truth, moment(f.at_ns)) for f in batch]
        counts = add_feedback(connection, self._ws.name, arrivals, self._kept_since)
        return sum(n for status, n in counts.items() if status in _NO_ROWS)

    def _names_of(self, decision: Decision) -> tuple[str, ...]:
        key = decision.model, decision.version
        names = self._names.get(key)
        if names is None:
            names = self._names[key] = self._read_names(decision)
        # NOTE: a decision of another signature than its version's is kept with the places as names, not refused.
        return names if len(names) == len(decision.inputs) else tuple(map(str, range(len(decision.inputs))))

    def _read_names(self, decision: Decision) -> tuple[str, ...]:
        try:
            signature = registry.get_version(self._ws, decision.model, decision.version).certificate.signature
        except NotFoundError as error:
            logger.warning("version.unrecognised", extra={"error": str(error)})
            return ()
        return tuple(field.name for field in signature.inputs)


def _batches(reader: SpoolReader[Records], start: Position, end: Position, limit_rows: int) -> Iterator[_Batch]:
    batch = _Batch([], start, [])
    for frame in reader.frames(start, end):
        if batch.records and len(batch.records) + len(frame.records) > limit_rows:
            yield batch
            batch = _Batch([], batch.behind, [])
        damage = [*batch.damage, (frame.end.segment, frame.damage)] if frame.damage else batch.damage
        batch.records.extend(frame.records)
        batch = _Batch(batch.records, frame.end, damage)
    if batch.behind != start:
        yield batch


def _remove_shipped(folder: Path, stream: str, behind: Position) -> None:
    # NOTE: the newest segment stays: its number tells the next writer where to go on.
    for segment in list_segments(folder, stream):
        if segment < behind.segment:
            segment_path(folder, stream, segment).unlink(missing_ok=True)


def _fit(text: str) -> str:
    """Return a client's text as an index of any database takes it; the doors let no other through, older spools may."""
    is_fit = len(text) <= LONGEST_SUBJECT and "\0" not in text
    return text if is_fit else text[:LONGEST_SUBJECT].replace("\0", "\ufffd")


def _moments() -> Callable[[int], str]:
    """Return a function from nanoseconds to the text of rows, which writes each second only once."""
    seconds: dict[int, str] = {}

    def text_of(at_ns: int) -> str:
        second, rest_ns = divmod(at_ns, _NS)
        start = seconds.get(second)
        if start is None:
            start = seconds[second] = to_text(datetime.fromtimestamp(second, UTC))[:-7]
        return f"{start}{rest_ns // 1000:06d}Z"

    return text_of
