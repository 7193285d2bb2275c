"""A lane with a model that is slow, fails or gives no number; and the words of its answers."""

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

from petla.core.errors import InvalidError, ModelFailedError, PetlaError, UnavailableError, UserCodeError
from petla.core.ids import uuid7_batches
from petla.core.project import AnswerTable, Task
from petla.decisions.record import Decision
from petla.decisions.spool import DECISIONS, SPOOL_FOLDER, SpoolReader, end_of
from petla.models.signature import Row
from petla.serving.doors.schema import Schema
from petla.serving.metrics import Metrics
from petla.serving.path.lane import Lane, Loaded
from petla.serving.path.request import Call, Request
from petla.serving.recorder import Recorder
from tests.deployments.tiny import SIGNATURE, make_package

AMOUNT_ONLY: Row = (0.25, 1, "pl")


class StandIn:
    """A runtime that waits for a word. A mock, since no real model can be held in the middle of a batch."""

    def __init__(self, *, is_fast: bool) -> None:
        self.is_fast = is_fast
        self.may_go = threading.Event()
        self.may_go.set()
        self.has_begun = threading.Event()
        self.batches: list[int] = []

    def score(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        self.has_begun.set()
        self.may_go.wait(10)
        self.batches.append(len(rows))
        amounts = [row[0] for row in rows]
        if any(amount == "broken" for amount in amounts):
            raise UserCodeError("ValueError: cannot be scored")
        scores = np.array(amounts, dtype=np.float64)
        return np.stack([1 - scores, scores], axis=1)

    def close(self) -> None:
        """Nothing to give back."""


class Bench:
    """A lane in a loop of its own, and what it wrote."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self.metrics = Metrics("0", state)
        self._recorder = Recorder(state, "0", "process", self.metrics)

    def run(self, runtime: StandIn, story: Callable[[Lane], Coroutine[Any, Any, Any]]) -> Any:  # noqa: ANN401
        async def tell() -> object:
            loaded = Loaded(7, make_package(), runtime, Schema(SIGNATURE))
            lane = Lane(loaded, AnswerTable(), self._recorder, self.metrics.of("fraud"), uuid7_batches())
            return await story(lane)

        return asyncio.run(tell())

    def recorded(self) -> list[int]:
        """The sizes of the batches in the spool."""
        self._recorder.close()
        folder = self._state / SPOOL_FOLDER / "0"
        reader = SpoolReader(folder, DECISIONS, Decision)
        return [len(frame.records) for frame in reader.frames({}, end_of(folder, DECISIONS))]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def ask(lane: Lane, row: Row = AMOUNT_ONLY, n: int = 1) -> Coroutine[Any, Any, bytes]:
    return lane.answer(Request([row] * n, Call(0), is_many=n > 1))


def test_requests_of_one_turn_run_and_are_recorded_together(bench: Bench) -> None:
    runtime = StandIn(is_fast=True)

    async def story(lane: Lane) -> list[bytes]:
        return await asyncio.gather(*(ask(lane) for _ in range(5)))

    answers = bench.run(runtime, story)

    assert len({json.loads(answer)["id"] for answer in answers}) == 5
    assert runtime.batches == [5]
    assert bench.recorded() == [5]


def test_rows_of_one_run_are_limited(bench: Bench) -> None:
    runtime = StandIn(is_fast=True)

    async def story(lane: Lane) -> list[bytes]:
        return await asyncio.gather(*(ask(lane, n=100) for _ in range(12)))

    bench.run(runtime, story)

    assert runtime.batches == [500, 500, 200]


def test_slow_model_runs_on_a_thread_while_the_next_batch_gathers(bench: Bench) -> None:
    runtime = StandIn(is_fast=False)
    runtime.may_go.clear()

    async def story(lane: Lane) -> list[bytes]:
        first = asyncio.create_task(ask(lane))
        await asyncio.to_thread(runtime.has_begun.wait, 10)

        async def let_go() -> bytes:
            runtime.may_go.set()
            return await first

        answers = await asyncio.gather(*(ask(lane) for _ in range(4)), let_go())
        await lane.drained()
        return answers

    assert len(bench.run(runtime, story)) == 5
    assert runtime.batches == [1, 4]
    assert bench.recorded() == [1, 4]


@pytest.mark.parametrize("is_fast", [True, False])
def test_request_that_makes_the_model_fail_fails_alone(bench: Bench, is_fast: bool) -> None:
    async def story(lane: Lane) -> list[bytes | BaseException]:
        together = [ask(lane), ask(lane, ("broken", 1, "pl")), ask(lane)]
        return await asyncio.gather(*together, return_exceptions=True)

    first, failed, third = bench.run(StandIn(is_fast=is_fast), story)

    assert isinstance(failed, ModelFailedError)
    assert "the model failed: ValueError: cannot be scored" in str(failed)
    assert [json.loads(answer)["probability"] for answer in (first, third)] == [0.25, 0.25]
    assert bench.recorded() == [2]


def test_row_that_makes_the_model_fail_is_named(bench: Bench) -> None:
    rows: list[Row] = [AMOUNT_ONLY] * 9
    rows[5] = ("broken", 1, "pl")

    async def story(lane: Lane) -> None:
        await lane.answer(Request(rows, Call(0), is_many=True))

    with pytest.raises(ModelFailedError, match=r"failed at row \[5\]") as caught:
        bench.run(StandIn(is_fast=True), story)

    assert caught.value.field == "[5]"
    assert bench.recorded() == []


def test_unforeseen_failure_is_logged_and_answered(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async def story(lane: Lane) -> list[bytes | BaseException]:
        together = [ask(lane), ask(lane, ("no number", 1, "pl"))]
        return await asyncio.gather(*together, return_exceptions=True)

    answered, failed = bench.run(StandIn(is_fast=True), story)

    assert json.loads(answered)["version"] == 7
    assert isinstance(failed, ModelFailedError)
    assert [record.message for record in caplog.records] == ["batch.failed"]


@pytest.mark.parametrize(
    ("strange", "family"),
    [(float("nan"), UnavailableError), (float("inf"), InvalidError), (-float("inf"), InvalidError)],
)
def test_request_without_a_finite_answer_fails_alone(bench: Bench, strange: float, family: type[PetlaError]) -> None:
    async def story(lane: Lane) -> list[bytes | BaseException]:
        requests = [ask(lane), ask(lane, (strange, 1, "pl")), ask(lane)]
        return await asyncio.gather(*requests, return_exceptions=True)

    first, second, third = bench.run(StandIn(is_fast=True), story)

    assert isinstance(second, family)
    assert [json.loads(answer)["version"] for answer in (first, third)] == [7, 7]
    assert bench.recorded() == [2]


def test_too_many_waiting_rows_are_refused_at_once(bench: Bench) -> None:
    runtime = StandIn(is_fast=False)
    runtime.may_go.clear()

    async def story(lane: Lane) -> None:
        async def come_too_late() -> None:
            with pytest.raises(UnavailableError, match="22000 rows wait"):
                await ask(lane)
            runtime.may_go.set()

        await asyncio.gather(ask(lane, n=11_000), ask(lane, n=11_000), come_too_late())

    bench.run(runtime, story)

    assert sum(bench.recorded()) == 22_000


def test_answered_requests_are_counted(bench: Bench) -> None:
    async def story(lane: Lane) -> None:
        await asyncio.gather(ask(lane), ask(lane, n=3))

    bench.run(StandIn(is_fast=True), story)

    counts = bench.metrics.of("fraud")
    assert (counts.rows, sum(counts.latencies)) == (4, 2)


@pytest.mark.parametrize(
    ("task", "classes", "scores", "expected"),
    [
        ("binary", ("no", 'y"s'), [[0.75, 0.25]], {"is_fraud": "no", "how sure": 0.25}),
        ("multiclass", (1, 2, 3), [[0.1, 0.3, 0.6]], {"is_fraud": 3, "how sure": 0.6}),
        ("regression", (), [1e-7], {"is_fraud": 1e-7}),
    ],
)
def test_answer_has_the_project_s_words(
    tmp_path: Path, task: Task, classes: tuple[Any, ...], scores: list[Any], expected: dict[str, Any]
) -> None:
    signature = msgspec.structs.replace(SIGNATURE, task=task, classes=classes)
    package = msgspec.structs.replace(make_package(), signature=signature)

    class Fixed(StandIn):
        def score(self, rows: Sequence[Row]) -> NDArray[np.float64]:
            return np.repeat(np.array(scores), len(rows), axis=0)

    async def story() -> bytes:
        metrics = Metrics("0", tmp_path)
        recorder = Recorder(tmp_path, "0", "process", metrics)
        words = AnswerTable(probability="how sure")
        loaded = Loaded(7, package, Fixed(is_fast=True), Schema(signature))
        lane = Lane(loaded, words, recorder, metrics.of("fraud"), uuid7_batches())
        return await ask(lane, n=2)

    for answer in json.loads(asyncio.run(story())):
        assert {name: value for name, value in answer.items() if name != "id"} == expected | {"version": 7}
