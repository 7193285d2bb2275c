"""What of a stream waits to be shipped: all that lies behind the place that the shipper has come to.

The truth about that place is in the database, together with the rows, and a writer asks no database. So the shipper
leaves a note of it beside the segments, such as `decisions.shipped`, whenever it has moved or finds another there. A
note is replaced as a whole and not flushed: one that is behind, missing, cut short or of another form only lets more
wait than does, until the shipper comes.
"""

import contextlib
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import msgspec

from petla.decisions.record import Decision, Feedback, ShadowAnswer
from petla.decisions.spool.frames import read_frame
from petla.decisions.spool.segments import (
    DECISIONS,
    FEEDBACK,
    SHADOWS,
    Places,
    Position,
    list_segments,
    segment_path,
    unread_from,
)

# the CRC-32 of what follows: origin -> segment and offset
_CHECKSUM_BYTES = 4
_read_places = msgspec.msgpack.Decoder(dict[str, tuple[int, int]]).decode
# of notes from before there were origins: segment, offset, and the CRC-32 of both
_FORMER = struct.Struct("<QQI")
_KINDS: dict[str, type[Decision | Feedback | ShadowAnswer]] = {
    DECISIONS: Decision,
    FEEDBACK: Feedback,
    SHADOWS: ShadowAnswer,
}
_split_records = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


class Waiting(NamedTuple):
    """What of a stream was not shipped."""

    size_bytes: int
    # where it begins; None: nothing waits
    start: Position | None


def read_shipped(folder: Path, stream: str) -> Places:
    """Return how far a stream was shipped, as far as is known beside it."""
    with contextlib.suppress(OSError, msgspec.DecodeError):
        note = _note_path(folder, stream).read_bytes()
        if _is_former(note):
            return {"": Position(*_FORMER.unpack(note)[:2])}
        body = note[_CHECKSUM_BYTES:]
        if zlib.crc32(body) == int.from_bytes(note[:_CHECKSUM_BYTES], "little"):
            return {origin: Position(*place, origin) for origin, place in _read_places(body).items()}
    return {}


def note_shipped(folder: Path, stream: str, shipped: Places) -> None:
    """Leave a note of how far a stream was shipped; on a full disk the one before it stays. Only the shipper does."""
    if read_shipped(folder, stream) == shipped:
        return
    path = _note_path(folder, stream)
    temporary = path.with_name(f".{path.name}.tmp")
    body = msgspec.msgpack.encode({origin: (place.segment, place.offset) for origin, place in shipped.items()})
    with contextlib.suppress(OSError):
        temporary.write_bytes(zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "little") + body)
        temporary.replace(path)


def measure(folder: Path, stream: str, shipped: Places) -> Waiting:
    """Return what lies behind the places, which must have been read before this."""
    size, start = 0, None
    for segment in list_segments(folder, stream):
        offset = unread_from(segment, shipped)
        if offset is None:
            continue
        # the shipper may have removed it meanwhile
        with contextlib.suppress(FileNotFoundError):
            left = segment_path(folder, stream, segment).stat().st_size - offset
            if left > 0:
                size, start = size + left, start or Position(segment.number, offset, segment.origin)
    return Waiting(size, start)


def age_of(folder: Path, stream: str, waiting: Waiting, now_s: float) -> float:
    """Return for how many seconds the oldest record that waits has existed; 0: nothing waits.

    It costs reading one frame. Where that is damaged, the last write to its segment is taken.
    """
    if waiting.start is None:
        return 0.0
    path = segment_path(folder, stream, waiting.start.file)
    # the shipper may have removed it meanwhile
    with contextlib.suppress(FileNotFoundError):
        try:
            first = _split_records(read_frame(path, waiting.start.offset))[0]
            made_s = msgspec.msgpack.decode(first, type=_KINDS[stream]).at_ns / 1e9
        except (msgspec.DecodeError, IndexError):
            made_s = path.stat().st_mtime
        return max(0.0, now_s - made_s)
    return 0.0


def _is_former(note: bytes) -> bool:
    place, checksum = note[:-_CHECKSUM_BYTES], note[-_CHECKSUM_BYTES:]
    return len(note) == _FORMER.size and zlib.crc32(place).to_bytes(_CHECKSUM_BYTES, "little") == checksum


def _note_path(folder: Path, stream: str) -> Path:
    return folder / f"{stream}.shipped"
