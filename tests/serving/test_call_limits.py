"""What a worker bears over gRPC: connections, calls, time, keys before messages, and what messages consist of."""

import contextlib
import gc
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from petla.serving.doors.keys import Keys
from petla.serving.doors.protocol import Limits
from petla.serving.doors.standards.limits import MOST_FIELDS, count_fields
from petla.serving.doors.standards.remote import SERVICE
from tests.deployments.tiny import MODEL
from tests.serving.client import PATIENCE_S, wait_until
from tests.serving.doorway import Doorway, open_calls
from tests.serving.test_fuzz_calls import MESSAGES, make_request

BODY_LIMIT_BYTES = 8 * 1024 * 1024
LIMITS = Limits(connections=20, client_timeout_s=1)
NAMED = b"\x0a" + bytes([len(MODEL)]) + MODEL.encode()
# as a stream, so that the message can be held back
INFER = f"/{SERVICE}/ModelInfer"


@pytest.fixture
def doorway(tmp_path: Path) -> Doorway:
    return Doorway(tmp_path).serve_tiny()


@pytest.fixture
def port(doorway: Doorway) -> Iterator[int]:
    with open_calls(doorway, BODY_LIMIT_BYTES, LIMITS) as port:
        yield port


def infer(port: int, content: bytes, *, method: str = "ModelInfer", **options: Any) -> tuple[str, str]:  # noqa: ANN401
    """Return the status of a call and what refused it."""
    channel_options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", channel_options) as channel:
        try:
            channel.unary_unary(f"/{SERVICE}/{method}")(content, **{"timeout": PATIENCE_S, **options})
        except grpc.RpcError as error:
            return error.code().name, error.details()
    return "OK", ""


def hold(port: int) -> str:
    """Call without a message; return the status of the refusal."""
    is_over = threading.Event()

    def never() -> Iterator[bytes]:
        is_over.wait(PATIENCE_S)
        yield b""

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            channel.stream_unary(INFER)(never(), timeout=PATIENCE_S)
        except grpc.RpcError as error:
            return str(error.code().name)
        finally:
            is_over.set()
    return "OK"


def test_refused_calls_give_their_memory_back(port: int) -> None:
    # raw contents without inputs
    content = NAMED + MESSAGES.ModelInferRequest(raw_input_contents=[bytes(4_000_000)]).SerializeToString()
    infer(port, content)
    gc.disable()
    try:
        before = read_resident_bytes()
        refused = {infer(port, content)[0] for _ in range(30)}
        grown = read_resident_bytes() - before
    finally:
        gc.enable()

    assert refused == {"INVALID_ARGUMENT"}
    assert grown < 60_000_000


@pytest.mark.parametrize(
    "part",
    [
        b"\x2a\x00",  # an empty input
        b"\x32\x00",  # an empty output
        b"\x22\x00",  # an empty parameter
        b"\x3a\x00",  # empty raw contents
    ],
)
@pytest.mark.parametrize("is_inner", [False, True])
def test_message_of_millions_of_parts_is_refused_before_it_is_read(port: int, part: bytes, is_inner: bool) -> None:
    content = part * 1_000_000
    if is_inner:
        content = MESSAGES.ModelInferRequest(inputs=[{"name": "amount"}]).SerializeToString()[:1] + write_text(content)

    code, text = infer(port, NAMED + content)

    assert (code, f"more than {MOST_FIELDS} inputs" in text) == ("INVALID_ARGUMENT", True)


def test_message_with_millions_of_values_is_counted_by_its_inputs() -> None:
    request = make_request()
    request.inputs[2].contents.bytes_contents.extend([b"de"] * 1_000_000)

    # the model, the id, and three inputs of name, datatype, shape and contents
    assert count_fields(request.SerializeToString()) == 2 + 3 * 5


@pytest.mark.parametrize("content", [b"\x2a", b"\x2a\xff", b"\xff" * 30, b"\x2a\x05\x2a", b"\x0b\x0c" * 5])
def test_torn_message_is_counted_without_an_error(content: bytes) -> None:
    assert count_fields(content) <= len(content)


def test_only_inference_has_large_messages(port: int) -> None:
    assert infer(port, b"\x0a" + write_text(b"x" * 100_000), method="ModelReady")[0] == "INVALID_ARGUMENT"


def test_shape_of_a_million_dimensions_is_refused_at_once(port: int) -> None:
    request = make_request()
    request.inputs[0].shape.extend([2**62] * 900_000)

    code, text = infer(port, request.SerializeToString())

    assert (code, "900001 dimensions" in text, len(text) < 500) == ("INVALID_ARGUMENT", True, True)


def test_text_may_come_as_base64(port: int, doorway: Doorway) -> None:
    request = make_request()
    request.inputs[2].contents.bytes_contents[0] = b"ZGU="
    request.inputs[2].parameters["content_type"].string_param = "base64"

    assert infer(port, request.SerializeToString()) == ("OK", "")
    assert [decision.inputs[2] for decision in doorway.recorded()] == ["de"]


def test_many_faults_fit_into_the_status_of_a_call(port: int) -> None:
    request = make_request()
    for number in range(200):
        request.inputs.add(
            name=f"{number}" + "\u017c" * 60, datatype="FP64", shape=[1], contents={"fp64_contents": [1]}
        )

    code, text = infer(port, request.SerializeToString())

    assert (code, text[-3:]) == ("INVALID_ARGUMENT", "...")


def test_compressed_message_is_not_unpacked(port: int) -> None:
    request = make_request().SerializeToString()

    assert infer(port, request) == ("OK", "")
    assert infer(port, request, compression=grpc.Compression.Gzip)[0] == "UNIMPLEMENTED"


def test_message_that_never_comes_is_refused_after_the_client_s_time(port: int, doorway: Doorway) -> None:
    assert hold(port) == "DEADLINE_EXCEEDED"
    assert doorway.metrics.of("").statuses == {504: 1}
    assert infer(port, make_request().SerializeToString()) == ("OK", "")


def test_incomplete_messages_have_a_bound_beyond_which_others_wait_their_turn(doorway: Doorway) -> None:
    request, is_over = make_request().SerializeToString(), threading.Event()

    def hold_back() -> Iterator[bytes]:
        is_over.wait(PATIENCE_S)
        yield request

    # messages of 1 GiB are received sixteen at a time
    with (
        open_calls(doorway, 1024**3, Limits(100, 3_600)) as port,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        call = channel.stream_unary(INFER)
        held = [call.future(hold_back(), timeout=PATIENCE_S) for _ in range(17)]
        wait_until(lambda: infer(port, request, timeout=0.2)[0] == "DEADLINE_EXCEEDED", "no turn is left")
        is_over.set()
        answered = [each.code().name for each in held]
        after = infer(port, request)

    assert answered == ["OK"] * 17
    assert after == ("OK", "")


def test_call_without_a_message_is_refused(port: int) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as refused:
        channel.stream_unary(INFER)(iter(()), timeout=PATIENCE_S)

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_key_is_looked_at_before_the_message(doorway: Doorway, tmp_path: Path) -> None:
    doorway.plane.keys = Keys(tmp_path)

    # far more time for the message than the test has
    with open_calls(doorway, BODY_LIMIT_BYTES, Limits(20, 3_600)) as port:
        assert hold(port) == "UNAUTHENTICATED"


def test_connections_beyond_the_limit_are_cut_and_silent_ones_end(port: int) -> None:
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(60)]
        refused = [each for each in silent if is_cut(each, 0.5)]
        ended = [each for each in silent if is_cut(each, PATIENCE_S)]

    assert len(refused) >= 60 - LIMITS.connections
    assert len(ended) == 60
    assert infer(port, make_request().SerializeToString()) == ("OK", "")


def is_cut(connection: socket.socket, patience_s: float) -> bool:
    connection.settimeout(patience_s)
    try:
        while connection.recv(1024):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def write_text(content: bytes) -> bytes:
    """Return a text as a field has it: its length, then itself."""
    size, head = len(content), b""
    while size > 127:
        head += bytes([size & 127 | 128])
        size >>= 7
    return head + bytes([size]) + content


def read_resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
