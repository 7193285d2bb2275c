"""What content is called: where it is cut into chunks, and how a list of chunks gets its name.

Content of one chunk is named by the BLAKE3 of its bytes. Longer content is named by its list: one record per chunk, and
the name of a list is a BLAKE3 with a key of its own, so that no content can pass for a list. Long lists are cut by
their own content as well, so that few changed chunks make few new records.

Source: Xia et al. (2020), The design of fast content-defined chunking for data deduplication based storage systems.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import blake3

# Cut points are part of every name: these four never change.
LEAST_BYTES, AVERAGE_BYTES, MOST_BYTES = 32 << 10, 64 << 10, 256 << 10
_NORMALIZATION: Literal[2] = 2

_LIST_CONTEXT = "petla chunk list"
_RECORD = struct.Struct(">32sQ")
# a list is cut behind a record whose digest ends in so many zero bits, about every 128 records
_LIST_MASK = 0x7F
_LIST_LEAST, _LIST_MOST = 32, 1024


class Stored(NamedTuple):
    """What a file was found to be."""

    digest: str
    size: int
    # DVC's name for the same bytes
    md5: str


class Record(NamedTuple):
    """One line of a list: a chunk, or a list below it."""

    digest: bytes
    # bytes of content below it
    size: int


class ChunkList(NamedTuple):
    """A list of chunks, or of lists."""

    # 0: of chunks; else of lists one level below
    level: int
    records: tuple[Record, ...]

    @property
    def size(self) -> int:
        """Bytes of content below it."""
        return sum(record.size for record in self.records)


def digest_content(content: bytes) -> str:
    """Return the name that content has in every store."""
    return name_of([Record(blake3.blake3(chunk).digest(), len(chunk)) for chunk in cut(content)])


def md5_of(content: bytes | memoryview = b"") -> Any:  # noqa: ANN401 - hashlib names no type for it
    """Return an md5 that has seen content: DVC's identity, and nothing that security rests on."""
    return hashlib.md5(content, usedforsecurity=False)


def cut(content: bytes | bytearray | memoryview) -> Iterator[memoryview]:
    """Cut content into chunks; empty content is one empty chunk.

    Example:
        >>> [len(chunk) for chunk in cut(bytes(600_000))]
        [262144, 262144, 75712]
    """
    if len(content) <= LEAST_BYTES:
        yield memoryview(content)
        return
    for chunk in _chunker().cut_buf(content):
        yield chunk.data


def build_lists(records: Sequence[Record]) -> Iterator[tuple[bytes, bytes]]:
    """Yield (digest, bytes) of every list above the chunks of one content; the last is its name.

    Args:
        records: of at least two chunks.
    """
    level = 0
    while True:
        above = []
        for segment in _cut_records(records):
            encoded = encode_list(ChunkList(level, tuple(segment)))
            digest = digest_list(encoded)
            above.append(Record(digest, sum(record.size for record in segment)))
            yield digest, encoded
        if len(above) == 1:
            return
        records, level = above, level + 1


def name_of(records: Sequence[Record]) -> str:
    """Return the name of the content that has these chunks."""
    if len(records) == 1:
        return records[0].digest.hex()
    *_, (digest, _) = build_lists(records)
    return digest.hex()


def encode_list(chunk_list: ChunkList) -> bytes:
    """Write a list: its level in one byte, then 40 bytes a record."""
    return bytes([chunk_list.level]) + b"".join(_RECORD.pack(*record) for record in chunk_list.records)


def decode_list(encoded: bytes | memoryview) -> ChunkList:
    """Read a list.

    Raises:
        ValueError: it is none.
    """
    if len(encoded) % _RECORD.size != 1:
        raise ValueError(f"a list of {len(encoded)} bytes")
    records = tuple(Record(*fields) for fields in _RECORD.iter_unpack(memoryview(encoded)[1:]))
    return ChunkList(encoded[0], records)


def digest_list(encoded: bytes | memoryview) -> bytes:
    """Return a list's name."""
    return blake3.blake3(encoded, derive_key_context=_LIST_CONTEXT).digest()


def _cut_records(records: Iterable[Record]) -> Iterator[list[Record]]:
    segment: list[Record] = []
    for record in records:
        segment.append(record)
        is_cut = len(segment) >= _LIST_LEAST and record.digest[-1] & _LIST_MASK == 0
        if is_cut or len(segment) == _LIST_MOST:
            yield segment
            segment = []
    if segment:
        yield segment


def _chunker() -> Any:  # noqa: ANN401 - its types name things that are not there at run time
    from pyfastcdc import FastCDC

    return FastCDC(AVERAGE_BYTES, min_size=LEAST_BYTES, max_size=MOST_BYTES, normalized_chunking=_NORMALIZATION, seed=0)
