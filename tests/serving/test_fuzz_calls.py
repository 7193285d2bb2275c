"""Whatever strangers send over gRPC, broken messages, shapes and contents that do not fit: never a fault of ours."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from petla.serving.doors.protocol import Limits
from petla.serving.doors.standards import remote
from petla.serving.doors.standards.messages import INFERENCE, make_messages
from petla.serving.doors.standards.remote import SERVICE
from tests.deployments.tiny import MODEL, ROW
from tests.serving import strategies
from tests.serving.client import PATIENCE_S
from tests.serving.doorway import Doorway, open_calls

LIMIT_BYTES = 256 * 1024
METHODS = [name.removesuffix("Request") for name in INFERENCE if name.endswith("Request")]
MESSAGES = make_messages("fuzz", INFERENCE)
# what says that the client is at fault
REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    # a message that is larger than is taken
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    # the client's own timeout
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
QUIET = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))

# sends a method the bytes of a message; returns the answer's, or what refused it
Send = Callable[[str, bytes], bytes | grpc.StatusCode]

_names = st.sampled_from([*ROW, MODEL, "", "7", "null", "timeout"]) | st.text(max_size=8)
_datatypes = st.sampled_from(["FP32", "FP64", "INT64", "INT8", "UINT8", "BOOL", "BYTES", "FP16", "", "FP128"])
_shapes = st.lists(st.sampled_from([0, 1, 2, -1, 2**31, 2**62, -(2**63)]), max_size=3)
_int64 = st.integers(-(2**63), 2**63 - 1)
_parameters = st.dictionaries(
    _names,
    st.builds(lambda value: MESSAGES.InferParameter(int64_param=value), _int64)
    | st.builds(lambda value: MESSAGES.InferParameter(string_param=value), st.text(max_size=5))
    | st.builds(lambda value: MESSAGES.InferParameter(double_param=value), st.floats()),
    max_size=2,
)
_contents = st.fixed_dictionaries(
    {},
    optional={
        "bool_contents": st.lists(st.booleans(), max_size=3),
        "int_contents": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3),
        "int64_contents": st.lists(_int64, max_size=3),
        "uint64_contents": st.lists(st.integers(0, 2**64 - 1), max_size=3),
        "fp32_contents": st.lists(st.floats(width=32), max_size=3),
        "fp64_contents": st.lists(st.floats(), max_size=3),
        "bytes_contents": st.lists(st.binary(max_size=5), max_size=3),
    },
)
_inputs = st.fixed_dictionaries(
    {"name": _names, "datatype": _datatypes, "shape": _shapes},
    optional={"contents": _contents, "parameters": _parameters},
)
# the length of a text in front of it may say anything
_raw = st.binary(max_size=20) | st.binary(max_size=8).map(lambda text: len(text).to_bytes(4, "little") + text)


def make_request() -> Any:  # noqa: ANN401 - a message
    """Return a request that is right."""
    request = MESSAGES.ModelInferRequest(model_name=MODEL, id="a")
    for name, datatype, contents in (
        ("amount", "FP64", {"fp64_contents": [2.5]}),
        ("items", "INT64", {"int64_contents": [3]}),
        ("country", "BYTES", {"bytes_contents": [b"de"]}),
    ):
        request.inputs.add(name=name, datatype=datatype, shape=[1], contents=contents)
    return request


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Draw a request that is nearly right: some of its inputs are replaced, some raw contents are added."""
    request = make_request()
    for _ in range(draw(st.integers(0, 2))):
        del request.inputs[draw(st.integers(0, len(request.inputs) - 1))]
        request.inputs.add(**draw(_inputs))
    request.raw_input_contents.extend(draw(st.lists(_raw, max_size=4)))
    for name, value in draw(_parameters).items():
        request.parameters[name].CopyFrom(value)
    for name in draw(st.lists(_names, max_size=2)):
        request.outputs.add(name=name)
    request.model_version = draw(st.sampled_from(["", "7", "8", "x" * 100]))
    content: bytes = request.SerializeToString()
    return content


torn = st.builds(
    strategies.tear, requests() | st.just(make_request().SerializeToString()), st.integers(0), st.binary(max_size=6)
)


@pytest.fixture(scope="module")
def send(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Send]:
    doorway = Doorway(tmp_path_factory.mktemp("doorway")).serve_tiny()
    with (
        open_calls(doorway, LIMIT_BYTES, Limits(100, PATIENCE_S)) as port,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):

        def ask(method: str, content: bytes) -> bytes | grpc.StatusCode:
            try:
                answer: bytes = channel.unary_unary(f"/{SERVICE}/{method}")(content, timeout=PATIENCE_S)
            except grpc.RpcError as error:
                code: grpc.StatusCode = error.code()
                return code
            return answer

        yield ask


def is_answered(answer: bytes | grpc.StatusCode) -> bool:
    return isinstance(answer, bytes) or answer in REFUSALS


@QUIET
@given(content=requests())
def test_no_request_is_answered_by_a_fault_of_ours(send: Send, content: bytes) -> None:
    assert is_answered(send("ModelInfer", content))


@QUIET
@given(method=st.sampled_from(METHODS), content=torn | st.binary(max_size=60))
def test_no_bytes_are_answered_by_a_fault_of_ours(
    send: Send, caplog: pytest.LogCaptureFixture, method: str, content: bytes
) -> None:
    assert is_answered(send(method, content))
    assert not caplog.records


def test_broken_and_too_large_messages_are_refused_and_the_next_is_answered(send: Send) -> None:
    assert send("ModelInfer", b"\xff" * 30) is grpc.StatusCode.INVALID_ARGUMENT
    assert send("ModelInfer", b"\n" + bytes(2 * LIMIT_BYTES)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert isinstance(send("ModelInfer", make_request().SerializeToString()), bytes)


def test_unforeseen_error_is_logged_and_shows_nothing_of_its_inside(
    send: Send, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # stands in for a mistake of ours
    monkeypatch.setattr(remote, "list_models", None)

    assert send("RepositoryIndex", b"") is grpc.StatusCode.INTERNAL

    assert [(record.name, record.message) for record in caplog.records] == [
        ("petla.serving.doors.standards.remote", "request.failed")
    ]
