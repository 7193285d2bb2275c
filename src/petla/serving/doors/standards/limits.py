"""What one worker bears over gRPC: connections, calls, time, messages that are under way, and what they consist of.

They are those of HTTP, where the library has a setting for it; messages are read by us, so that a key is looked at
first and a client has no more than its time.

Source: gRPC Core, `grpc/impl/channel_arg_names.h`; Protocol Buffers, "Encoding".
"""

import asyncio
from typing import Any

from petla.core.errors import DeadlineError, InvalidError, MalformedError
from petla.serving.doors.protocol import Limits

# Metadata, and what the protocol adds to the bytes of tensors.
OVERHEAD_BYTES = 64 * 1024
# One that is no larger is read without being looked at: 2.8 MB at most come of it.
_SMALL_BYTES = 64 * 1024
# inputs, outputs, parameters and their parts of one request; one input has about five
MOST_FIELDS = 100_000
# as much of incomplete messages, in all
_UNFINISHED_BYTES = 1024**3
_LEAST_UNFINISHED = 16
_MOST_STREAMS = 64
# as over HTTP
_IDLE_MS = 75_000
# a client that takes no answers is rid of then; all others connect again without noticing
_AGE_MS = 600_000

# numbers of the fields of `ModelInferRequest` that have fields themselves
_INPUTS, _OUTPUTS = 5, 6
_VARINT, _EIGHT, _TEXT, _FOUR = 0, 1, 2, 5


def list_options(body_limit_bytes: int, limits: Limits) -> list[tuple[str, int]]:
    """Return what the library is told.

    NOTE: it unpacks a whole message before it measures it, a thousand times what was sent; so none is unpacked.
    """
    timeout_ms = int(limits.client_timeout_s * 1e3)
    return [
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", body_limit_bytes + OVERHEAD_BYTES),
        ("grpc.compression_enabled_algorithms_bitset", 1),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        ("grpc.max_concurrent_streams", _MOST_STREAMS),
        ("grpc.server_handshake_timeout_ms", timeout_ms),
        ("grpc.http2.settings_timeout", timeout_ms),
        ("grpc.max_connection_idle_ms", _IDLE_MS),
        ("grpc.max_connection_age_ms", _AGE_MS),
        ("grpc.max_connection_age_grace_ms", timeout_ms),
        ("grpc.keepalive_time_ms", _IDLE_MS),
        ("grpc.keepalive_timeout_ms", min(timeout_ms, 20_000)),
    ]


class Receiver:
    """Reads the messages of calls, so many at once that what is incomplete does not fill the memory.

    Args:
        body_limit_bytes: of one message.
        timeout_s: how long a client may take to send one.
    """

    def __init__(self, body_limit_bytes: int, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._turns = asyncio.Semaphore(max(_LEAST_UNFINISHED, _UNFINISHED_BYTES // body_limit_bytes))

    async def receive(self, context: Any) -> bytes:  # noqa: ANN401 - grpc's own type
        """Return the one message of a call.

        Raises:
            DeadlineError: it was not there in time.
            MalformedError: there is none.
        """
        try:
            async with asyncio.timeout(self._timeout_s), self._turns:
                content = await context.read()
        except TimeoutError:
            raise DeadlineError(
                f"the message was not complete after {self._timeout_s:g} s", hint="send it faster, or in parts"
            ) from None
        # NOTE: what else it may return is grpc's sign that nothing comes
        if not isinstance(content, bytes):
            raise MalformedError("the call has no message", hint="send one message")
        return content


def parse(kind: Any, content: bytes, *, is_inference: bool) -> Any:  # noqa: ANN401 - a message
    """Read a message, where what it consists of is worth its memory.

    Args:
        kind: of message.
        content: its bytes.
        is_inference: whether it may be large.

    Raises:
        MalformedError: it is none of that kind.
        InvalidError: it has too many parts.
    """
    from google.protobuf.message import DecodeError

    if len(content) > _SMALL_BYTES:
        if not is_inference:
            raise InvalidError(
                f"the message has {len(content)} bytes, but no {kind.DESCRIPTOR.name} needs more than {_SMALL_BYTES}",
                hint="leave out what it does not need",
            )
        if count_fields(content) > MOST_FIELDS:
            raise InvalidError(
                f"the request has more than {MOST_FIELDS} inputs, outputs, parameters and parts of them",
                hint="send one input for each field, with all rows in it",
            )
    try:
        return kind.FromString(content)
    except DecodeError as error:
        name = kind.DESCRIPTOR.name
        raise MalformedError(f"the message is no {name}", hint="use the protocol's own definition") from error


def count_fields(content: bytes) -> int:
    r"""Count the parts of a `ModelInferRequest`, up to one more than are taken; the contents of an input are one.

    What cannot be read ends the count: reading it all refuses it.

    Example:
        >>> count_fields(b"\x0a\x01m" + b"\x2a\x00" * 3)
        4
    """
    counted = 0
    # (place, end, whether it is within an input or output)
    spans = [(0, len(content), False)]
    try:
        while spans and counted <= MOST_FIELDS:
            at, end, is_inner = spans.pop()
            if at >= end:
                continue
            counted += 1
            key, at = _read_varint(content, at)
            number, wire_type = key >> 3, key & 7
            body, after = _skip(content, at, wire_type)
            spans.append((after, end, is_inner))
            if wire_type == _TEXT and not is_inner and number in (_INPUTS, _OUTPUTS):
                spans.append((body, min(after, end), True))
    except IndexError:
        pass
    return counted


def _skip(content: bytes, at: int, wire_type: int) -> tuple[int, int]:
    """Return where the value begins that is at a place, and where it ends."""
    if wire_type == _VARINT:
        return at, _read_varint(content, at)[1]
    if wire_type == _TEXT:
        size, at = _read_varint(content, at)
        return at, at + size
    # groups, which nobody writes any more, have no length: what is in them counts by itself
    return at, at + {_EIGHT: 8, _FOUR: 4}.get(wire_type, 0)


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError
