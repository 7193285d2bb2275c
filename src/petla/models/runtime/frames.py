"""Frames between a process and its child: a length of four bytes, then one msgpack value."""

import select
import struct
from typing import BinaryIO, TypeVar

import msgspec

T = TypeVar("T")

_LENGTH = struct.Struct(">I")


class Start(msgspec.Struct, frozen=True):
    """First frame to the child: the pickled model."""

    content: bytes
    # data that the process may hold, bytes; 0: as much as there is
    memory_bytes: int = 0


class Scores(msgspec.Struct, frozen=True, tag=True):
    """The child's answer: float64 bytes in C order."""

    shape: tuple[int, ...]
    content: bytes


class Failure(msgspec.Struct, frozen=True, tag=True):
    """The child's answer when the model raised."""

    message: str
    traceback: str
    # the process ends after it, because its memory is used up
    is_last: bool = False


Reply = Scores | Failure


def write_frame(pipe: BinaryIO, value: object) -> None:
    """Write one value and flush it.

    Raises:
        OSError: the other side is gone.
    """
    content = msgspec.msgpack.encode(value)
    pipe.write(_LENGTH.pack(len(content)) + content)
    pipe.flush()


def read_frame(pipe: BinaryIO, kind: type[T]) -> T:
    """Read one value.

    Raises:
        EOFError: the other side closed the pipe.
    """
    (length,) = _LENGTH.unpack(_read(pipe, _LENGTH.size))
    return msgspec.msgpack.decode(_read(pipe, length), type=kind)


def wait_for_frame(pipe: BinaryIO, timeout_s: float) -> None:
    """Wait until something can be read.

    Raises:
        TimeoutError: nothing came in time.
    """
    # NOTE: not select.select, which refuses the 1025th file of a process, and a server has a socket for each client.
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    if not poll.poll(timeout_s * 1_000):
        raise TimeoutError(f"no answer in {timeout_s:g} s")


def _read(pipe: BinaryIO, length: int) -> bytes:
    content = pipe.read(length)
    if len(content) < length:
        raise EOFError("the other process ended")
    return content
