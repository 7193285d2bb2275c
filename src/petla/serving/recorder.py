"""The recorder of one worker: nothing is answered before it is here."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from petla.core.errors import UnavailableError
from petla.decisions.losses import LossCount
from petla.decisions.record import Decision, Feedback, ShadowAnswer
from petla.decisions.spool import DECISIONS, FEEDBACK, SHADOWS, SPOOL_FOLDER, Bounds, SpoolWriter
from petla.serving.metrics import Metrics

logger = logging.getLogger(__name__)

# of what may wait to be shipped, in tenths
_DECISIONS_SHARE = 8
_OTHER_SHARE = 1


class Keeping(NamedTuple):
    """What a worker keeps until it is shipped, and what it does where it cannot."""

    # of all streams of the worker
    limit_bytes: int = 8 << 30
    # seconds that it may wait; 0: any time
    age_s: float = 0.0
    # what becomes of an answer whose decision cannot be recorded: none is given, or it is given and counted
    when_full: Literal["refuse", "serve"] = "refuse"


_DEFAULT = Keeping()


class Recorder:
    """The spools of one worker.

    Args:
        state: the state folder.
        worker: the worker's name.
        durability: as `SpoolWriter` takes it; `power` flushes, so it writes on a thread of its own.
        metrics: counts what could not be written.
        keeping: how much may wait.

    Raises:
        BusyError: another process writes these spools.
    """

    def __init__(
        self,
        state: Path,
        worker: str,
        durability: Literal["process", "power"],
        metrics: Metrics,
        keeping: Keeping = _DEFAULT,
    ) -> None:
        folder = state / SPOOL_FOLDER / worker
        large = Bounds(keeping.limit_bytes // 10 * _DECISIONS_SHARE, keeping.age_s)
        small = Bounds(keeping.limit_bytes // 10 * _OTHER_SHARE, keeping.age_s)
        self.worker = worker
        # whether a write takes microseconds and may happen on the event loop
        self.is_fast = durability == "process"
        self._decisions = SpoolWriter(folder, DECISIONS, durability=durability, bounds=large)
        self._feedback = SpoolWriter(folder, FEEDBACK, durability=durability, bounds=small)
        # nobody was answered by a shadow: it is not worth a flush
        self._shadows = SpoolWriter(folder, SHADOWS, bounds=small)
        # only where an answer is preferred to its record
        self._losses = LossCount(folder) if keeping.when_full == "serve" else None
        self._metrics = metrics
        # one thread: a spool has one writer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._soon = {writer: _Soon(writer, self._thread) for writer in (self._decisions, self._feedback)}

    def record(self, decisions: Sequence[Decision]) -> None:
        """Record decisions at once; only where `is_fast`.

        Raises:
            UnavailableError: they could not be written and must not be answered.
        """
        try:
            self._decisions.append(decisions)
        except UnavailableError as error:
            self._miss(decisions, error)

    async def record_soon(self, decisions: Sequence[Decision]) -> None:
        """Record decisions, where a write takes long on the thread, together with all others that wait for it.

        Raises:
            UnavailableError: they could not be written and must not be answered.
        """
        if self.is_fast:
            self.record(decisions)
            return
        try:
            await self._soon[self._decisions].append(decisions)
        except UnavailableError as error:
            self._miss(decisions, error)

    def record_shadows(self, answers: Sequence[ShadowAnswer]) -> None:
        """Record what a version that nobody sees would have answered; what cannot be written is dropped and counted."""
        try:
            self._shadows.append(answers)
        except UnavailableError as error:
            if not self._metrics.shadows_lost:
                logger.warning("shadow_answers.dropped", extra={"error": str(error)})
            self._metrics.shadows_lost += len(answers)

    async def record_feedback(self, feedback: Sequence[Feedback]) -> None:
        """Record feedback.

        Raises:
            UnavailableError: it could not be written.
        """
        if self.is_fast:
            self._feedback.append(feedback)
        else:
            await self._soon[self._feedback].append(feedback)
        self._metrics.feedback += len(feedback)

    def close(self) -> None:
        """Flush everything to the disk."""
        self._thread.shutdown()
        self._decisions.close()
        self._feedback.close()
        self._shadows.close()
        if self._losses is not None:
            self._losses.close()

    def _miss(self, decisions: Sequence[Decision], error: UnavailableError) -> None:
        """Count what could not be recorded; raise the error unless the project prefers an answer to its record."""
        self._metrics.spool_failures += 1
        if self._losses is None:
            raise error
        if not self._metrics.decisions_lost:
            logger.error("decisions.lost", extra={"error": str(error)})
        self._metrics.decisions_lost += len(decisions)
        self._losses.add(len(decisions))


class _Soon:
    """Batches of one stream that wait for a flush: all that came while one was under way share the next."""

    def __init__(self, writer: SpoolWriter, thread: ThreadPoolExecutor) -> None:
        self._writer = writer
        self._thread = thread
        self._waiting: list[tuple[Sequence[msgspec.Struct], asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def append(self, records: Sequence[msgspec.Struct]) -> None:
        """Write a batch; return when it was flushed.

        Raises:
            UnavailableError: it could not be written.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append((records, done))
        if self._task is None:
            self._task = loop.create_task(self._flush())
        await done

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            taken, self._waiting = self._waiting, []
            error: Exception | None = None
            try:
                await loop.run_in_executor(self._thread, self._writer.append_all, [records for records, _ in taken])
            except (UnavailableError, RuntimeError) as failed:
                error = failed
            for _, done in taken:
                # whoever waited may have gone
                if not done.done():
                    done.set_exception(error) if error is not None else done.set_result(None)
        self._task = None
