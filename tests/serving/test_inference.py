"""The Open Inference Protocol over HTTP, without another's client: forms, nulls, outputs, and what is refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from petla.data.profile.columns import Kind
from petla.models.signature import InputField
from petla.serving.doors.standards.tensors import decode_raw, encode_raw
from tests.deployments.tiny import MODEL, SIGNATURE, make_package, score_of
from tests.serving.doorway import Doorway
from tests.serving.test_lane import StandIn

INFER = f"/v2/models/{MODEL}/infer"
INPUTS: list[dict[str, Any]] = [
    {"name": "amount", "shape": [2], "datatype": "FP64", "data": [2.5, -1.0]},
    {"name": "items", "shape": [2, 1], "datatype": "INT64", "data": [[3], [None]]},
    {"name": "country", "shape": [2], "datatype": "BYTES", "data": ["de", "pl"]},
]
EXPECTED = [score_of(2.5, 3, "de", -4.0), score_of(-1, None, "pl", -4.0)]


@pytest.fixture
def doorway(tmp_path: Path) -> Iterator[Doorway]:
    doorway = Doorway(tmp_path).serve_tiny()
    yield doorway
    doorway.recorder.close()


def outputs_of(content: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each["data"] for each in content["outputs"]}


def test_rows_are_answered_under_the_project_s_words(doorway: Doorway) -> None:
    reply = doorway.ask(INFER, {"id": "order-17", "inputs": INPUTS})

    outputs = outputs_of(reply.content)
    assert (reply.status, reply.content["id"], reply.content["model_version"]) == (200, "order-17", "7")
    assert outputs["probability"] == pytest.approx(EXPECTED, abs=1e-6)
    assert outputs["is_fraud"] == [True, False]
    decisions = doorway.recorded()
    assert [decision.id for decision in decisions] == outputs["id"]
    assert {decision.request_id for decision in decisions} == {"order-17"}
    assert decisions[1].inputs == (-1.0, None, "pl")


def test_wanted_outputs_come_alone_and_in_their_order(doorway: Doorway) -> None:
    wanted = [{"name": "probability"}, {"name": "is_fraud"}]

    reply = doorway.ask(INFER, {"inputs": INPUTS, "outputs": wanted})

    assert [each["name"] for each in reply.content["outputs"]] == ["probability", "is_fraud"]
    assert "id" not in reply.content


def test_raw_bytes_in_and_out(doorway: Doorway) -> None:
    raws = [encode_raw("FP32", [2.5, -1.0]), encode_raw("FP64", [3, float("nan")]), encode_raw("BYTES", ["de", "NA"])]
    datatypes = ["FP32", "FP64", "BYTES"]
    inputs = [
        {"name": name, "shape": [2], "datatype": datatype, "parameters": {"binary_data_size": len(raw)}}
        for name, datatype, raw in zip(("amount", "items", "country"), datatypes, raws, strict=True)
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()

    reply = doorway.ask(INFER, head + b"".join(raws), inference_header_content_length=str(len(head)))

    length = int(reply.headers["inference-header-content-length"])
    described, rest = json.loads(reply.body[:length])["outputs"], reply.body[length:]
    found = {}
    for each in described:
        size = each["parameters"]["binary_data_size"]
        found[each["name"]] = decode_raw(each["name"], each["datatype"], each["shape"], rest[:size]).values
        rest = rest[size:]
    assert not rest
    assert found["probability"] == pytest.approx([EXPECTED[0], score_of(-1, None, "NA", -4.0)], abs=1e-6)
    assert [value.decode() for value in found["id"]] == [decision.id for decision in doorway.recorded()]


def test_texts_have_null_by_a_word_and_left_out_inputs_are_null(doorway: Doorway) -> None:
    country = {**INPUTS[2], "data": ["de", "NA"], "parameters": {"null": "NA"}}

    refused = doorway.ask(INFER, {"inputs": [*INPUTS[:2], country]})
    answered = doorway.ask(INFER, {"inputs": [INPUTS[0], INPUTS[2]]})

    assert (refused.status, "country[1] is null" in refused.content["error"]) == (400, True)
    assert answered.status == 200
    assert [decision.inputs[1] for decision in doorway.recorded()] == [None, None]


def test_metadata_says_inputs_and_outputs(doorway: Doorway) -> None:
    content = doorway.ask(f"/v2/models/{MODEL}/versions/7").content

    assert (content["versions"], content["platform"]) == (["7"], "onnxruntime_onnx")
    assert [(each["name"], each["datatype"], each["shape"]) for each in content["inputs"]] == [
        ("amount", "FP64", [-1]),
        ("items", "INT64", [-1]),
        ("country", "BYTES", [-1]),
    ]
    assert [(each["name"], each["datatype"]) for each in content["outputs"]] == [
        ("id", "BYTES"),
        ("is_fraud", "BOOL"),
        ("probability", "FP64"),
    ]


def test_health_follows_the_plane(doorway: Doorway) -> None:
    ready = [doorway.ask(f"/v2/{path}").status for path in ("health/live", "health/ready", f"models/{MODEL}/ready")]
    doorway.plane.not_ready = "nothing is deployed"

    assert ready == [200, 200, 200]
    assert doorway.ask("/v2/health/live").content == {"live": True}
    assert doorway.ask("/v2/health/ready").status == 503
    assert doorway.ask("/v2").content["extensions"] == ["binary_tensor_data", "model_repository"]


def test_repository_lists_and_loads_only_what_is_deployed(doorway: Doorway) -> None:
    doorway.plane.failing = {"delay": "its package is damaged"}

    index = doorway.ask("/v2/repository/index", {}).content
    ready = doorway.ask("/v2/repository/index", {"ready": True}).content
    load, unload = (doorway.ask(f"/v2/repository/models/{MODEL}/{action}", {}) for action in ("load", "unload"))

    assert [(each["name"], each["version"], each["state"]) for each in index] == [
        (MODEL, "7", "READY"),
        ("delay", "", "UNAVAILABLE"),
    ]
    assert [each["name"] for each in ready] == [MODEL]
    assert (load.status, unload.status) == (200, 409)
    assert "petla deploy" in unload.content["error"]
    assert doorway.ask("/v2/repository/models/delay/load", {}).status == 503


def change(index: int, **parts: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"inputs": [each | parts if i == index else each for i, each in enumerate(INPUTS)]}


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        (INFER, b"{", 400, "not JSON"),
        (INFER, b"", 400, "empty"),
        (INFER, {}, 400, "missing required field `inputs`"),
        (INFER, {"inputs": []}, 400, "no rows"),
        (INFER, change(0, name="amout"), 400, "did you mean 'amount'?"),
        (INFER, change(0, shape=[3]), 400, "has 2 values"),
        (INFER, change(0, shape=[1, 2]), 400, "must have"),
        (INFER, change(0, shape=[-2]), 400, "which is none"),
        (INFER, change(0, datatype="FP8"), 400, "not known"),
        (INFER, change(0, data=[1.0, "x"]), 400, 'amount[1] is "x"'),
        (INFER, change(0, data=[[[[[[[[[[1.0]]]]]]]]], 2.0]), 400, "nested"),
        (INFER, change(1, name="amount"), 400, "twice"),
        (INFER, change(2, data=["de", None]), 400, "country[1] is null"),
        (INFER, change(0, parameters={"binary_data_size": 4}), 400, "binary_data_size"),
        (INFER, change(0, parameters={"shared_memory_region": "a"}), 400, "shared memory"),
        (INFER, {"inputs": INPUTS, "outputs": [{"name": "label"}]}, 400, "no output"),
        (INFER, {"inputs": INPUTS, "outputs": [{"name": "id"}] * 1_000}, 400, "wanted twice"),
        (INFER, {"inputs": INPUTS, "id": "x" * 1_025}, 400, "at most 1024 characters"),
        (INFER, change(0, shape=[1] * 300), 400, "300 dimensions"),
        (INFER, change(0, shape=[2**62] * 8), 400, "more than 2147483648 values"),
        (INFER, change(0, shape=[2**62] * 10_000), 400, "10000 dimensions"),
        (INFER, {"inputs": [*INPUTS, INPUTS[0] | {"name": "x", "shape": [1, 2]}]}, 400, "x is an unknown field"),
        (INFER, change(0, data=[1.0, float("inf")]), 400, "inputs[0].data[1] is Infinity"),
        (INFER, change(2, parameters={"content_type": "base64"}, data=["de", "?"]), 400, "not base64"),
        ("/v2/models/frod/infer", {"inputs": INPUTS}, 404, "did you mean 'fraud'?"),
        (f"/v2/models/{MODEL}/versions/3/infer", {"inputs": INPUTS}, 404, "loaded: 7"),
        (f"/v2/models/{MODEL}", {}, 405, "takes no POST"),
        (INFER, None, 405, "takes no GET"),
        ("/v2/nothing", None, 404, "there is no"),
        ("/v2/repository/nothing", {}, 404, "there is no"),
        (INFER, b"x" * 300_000, 413, "larger than"),
    ],
)
def test_wrong_request_is_refused_in_the_protocol_s_form(
    doorway: Doorway, path: str, body: object, status: int, said: str
) -> None:
    reply = doorway.ask(path, body)

    assert (reply.status, list(reply.content)) == (status, ["error"])
    assert said in reply.content["error"]


@pytest.mark.parametrize("length", ["-1", "x", "999999", "99999999999999"])
def test_wrong_length_of_the_json_is_refused(doorway: Doorway, length: str) -> None:
    body = json.dumps({"inputs": INPUTS}).encode()

    assert doorway.ask(INFER, body, inference_header_content_length=length).status == 400


def test_raw_bytes_that_belong_to_nobody_are_refused(doorway: Doorway) -> None:
    body = json.dumps({"inputs": INPUTS}).encode()

    reply = doorway.ask(INFER, body + b"rest", inference_header_content_length=str(len(body)))

    assert (reply.status, "4 raw bytes belong to no input" in reply.content["error"]) == (400, True)


def test_model_of_numbers_takes_one_matrix(doorway: Doorway) -> None:
    fields = tuple(InputField(name, Kind.NUMBER, is_nullable=name == "b") for name in "ab")
    package = msgspec.structs.replace(make_package(), signature=msgspec.structs.replace(SIGNATURE, inputs=fields))
    doorway.serve("numbers", package, StandIn(is_fast=True))
    matrix = {"name": "predict", "shape": [2, 2], "datatype": "FP32", "data": [0.25, 1, 0.75, None]}

    reply = doorway.ask("/v2/models/numbers/infer", {"inputs": [matrix]})

    assert outputs_of(reply.content)["probability"] == [0.25, 0.75]
    assert [decision.inputs for decision in doorway.recorded()] == [(0.25, 1.0), (0.75, None)]


@pytest.mark.parametrize("absent", ["id", "parameters", "outputs", "inputs"])
def test_optional_fields_may_be_null(doorway: Doorway, absent: str) -> None:
    content: dict[str, Any] = {"inputs": INPUTS}
    if absent == "inputs":
        content["inputs"] = [each | {"parameters": None} for each in INPUTS]
        content["outputs"] = [{"name": "probability", "parameters": None}]
    else:
        content[absent] = None

    reply = doorway.ask(INFER, content)

    assert (reply.status, reply.content.get("id")) == (200, None)
    assert outputs_of(reply.content)["probability"] == pytest.approx(EXPECTED, abs=1e-6)


def test_parameter_that_is_null_counts_as_absent(doorway: Doorway) -> None:
    absent = dict.fromkeys(("binary_data_size", "shared_memory_region", "null", "content_type"))
    inputs = [each | {"parameters": absent} for each in INPUTS]
    outputs = [{"name": "probability", "parameters": {"binary_data": None}}]
    parameters = {"timeout": None, "binary_data_output": None}

    reply = doorway.ask(INFER, {"inputs": inputs, "outputs": outputs, "parameters": parameters})

    assert outputs_of(reply.content) == {"probability": pytest.approx(EXPECTED, abs=1e-6)}


def test_nan_as_triton_s_client_writes_it_is_null(doorway: Doorway) -> None:
    # Python's json writes NaN
    reply = doorway.ask(INFER, change(1, data=[3.0, float("nan")], datatype="FP64") | {"id": 'a \\"NaN'})

    assert (reply.status, reply.content["id"]) == (200, 'a \\"NaN')
    assert outputs_of(reply.content)["probability"] == pytest.approx(EXPECTED, abs=1e-6)


def test_texts_may_come_as_base64(doorway: Doorway) -> None:
    parameters = {"content_type": "base64", "null": "-"}

    reply = doorway.ask(INFER, change(2, parameters=parameters, data=["ZGU=", "cGw="]))
    raws = encode_raw("BYTES", ["ZGU=", "cGw="])
    body = change(2, parameters=parameters | {"binary_data_size": len(raws)}, data=None)
    head = json.dumps(body).encode()
    raw = doorway.ask(INFER, head + raws, inference_header_content_length=str(len(head)))

    assert outputs_of(reply.content)["probability"] == pytest.approx(EXPECTED, abs=1e-6)
    assert raw.status == 200
    assert [decision.inputs[2] for decision in doorway.recorded()] == ["de", "pl"] * 2


@pytest.mark.parametrize("ones", [(1, 0), (1.0, 0.0)])
def test_model_of_numbers_and_booleans_takes_one_matrix(doorway: Doorway, ones: tuple[float, float]) -> None:
    fields = (InputField("a", Kind.NUMBER, is_nullable=False), InputField("b", Kind.BOOLEAN, is_nullable=True))
    package = msgspec.structs.replace(make_package(), signature=msgspec.structs.replace(SIGNATURE, inputs=fields))
    doorway.serve("numbers", package, StandIn(is_fast=True))
    matrix = {"name": "x", "shape": [3, 2], "datatype": "FP32", "data": [0.25, ones[0], 0.75, ones[1], 0.5, None]}

    reply = doorway.ask("/v2/models/numbers/infer", {"inputs": [matrix]})
    wrong = doorway.ask("/v2/models/numbers/infer", {"inputs": [matrix | {"data": [0.25, 2, 0.75, 1, 0.5, None]}]})

    assert reply.status == 200
    assert (wrong.status, "b[0] is 2" in wrong.content["error"]) == (400, True)
    assert [decision.inputs for decision in doorway.recorded()] == [(0.25, True), (0.75, False), (0.5, None)]
