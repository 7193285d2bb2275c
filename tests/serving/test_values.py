"""One table of values, sent through every endpoint to a model of each library: one answer, one logged value each.

A value is read by itself: what stands beside it in its list does not matter. What a column does not hold is the
client's error, with the field, and never the model's.
"""

import asyncio
import contextlib
import csv
import io
import json
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest

from petla.core.errors import InvalidError
from petla.data.profile.columns import Kind
from petla.models.signature import InputField, Signature
from petla.pipeline.outputs.frames import FrameKind
from petla.serving.doors.inputs.texts import read_text
from petla.serving.doors.protocol import Limits
from petla.serving.doors.schema import Schema
from petla.serving.doors.standards.columns import describe_inputs
from petla.serving.doors.standards.messages import INFERENCE, make_messages
from petla.serving.doors.standards.remote import SERVICE, GrpcServer
from petla.serving.doors.standards.tensors import BYTES, encode_raw
from tests.serving.client import PATIENCE_S
from tests.serving.doorway import BODY_LIMIT, Doorway
from tests.serving.echoing import COLUMNS, ROW, package_echo

HOUR_NS = 3600 * 10**9
MESSAGES = make_messages("values", INFERENCE)


class Case(NamedTuple):
    """A value of a column, as JSON carries it."""

    field: str
    sent: Any
    # as the model gets it and the log has it
    logged: Any
    # the model's answer: nanoseconds since noon, the number itself, -1 for null
    answer: float


def at(text: str, field: str, logged: str, hours: float) -> Case:
    return Case(field, text, logged, hours * HOUR_NS)


ACCEPTED = (
    at("2026-03-01T15:00:00", "at", "2026-03-01T15:00:00", 3),
    at("2026-03-01 15:00", "at", "2026-03-01T15:00:00", 3),
    at("2026-03-01T15:00:00Z", "at", "2026-03-01T15:00:00", 3),
    at("2026-03-01t15:00:00z", "at", "2026-03-01T15:00:00", 3),
    at("2026-03-01T17:00:00+02:00", "at", "2026-03-01T15:00:00", 3),
    at("2026-03-01T09:30:00-0530", "at", "2026-03-01T15:00:00", 3),
    at("2026-03-01", "at", "2026-03-01T00:00:00", -12),
    Case("at", "2026-03-01T12:00:00.123456789Z", "2026-03-01T12:00:00.123456", 123_456_000),
    Case("at_ms", "2026-03-01T12:00:00.123456789Z", "2026-03-01T12:00:00.123", 123_000_000),
    Case("at_ns", "2026-03-01T12:00:00.123456789Z", "2026-03-01T12:00:00.123456789", 123_456_789),
    Case("at_ns", "2026-03-01T12:00:00,5", "2026-03-01T12:00:00.500", 500_000_000),
    at("2026-03-01T15:00:00", "zoned", "2026-03-01T15:00:00Z", 3),
    at("2026-03-01T15:00:00Z", "zoned", "2026-03-01T15:00:00Z", 3),
    at("2026-03-01T16:00:00+01:00", "zoned", "2026-03-01T15:00:00Z", 3),
    Case("maybe_at", None, None, -1),
    at("2026-03-01T15:00:00.000Z", "maybe_at", "2026-03-01T15:00:00", 3),
    at("2026-03-02", "day", "2026-03-02", 12),
    at("2026-03-02T00:00:00Z", "day", "2026-03-02", 12),
    at("15:00", "clock", "15:00:00", 3),
    Case("clock", "12:00:00.000005", "12:00:00.000005", 5_000),
    Case("tiny", -128, -128, -128),
    Case("tiny", 127, 127, 127),
    Case("byte", 255, 255, 255),
    Case("whole", 2**53 + 1, 2**53 + 1, 2.0**53),
    Case("ratio", -2.5, -2.5, -2.5),
    Case("number", None, None, -1),
    Case("number", 1e300, 1e300, 1e300),
    Case("flag", False, False, 0),
)
REFUSED = (
    *(("at", text) for text in ("yesterday", "", "01.03.2026 12:00", "2026-02-30T12:00:00", "2026-03-01T24:00:00")),
    *(("at", text) for text in ("2026-03-01T12:00:00.1234567890", "2026-03-01T12:00:60", "20260301", "1767225600")),
    *(("at", text) for text in ("2026-03-01T12:00:00+25:00", "0001-01-01T00:00:00+02:00", "12:00:00")),
    *(("at_ns", text) for text in ("1600-01-01T00:00:00", "2300-01-01")),
    ("maybe_at", "null"),
    *(("day", text) for text in ("2026-03-01T12:00:00", "2026-03-01T00:00:00+02:00")),
    *(("clock", text) for text in ("24:00", "2026-03-01T12:00:00", "12:00Z")),
    *(("tiny", number) for number in (-129, 128, 1000)),
    *(("byte", number) for number in (-1, 256)),
    *(("ratio", number) for number in (1e39, -1e300)),
    ("at", None),
    ("tiny", None),
)
# field, text of a CSV or a form, value: what only a text can be
TEXTS = (
    ("number", "nan", None),
    ("number", " NaN ", None),
    ("number", "", None),
    ("number", " 1.5e3 ", 1500.0),
    ("whole", "3.0", 3),
    ("whole", "3e2", 300),
    ("whole", "9007199254740993.0", 2**53 + 1),
    ("flag", "TRUE", True),
    ("flag", "0", False),
    ("maybe_at", "", None),
)
REFUSED_TEXTS = (
    *(
        ("number", text)
        for text in ("inf", "-Infinity", "1_0", "4_6.1", "1e999", "0x10", "\N{ARABIC-INDIC DIGIT THREE}")
    ),
    *(("ratio", text) for text in ("nan", "", "inf", "1e39")),
    *(("whole", text) for text in ("nan", "", "1_0", "1.5", "9223372036854775808", "\N{ARABIC-INDIC DIGIT THREE}")),
    *(("flag", text) for text in ("yes", "", "2", "1.0")),
    *(("at", text) for text in ("", "nan", "NaT", "1_0")),
)


class Answered(NamedTuple):
    status: int
    # the prediction, or the refusal's text
    content: Any


def row_with(field: str, value: Any) -> dict[str, Any]:  # noqa: ANN401
    return {**ROW, "which": COLUMNS.index(field), field: value}


def write_text(value: Any) -> str:  # noqa: ANN401
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def ask_predict(doorway: Doorway, row: dict[str, Any]) -> Answered:
    reply = doorway.ask("/predict/echo", row)
    return Answered(reply.status, reply.content["y"] if reply.status == 200 else reply.body.decode())


def ask_predict_list(doorway: Doorway, row: dict[str, Any]) -> Answered:
    """Beside rows of other forms, which may not matter."""
    beside = [{**ROW, "at": "2026-03-01"}, {**ROW, "at": "2026-03-01T12:00:00Z"}]
    reply = doorway.ask("/predict/echo", [*beside, row])
    return Answered(reply.status, reply.content[2]["y"] if reply.status == 200 else reply.body.decode())


def ask_invocations(doorway: Doorway, body: object, **headers: str) -> Answered:
    reply = doorway.ask("/invocations/echo", body, **headers)
    return Answered(reply.status, reply.content["predictions"][0] if reply.status == 200 else reply.body.decode())


def ask_csv(doorway: Doorway, row: dict[str, Any]) -> Answered:
    text = io.StringIO()
    csv.writer(text).writerows([list(row), [write_text(value) for value in row.values()]])
    return ask_invocations(doorway, text.getvalue().encode(), content_type="text/csv")


def list_tensors(doorway: Doorway, row: dict[str, Any]) -> list[dict[str, Any]]:
    signature = doorway.plane.services["echo"].champion.loaded.package.signature
    nulls = {
        each.name: {"parameters": {"null": "none"}} for each in describe_inputs(signature) if each.datatype == BYTES
    }
    return [
        {
            "name": each.name,
            "datatype": each.datatype,
            "shape": [1],
            "data": [row[each.name]],
            **nulls.get(each.name, {}),
        }
        for each in describe_inputs(signature)
    ]


def ask_inference(doorway: Doorway, row: dict[str, Any]) -> Answered:
    return read_inference(doorway.ask("/v2/models/echo/infer", {"inputs": list_tensors(doorway, row)}))


def ask_binary(doorway: Doorway, row: dict[str, Any]) -> Answered:
    tensors, raw = list_tensors(doorway, row), b""
    for tensor in tensors:
        content = pack(tensor)
        tensor["parameters"] = tensor.get("parameters", {}) | {"binary_data_size": len(content)}
        raw += content
    text = json.dumps({"inputs": tensors}).encode()
    length = str(len(text))
    return read_inference(doorway.ask("/v2/models/echo/infer", text + raw, inference_header_content_length=length))


def pack(tensor: dict[str, Any]) -> bytes:
    """Take a tensor's data as raw bytes; null as the protocol has it."""
    (value,) = tensor.pop("data")
    if value is None:
        if tensor["datatype"] not in (BYTES, "FP64"):
            # numbers that are whole have no null of their own
            tensor["datatype"] = "FP64"
        value = "none" if tensor["datatype"] == BYTES else float("nan")
    return encode_raw(tensor["datatype"], [value])


def read_inference(reply: Any) -> Answered:  # noqa: ANN401
    if reply.status != 200:
        return Answered(reply.status, reply.body.decode())
    return Answered(200, next(each["data"][0] for each in reply.content["outputs"] if each["name"] == "y"))


ENDPOINTS: dict[str, Callable[[Doorway, dict[str, Any]], Answered]] = {
    "predict": ask_predict,
    "predict, a list": ask_predict_list,
    "records": lambda doorway, row: ask_invocations(doorway, {"dataframe_records": [row]}),
    "split": lambda doorway, row: ask_invocations(
        doorway, {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}}
    ),
    "instances": lambda doorway, row: ask_invocations(doorway, {"instances": [row]}),
    "columns": lambda doorway, row: ask_invocations(doorway, {"inputs": {name: [row[name]] for name in row}}),
    "csv": ask_csv,
    "open inference": ask_inference,
    "open inference, binary": ask_binary,
}


@pytest.mark.parametrize("kind", [FrameKind.PANDAS, FrameKind.POLARS, FrameKind.ARROW])
def test_value_is_the_same_at_every_endpoint_in_the_model_and_in_the_log(tmp_path: Path, kind: FrameKind) -> None:
    doorway = Doorway(tmp_path)
    package, runtime = package_echo(tmp_path, kind)
    doorway.serve("echo", package, runtime)
    asked = [(name, case) for case in ACCEPTED for name in ENDPOINTS]

    found = {(name, case): ENDPOINTS[name](doorway, row_with(case.field, case.sent)) for name, case in asked}
    refused = {
        (name, field, value): ask(doorway, row_with(field, value))
        for field, value in REFUSED
        for name, ask in ENDPOINTS.items()
    }
    runtime.close()

    assert {key: each for key, each in found.items() if each != (200, key[1].answer)} == {}
    assert {key: each for key, each in refused.items() if not is_refused(each, key[1])} == {}
    places = {field.name: i for i, field in enumerate(package.signature.inputs)}
    check_logged([decision.inputs for decision in doorway.recorded()], asked, places)


def is_refused(answered: Answered, field: str) -> bool:
    return answered.status in (400, 422) and field in answered.content


def check_logged(logged: list[tuple[Any, ...]], asked: list[tuple[str, Case]], places: dict[str, int]) -> None:
    inputs = iter(logged)
    for name, case in asked:
        if name == "predict, a list":
            beside = next(inputs)[places["at"]], next(inputs)[places["at"]]
            assert beside == ("2026-03-01T00:00:00", "2026-03-01T12:00:00")
        value = next(inputs)[places[case.field]]
        assert (value, type(value)) == (case.logged, type(case.logged)), (name, case)
    assert next(inputs, None) is None


def test_text_of_a_csv_or_a_form_is_read_by_the_written_rule(tmp_path: Path) -> None:
    doorway = Doorway(tmp_path)
    package, runtime = package_echo(tmp_path, FrameKind.POLARS)
    doorway.serve("echo", package, runtime)
    fields = {field.name: field for field in package.signature.inputs}
    schema = doorway.plane.services["echo"].schema

    taken = {(field, text): ask_csv(doorway, row_with(field, text)).status for field, text, _ in TEXTS}
    refused = {(field, text): ask_csv(doorway, row_with(field, text)) for field, text in REFUSED_TEXTS}
    runtime.close()

    assert set(taken.values()) == {200}
    assert {key: each for key, each in refused.items() if not is_refused(each, key[0])} == {}
    logged = [decision.inputs for decision in doorway.recorded()]
    for (field, text, value), inputs in zip(TEXTS, logged, strict=True):
        form = schema.take_records([{**ROW, field: read_text(fields[field], text)}], is_many=False)[0]
        for found in (inputs, form):
            assert (found[COLUMNS.index(field) + 1], type(found[COLUMNS.index(field) + 1])) == (value, type(value)), (
                text
            )
    for field, text in REFUSED_TEXTS:
        with pytest.raises(InvalidError, match=field):
            schema.take_records([{**ROW, field: read_text(fields[field], text)}], is_many=False)


def test_bad_value_does_not_count_as_a_failure_of_the_version(tmp_path: Path) -> None:
    doorway = Doorway(tmp_path)
    package, runtime = package_echo(tmp_path, FrameKind.PANDAS)
    doorway.serve("echo", package, runtime)

    for _ in range(20):
        assert ask_predict(doorway, row_with("at", "yesterday")).status == 422

    assert ask_predict(doorway, row_with("at", "2026-03-01T15:00:00Z")) == (200, 3 * HOUR_NS)
    runtime.close()
    assert [decision.served_by for decision in doorway.recorded()] == ["champion"]


def test_grpc_gives_the_same_answers(tmp_path: Path) -> None:
    doorway = Doorway(tmp_path)
    package, runtime = package_echo(tmp_path, FrameKind.PANDAS)
    doorway.serve("echo", package, runtime)

    with call_grpc(doorway) as infer:
        found = {case: infer(list_tensors(doorway, row_with(case.field, case.sent))) for case in ACCEPTED}
        refused = {key: infer(list_tensors(doorway, row_with(*key))) for key in REFUSED}
    runtime.close()

    assert {case: answer for case, answer in found.items() if answer != case.answer} == {}
    assert set(refused.values()) == {grpc.StatusCode.INVALID_ARGUMENT}


@contextlib.contextmanager
def call_grpc(doorway: Doorway) -> Iterator[Callable[[list[dict[str, Any]]], Any]]:
    """Yield what sends tensors as raw bytes; it returns the answer's number, or the code of the refusal."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def wait(work: Any) -> Any:  # noqa: ANN401 - a coroutine and what it returns
        return asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE_S)

    async def open_server() -> tuple[GrpcServer, int]:
        server = GrpcServer(doorway.plane, BODY_LIMIT, Limits(100, PATIENCE_S))
        return server, await server.start("127.0.0.1", 0)

    server, port = wait(open_server())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(f"/{SERVICE}/ModelInfer")

        def infer(tensors: list[dict[str, Any]]) -> Any:  # noqa: ANN401
            request = MESSAGES.ModelInferRequest(model_name="echo")
            for each in tensors:
                request.raw_input_contents.append(pack(each))
                added = request.inputs.add(name=each["name"], datatype=each["datatype"], shape=each["shape"])
                for name, value in each.get("parameters", {}).items():
                    added.parameters[name].string_param = value
            try:
                answer = MESSAGES.ModelInferResponse.FromString(call(request.SerializeToString(), timeout=PATIENCE_S))
            except grpc.RpcError as error:
                return error.code()
            place = [each.name for each in answer.outputs].index("y")
            return struct.unpack("<d", answer.raw_output_contents[place])[0]

        yield infer
    wait(server.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint8", "uint32", "uint64", "int64"])
def test_whole_number_that_a_column_does_not_hold_is_refused_with_its_range(dtype: str) -> None:
    field = InputField("n", Kind.INTEGER, is_nullable=False, dtype=dtype)
    schema = Schema(Signature(inputs=(field,), target="y", task="regression"))
    limits = np.iinfo(dtype)
    least, most = int(limits.min), min(int(limits.max), 2**63 - 1)

    assert schema.decode(b'[{"n": %d}, {"n": %d}]' % (least, most))[0] == [(least,), (most,)]
    for beyond in (least - 1, most + 1):
        with pytest.raises(InvalidError, match="must be a whole number") as refused:
            schema.decode(b'{"n": %d}' % beyond)
        assert refused.value.field == "n"
        assert dtype == "int64" or f"from {least} to {most}" in refused.value.message


def test_number_that_is_whole_but_not_exact_is_refused() -> None:
    schema = Schema(
        Signature(inputs=(InputField("n", Kind.INTEGER, is_nullable=False),), target="y", task="regression")
    )

    assert schema.decode(b'{"n": 3.0}')[0] == [(3,)]
    with pytest.raises(InvalidError, match="must be a whole number"):
        schema.decode(b'{"n": 9007199254740993.0}')


def test_package_of_an_earlier_release_takes_timestamps_without_their_type() -> None:
    schema = Schema(
        Signature(inputs=(InputField("at", Kind.TIMESTAMP, is_nullable=False),), target="y", task="regression")
    )
    texts = {
        "2026-03-01T17:00:00+02:00": "2026-03-01T15:00:00Z",
        "2026-03-01 15:00": "2026-03-01T15:00:00",
        "2026-03-01": "2026-03-01",
    }

    assert [schema.take_records([{"at": text}])[0][0] for text in texts] == list(texts.values())
    with pytest.raises(InvalidError, match="must be a timestamp in ISO 8601"):
        schema.take_records([{"at": "12:00"}])
