"""Lanes that fail, with something that stands in for them: who answers, how it is marked and what is recorded."""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from petla.core.errors import ModelFailedError, ProcessLostError, UnavailableError, UserCodeError
from petla.core.ids import uuid7_batches
from petla.core.project import AnswerTable, FallbackTable, LimitTable, Policy
from petla.data.profile.columns import Kind
from petla.decisions.record import Decision
from petla.decisions.spool import DECISIONS, SPOOL_FOLDER, SpoolReader, end_of
from petla.deployments.policy import may_stand_in
from petla.deployments.snapshot import Route, Variant
from petla.models.signature import InputField, Row
from petla.serving.doors.schema import Schema
from petla.serving.metrics import Metrics
from petla.serving.path.lane import Lane, Loaded
from petla.serving.path.protection import LaneMaker
from petla.serving.path.request import Answered, Call, Request
from petla.serving.recorder import Recorder
from tests.deployments.tiny import SIGNATURE, make_package
from tests.serving.client import wait_until

GOOD: Row = (0.25, 1, "pl")
LIMITS = LimitTable(failures=3, rest_s=0.01)


class Moody:
    """A runtime that does as it is told. A mock, since no real model fails and recovers at a word."""

    def __init__(self, score: float, *, is_fast: bool = True) -> None:
        self.is_fast = is_fast
        self.probability = score
        # "", raise, lose, nan, wait
        self.mood = ""
        self.may_go = threading.Event()
        self.calls = 0
        # takes also the rows that others die of
        self.is_robust = False

    def score(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        self.calls += 1
        if self.mood == "wait":
            self.may_go.wait(10)
        if self.mood == "raise":
            raise UserCodeError("ValueError: no")
        if self.mood == "lose" or (not self.is_robust and any(row[2] == "deadly" for row in rows)):
            raise ProcessLostError("the process was lost")
        positive = np.nan if self.mood == "nan" else self.probability
        if len(rows) == 1 and rows[0] == (2.5, 3, "de") and not self.mood:
            positive = make_package().golden[0].scores[1]
        return np.tile([1 - positive, positive], (len(rows), 1))

    def close(self) -> None:
        """Nothing to give back."""


class Stage:
    """A champion, perhaps with a version that stands by and a default, in a loop of their own."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self.live, self.standby, self.canary = Moody(0.75), Moody(0.25), Moody(0.5)
        self.metrics = Metrics("0", state)
        self._recorder = Recorder(state, "0", "process", self.metrics)

    def run(
        self,
        story: Callable[[Lane], Coroutine[Any, Any, Any]],
        *,
        fallback: FallbackTable | None = None,
        limits: LimitTable = LIMITS,
        has_standby: bool = True,
        arm: str = "champion",
    ) -> Any:  # noqa: ANN401
        route = Route(
            live=Variant(2, "live"),
            standby=Variant(1, "standby") if has_standby else None,
            answer=AnswerTable(),
            policy=Policy(serving=limits, fallback=fallback or FallbackTable()),
        )
        schema = Schema(SIGNATURE)
        loaded = {
            "live": Loaded(2, make_package(), self.live, schema),
            "standby": Loaded(1, make_package(), self.standby, schema),
            "canary": Loaded(3, make_package(), self.canary, schema),
        }

        async def tell() -> object:
            maker = LaneMaker(route, loaded, self._recorder, self.metrics.of("fraud"), uuid7_batches())
            lane = maker.make_champion() if arm == "champion" else maker.make_arm(Variant(3, "canary"), arm)
            try:
                return await story(lane)
            finally:
                await lane.drained()

        return asyncio.run(tell())

    def recorded(self) -> list[Decision]:
        self._recorder.close()
        folder = self._state / SPOOL_FOLDER / "0"
        reader = SpoolReader(folder, DECISIONS, Decision)
        return [d for frame in reader.frames({}, end_of(folder, DECISIONS)) for d in frame.records]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def ask(lane: Lane, row: Row = GOOD) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(await lane.answer(Request([row], Call(0))))
    return answer


@pytest.mark.parametrize("mood", ["raise", "lose", "nan"])
@pytest.mark.parametrize("is_fast", [True, False])
def test_version_that_fails_is_answered_by_the_one_before(stage: Stage, mood: str, is_fast: bool) -> None:
    stage.live = Moody(0.75, is_fast=is_fast)
    stage.live.mood = mood

    answer = stage.run(ask)

    assert (answer["version"], answer["probability"], answer["served_by"]) == (1, 0.25, "standby")
    (decision,) = stage.recorded()
    assert (decision.id, decision.version, decision.served_by, decision.arm) == (
        answer["id"],
        1,
        "standby",
        "champion",
    )
    assert stage.metrics.of("fraud").replaced == {"standby": 1}


def test_answer_of_the_version_that_was_asked_says_nothing_of_it(stage: Stage) -> None:
    assert set(stage.run(ask)) == {"id", "is_fraud", "probability", "version"}


@pytest.mark.parametrize(
    ("fallback", "probability"),
    [
        (FallbackTable(answer=True), 1.0),
        (FallbackTable(answer=False), 0.0),
        (FallbackTable(answer=False, probability=0.03), 0.03),
        (FallbackTable(answer=False, standby=False), 0.0),
    ],
)
def test_default_answers_when_no_version_can(stage: Stage, fallback: FallbackTable, probability: float) -> None:
    stage.live.mood = stage.standby.mood = "raise"

    answer = stage.run(ask, fallback=fallback)

    assert (answer["is_fraud"], answer["probability"], answer["served_by"]) == (fallback.answer, probability, "default")
    (decision,) = stage.recorded()
    assert (decision.label, decision.served_by, decision.version) == (fallback.answer, "default", 2)
    assert (stage.standby.calls > 0) is fallback.standby


def test_without_anything_that_stands_in_the_failure_is_told(stage: Stage) -> None:
    stage.live.mood = "raise"

    with pytest.raises(ModelFailedError, match="the model failed: ValueError: no"):
        stage.run(ask, has_standby=False)

    assert stage.recorded() == []


def test_canary_that_fails_is_answered_by_the_champion(stage: Stage) -> None:
    stage.canary.mood = "raise"

    answer = stage.run(ask, arm="canary")

    assert (answer["version"], answer["served_by"]) == (2, "champion")
    (decision,) = stage.recorded()
    assert (decision.arm, decision.served_by) == ("canary", "champion")


@pytest.mark.parametrize(("is_explained", "versions"), [(True, [2, 2]), (False, [2, 1])])
def test_time_that_an_explanation_takes_is_no_failure(stage: Stage, is_explained: bool, versions: list[int]) -> None:
    async def story(lane: Lane) -> list[int]:
        # both came long ago, so their answers are too slow
        call = Call(0, is_explained=is_explained)
        return [json.loads(await lane.answer(Request([GOOD], call)))["version"] for _ in range(2)]

    assert stage.run(story, limits=LimitTable(timeout_s=1.0, failures=1, rest_s=3_600)) == versions


def test_slow_version_is_answered_in_time_and_recorded_once(stage: Stage) -> None:
    stage.live = Moody(0.75, is_fast=False)
    stage.live.mood = "wait"

    async def story(lane: Lane) -> dict[str, Any]:
        answer = await ask(lane)
        stage.live.may_go.set()
        return answer

    answer = stage.run(story, limits=LimitTable(timeout_s=0.05))

    assert answer["served_by"] == "standby"
    assert [decision.id for decision in stage.recorded()] == [answer["id"]]


def test_broken_version_is_left_alone_tried_in_the_background_and_taken_back(stage: Stage) -> None:
    async def story(lane: Lane) -> list[str]:
        stage.live.mood = "raise"
        served = [(await ask(lane)).get("served_by", "") for _ in range(3)]
        calls = stage.live.calls
        served += [(await ask(lane)).get("served_by", "") for _ in range(5)]
        # no request was spent on it
        assert stage.live.calls == calls
        await asyncio.to_thread(wait_until, lambda: stage.live.calls >= calls + 3, "it was tried")
        stage.live.mood = ""
        await asyncio.to_thread(wait_until, lambda: not lane._circuit.is_open, "it is asked again")
        return [*served, (await ask(lane)).get("served_by", "")]

    assert stage.run(story) == ["standby"] * 8 + [""]


def test_overload_and_a_client_s_fault_are_no_failures(stage: Stage) -> None:
    async def story(lane: Lane) -> None:
        lane._waiting_rows = 10**9
        with pytest.raises(UnavailableError, match="rows wait"):
            await ask(lane)
        lane._waiting_rows = 0

    stage.run(story)
    assert stage.standby.calls == 0


def test_poisonous_rows_go_to_the_standby_and_the_others_of_their_batch_do_not(stage: Stage) -> None:
    async def story(lane: Lane) -> list[dict[str, Any]]:
        rows: list[Row] = [GOOD, (0.5, 1, "deadly"), GOOD, (0.5, 1, "other"), GOOD]
        return await asyncio.gather(*(ask(lane, row) for row in rows))

    stage.standby.is_robust = True
    answers = stage.run(story)

    assert [answer.get("served_by", "") for answer in answers] == ["", "standby", "", "", ""]


def test_row_that_ended_the_process_alone_is_never_asked_again(stage: Stage) -> None:
    async def story(lane: Lane) -> int:
        with pytest.raises(ModelFailedError):
            await lane.answer(Request([(0.5, 1, "deadly")], Call(0)))
        calls = stage.live.calls
        for _ in range(3):
            with pytest.raises(ModelFailedError, match="ended the model's process before"):
                await lane.answer(Request([(0.5, 1, "deadly")], Call(0)))
        assert stage.live.calls == calls
        return len(await asyncio.gather(*(ask(lane) for _ in range(4))))

    assert stage.run(story, has_standby=False) == 4
    # twice the deadly row: in its batch, and alone; then the four together
    assert stage.live.calls == 3


def test_door_with_a_form_of_its_own_hears_who_answered(stage: Stage) -> None:
    stage.live.mood = "raise"

    async def story(lane: Lane) -> tuple[Answered, str]:
        request = Request([GOOD], Call(0), write=lambda answered: answered)
        return await lane.answer(request), request.served_by

    answered, served_by = stage.run(story)

    assert (answered.served_by, answered.version, served_by) == ("standby", 1, "standby")


def test_version_stands_in_only_for_one_whose_rows_it_takes() -> None:
    strict = msgspec.structs.replace(
        SIGNATURE, inputs=(*SIGNATURE.inputs[:1], InputField("items", Kind.INTEGER, False), SIGNATURE.inputs[2])
    )
    renamed = msgspec.structs.replace(SIGNATURE, inputs=(InputField("sum", Kind.NUMBER, False), *SIGNATURE.inputs[1:]))

    assert may_stand_in(SIGNATURE, SIGNATURE)
    assert may_stand_in(SIGNATURE, strict)
    assert not may_stand_in(strict, SIGNATURE)
    assert not may_stand_in(renamed, SIGNATURE)
    assert not may_stand_in(SIGNATURE, msgspec.structs.replace(SIGNATURE, classes=("no", "yes")))
