"""A model as it is served: its lanes, and which of them answers a request.

- A subject gets the same arm whenever it comes; for rows without a subject the request's id decides, so all of them
  get the same arm.
- Rows of several subjects are divided one by one, and their answers joined again in the order of the request.
- A request that names a loaded version is answered by that one, whatever the split says; while there is a split, the
  champion's are not recorded as its own either, since nobody divided them.
- What stands in where an arm's version fails is the lane's own matter; the decision says both, so that the arm's
  failures are counted.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import blake3

from petla.core.ids import uuid7_source
from petla.decisions.record import NAMED
from petla.serving.doors.inputs.subjects import SubjectSchema
from petla.serving.doors.schema import Schema
from petla.serving.metrics import ModelMetrics
from petla.serving.path.explaining import measure_explained
from petla.serving.path.lane import Lane
from petla.serving.path.request import Request

_TOTAL = 2**64
# ids for requests that came without one, where something must be divided by them
_make_id = uuid7_source()


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
        about: reads whom each row of a JSON body is about; None: bodies do not say.
        named: answer the requests that name another loaded version.
    """

    def __init__(
        self,
        champion: Lane,
        *,
        salt: str = "",
        arms: Sequence[tuple[Lane, float]] = (),
        about: SubjectSchema | None = None,
        named: Sequence[Lane] = (),
    ) -> None:
        self.schema: Schema = champion.schema
        self.metrics: ModelMetrics = champion.metrics
        self.about = about
        self.champion = champion
        # what a request may name -> what answers it then
        self.versions = {str(lane.loaded.version): lane for lane in (champion, *named)}
        # that decisions are recorded under; empty: each lane's own
        self._arm = ""
        self._salt = salt.encode()
        self._choices: list[Choice] = []
        end = 0.0
        for lane, share in arms:
            end += share
            self._choices.append(Choice(lane, end))

    @property
    def lanes(self) -> list[Lane]:
        """All that may answer."""
        return [*self.versions.values(), *(choice.lane for choice in self._choices)]

    def name(self, version: str) -> "Service | None":
        """Return what answers requests that name a version; None: it is not loaded."""
        lane = self.versions.get(version)
        if lane is None:
            return None
        named = Service(lane, about=self.about)
        named.versions = self.versions
        named._arm = NAMED if self._choices else ""
        return named

    async def answer(self, request: Request) -> Any:  # noqa: ANN401 - what the door's `write` makes
        """Answer a request; see `Lane.answer`."""
        if not self._choices:
            request.arm = self._arm
            return await self.champion.answer(request)
        return await self._divide(request)

    async def _divide(self, request: Request) -> Any:  # noqa: ANN401
        if request.call.is_explained:  # as a whole, before its rows are divided
            measure_explained(self.champion.loaded.package.signature, len(request.rows))
        subjects = request.subjects
        if not request.call.request_id and not (subjects and all(subjects)):
            request.call = request.call._replace(request_id=_make_id())
        if not subjects:
            return await self._choose(request.call.request_id).answer(request)
        lanes = [self._choose(subject or request.call.request_id) for subject in subjects]
        # NOTE: a door with words of its own says one version for all of its rows, so all get the first one's arm.
        if request.write is not None or all(lane is lanes[0] for lane in lanes):
            return await lanes[0].answer(request)
        return await self._join(request, lanes)

    async def _join(self, request: Request, lanes: Sequence[Lane]) -> bytes:
        """Ask each lane for its rows, and put the answers back in their order."""
        places: dict[int, list[int]] = {}
        for place, lane in enumerate(lanes):
            places.setdefault(id(lane), []).append(place)
        texts: list[bytes] = [b""] * len(lanes)

        async def ask(mine: list[int]) -> None:
            part = Request(
                [request.rows[place] for place in mine],
                request.call._replace(request_id=request.call.request_id or name),
                is_many=False,
                subjects=[request.subjects[place] for place in mine],
            )
            part.is_divided = True
            if request.logged is not None:
                part.logged = [request.logged[place] for place in mine]
            answers = await lanes[mine[0]].answer(part)
            for place, text in zip(mine, answers, strict=True):
                texts[place] = text
            request.served_by = request.served_by or part.served_by

        name = request.call.request_id or _make_id()
        await asyncio.gather(*map(ask, places.values()))
        return b"[" + b",".join(texts) + b"]"

    def _choose(self, key: str) -> Lane:
        place = place_of(self._salt, key.encode())
        return next((choice.lane for choice in self._choices if place < choice.end), self.champion)


def place_of(salt: bytes, key: bytes) -> float:
    """Return a number of [0, 1) that is the same for a key whenever it comes, and independent for another salt."""
    return int.from_bytes(blake3.blake3(salt + b"\0" + key).digest(8), "big") / _TOTAL
