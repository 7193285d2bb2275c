"""The life of one breaker: rests, tries in the background, and what is written to the log when it opens and closes."""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from petla.core.errors import ModelFailedError
from petla.serving.path.failures.breaker import Breaker, BreakerState, note_answer, note_failure, note_rested, note_try

logger = logging.getLogger(__name__)


class Circuit:
    """Whether a version is asked.

    Args:
        breaker: closed.
        name: of the version, for the log.
        try_it: asks the version something whose answer is known; on a thread.
    """

    def __init__(self, breaker: Breaker, name: str, try_it: Callable[[], object]) -> None:
        self._breaker = breaker
        self._name = name
        self._try_it = try_it
        self._task: asyncio.Task[None] | None = None
        # read for each request
        self.is_open = False
        # whether an answer would be news
        self.is_doubted = False
        self.failure = ModelFailedError(
            f"{name} failed {breaker.limit} times in a row and is left alone for a while",
            hint="look at the server's log",
        )

    def note_answer(self) -> None:
        """Take note that a request was answered."""
        self._breaker = note_answer(self._breaker)
        self.is_doubted = self._breaker.openings > 0

    def note_failure(self, reason: str) -> None:
        """Take note that a request failed, on the loop's thread."""
        self._breaker = note_failure(self._breaker)
        self.is_doubted = True
        if self._breaker.state is BreakerState.OPEN and self._task is None:
            self.is_open = True
            logger.warning("breaker.opened", extra={"version": self._name, "reason": reason})
            self._task = asyncio.get_running_loop().create_task(self._recover())

    async def close(self) -> None:
        """End the tries."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _recover(self) -> None:
        """Try again and again until the version answers."""
        while self._breaker.state is BreakerState.OPEN:
            await asyncio.sleep(self._breaker.current_rest_s)
            self._breaker = note_rested(self._breaker)
            self._breaker = note_try(self._breaker, has_answered=await asyncio.to_thread(self._has_answered))
        self.is_open = False
        self._task = None
        logger.warning("breaker.closed", extra={"version": self._name})

    def _has_answered(self) -> bool:
        try:
            self._try_it()
        except Exception as error:
            # Whatever the model raises: it is not well yet.
            logger.info("breaker.kept_open", extra={"version": self._name, "reason": str(error)})
            return False
        return True
