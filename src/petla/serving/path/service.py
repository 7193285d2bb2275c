"""A model as it is served: its lanes, and which of them answers a request."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import blake3

from petla.serving.doors.schema import Schema
from petla.serving.metrics import ModelMetrics
from petla.serving.path.lane import Lane
from petla.serving.path.request import Request

_TOTAL = 2**64


class Choice(NamedTuple):
    """An arm's lane and where its share of the subjects ends, as a fraction of all."""

    lane: Lane
    end: float


class Service:
    """What answers for one model.

    Args:
        champion: answers whatever no arm does.
        salt: of the split.
        arms: lanes and their shares, which add up to 1 at most.
    """

    def __init__(self, champion: Lane, *, salt: str = "", arms: Sequence[tuple[Lane, float]] = ()) -> None:
        self.schema: Schema = champion.schema
        self.metrics: ModelMetrics = champion.metrics
        self.champion = champion
        self._salt = salt.encode()
        self._choices: list[Choice] = []
        end = 0.0
        for lane, share in arms:
            end += share
            self._choices.append(Choice(lane, end))

    @property
    def lanes(self) -> list[Lane]:
        """All that may answer."""
        return [self.champion, *(choice.lane for choice in self._choices)]

    async def answer(self, request: Request) -> Any:  # noqa: ANN401 - what the door's `write` makes
        """Answer a request; see `Lane.answer`."""
        if not self._choices:
            return await self.champion.answer(request)
        return await self._choose(request).answer(request)

    def _choose(self, request: Request) -> Lane:
        """Return the lane of a request's subject, the same whenever it comes; without a subject that of its id."""
        key = request.subjects[0] if request.subjects else request.call.request_id
        place = place_of(self._salt, key.encode())
        return next((choice.lane for choice in self._choices if place < choice.end), self.champion)


def place_of(salt: bytes, key: bytes) -> float:
    """Return a number of [0, 1) that is the same for a key whenever it comes, and independent for another salt."""
    return int.from_bytes(blake3.blake3(salt + b"\0" + key).digest(8), "big") / _TOTAL
