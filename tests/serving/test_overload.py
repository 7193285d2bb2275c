"""More than a model can answer, and clients that do not wait: refused at once, and over when it is over."""

import asyncio
import threading
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from petla.core.errors import DeadlineError, UnavailableError
from petla.models.signature import Row
from petla.serving.path.lane import Lane
from petla.serving.path.request import Call, Request
from tests.serving.test_lane import AMOUNT_ONLY, Bench, StandIn, ask, bench  # noqa: F401

_ROW_S = 0.002


class Slow(StandIn):
    """A runtime that takes the same time for each row, so that a test knows what it cannot do."""

    def score(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        threading.Event().wait(_ROW_S * len(rows))
        return super().score(rows)


def ask_by(lane: Lane, deadline_ns: int) -> Coroutine[Any, Any, bytes]:
    return lane.answer(Request([AMOUNT_ONLY], Call(time.time_ns(), deadline_ns=deadline_ns)))


@pytest.mark.parametrize("is_fast", [True, False])
def test_request_whose_time_is_over_is_not_scored(bench: Bench, is_fast: bool) -> None:  # noqa: F811
    runtime = StandIn(is_fast=is_fast)

    async def story(lane: Lane) -> list[bytes | BaseException]:
        return list(await asyncio.gather(ask_by(lane, 1), ask(lane), return_exceptions=True))

    late, answered = bench.run(runtime, story)

    assert isinstance(late, DeadlineError)
    assert isinstance(answered, bytes)
    assert runtime.batches == [1]
    assert bench.recorded() == [1]


def test_nothing_is_scored_where_everybody_is_late(bench: Bench) -> None:  # noqa: F811
    runtime = StandIn(is_fast=True)

    async def story(lane: Lane) -> list[bytes | BaseException]:
        return list(await asyncio.gather(ask_by(lane, 1), ask_by(lane, 2), return_exceptions=True))

    assert all(isinstance(error, DeadlineError) for error in bench.run(runtime, story))
    assert runtime.batches == []


def test_client_that_waits_no_longer_is_told_while_the_model_is_still_busy(bench: Bench) -> None:  # noqa: F811
    runtime = StandIn(is_fast=False)
    runtime.may_go.clear()

    async def story(lane: Lane) -> bytes:
        first = asyncio.create_task(ask(lane))
        await asyncio.to_thread(runtime.has_begun.wait, 10)
        with pytest.raises(DeadlineError):
            await ask_by(lane, time.time_ns() + 20_000_000)
        runtime.may_go.set()
        return await first

    assert bench.run(runtime, story)
    assert runtime.batches == [1]


def test_deadline_that_is_kept_changes_nothing(bench: Bench) -> None:  # noqa: F811
    async def story(lane: Lane) -> bytes:
        return await ask_by(lane, time.time_ns() + 60_000_000_000)

    assert bench.run(StandIn(is_fast=False), story)


def test_overload_is_refused_by_how_long_it_would_wait_and_is_over_when_it_is_over(bench: Bench) -> None:  # noqa: F811
    runtime = Slow(is_fast=False)

    async def story(lane: Lane) -> tuple[list[bytes | BaseException], bytes]:
        lane.longest_wait_s = 10 * _ROW_S
        await ask(lane)
        storm = await asyncio.gather(*(ask(lane) for _ in range(500)), return_exceptions=True)
        await lane.drained()
        return storm, await ask(lane)

    storm, after = bench.run(runtime, story)

    refused = [error for error in storm if isinstance(error, UnavailableError)]
    answered = [answer for answer in storm if isinstance(answer, bytes)]
    assert len(refused) + len(answered) == 500
    # what waits is what fits into the time, and one more
    assert 1 <= len(answered) <= 11
    assert max(runtime.batches) <= 11
    assert after
