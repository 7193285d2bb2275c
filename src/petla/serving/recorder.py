"""The recorder of one worker: nothing is answered before it is here."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from petla.core.errors import UnavailableError
from petla.decisions.record import Decision, Feedback
from petla.decisions.spool import DECISIONS, FEEDBACK, SPOOL_FOLDER, SpoolWriter
from petla.serving.metrics import Metrics


class Recorder:
    """The spools of one worker.

    Args:
        state: the state folder.
        worker: the worker's name.
        durability: as `SpoolWriter` takes it; `power` flushes, so it writes on a thread of its own.
        metrics: counts what could not be written.

    Raises:
        BusyError: another process writes these spools.
    """

    def __init__(self, state: Path, worker: str, durability: Literal["process", "power"], metrics: Metrics) -> None:
        folder = state / SPOOL_FOLDER / worker
        self.worker = worker
        # whether a write takes microseconds and may happen on the event loop
        self.is_fast = durability == "process"
        self._decisions = SpoolWriter(folder, DECISIONS, durability=durability)
        self._feedback = SpoolWriter(folder, FEEDBACK, durability=durability)
        self._metrics = metrics
        # one thread: a spool has one writer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")

    def record(self, decisions: Sequence[Decision]) -> None:
        """Record decisions at once; only where `is_fast`.

        Raises:
            UnavailableError: they could not be written and must not be answered.
        """
        try:
            self._decisions.append(decisions)
        except UnavailableError:
            self._metrics.spool_failures += 1
            raise

    async def record_soon(self, decisions: Sequence[Decision]) -> None:
        """Record decisions, on the thread where a write takes long.

        Raises:
            UnavailableError: they could not be written and must not be answered.
        """
        if self.is_fast:
            self.record(decisions)
        else:
            await asyncio.get_running_loop().run_in_executor(self._thread, self.record, decisions)

    async def record_feedback(self, feedback: Sequence[Feedback]) -> None:
        """Record feedback.

        Raises:
            UnavailableError: it could not be written.
        """
        if self.is_fast:
            self._feedback.append(feedback)
        else:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._feedback.append, feedback)

    def close(self) -> None:
        """Flush everything to the disk."""
        self._thread.shutdown()
        self._decisions.close()
        self._feedback.close()
