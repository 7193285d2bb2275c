"""Why an answer is as it is: asked for, answered, recorded, bounded, and never in the way of the answer itself."""

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from petla.core.errors import DeadlineError, InvalidError, UnavailableError, UserCodeError
from petla.core.ids import uuid7_batches
from petla.core.project import AnswerTable, FallbackTable, Policy
from petla.core.project.guarding import GuardTable, RuleTable
from petla.data.profile.columns import ColumnProfile, Kind, Profile
from petla.deployments.snapshot import Route, Variant
from petla.models.package import Package
from petla.models.runtime.onnx_session import OnnxRuntime
from petla.models.runtime.python_process import PythonRuntime
from petla.models.runtime.running import Runtime
from petla.models.signature import InputField, Row
from petla.serving.doors.schema import Schema
from petla.serving.path.explaining import measure_explained
from petla.serving.path.lane import Loaded
from petla.serving.path.protection import LaneMaker
from petla.serving.path.request import Call, Request
from petla.serving.path.service import Service
from tests.deployments.tiny import MODEL, ROW, SIGNATURE, make_onnx, make_package, score_of
from tests.serving.doorway import Doorway
from tests.serving.fragile import pickle_fragile

# typical are an amount of 1 and "pl"; of items nothing is known
PROFILE = Profile(
    rows=9,
    columns=(
        ColumnProfile(name="amount", kind=Kind.NUMBER, rows=9, missing=0, distinct=9, quantiles=(1.0,) * 21),
        ColumnProfile(name="items", kind=Kind.INTEGER, rows=9, missing=9, distinct=0),
        ColumnProfile(
            name="country",
            kind=Kind.CATEGORY,
            rows=9,
            missing=0,
            distinct=2,
            categories=("de", "pl"),
            counts=(4, 5, 0, 0),
        ),
    ),
)
PREDICT = f"/predict/{MODEL}"
TRUE_ROW: Row = (2.5, 3, "de")


def make_explained(bias: float = -4.0) -> Package:
    return msgspec.structs.replace(make_package(bias), profile=PROFILE)


def effects_of(amount: float, bias: float = -4.0) -> dict[str, float | None]:
    score = score_of(amount, 3, "de", bias)
    return {
        "amount": score - score_of(1.0, 3, "de", bias),
        "items": None,
        "country": score - score_of(amount, 3, "pl", bias),
    }


@pytest.fixture
def doorway(tmp_path: Path) -> Iterator[Doorway]:
    doorway = Doorway(tmp_path)
    doorway.serve(MODEL, make_explained(), OnnxRuntime(make_onnx(-4.0), SIGNATURE))
    yield doorway
    doorway.recorder.close()


@pytest.mark.parametrize("asking", ["explain=1", "explain=true", "explain=0&explain=True", "page=2&explain=1"])
def test_answer_says_what_each_value_does_and_the_record_says_the_same(doorway: Doorway, asking: str) -> None:
    plain = doorway.ask(PREDICT, ROW).content
    answer = doorway.ask(f"{PREDICT}?{asking}", ROW).content

    explanation = answer.pop("explanation")
    assert explanation == pytest.approx(effects_of(2.5), abs=1e-6)
    assert explanation["amount"] > explanation["country"] > 0
    assert answer | {"id": ""} == plain | {"id": ""}
    assert [decision.explanation for decision in doorway.recorded()] == [(), tuple(explanation.values())]


def test_rows_are_explained_each_for_itself(doorway: Doorway) -> None:
    reply = doorway.ask(f"{PREDICT}?explain=1", [ROW | {"amount": amount} for amount in (1.0, 2.5, 4.0)])

    found = [answer["explanation"] for answer in reply.content]
    assert found == [pytest.approx(effects_of(amount), abs=1e-6) for amount in (1.0, 2.5, 4.0)]
    assert [decision.explanation for decision in doorway.recorded()] == [tuple(each.values()) for each in found]


@pytest.mark.parametrize("asking", ["explain=0", "explain=false", "explained=1", "explain=1&explain=0", "x"])
def test_nobody_asked(doorway: Doorway, asking: str) -> None:
    assert "explanation" not in doorway.ask(f"{PREDICT}?{asking}", ROW, x_petla_explain="0").content
    assert doorway.recorded()[0].explanation == ()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PREDICT, ROW),
        ("/invocations", {"dataframe_records": [ROW]}),
        (
            f"/v2/models/{MODEL}/infer",
            {
                "inputs": [
                    {"name": "amount", "shape": [1], "datatype": "FP64", "data": [2.5]},
                    {"name": "items", "shape": [1], "datatype": "INT64", "data": [3]},
                    {"name": "country", "shape": [1], "datatype": "BYTES", "data": ["de"]},
                ]
            },
        ),
    ],
)
def test_header_asks_at_every_door_and_the_log_has_the_explanation(doorway: Doorway, path: str, body: object) -> None:
    assert doorway.ask(path, body, x_petla_explain="1").status == 200

    (decision,) = doorway.recorded()
    assert decision.explanation == pytest.approx(tuple(effects_of(2.5).values()), abs=1e-6)


@pytest.mark.parametrize("value", ["", "yes", "2", "%31", "1 "])
def test_word_that_is_neither_yes_nor_no_is_refused(doorway: Doorway, value: str) -> None:
    asked = doorway.ask(f"{PREDICT}?explain={value}", ROW)
    said = doorway.ask(PREDICT, ROW, x_petla_explain=value)

    assert (asked.status, asked.content["error"]["field"]) == (400, "explain")
    assert (said.status, said.content["error"]["field"]) == (400, "x-petla-explain")
    assert "must be 1 or 0" in asked.content["error"]["message"]
    assert doorway.recorded() == []


def test_too_many_rows_are_refused_with_the_limit(doorway: Doorway) -> None:
    enough = doorway.ask(f"{PREDICT}?explain=1", [ROW] * 100)
    refused = doorway.ask(f"{PREDICT}?explain=1", [ROW] * 101)

    assert (enough.status, len(enough.content)) == (200, 100)
    assert (refused.status, refused.content["error"]["field"]) == (422, "explain")
    assert refused.content["error"]["message"] == (
        "the request has 101 rows, but at most 100 of this model are explained at once"
    )
    assert len(doorway.recorded()) == 100


@pytest.mark.parametrize(("n_inputs", "n_rows"), [(1, 100), (100, 100), (101, 99), (1_000, 10)])
def test_rows_of_wide_models_are_fewer(n_inputs: int, n_rows: int) -> None:
    fields = tuple(InputField(f"x{i}", Kind.NUMBER, is_nullable=False) for i in range(n_inputs))
    signature = msgspec.structs.replace(SIGNATURE, inputs=fields)

    assert measure_explained(signature, n_rows) == n_rows * (n_inputs + 1)
    with pytest.raises(InvalidError, match=f"at most {n_rows} of this model"):
        measure_explained(signature, n_rows + 1)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ((InputField("face", Kind.IMAGE, is_nullable=False),), "answers about face cannot be explained"),
        ((InputField("wave", Kind.TENSOR, is_nullable=False, dtype="uint8", shape=(2,)),), "answers about wave"),
        (tuple(InputField(f"x{i}", Kind.NUMBER, is_nullable=False) for i in range(1_001)), "has 1001 inputs"),
    ],
)
def test_model_that_cannot_be_explained_says_so(fields: tuple[InputField, ...], said: str) -> None:
    with pytest.raises(InvalidError, match=said) as refused:
        measure_explained(msgspec.structs.replace(SIGNATURE, inputs=fields), 1)

    assert (refused.value.field, refused.value.hint) == ("explain", "ask without 'explain'")


def test_array_at_its_door_is_refused_only_when_it_is_to_be_explained(doorway: Doorway) -> None:
    field = InputField("wave", Kind.TENSOR, is_nullable=False, dtype="uint8", shape=(2,))
    package = msgspec.structs.replace(
        make_package(), model="ear", signature=msgspec.structs.replace(SIGNATURE, inputs=(field,))
    )
    doorway.serve("ear", package, Picky())

    assert doorway.ask("/predict/ear", {"wave": [1, 2]}).status == 200
    refused = doorway.ask("/predict/ear?explain=1", {"wave": [1, 2]})

    assert (refused.status, refused.content["error"]["field"]) == (422, "explain")


def test_python_package_is_explained_by_its_own_process(doorway: Doorway) -> None:
    package = msgspec.structs.replace(make_explained(), model="slow", kind="python")
    runtime = PythonRuntime(pickle_fragile())
    doorway.serve("slow", package, runtime)

    answer = doorway.ask("/predict/slow?explain=1", ROW).content
    runtime.close()

    assert answer["explanation"] == {"amount": 0.0, "items": None, "country": 0.0}


class Picky:
    """A runtime that refuses typical amounts unless it has a score for them. A stand-in: no real model does so."""

    is_fast = True

    def __init__(self, typical: float | None = None) -> None:
        self.typical = typical
        self.threads: set[int] = set()
        self.may_go = threading.Event()
        self.may_go.set()

    def score(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        self.threads.add(threading.get_ident())
        self.may_go.wait(10)
        if any(row[0] == 1.0 for row in rows) and self.typical is None:
            raise UserCodeError("ones are not for me")
        return np.array([[0.25, 0.75] if row[0] != 1.0 else [0.5, self.typical or 0.0] for row in rows])

    def close(self) -> None:
        """Nothing to give back."""


@pytest.mark.parametrize("typical", [None, float("nan")])
def test_explanation_that_fails_takes_no_answer_with_it(
    doorway: Doorway, caplog: pytest.LogCaptureFixture, typical: float | None
) -> None:
    doorway.serve(MODEL, make_explained(), Picky(typical))

    answer = doorway.ask(f"{PREDICT}?explain=1", ROW).content

    assert (answer["probability"], "explanation" in answer) == (0.75, False)
    assert [record.message for record in caplog.records] == ["explanation.failed"]
    assert [decision.explanation for decision in doorway.recorded()] == [()]


def service_of(
    doorway: Doorway, runtime: Runtime, n_more: int = 0, policy: Policy | None = None, *, share: float = 0.0
) -> Service:
    """The service of a route with a champion 2 and, standing by or as a canary, the tiny model as 1."""
    more = tuple(InputField(f"x{i}", Kind.NUMBER, is_nullable=True) for i in range(n_more))
    signature = msgspec.structs.replace(SIGNATURE, inputs=SIGNATURE.inputs + more)
    package = msgspec.structs.replace(make_explained(), signature=signature)
    standby = OnnxRuntime(make_onnx(-3.0), SIGNATURE)
    versions = {
        "live": Loaded(2, package, runtime, Schema(signature)),
        "standby": Loaded(1, make_explained(-3.0), standby, Schema(SIGNATURE)),
    }
    route = Route(
        live=Variant(2, "live"), standby=Variant(1, "standby"), answer=AnswerTable(), policy=policy or Policy()
    )
    metrics = doorway.metrics.of(MODEL)
    maker = LaneMaker(route, versions, doorway.recorder, metrics, uuid7_batches())
    arms = [(maker.make_arm(Variant(1, "standby"), "canary"), share)] if share else []
    return Service(maker.make_champion(), arms=arms)


def why(row: Row = TRUE_ROW, n_rows: int = 1, deadline_ns: int = 0) -> Request:
    return Request([row] * n_rows, Call(0, deadline_ns=deadline_ns, is_explained=True), is_many=n_rows > 1)


def test_version_that_answered_is_the_one_that_is_explained(doorway: Doorway) -> None:
    class Broken(Picky):
        def score(self, rows: Sequence[Row]) -> NDArray[np.float64]:
            raise UserCodeError(f"{len(rows)} rows are too many")

    async def story() -> list[bytes]:
        stood_in, canary = service_of(doorway, Broken()), service_of(doorway, Broken(), share=1.0)
        return [await stood_in.answer(why()), await canary.answer(why())]

    by_standby, by_canary = map(json.loads, asyncio.run(story()))

    assert (by_standby["served_by"], by_standby["version"], by_canary["version"]) == ("standby", 1, 1)
    for answer in (by_standby, by_canary):
        assert answer["explanation"] == pytest.approx(effects_of(2.5, -3.0), abs=1e-6)


def test_rows_of_two_arms_are_explained_by_their_own(doorway: Doorway) -> None:
    people = [f"card {i}" for i in range(12)]

    async def story() -> bytes:
        service = service_of(doorway, OnnxRuntime(make_onnx(-4.0), SIGNATURE), share=0.5)
        call = Call(0, is_explained=True)
        answer: bytes = await service.answer(Request([TRUE_ROW] * 12, call, is_many=True, subjects=people))
        with pytest.raises(InvalidError, match="has 101 rows"):
            await service.answer(Request([TRUE_ROW] * 101, call, is_many=True, subjects=(people * 9)[:101]))
        return answer

    answers = json.loads(asyncio.run(story()))

    assert {answer["version"] for answer in answers} == {1, 2}
    for answer in answers:
        bias = {1: -3.0, 2: -4.0}[answer["version"]]
        assert answer["explanation"] == pytest.approx(effects_of(2.5, bias), abs=1e-6)


def test_answer_that_is_no_model_s_has_no_explanation(doorway: Doorway) -> None:
    rule = RuleTable(name="large", when="amount > 9", action="rule", answer=True)
    policy = Policy(guards=GuardTable(rules=(rule,)), fallback=FallbackTable(answer=False, standby=False))
    refused: Row = (1.0, 3, "de")
    two: list[Row] = [(10.0, 3, "de"), TRUE_ROW]

    async def story() -> list[bytes]:
        failing, ruling = (service_of(doorway, runtime, policy=policy) for runtime in (Picky(), Picky(0.5)))
        both = Request(two, Call(0, is_explained=True), is_many=True)
        return [await failing.answer(why(refused)), await ruling.answer(both)]

    default, (by_rule, by_model) = map(json.loads, asyncio.run(story()))

    assert (default["served_by"], by_rule["served_by"], "served_by" in by_model) == ("default", "rule", False)
    assert ["explanation" in each for each in (default, by_rule, by_model)] == [False, False, True]
    assert [bool(decision.explanation) for decision in doorway.recorded()] == [False, False, True]


def test_long_explanation_runs_on_a_thread_and_a_short_one_does_not(doorway: Doorway) -> None:
    short, long = Picky(0.5), Picky(0.5)

    async def story() -> None:
        few, many = service_of(doorway, short, 9), service_of(doorway, long, 9)
        wide = (*TRUE_ROW, *[None] * 9)
        await asyncio.gather(few.answer(why(wide, 78)), many.answer(why(wide, 79)))

    asyncio.run(story())

    assert short.threads == {threading.get_ident()}
    assert threading.get_ident() not in long.threads


def test_rows_that_explain_count_in_the_queue_and_deadlines_hold(doorway: Doorway) -> None:
    runtime = Picky(0.5)
    runtime.is_fast = False
    runtime.may_go.clear()

    async def story() -> list[Exception]:
        service = service_of(doorway, runtime)

        async def come_too_late() -> None:
            with pytest.raises(UnavailableError, match="20005 rows wait"):
                await service.answer(why())
            runtime.may_go.set()

        late = service.answer(why(deadline_ns=1))
        first = service.answer(Request([TRUE_ROW], Call(0)))
        crowd = [service.answer(why(n_rows=100)) for _ in range(50)]
        told = await asyncio.gather(first, late, *crowd, come_too_late(), return_exceptions=True)
        return [each for each in told if isinstance(each, Exception)]

    (failure,) = asyncio.run(story())

    assert isinstance(failure, DeadlineError)
    assert len(doorway.recorded()) == 5_001
