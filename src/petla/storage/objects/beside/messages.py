"""What this process and its partner say to each other: a length, then so many bytes."""

import os
import struct
from collections.abc import Sequence
from typing import IO

import msgspec

from petla.storage.objects.naming import Stored
from petla.storage.objects.sources import Source

# to the partner, in place of files: let count what was given; it answers with nothing
COMMIT = b""

_LENGTH = struct.Struct("<Q")
_encode = msgspec.msgpack.Encoder().encode
_decode_group = msgspec.msgpack.Decoder(list[tuple[bytes, tuple[int, ...]]]).decode
_decode_stored = msgspec.msgpack.Decoder(list[Stored]).decode


def encode_group(group: Sequence[Source]) -> bytes:
    """Write files that are to be taken."""
    return _encode([(os.fsencode(source.path), source.numbers) for source in group])


def decode_group(message: bytes) -> list[Source]:
    """Read files that are to be taken."""
    return [Source(os.fsdecode(path), numbers) for path, numbers in _decode_group(message)]


def encode_stored(stored: Sequence[Stored]) -> bytes:
    """Write what files were found to be."""
    return _encode(stored)


def decode_stored(message: bytes) -> list[Stored]:
    """Read what files were found to be."""
    return _decode_stored(message)


def write(target: IO[bytes], message: bytes) -> None:
    """Send a message.

    Raises:
        BrokenPipeError: nobody reads any more.
    """
    target.write(_LENGTH.pack(len(message)) + message)
    target.flush()


def read(descriptor: int) -> bytes:
    """Wait for a message.

    Raises:
        EOFError: nobody writes any more.
    """
    (length,) = _LENGTH.unpack(_read_all(descriptor, _LENGTH.size))
    return _read_all(descriptor, length)


def _read_all(descriptor: int, n_bytes: int) -> bytes:
    parts: list[bytes] = []
    while n_bytes:
        part = os.read(descriptor, n_bytes)
        if not part:
            raise EOFError
        parts.append(part)
        n_bytes -= len(part)
    return b"".join(parts)
