"""The reader of a stream, and what it finds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import msgspec

from petla.decisions.spool.frames import find_whole, is_torn, read_block, split_frames
from petla.decisions.spool.segments import Position, list_segments, segment_path

T = TypeVar("T", bound=msgspec.Struct)


class Frame(NamedTuple, Generic[T]):
    """One batch, and the place behind it."""

    records: list[T]
    end: Position
    # what cannot be read at this place, in words; there are no records then
    damage: str = ""


class SpoolReader(Generic[T]):
    """Reads a stream's frames from one place to another, while it may still be written.

    Args:
        folder: the worker's folder.
        stream: kind of the records.
        kind: the struct of one record.
    """

    def __init__(self, folder: Path, stream: str, kind: type[T]) -> None:
        self._folder = folder
        self._stream = stream
        self._decode = msgspec.msgpack.Decoder(list[kind]).decode  # type: ignore[valid-type]

    def frames(self, start: Position, end: Position) -> Iterator[Frame[T]]:
        """Yield the whole frames that lie between two places, and what is damaged between them."""
        for segment in list_segments(self._folder, self._stream):
            if segment < start.segment or segment > end.segment:
                continue
            path = segment_path(self._folder, self._stream, segment)
            offset = start.offset if segment == start.segment else 0
            size = end.offset if segment == end.segment else path.stat().st_size
            block = read_block(path, offset, size - offset)
            yield from self._frames_of(path, Position(segment, offset), block, is_newest=segment == end.segment)

    def _frames_of(self, path: Path, start: Position, block: bytes, *, is_newest: bool) -> Iterator[Frame[T]]:
        segment, offset = start
        used = 0
        while used < len(block):
            for behind, payload in split_frames(block, used):
                try:
                    records = self._decode(payload)
                except msgspec.DecodeError:
                    yield Frame([], Position(segment, offset + behind), _describe(path, offset + used, "is unreadable"))
                else:
                    yield Frame(records, Position(segment, offset + behind))
                used = behind
            # NOTE: only the newest segment may end in a torn frame: a writer repairs it before it begins another.
            if used == len(block) or (is_newest and is_torn(block[used:])):
                return
            behind = find_whole(block, used)
            yield Frame([], Position(segment, offset + behind), _describe(path, offset + used, "misses its checksum"))
            used = behind


def _describe(path: Path, offset: int, what: str) -> str:
    return f"{path.name} is damaged at byte {offset}: a record {what}"
