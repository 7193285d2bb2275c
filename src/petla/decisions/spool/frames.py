"""Frames: how a batch of records lies in a segment, and what is whole, torn or damaged among its bytes."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

_HEADER = struct.Struct("<II")
# larger than any batch that fits into a request; a longer length is damage
_LONGEST_PAYLOAD = 1 << 30
# longest payload that is looked for behind a header that cannot be read
_LONGEST_FOUND = 1 << 20


def encode_frame(payload: bytes) -> bytes:
    """Return a frame."""
    return _HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def read_block(path: Path, offset: int, length: int) -> bytes:
    """Return a part of a segment; at most that much."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(max(length, 0))


def read_frame(path: Path, offset: int) -> bytes:
    """Return the payload of the frame at a place; empty: there is no whole one."""
    with path.open("rb") as file:
        file.seek(offset)
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return b""
        length, checksum = _HEADER.unpack(header)
        payload = file.read(length) if length <= _LONGEST_PAYLOAD else b""
    return payload if zlib.crc32(payload) == checksum else b""


def split_frames(block: bytes, start: int = 0) -> Iterator[tuple[int, memoryview]]:
    """Yield the offset behind each whole frame, and its payload; end at the first that is not whole."""
    view = memoryview(block)
    while len(block) - start > _HEADER.size:
        length, checksum = _HEADER.unpack_from(block, start)
        end = start + _HEADER.size + length
        payload = view[start + _HEADER.size : end]
        if length == 0 or end > len(block) or zlib.crc32(payload) != checksum:
            return
        yield end, payload
        start = end


def is_torn(rest: bytes) -> bool:
    """Whether a bad end is what a death in the middle of a write leaves: a cut frame, or zeros where power was lost."""
    if len(rest) < _HEADER.size or not any(rest):
        return True
    length, _ = _HEADER.unpack_from(rest)
    is_cut = 0 < length <= _LONGEST_PAYLOAD and _HEADER.size + length >= len(rest)
    # a damaged length looks the same, but for what follows it
    return is_cut and find_whole(rest, 0) == len(rest)


def find_whole(block: bytes, start: int) -> int:
    """Return where the next whole frame begins behind one that is damaged; the end of the block if there is none."""
    if len(block) - start <= _HEADER.size:
        return len(block)
    # where the length is right, the next frame follows; a client's text inside the payload cannot pass for one
    length, _ = _HEADER.unpack_from(block, start)
    behind: int = start + _HEADER.size + length
    if behind == len(block) or (behind < len(block) and _is_whole(block, behind)):
        return behind
    return next((each for each in range(start + 1, len(block)) if _is_whole(block, each)), len(block))


def _is_whole(block: bytes, start: int) -> bool:
    if len(block) - start <= _HEADER.size:
        return False
    length, checksum = _HEADER.unpack_from(block, start)
    begin = start + _HEADER.size
    if not 0 < length <= min(_LONGEST_FOUND, len(block) - begin):
        return False
    return bool(zlib.crc32(memoryview(block)[begin : begin + length]) == checksum)
