"""The shipper: moves what the workers spooled into the rows, each record exactly once.

A batch's rows, what the counters make of it, and the place in the spool behind it are committed in one transaction: a
crash repeats the whole batch or none of it. Feedback is moved only as far as it had come before the decisions were
moved, so that a label never arrives before the decision that it is about.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection

from petla.core.clock import to_text
from petla.core.errors import CorruptError
from petla.decisions import records
from petla.decisions.record import Decision, Feedback
from petla.decisions.spool import (
    DECISIONS,
    FEEDBACK,
    SPOOL_FOLDER,
    Position,
    SpoolReader,
    end_of,
    list_segments,
    segment_path,
)
from petla.models import registry
from petla.storage.database import reading, writing
from petla.storage.files import lock
from petla.storage.workspace import Workspace

# sees each batch of decisions within the transaction that stores it
Counter = Callable[[Connection, Sequence[Decision]], None]
Records = TypeVar("Records", bound=msgspec.Struct)

_NS = 1_000_000_000


class Shipped(msgspec.Struct, frozen=True):
    """What one call moved into the rows."""

    decisions: int
    feedback: int
    # feedback about a decision that the log does not have; it is kept all the same
    unknown_feedback: int


def ship(ws: Workspace, counters: Sequence[Counter] = (), *, limit_rows: int = 20_000) -> Shipped:
    """Move into the rows what was in the spools when this was called.

    Args:
        ws: the project.
        counters: called with each batch, inside its transaction.
        limit_rows: batches are closed at this many rows; it bounds memory and the time for which other writers wait.

    Raises:
        BusyError: another process ships.
        CorruptError: a spool is damaged; the other spools, and what lies before the damage, were shipped.
        UnavailableError: the database cannot be written; what was not committed is shipped by the next call.
    """
    with lock(ws.state / SPOOL_FOLDER / "shipping.lock", purpose="shipping decisions", wait_s=ws.settings.wait_s):
        return _Shipment(ws, counters, limit_rows).run()


class _Shipment:
    """One call: the spools, the names of the inputs, and the faults met on the way."""

    def __init__(self, ws: Workspace, counters: Sequence[Counter], limit_rows: int) -> None:
        self._ws = ws
        self._counters = counters
        self._limit_rows = limit_rows
        self._names: dict[tuple[str, int], tuple[str, ...]] = {}
        self._encode = msgspec.json.Encoder().encode
        self._damage: list[CorruptError] = []

    def run(self) -> Shipped:
        spool = self._ws.state / SPOOL_FOLDER
        folders = sorted(path for path in spool.iterdir() if path.is_dir())
        labels_end = {folder: end_of(folder, FEEDBACK) for folder in folders}
        n_decisions = sum(
            self._move(folder, DECISIONS, Decision, end_of(folder, DECISIONS), self._store_decisions)[0]
            for folder in folders
        )
        n_labels, n_unknown = 0, 0
        if not self._damage:
            for folder in folders:
                moved = self._move(folder, FEEDBACK, Feedback, labels_end[folder], self._store_feedback)
                n_labels, n_unknown = n_labels + moved[0], n_unknown + moved[1]
        if self._damage:
            raise self._damage[0]
        return Shipped(n_decisions, n_labels, n_unknown)

    def _move(
        self,
        folder: Path,
        stream: str,
        kind: type[Records],
        end: Position,
        store: Callable[[Connection, list[Records]], int],
    ) -> tuple[int, int]:
        """Move one stream up to a place; return the number of records, and the sum of what `store` returned."""
        name = f"{folder.name}/{stream}"
        with reading(self._ws.engine) as connection:
            start = records.get_position(connection, self._ws.name, name)
        n_rows, n_marked = 0, 0
        try:
            for batch, behind in _batches(SpoolReader(folder, stream, kind), start, end, self._limit_rows):
                with writing(self._ws.engine) as connection:
                    n_marked += store(connection, batch)
                    records.set_position(connection, self._ws.name, name, behind)
                n_rows += len(batch)
                _remove_shipped(folder, stream, behind)
        except CorruptError as error:
            self._damage.append(error)
        return n_rows, n_marked

    def _store_decisions(self, connection: Connection, batch: list[Decision]) -> int:
        moment = _moments()
        encode = self._encode
        project = self._ws.name
        rows = [
            records.DecisionRow(
                d.id,
                project,
                d.request_id,
                moment(d.at_ns),
                d.model,
                d.version,
                encode(dict(zip(self._names_of(d), d.inputs, strict=True))).decode(),
                encode(d.label).decode(),
                d.score,
                d.served_by,
                d.latency_us,
                d.worker,
            )
            for d in batch
        ]
        records.add_decisions(connection, rows)
        for counter in self._counters:
            counter(connection, batch)
        return 0

    def _store_feedback(self, connection: Connection, batch: list[Feedback]) -> int:
        moment = _moments()
        rows: list[dict[str, Any]] = [
            {
                "project": self._ws.name,
                "decision_id": f.decision_id,
                "truth": self._encode(f.truth).decode(),
                "at": moment(f.at_ns),
            }
            for f in batch
        ]
        return records.add_feedback(connection, self._ws.name, rows)

    def _names_of(self, decision: Decision) -> tuple[str, ...]:
        key = decision.model, decision.version
        names = self._names.get(key)
        if names is None:
            signature = registry.get_version(self._ws, *key).certificate.signature
            names = self._names[key] = tuple(field.name for field in signature.inputs)
        return names


def _batches(
    reader: SpoolReader[Records], start: Position, end: Position, limit_rows: int
) -> Iterator[tuple[list[Records], Position]]:
    batch: list[Records] = []
    behind = start
    try:
        for frame in reader.frames(start, end):
            if batch and len(batch) + len(frame.records) > limit_rows:
                yield batch, behind
                batch = []
            batch += frame.records
            behind = frame.end
    except CorruptError:
        if batch:
            yield batch, behind
        raise
    if batch:
        yield batch, behind


def _remove_shipped(folder: Path, stream: str, behind: Position) -> None:
    # NOTE: the newest segment stays: its number tells the next writer where to go on.
    for segment in list_segments(folder, stream):
        if segment < behind.segment:
            segment_path(folder, stream, segment).unlink(missing_ok=True)


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
