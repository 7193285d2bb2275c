"""A shadow: what it answers, what it drops, and that nothing it does reaches whoever asked the champion."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from petla.core.errors import UserCodeError
from petla.core.ids import uuid7_source
from petla.decisions.record import Decision, ShadowAnswer
from petla.decisions.spool import SHADOWS, SPOOL_FOLDER, SpoolReader, end_of
from petla.models.signature import Row
from petla.serving.doors.schema import Schema
from petla.serving.metrics import Metrics
from petla.serving.path.lane import Loaded
from petla.serving.path.request import Call, Request
from petla.serving.path.shadow import Shadow
from petla.serving.recorder import Recorder
from tests.deployments.tiny import SIGNATURE, make_package

_make_id = uuid7_source()


class StandIn:
    """A runtime that waits for a word and fails at will: no real model does either when told."""

    def __init__(self, *, is_fast: bool = True, fails: bool = False) -> None:
        self.is_fast = is_fast
        self.fails = fails
        self.has_begun = threading.Event()
        self.may_go = threading.Event()
        self.may_go.set()
        # rows of each run
        self.runs: list[int] = []

    def score(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        self.runs.append(len(rows))
        self.has_begun.set()
        self.may_go.wait(10)
        if self.fails:
            raise UserCodeError("ValueError: no")
        scores = np.array([row[0] for row in rows], dtype=np.float64)
        return np.stack([1 - scores, scores], axis=1)

    def close(self) -> None:
        """Nothing to give back."""


class Bench:
    def __init__(self, state: Path) -> None:
        self._state = state
        self.metrics = Metrics("0", state)
        self._recorder = Recorder(state, "0", "process", self.metrics)

    def run(
        self,
        runtime: StandIn,
        story: Callable[[Shadow], Coroutine[Any, Any, None]],
        share: float = 1.0,
        *,
        is_shared: bool = False,
    ) -> list[ShadowAnswer]:
        async def tell() -> None:
            loaded = Loaded(2, make_package(), runtime, Schema(SIGNATURE))
            await story(Shadow(loaded, share, self._recorder, self.metrics.of("fraud"), is_shared=is_shared))

        asyncio.run(tell())
        self._recorder.close()
        folder = self._state / SPOOL_FOLDER / "0"
        reader = SpoolReader(folder, SHADOWS, ShadowAnswer)
        return [each for frame in reader.frames({}, end_of(folder, SHADOWS)) for each in frame.records]

    async def settled(self, n: int) -> None:
        while sum(self.metrics.of("fraud").shadow_rows.values()) < n:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def decide(n: int, amount: float = 0.25) -> list[Decision]:
    return [
        Decision(_make_id(), "", 5, "fraud", 1, (amount, 1, "pl"), False, 0.1, "champion", 7, "0") for _ in range(n)
    ]


def show(shadow: Shadow, decisions: Sequence[Decision]) -> None:
    shadow.mirror(decisions, [Request([decision.inputs for decision in decisions], Call(5))])


@pytest.mark.parametrize("is_fast", [True, False])
def test_every_decision_is_answered_once_more(bench: Bench, is_fast: bool) -> None:
    asked = [decide(3), decide(400, 0.75)]

    async def story(shadow: Shadow) -> None:
        for decisions in asked:
            show(shadow, decisions)
        await bench.settled(403)

    answers = bench.run(StandIn(is_fast=is_fast), story)

    assert [answer.decision_id for answer in answers] == [each.id for decisions in asked for each in decisions]
    assert [(a.label, a.score, a.version, a.at_ns) for a in (answers[0], answers[-1])] == [
        (False, 0.25, 2, 5),
        (True, 0.75, 2, 5),
    ]


@pytest.mark.parametrize(("is_shared", "largest"), [(False, 256), (True, 8)])
def test_model_that_answers_clients_too_begins_with_a_short_run(bench: Bench, is_shared: bool, largest: int) -> None:
    runtime = StandIn(is_fast=False)

    async def story(shadow: Shadow) -> None:
        show(shadow, decide(300))
        await bench.settled(largest)
        await shadow.close()

    bench.run(runtime, story, is_shared=is_shared)

    assert runtime.runs[0] == largest


def test_what_does_not_fit_is_dropped_and_counted(bench: Bench) -> None:
    async def story(shadow: Shadow) -> None:
        show(shadow, decide(8_000))
        show(shadow, decide(500))
        show(shadow, decide(100))
        await shadow.close()

    bench.run(StandIn(), story)

    # 500 did not fit; the rest was given up when the shadow ended
    assert bench.metrics.of("fraud").shadow_rows == {"answered": 0, "failed": 0, "dropped": 8_600}


def test_failure_is_written_down_beside_the_decision(bench: Bench) -> None:
    async def story(shadow: Shadow) -> None:
        show(shadow, decide(2))
        await bench.settled(2)

    answers = bench.run(StandIn(fails=True), story)

    assert [(answer.label, answer.error) for answer in answers] == [(None, "ValueError: no")] * 2
    assert bench.metrics.of("fraud").shadow_rows == {"answered": 0, "failed": 2, "dropped": 0}


def test_answer_that_is_no_number_is_a_failure(bench: Bench) -> None:
    async def story(shadow: Shadow) -> None:
        show(shadow, decide(1, float("nan")))
        await bench.settled(1)

    (answer,) = bench.run(StandIn(), story)

    assert (answer.label, answer.score, answer.error) == (None, 0.0, "it gave no number")
    assert bench.metrics.of("fraud").shadow_failed == 1


def test_share_of_the_decisions_is_drawn(bench: Bench) -> None:
    async def story(shadow: Shadow) -> None:
        show(shadow, decide(2_000))
        await bench.settled(400)

    assert 400 <= len(bench.run(StandIn(), story, share=0.25)) <= 600


def test_slow_shadow_is_waited_for_when_it_ends(bench: Bench) -> None:
    runtime = StandIn(is_fast=False)
    runtime.may_go.clear()

    async def story(shadow: Shadow) -> None:
        show(shadow, decide(10))
        await asyncio.to_thread(runtime.has_begun.wait, 10)
        closing = asyncio.create_task(shadow.close())
        runtime.may_go.set()
        await closing

    assert len(bench.run(runtime, story)) == 10
