"""The packs: append-only files of entries, each a header and a payload.

A pack can be read without anything else: every header carries the name, the sizes and a checksum of its own. So the
index is only a cache, and a torn tail is found by the first header that does not fit.
"""

import os
import struct
import sys
import zlib
from collections.abc import Iterator
from enum import IntEnum
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import blake3

from petla.storage.objects.naming import digest_list

SUFFIX = ".pack"
# a pack that is larger is full
PACK_BYTES = 32 << 20

_MAGIC = b"PTLA"
# magic, is_list, codec, content size, stored size, digest; then the checksum of these
_FIELDS = struct.Struct(">4sBBxxII32s")
_CHECKSUM = struct.Struct(">I")
HEADER_BYTES = _FIELDS.size + _CHECKSUM.size

_LEVEL = 1
# what compresses to more than this share stays as it is
_WORTH = 0.9
_LEAST_COMPRESSED = 256


class Codec(IntEnum):
    """How a payload is written."""

    RAW = 0
    ZSTD = 1


class Entry(NamedTuple):
    """One chunk or one list, without its place."""

    digest: bytes
    is_list: bool
    codec: Codec
    # before compression
    size: int
    # as it lies
    stored: int


# as it lies
Payload = bytes | memoryview


class Placed(NamedTuple):
    """An entry in a pack."""

    entry: Entry
    # where its payload begins
    offset: int


def encode_header(entry: Entry) -> bytes:
    """Write an entry's header."""
    fields = _FIELDS.pack(_MAGIC, entry.is_list, entry.codec, entry.size, entry.stored, entry.digest)
    return fields + _CHECKSUM.pack(zlib.crc32(fields))


def decode_header(header: bytes) -> Entry:
    """Read an entry's header.

    Raises:
        ValueError: it is none, or it is damaged.
    """
    if len(header) < HEADER_BYTES:
        raise ValueError("it ends within a header")
    magic, is_list, codec, size, stored, digest = _FIELDS.unpack_from(header)
    (checksum,) = _CHECKSUM.unpack_from(header, _FIELDS.size)
    if magic != _MAGIC or checksum != zlib.crc32(header[: _FIELDS.size]):
        raise ValueError("a header is damaged")
    return Entry(digest, bool(is_list), Codec(codec), size, stored)


def scan(descriptor: int, start: int = 0) -> Iterator[Placed]:
    """Yield the entries of a pack from an offset on, up to the first that is not whole."""
    end = os.fstat(descriptor).st_size
    while start + HEADER_BYTES <= end:
        try:
            entry = decode_header(os.pread(descriptor, HEADER_BYTES, start))
        except ValueError:
            return
        offset = start + HEADER_BYTES
        start = offset + entry.stored
        if start > end:
            return
        yield Placed(entry, offset)


def compress(content: Payload) -> tuple[Codec, Payload]:
    """Compress a payload, if it pays."""
    if len(content) < _LEAST_COMPRESSED:
        return Codec.RAW, content
    packed = _zstd().compress(content, _LEVEL)
    return (Codec.ZSTD, packed) if len(packed) < _WORTH * len(content) else (Codec.RAW, content)


def open_payload(entry: Entry, payload: Payload) -> Payload:
    """Return the content of a payload, verified.

    Raises:
        ValueError: the payload is not what the entry says.
    """
    content: Payload = payload
    if len(payload) != entry.stored:
        raise ValueError(f"{len(payload)} bytes in place of {entry.stored}")
    if entry.codec is Codec.ZSTD:
        content = _decompress(payload, entry.size)
    digest = digest_list(content) if entry.is_list else blake3.blake3(content).digest()
    if digest != entry.digest:
        raise ValueError("its bytes do not match its name")
    return content


def list_packs(folder: Path) -> dict[str, int]:
    """Return the size of each pack in a folder by name."""
    try:
        with os.scandir(folder) as items:
            return {item.name: item.stat().st_size for item in items if item.name.endswith(SUFFIX)}
    except FileNotFoundError:
        return {}


def _decompress(payload: Payload, size: int) -> bytes:
    zstd = _zstd()
    opener = zstd.ZstdDecompressor()
    try:
        # NOTE: never more than was promised, whatever the payload says of itself.
        content: bytes = opener.decompress(payload, max_length=size + 1)
    except zstd.ZstdError as error:
        raise ValueError(f"it cannot be unpacked: {error}") from error
    return content


def _zstd() -> Any:  # noqa: ANN401 - a module
    # part of Python since 3.14
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    return import_module(name)
