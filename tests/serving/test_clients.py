"""Another's clients of the Open Inference Protocol against a real server, over HTTP and gRPC."""

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from petla.core.errors import UnavailableError
from petla.decisions.log import get_decision
from petla.decisions.shipper import ship
from petla.deployments.deploy import deploy
from petla.serving.doors.standards.messages import HEALTH, make_messages
from petla.serving.supervisor import Supervisor
from petla.storage.workspace import Workspace
from tests.deployments.tiny import MODEL, PROJECT, add_version, open_shop, score_of
from tests.serving.client import find_port, running

STANDBY_BIAS = -1.0
EXPECTED = [score_of(2.5, 3, "de", -4.0), score_of(-1.0, None, "pl", -4.0)]
# the interpreter of an environment with the package kserve, which is too heavy for ours
KSERVE = os.environ.get("KSERVE_PYTHON", "")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    project = PROJECT.replace("port = 0", f"port = 0\ngrpc_port = {find_port()}\nworkers = 2")
    ws = open_shop(tmp_path_factory.mktemp("shop"), project)
    # the first stands by
    deploy(ws, MODEL, add_version(ws, STANDBY_BIAS), actor="ada")
    deploy(ws, MODEL, add_version(ws), actor="ada")
    return ws


@pytest.fixture(scope="module")
def port(shop: Workspace) -> Iterator[int]:
    with running(shop) as supervisor:
        yield supervisor.server.port


@pytest.fixture(params=["http", "grpc"])
def client(request: pytest.FixtureRequest, shop: Workspace, port: int) -> Iterator[tuple[Any, Any]]:
    """A client and its module; both have the same methods."""
    module: Any = getattr(tritonclient, request.param)
    chosen = port if request.param == "http" else shop.project.serving.grpc_port
    client = module.InferenceServerClient(f"127.0.0.1:{chosen}")
    with contextlib.closing(client):
        yield client, module


def make_inputs(module: Any) -> list[Any]:  # noqa: ANN401
    columns = {
        "amount": ("FP64", np.array([2.5, -1.0])),
        "items": ("FP64", np.array([3, np.nan])),
        "country": ("BYTES", np.array([b"de", b"pl"], dtype=np.object_)),
    }
    inputs = []
    for name, (datatype, values) in columns.items():
        one = module.InferInput(name, [2], datatype)
        one.set_data_from_numpy(values)
        inputs.append(one)
    return inputs


def test_triton_s_client_is_answered_and_the_decision_logged(shop: Workspace, client: tuple[Any, Any]) -> None:
    caller, module = client

    result = caller.infer(MODEL, make_inputs(module), request_id="order-17", headers={"x-petla-explain": "1"})

    names = [name.decode() for name in result.as_numpy("id")]
    assert result.as_numpy("probability") == pytest.approx(EXPECTED, abs=1e-6)
    assert result.as_numpy("is_fraud").tolist() == [True, False]
    ship(shop)
    found = get_decision(shop, names[1])
    assert (found.request_id, found.inputs) == ("order-17", {"amount": -1.0, "items": None, "country": "pl"})
    assert found.explanation == {"amount": None, "items": None, "country": None}  # nothing is known to be typical


def test_triton_s_client_chooses_outputs(client: tuple[Any, Any]) -> None:
    caller, module = client

    result = caller.infer(MODEL, make_inputs(module), outputs=[module.InferRequestedOutput("probability")])

    assert result.as_numpy("probability") == pytest.approx(EXPECTED, abs=1e-6)
    assert result.as_numpy("id") is None


def test_triton_s_client_names_a_version_that_stands_by(shop: Workspace, client: tuple[Any, Any]) -> None:
    caller, module = client

    before = caller.infer(MODEL, make_inputs(module), model_version="1")
    live = caller.infer(MODEL, make_inputs(module), model_version="2")

    expected = [score_of(2.5, 3, "de", STANDBY_BIAS), score_of(-1.0, None, "pl", STANDBY_BIAS)]
    assert before.as_numpy("probability") == pytest.approx(expected, abs=1e-6)
    assert live.as_numpy("probability") == pytest.approx(EXPECTED, abs=1e-6)
    ship(shop)
    logged = [get_decision(shop, result.as_numpy("id")[0].decode()) for result in (before, live)]
    assert [(each.version, each.arm, each.served_by) for each in logged] == [
        (1, "named", "named"),
        (2, "champion", "champion"),
    ]
    with pytest.raises(InferenceServerException, match="loaded: 2, 1"):
        caller.infer(MODEL, make_inputs(module), model_version="3")


def test_nan_in_triton_s_json_is_null(port: int) -> None:
    inputs = make_inputs(tritonclient.http)
    inputs[0].set_data_from_numpy(np.array([2.5, -1.0]), binary_data=False)
    inputs[1].set_data_from_numpy(np.array([3, np.nan]), binary_data=False)

    with contextlib.closing(tritonclient.http.InferenceServerClient(f"127.0.0.1:{port}")) as caller:
        result = caller.infer(MODEL, inputs)

    assert result.as_numpy("probability") == pytest.approx(EXPECTED, abs=1e-6)


def test_triton_s_client_learns_what_is_there(client: tuple[Any, Any]) -> None:
    caller, module = client
    as_json = {"as_json": True} if module is tritonclient.grpc else {}

    metadata = caller.get_model_metadata(MODEL, **as_json)
    index = caller.get_model_repository_index(**as_json)

    assert caller.is_server_live()
    assert caller.is_server_ready()
    assert [caller.is_model_ready(name) for name in (MODEL, "other")] == [True, False]
    assert [caller.is_model_ready(MODEL, version) for version in "123"] == [True, True, False]
    assert metadata["versions"] == ["2", "1"]
    assert [each["name"] for each in metadata["inputs"]] == ["amount", "items", "country"]
    assert (index if isinstance(index, list) else index["models"])[0]["state"] == "READY"
    assert caller.get_server_metadata(**as_json)["name"] == "petla"
    caller.load_model(MODEL)
    with pytest.raises(InferenceServerException, match="petla deploy"):
        caller.unload_model(MODEL)


def test_triton_s_client_is_told_what_is_wrong(client: tuple[Any, Any]) -> None:
    caller, module = client
    wrong = module.InferInput("amout", [1], "FP32")
    wrong.set_data_from_numpy(np.array([1.0], dtype=np.float32))

    with pytest.raises(InferenceServerException, match="did you mean 'amount'") as caught:
        caller.infer(MODEL, [wrong])
    with pytest.raises(InferenceServerException, match="did you mean 'fraud'"):
        caller.infer("frod", make_inputs(module))

    assert caught.value.status() in ("400", "StatusCode.INVALID_ARGUMENT")


def test_typed_contents_and_metadata_of_a_grpc_call(shop: Workspace, port: int) -> None:
    from tritonclient.grpc import service_pb2, service_pb2_grpc

    assert port
    request = service_pb2.ModelInferRequest(model_name=MODEL)
    for name, datatype, contents in (
        ("amount", "FP32", {"fp32_contents": [2.5]}),
        ("items", "INT32", {"int_contents": [3]}),
        ("country", "BYTES", {"bytes_contents": [b"de"]}),
    ):
        request.inputs.add(name=name, datatype=datatype, shape=[1], contents=contents)
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    metadata = (("x-request-id", "call-1"), ("traceparent", f"00-{trace}-00f067aa0ba902b7-01"))
    with grpc.insecure_channel(f"127.0.0.1:{shop.project.serving.grpc_port}") as channel:
        response = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, metadata=metadata, timeout=30)

    ship(shop)
    name = response.raw_output_contents[0][4:].decode()
    assert get_decision(shop, name).request_id == "call-1"
    assert np.frombuffer(response.raw_output_contents[2]) == pytest.approx(EXPECTED[:1], abs=1e-6)


def test_standard_grpc_health_answers(shop: Workspace, port: int) -> None:
    assert port
    messages = make_messages("grpc.health.v1", HEALTH)
    with grpc.insecure_channel(f"127.0.0.1:{shop.project.serving.grpc_port}") as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=messages.HealthCheckRequest.SerializeToString,
            response_deserializer=messages.HealthCheckResponse.FromString,
        )
        assert check(messages.HealthCheckRequest(), timeout=30).status == 1
        with pytest.raises(grpc.RpcError) as caught:
            check(messages.HealthCheckRequest(service="nobody"), timeout=30)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_port_of_grpc_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        ws = open_shop(tmp_path, PROJECT.replace("port = 0", f"port = 0\ngrpc_port = {taken}"))

        with pytest.raises(UnavailableError, match=rf"gRPC on 127.0.0.1:{taken}"):
            Supervisor(ws).start()


@pytest.mark.slow
@pytest.mark.skipif(not KSERVE, reason="KSERVE_PYTHON names no interpreter with the package kserve")
def test_kserve_s_clients_are_answered(shop: Workspace, port: int) -> None:
    script = Path(__file__).with_name("kserve_calls.py")
    addresses = [f"http://127.0.0.1:{port}", f"127.0.0.1:{shop.project.serving.grpc_port}"]
    ran = subprocess.run([KSERVE, str(script), *addresses], capture_output=True, text=True, check=False, timeout=120)

    assert ran.returncode == 0, ran.stderr[-2_000:]
    for said in json.loads(ran.stdout.splitlines()[-1]).values():
        assert said["probability"] == pytest.approx(EXPECTED, abs=1e-6)
        assert said["ready"] is True
