"""The spool: append-only files in which a worker puts down what it decided before the answer leaves. No database.

A stream is a row of numbered segments, such as `decisions-000001.log`, in a worker's own folder. A segment is a row of
frames: payload length and CRC-32 of the payload (both 32 bits, little endian), then the payload, a msgpack list of
records.

- One frame is one batch; its records were answered only if the whole frame was written.
- A writer never goes on in a segment it did not begin: it repairs the newest one and begins the next.
- A torn tail (the last frame is cut short) is cut off; it was never answered. The reader steps over other damage to
  the next whole frame, and says so.
- The newest segment is never removed, so that numbers never come twice.
- What waits to be shipped is bounded by size and by age; a writer that has reached a bound refuses.
"""

import contextlib
import logging
import os
import re
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Generic, Literal, NamedTuple, TypeVar

import msgspec

from petla.core.errors import UnavailableError
from petla.storage.files import lock, reported, sync_folder

logger = logging.getLogger(__name__)

SPOOL_FOLDER = "spool"
DECISIONS = "decisions"
FEEDBACK = "feedback"
SHADOWS = "shadows"
# in a worker's folder: segments in which something could not be read
DAMAGED_FOLDER = "damaged"

_HEADER = struct.Struct("<II")
_NAME = re.compile(r"^([a-z]+)-(\d{6,})\.log$")
# larger than any batch that fits into a request; a longer length is damage
_LONGEST_PAYLOAD = 1 << 30
# longest payload that is looked for behind a header that cannot be read
_LONGEST_FOUND = 1 << 20
_SEGMENT_BYTES = 16 << 20
# a bounded stream is at least so many segments, since the newest is never removed
_SEGMENTS = 8
# how often a writer looks what of its stream was shipped; more often while it refuses
_LOOK_S = 1.0
_FULL_LOOK_S = 0.05
# after this a segment is closed, so that it can be removed once it was shipped
_LONGEST_SEGMENT_S = 3_600.0

T = TypeVar("T", bound=msgspec.Struct)


class Position(NamedTuple):
    """A place in a stream: everything before it was read."""

    segment: int
    offset: int


class Frame(NamedTuple, Generic[T]):
    """One batch, and the place behind it."""

    records: list[T]
    end: Position
    # what cannot be read at this place, in words; there are no records then
    damage: str = ""


class Bounds(NamedTuple):
    """How much of a stream may wait to be shipped."""

    # of all its segments
    size_bytes: int
    # seconds; 0: any age
    age_s: float = 0.0


class SpoolWriter:
    """The one writer of a stream.

    Args:
        folder: the worker's own folder; made if missing.
        stream: kind of the records, such as `decisions`.
        durability: `process` survives the death of the process; `power` flushes what it appends to the disk.
        segment_bytes: size from which the next batch goes into a new segment; less where the bounds are tight.
        bounds: of what waits to be shipped; None: only the disk's.

    Raises:
        BusyError: another process writes this stream.
        UnavailableError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        stream: str,
        *,
        durability: Literal["process", "power"] = "process",
        segment_bytes: int = _SEGMENT_BYTES,
        bounds: Bounds | None = None,
    ) -> None:
        self._folder = folder
        self._stream = stream
        self._is_flushed = durability == "power"
        self._segment_bytes = min(segment_bytes, bounds.size_bytes // _SEGMENTS) if bounds else segment_bytes
        self._bounds = bounds or Bounds(1 << 62)
        self._encode = msgspec.msgpack.Encoder().encode
        self._descriptor = -1
        self._offset = 0
        # all segments, as far as they were seen or written; and when to look again
        self._held_bytes = 0
        self._is_overdue = False
        self._look_at = 0.0
        self._begun_at = 0.0
        self._held = contextlib.ExitStack()
        self._held.enter_context(lock(folder / f"{stream}.lock", purpose=f"writing {stream}"))
        with reported(folder):
            segments = list_segments(folder, stream)
            if segments:
                _repair(segment_path(folder, stream, segments[-1]))
            self._segment = segments[-1] if segments else 0

    def append(self, records: Sequence[msgspec.Struct]) -> None:
        """Write one batch as one frame; when this returns, the batch survives what `durability` says.

        Raises:
            UnavailableError: it could not be written, such as with a full disk, or too much waits to be shipped;
                nothing of it stays, and the next batch tries again.
        """
        self._write(self._frame(records))

    def append_all(self, batches: Sequence[Sequence[msgspec.Struct]]) -> None:
        """Write batches as a frame each, and flush them together: all of them survive, or none.

        Raises:
            UnavailableError: as in `append`.
        """
        self._write(b"".join(map(self._frame, batches)))

    def _frame(self, records: Sequence[msgspec.Struct]) -> bytes:
        payload = self._encode(records)
        return _HEADER.pack(len(payload), zlib.crc32(payload)) + payload

    def _write(self, frames: bytes) -> None:
        now = time.monotonic()
        if now >= self._look_at or self._held_bytes > self._bounds.size_bytes:
            self._look(now)
        try:
            if self._descriptor < 0 or self._offset >= self._segment_bytes:
                self._begin_segment(now)
            written = os.write(self._descriptor, frames)
            while written < len(frames):
                # NOTE: a disk that fills up takes a part first and says why only when asked again.
                written += os.write(self._descriptor, frames[written:])
            if self._is_flushed:
                os.fdatasync(self._descriptor)
        except OSError as error:
            self._undo()
            raise UnavailableError(
                f"the {self._stream} log in {self._folder} cannot be written: {error.strerror}",
                hint="free some space or repair the disk; the server goes on by itself as soon as it can write",
            ) from error
        self._offset += written
        self._held_bytes += written

    def _look(self, now: float) -> None:
        """See what waits to be shipped, now and then; refuse where that is too much.

        Raises:
            UnavailableError: it is larger or older than it may be.
        """
        if now >= self._look_at:
            self._held_bytes, oldest_s = _measure(self._folder, self._stream, is_written=self._descriptor >= 0)
            self._is_overdue = 0 < self._bounds.age_s < oldest_s
            if self._descriptor >= 0 and now - self._begun_at > _LONGEST_SEGMENT_S:
                self._leave_segment()
        is_full = self._is_overdue or self._held_bytes > self._bounds.size_bytes
        if now >= self._look_at:
            self._look_at = now + (_FULL_LOOK_S if is_full else _LOOK_S)
        if is_full:
            what = "older" if self._is_overdue else "more"
            raise UnavailableError(
                f"{what} than may wait for the database is in the {self._stream} log in {self._folder}:"
                f" {self._held_bytes:,} bytes",
                hint="see that 'petla up' runs and that the database is there; the server goes on by itself",
            )

    def close(self) -> None:
        """Flush what was written and give the stream up."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.fdatasync(self._descriptor)
            self._leave_segment()
        self._held.close()

    def _begin_segment(self, now: float) -> None:
        if self._descriptor >= 0:
            self._leave_segment()
        path = segment_path(self._folder, self._stream, self._segment + 1)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._segment += 1
        self._offset = 0
        self._begun_at = now
        if self._is_flushed:
            sync_folder(self._folder)

    def _leave_segment(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1

    def _undo(self) -> None:
        """Take back a part that was written, or leave the segment with its torn tail and begin another."""
        if self._descriptor < 0:
            return
        try:
            os.ftruncate(self._descriptor, self._offset)
        except OSError:
            self._leave_segment()


def list_segments(folder: Path, stream: str) -> list[int]:
    """Return the numbers of a stream's segments, oldest first."""
    if not folder.is_dir():
        return []
    matches = (_NAME.match(entry.name) for entry in os.scandir(folder))
    return sorted(int(match[2]) for match in matches if match and match[1] == stream)


def segment_path(folder: Path, stream: str, segment: int) -> Path:
    """Return where a segment lies."""
    return folder / f"{stream}-{segment:06d}.log"


def end_of(folder: Path, stream: str) -> Position:
    """Return the present end of a stream: all that was written until now lies before it."""
    segments = list_segments(folder, stream)
    if not segments:
        return Position(0, 0)
    return Position(segments[-1], segment_path(folder, stream, segments[-1]).stat().st_size)


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
            block = _read(path, offset, size - offset)
            yield from self._frames_of(path, Position(segment, offset), block, is_newest=segment == end.segment)

    def _frames_of(self, path: Path, start: Position, block: bytes, *, is_newest: bool) -> Iterator[Frame[T]]:
        segment, offset = start
        used = 0
        while used < len(block):
            for behind, payload in _split(block, used):
                try:
                    records = self._decode(payload)
                except msgspec.DecodeError:
                    yield Frame([], Position(segment, offset + behind), _describe(path, offset + used, "is unreadable"))
                else:
                    yield Frame(records, Position(segment, offset + behind))
                used = behind
            # NOTE: only the newest segment may end in a torn frame: a writer repairs it before it begins another.
            if used == len(block) or (is_newest and _is_torn(block[used:])):
                return
            behind = _find_whole(block, used)
            yield Frame([], Position(segment, offset + behind), _describe(path, offset + used, "misses its checksum"))
            used = behind


def _read(path: Path, offset: int, length: int) -> bytes:
    # At most a segment and one batch.
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(max(length, 0))


def _split(block: bytes, start: int = 0) -> Iterator[tuple[int, memoryview]]:
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


def _is_torn(rest: bytes) -> bool:
    """Whether a bad end is what a death in the middle of a write leaves: a cut frame, or zeros where power was lost."""
    if len(rest) < _HEADER.size or not any(rest):
        return True
    length, _ = _HEADER.unpack_from(rest)
    is_cut = 0 < length <= _LONGEST_PAYLOAD and _HEADER.size + length >= len(rest)
    # a damaged length looks the same, but for what follows it
    return is_cut and _find_whole(rest, 0) == len(rest)


def _repair(path: Path) -> None:
    block = _read(path, 0, path.stat().st_size)
    used = max((end for end, _ in _split(block)), default=0)
    if used < len(block) and _is_torn(block[used:]):
        os.truncate(path, used)
        logger.warning("spool.repaired", extra={"segment": path.name, "cut_bytes": len(block) - used})


def _find_whole(block: bytes, start: int) -> int:
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


def _measure(folder: Path, stream: str, *, is_written: bool) -> tuple[int, float]:
    """Return the size of a stream, and for how many seconds the oldest segment that is complete has lain there.

    A newest segment that nobody writes is left out of the size: it is never removed, also where it was shipped, before
    it has a successor, so that one which is larger than the bound would refuse for ever.
    """
    found = []
    for segment in list_segments(folder, stream):
        # the shipper may have removed it meanwhile
        with contextlib.suppress(FileNotFoundError):
            found.append(segment_path(folder, stream, segment).stat())
    age_s = time.time() - found[0].st_mtime if len(found) > 1 else 0.0
    return sum(each.st_size for each in (found if is_written else found[:-1])), age_s


def _describe(path: Path, offset: int, what: str) -> str:
    return f"{path.name} is damaged at byte {offset}: a record {what}"
