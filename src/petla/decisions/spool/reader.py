"""The reader of a stream, and what it finds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import msgspec

from petla.decisions.spool.frames import find_whole, is_torn, read_block, split_frames
from petla.decisions.spool.segments import (
    Places,
    Position,
    Segment,
    list_segments,
    read_writer,
    segment_path,
    unread_from,
)

T = TypeVar("T", bound=msgspec.Struct)


class Frame(NamedTuple, Generic[T]):
    """One batch, and the place behind it."""

    records: list[T]
    end: Position
    # what cannot be read at this place, in words; there are no records then
    damage: str = ""


class SpoolReader(Generic[T]):
    """Reads a stream's frames, while it may still be written.

    Args:
        folder: the worker's folder.
        stream: kind of the records.
        kind: the struct of one record.
    """

    def __init__(self, folder: Path, stream: str, kind: type[T]) -> None:
        self._folder = folder
        self._stream = stream
        self._decode = msgspec.msgpack.Decoder(list[kind]).decode  # type: ignore[valid-type]

    def frames(self, read: Places, end: Position) -> Iterator[Frame[T]]:
        """Yield the whole frames that were not read and lie before the end, and what is damaged among them."""
        segments = list_segments(self._folder, self._stream)
        writer = read_writer(self._folder, self._stream)
        last_of = {segment.origin: segment for segment in segments}
        growing = {end.file, last_of.get(writer)}
        for segment in segments:
            offset = unread_from(segment, read)
            if offset is None or segment > end.file:
                continue
            path = segment_path(self._folder, self._stream, segment)
            size = end.offset if segment == end.file else path.stat().st_size
            block = read_block(path, offset, size - offset)
            yield from self._frames_of(path, segment, offset, block, is_growing=segment in growing)

    def _frames_of(
        self, path: Path, file: Segment, offset: int, block: bytes, *, is_growing: bool
    ) -> Iterator[Frame[T]]:
        segment, origin = file
        used = 0
        while used < len(block):
            for behind, payload in split_frames(block, used):
                try:
                    records = self._decode(payload)
                except msgspec.DecodeError:
                    yield Frame(
                        [], Position(segment, offset + behind, origin), _describe(path, offset + used, "is unreadable")
                    )
                else:
                    yield Frame(records, Position(segment, offset + behind, origin))
                used = behind
            # NOTE: only the newest segment and the writer's may end in a torn frame: a writer that starts repairs all.
            if used == len(block) or (is_growing and is_torn(block[used:])):
                return
            behind = find_whole(block, used)
            yield Frame(
                [], Position(segment, offset + behind, origin), _describe(path, offset + used, "misses its checksum")
            )
            used = behind


def _describe(path: Path, offset: int, what: str) -> str:
    return f"{path.name} is damaged at byte {offset}: a record {what}"
