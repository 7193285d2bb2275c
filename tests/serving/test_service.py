"""Which arm answers: sticky by subject, divided row by row, and what happens when an arm fails."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from petla.core.errors import InvalidError, MalformedError, UserCodeError
from petla.core.ids import uuid7_batches
from petla.core.project import AnswerTable
from petla.decisions.record import Decision
from petla.decisions.spool import DECISIONS, SPOOL_FOLDER, SpoolReader, end_of
from petla.deployments.snapshot import Route, Variant
from petla.models.signature import Row
from petla.serving.doors.calls import name_subject
from petla.serving.doors.inputs.subjects import SubjectSchema
from petla.serving.doors.schema import Schema
from petla.serving.metrics import Metrics
from petla.serving.path.lane import Loaded
from petla.serving.path.protection import LaneMaker
from petla.serving.path.request import Call, Request
from petla.serving.path.service import Service, place_of
from petla.serving.recorder import Recorder
from tests.deployments.tiny import ROW, SIGNATURE, make_package


class Echo:
    """A runtime whose score is the amount; it fails at amounts above 1. Stands in for a model that fails at will."""

    is_fast = True

    def score(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        amounts = np.array([row[0] for row in rows], dtype=np.float64)
        if (amounts > 1).any():
            raise UserCodeError("too much")
        return np.stack([1 - amounts, amounts], axis=1)

    def close(self) -> None:
        """Nothing to give back."""


class Half(Echo):
    """Never fails, and always says a half."""

    def score(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        return np.full((len(rows), 2), 0.5)


class Bench:
    """A service with the champion 1 and the canary 2, and what it wrote."""

    def __init__(self, state: Path, share: float) -> None:
        self._state, self._share = state, share
        self._metrics = Metrics("0", state)
        self._recorder = Recorder(state, "0", "process", self._metrics)

    def run(self, story: Callable[[Service], Coroutine[Any, Any, Any]]) -> Any:  # noqa: ANN401
        async def tell() -> object:
            champion, canary = Variant(1, "one"), Variant(2, "two")
            runtimes: dict[Variant, Echo] = {champion: Half(), canary: Echo()}
            versions = {
                variant.package: Loaded(variant.version, make_package(), runtime, Schema(SIGNATURE))
                for variant, runtime in runtimes.items()
            }
            route = Route(live=champion, answer=AnswerTable())
            maker = LaneMaker(route, versions, self._recorder, self._metrics.of("fraud"), uuid7_batches())
            arms = [(maker.make_arm(canary, "canary"), self._share)]
            return await story(Service(maker.make_champion(), salt="s", arms=arms))

        return asyncio.run(tell())

    def recorded(self) -> list[Decision]:
        self._recorder.close()
        folder = self._state / SPOOL_FOLDER / "0"
        reader = SpoolReader(folder, DECISIONS, Decision)
        return [each for frame in reader.frames({}, end_of(folder, DECISIONS)) for each in frame.records]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, 0.3)


def ask(service: Service, amounts: Sequence[float], subjects: Sequence[str] = (), name: str = "") -> Any:  # noqa: ANN401
    rows: list[Row] = [(amount, 1, "pl") for amount in amounts]
    return service.answer(Request(rows, Call(0, name), is_many=len(rows) > 1, subjects=subjects))


def test_subject_gets_the_same_arm_whenever_it_comes(bench: Bench) -> None:
    people = [f"customer {n}" for n in range(200)]

    async def story(service: Service) -> None:
        for _ in range(2):
            await asyncio.gather(*(ask(service, [0.1], [person]) for person in people))

    bench.run(story)

    arms: dict[str, set[str]] = {}
    for decision in bench.recorded():
        arms.setdefault(decision.subject, set()).add(decision.arm)
    assert sorted(arms) == sorted(people)
    assert all(len(found) == 1 for found in arms.values())
    assert 0.2 < sum(found == {"canary"} for found in arms.values()) / len(people) < 0.4


def test_share_that_grows_keeps_whom_it_had() -> None:
    places = [place_of(b"salt", str(n).encode()) for n in range(2_000)]
    small, large = ({n for n, place in enumerate(places) if place < share} for share in (0.05, 0.25))

    assert small < large
    assert (80 < len(small) < 120, 450 < len(large) < 550) == (True, True)


def test_rows_are_divided_one_by_one_and_joined_in_order(bench: Bench) -> None:
    people, amounts = [f"customer {n}" for n in range(20)], [n / 100 for n in range(20)]

    answers = json.loads(bench.run(lambda service: ask(service, amounts, people)))

    recorded = {decision.id: decision for decision in bench.recorded()}
    assert [recorded[answer["id"]].subject for answer in answers] == people
    assert [recorded[answer["id"]].inputs[0] for answer in answers] == amounts
    assert [answer["version"] for answer in answers] == [recorded[answer["id"]].version for answer in answers]
    assert {answer["version"] for answer in answers} == {1, 2}
    assert len({decision.request_id for decision in recorded.values()}) == 1


def test_request_without_a_subject_is_divided_by_its_id(bench: Bench) -> None:
    async def story(service: Service) -> object:
        named = [ask(service, [0.1, 0.2], name="the same") for _ in range(10)]
        return await asyncio.gather(*named, *(ask(service, [0.1]) for _ in range(100)))

    answers = bench.run(story)

    assert len({answer["version"] for text in answers[:10] for answer in json.loads(text)}) == 1
    assert {json.loads(text)["version"] for text in answers[10:]} == {1, 2}


def test_rows_about_nobody_are_divided_by_their_request(bench: Bench) -> None:
    async def story(service: Service) -> None:
        await asyncio.gather(*(ask(service, [0.1], [""]) for _ in range(200)))

    bench.run(story)

    arms = [decision.arm for decision in bench.recorded()]
    assert 30 <= arms.count("canary") <= 95


def test_champion_answers_where_an_arm_fails_and_the_decision_says_both(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1.0)

    answer = json.loads(bench.run(lambda service: ask(service, [7.0], ["ann"])))

    (decision,) = bench.recorded()
    assert (answer["version"], answer["probability"]) == (1, 0.5)
    assert (decision.arm, decision.served_by, decision.version, decision.subject) == ("canary", "champion", 1, "ann")


def test_subject_is_read_beside_the_inputs() -> None:
    schema = SubjectSchema(SIGNATURE, "customer")
    row = (2.5, 3, "de")

    assert schema.decode(json.dumps(ROW | {"customer": "ann"}).encode()) == ([row], False, ["ann"])
    assert schema.decode(json.dumps([ROW | {"customer": 7}, ROW]).encode()) == ([row, row], True, ["7", ""])
    assert schema.decode(json.dumps(ROW | {"customer": None, "items": 3.0}).encode()) == ([row], False, [""])


def test_subject_may_be_an_input() -> None:
    assert SubjectSchema(SIGNATURE, "country").decode(json.dumps(ROW).encode())[2] == ["de"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"customer": [1]}, "customer"),
        ({"customer": "x" * 300}, "customer"),
        ({"customer": "a\0b"}, "customer"),
        ({"custmer": 1}, "custmer"),
    ],
)
def test_what_is_no_subject_is_refused_by_name(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidError) as caught:
        SubjectSchema(SIGNATURE, "customer").decode(json.dumps(ROW | change).encode())
    assert caught.value.field == field


@pytest.mark.parametrize("country", ["x" * 300, "a\0b"])
def test_input_that_no_index_takes_is_no_subject(country: str) -> None:
    with pytest.raises(InvalidError) as caught:
        SubjectSchema(SIGNATURE, "country").decode(json.dumps(ROW | {"country": country}).encode())
    assert caught.value.field == "country"


@pytest.mark.parametrize("value", [b"\xff", b"x" * 300])
def test_header_that_is_no_subject_is_refused(value: bytes) -> None:
    with pytest.raises(MalformedError):
        name_subject(value)
