"""The store: makes rows of spooled records, and lets the counters see them, within one transaction of the shipper's."""

import logging
import traceback
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec
from sqlalchemy import Connection

from petla.core.clock import to_text
from petla.core.errors import NotFoundError, UnavailableError
from petla.decisions import records
from petla.decisions.feedback.arrivals import Arrival
from petla.decisions.feedback.records import add_feedback, take_waiting
from petla.decisions.record import LONGEST_SUBJECT, Decision, Feedback, FeedbackStatus, ShadowAnswer
from petla.models import registry
from petla.storage.database import attempting
from petla.storage.partitions import day_of
from petla.storage.workspace import Workspace

logger = logging.getLogger(__name__)

# sees each batch of decisions within the transaction that stores it
Counter = Callable[[Connection, Sequence[Decision]], None]
# the same for answers to what another version has decided; its decisions are in the rows by then
ShadowCounter = Callable[[Connection, Sequence[ShadowAnswer]], None]
T = TypeVar("T", Decision, ShadowAnswer)

_NS = 1_000_000_000
# of an INTEGER column; a clock that was set forward makes any latency
_LARGEST = 2**31 - 1
_NO_ROWS = frozenset((FeedbackStatus.WAITING, FeedbackStatus.LATE))
# a counter that failed at so many parts of a batch is not asked about smaller ones
_PATIENCE = 100


class Store:
    """Where the shipper puts records.

    Args:
        ws: the project.
        counters: see each batch of decisions.
        shadow_counters: see each batch of shadow answers.
    """

    def __init__(self, ws: Workspace, counters: Sequence[Counter], shadow_counters: Sequence[ShadowCounter]) -> None:
        self._ws = ws
        self._counters = counters
        self._shadow_counters = shadow_counters
        self._names: dict[tuple[str, int], tuple[str, ...]] = {}
        self._encode = msgspec.json.Encoder().encode
        keep_days = ws.project.decisions.keep_days
        self._kept_since = ws.clock() - timedelta(days=keep_days) if keep_days else None
        # pieces of feedback about a decision that the log does not have
        self.unknown = 0
        # decisions and shadow answers that are in the log and that a counter failed at
        self.uncounted = 0

    def add_decisions(self, connection: Connection, batch: list[Decision]) -> None:
        """Insert decisions."""
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

    def count(self, connection: Connection, batch: list[Decision]) -> None:
        """Let the counters see decisions that were inserted.

        One that a counter fails at stays in the log: that an answer can be found matters more than that it is counted.
        """
        self._count(self._counters, connection, batch)

    def add_shadows(self, connection: Connection, batch: list[ShadowAnswer]) -> None:
        """Insert answers of shadows."""
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

    def count_shadows(self, connection: Connection, batch: list[ShadowAnswer]) -> None:
        """Do the same as `count` with answers of shadows."""
        self._count(self._shadow_counters, connection, batch)

    def add_feedback(self, connection: Connection, batch: list[Feedback]) -> None:
        """Insert feedback."""
        moment = _moments()
        arrivals = [Arrival(_fit(f.decision_id), f.truth, moment(f.at_ns)) for f in batch]
        counts = add_feedback(connection, self._ws.name, arrivals, self._kept_since)
        self.unknown += sum(n for status, n in counts.items() if status in _NO_ROWS)

    def _count(
        self, counters: Sequence[Callable[[Connection, Sequence[T]], None]], connection: Connection, batch: list[T]
    ) -> None:
        for counter in counters:
            faults: list[tuple[int, Exception]] = []
            _count(connection, counter, batch, faults)
            if faults:
                n_records = sum(n for n, _ in faults)
                self.uncounted += n_records
                said = {"counter": counter.__module__, "records": n_records, "error": _describe(faults[0][1])}
                logger.error("records.uncounted", extra=said)

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


def days_of(batch: Iterable[Decision | Feedback | ShadowAnswer]) -> set[str]:
    """Return the days that records belong to."""
    moment = _moments()
    return {day_of(moment(record.at_ns)) for record in batch}


def _count(
    connection: Connection,
    counter: Callable[[Connection, Sequence[T]], None],
    batch: Sequence[T],
    faults: list[tuple[int, Exception]],
) -> None:
    """Let a counter see a batch in order; what it fails at is found by halves and left out, each part as a fault."""
    try:
        with attempting(connection):
            counter(connection, batch)
    except UnavailableError:
        # of no decision's making: the whole batch is repeated
        raise
    except Exception as error:  # a border: the log does not depend on what others make of it
        if len(batch) == 1 or len(faults) >= _PATIENCE:
            faults.append((len(batch), error))
            return
        middle = len(batch) // 2
        _count(connection, counter, batch[:middle], faults)
        _count(connection, counter, batch[middle:], faults)


def _describe(error: Exception) -> str:
    """Return what was raised and where, without the words of it: they may hold a client's values."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"


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
