"""What answers in the place of a version that failed: the one before, else the default that the project file states."""

import math
import time
from collections.abc import Sequence
from typing import Any, Protocol

from petla.core.errors import ModelFailedError
from petla.core.project import FallbackTable, Stated
from petla.decisions.record import Decision
from petla.models.signature import Signature
from petla.serving.path.request import Request
from petla.serving.path.scribe import Scribe
from petla.serving.recorder import Recorder


class Answering(Protocol):
    """A lane, or the default."""

    async def answer(self, request: Request) -> Any:  # noqa: ANN401 - what the door's `write` makes
        """Answer, or raise `ModelFailedError`."""
        ...

    async def drained(self) -> None:
        """Wait until nobody waits."""
        ...


class Failover:
    """Those that stand in for a lane, the best first.

    Args:
        stand_ins: asked one after the other.
    """

    def __init__(self, stand_ins: Sequence[Answering]) -> None:
        self._stand_ins = tuple(stand_ins)

    def __bool__(self) -> bool:
        """Whether there is anything that could answer."""
        return bool(self._stand_ins)

    async def answer(self, request: Request, failure: ModelFailedError) -> Any:  # noqa: ANN401
        """Let the first that can answer a request whose own version failed.

        Raises:
            ModelFailedError: none can; it is the one given.
        """
        for stand_in in self._stand_ins:
            again = request.renew()
            try:
                answer = await stand_in.answer(again)
            except ModelFailedError:
                continue
            request.served_by = again.served_by
            return answer
        raise failure

    async def drained(self) -> None:
        """Wait until nobody waits for a stand-in."""
        for stand_in in self._stand_ins:
            await stand_in.drained()


class Default:
    """The answer that the project file states; it never fails.

    Args:
        answer: as the model's own value.
        score: what is recorded beside it.
        scribe: writes it.
        recorder: where it goes before it leaves.
    """

    def __init__(self, answer: Stated, score: float, scribe: Scribe, recorder: Recorder) -> None:
        self._answer = answer
        self._score = score
        self._scribe = scribe
        self._recorder = recorder

    async def answer(self, request: Request) -> Any:  # noqa: ANN401 - what the door's `write` makes
        """Answer with the default, recorded like any other answer.

        Raises:
            UnavailableError: it could not be recorded.
        """
        n_rows = len(request.rows)
        latency_us = max(0, time.time_ns() - request.call.at_ns) // 1000
        decisions: list[Decision] = self._scribe.describe(
            request, [self._answer] * n_rows, [self._score] * n_rows, latency_us
        )
        await self._recorder.record_soon(decisions)
        return request.answer

    async def drained(self) -> None:
        """Nobody waits for a default."""


def score_of_default(table: FallbackTable, answer: Stated, signature: Signature) -> float:
    """Return the score that goes with a default answer: as stated, else that of certainty.

    Example:
        >>> binary = Signature(inputs=(), target="y", task="binary", classes=(False, True))
        >>> score_of_default(FallbackTable(answer=False), False, binary)
        0.0
    """
    if table.probability is not None:
        return table.probability
    match signature.task:
        case "regression":
            return float(answer) if isinstance(answer, int | float) else math.nan
        case "binary":
            return float(answer == signature.classes[1])
        case "multiclass":
            return 1.0
