"""The spool: append-only files in which a worker puts down what it decided before the answer leaves. No database.

A stream is a row of numbered segments, such as `decisions-000001.log`, in a worker's own folder. A segment is a row of
frames: payload length and CRC-32 of the payload (both 32 bits, little endian), then the payload, a msgpack list of
records.

- One frame is one batch and one write; its records were answered only if the whole frame was written.
- A writer never goes on in a segment it did not begin: it repairs the newest one and begins the next.
- A torn tail (the last frame is cut short) is cut off; it was never answered. Damage with whole frames behind it is
  left as it is and reported to the reader.
- The newest segment is never removed, so that numbers never come twice.
"""

import contextlib
import logging
import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Generic, Literal, NamedTuple, TypeVar

import msgspec

from petla.core.errors import CorruptError, UnavailableError
from petla.storage.files import lock, reported, sync_folder

logger = logging.getLogger(__name__)

SPOOL_FOLDER = "spool"
DECISIONS = "decisions"
FEEDBACK = "feedback"
SHADOWS = "shadows"

_HEADER = struct.Struct("<II")
_NAME = re.compile(r"^([a-z]+)-(\d{6,})\.log$")
# larger than any batch that fits into a request; a longer length is damage
_LONGEST_PAYLOAD = 1 << 30

T = TypeVar("T", bound=msgspec.Struct)


class Position(NamedTuple):
    """A place in a stream: everything before it was read."""

    segment: int
    offset: int


class Frame(NamedTuple, Generic[T]):
    """One batch, and the place behind it."""

    records: list[T]
    end: Position


class SpoolWriter:
    """The one writer of a stream.

    Args:
        folder: the worker's own folder; made if missing.
        stream: kind of the records, such as `decisions`.
        durability: `process` survives the death of the process; `power` flushes every batch to the disk.
        segment_bytes: size from which the next batch goes into a new segment.

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
        segment_bytes: int = 16 << 20,
    ) -> None:
        self._folder = folder
        self._stream = stream
        self._is_flushed = durability == "power"
        self._segment_bytes = segment_bytes
        self._encode = msgspec.msgpack.Encoder().encode
        self._descriptor = -1
        self._offset = 0
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
            UnavailableError: it could not be written, such as with a full disk; nothing of it stays, and the next
                batch tries again.
        """
        payload = self._encode(records)
        frame = _HEADER.pack(len(payload), zlib.crc32(payload)) + payload
        try:
            if self._descriptor < 0 or self._offset >= self._segment_bytes:
                self._begin_segment()
            written = os.write(self._descriptor, frame)
            while written < len(frame):
                # NOTE: a disk that fills up takes a part first and says why only when asked again.
                written += os.write(self._descriptor, frame[written:])
            if self._is_flushed:
                os.fdatasync(self._descriptor)
        except OSError as error:
            self._undo()
            raise UnavailableError(
                f"the {self._stream} log in {self._folder} cannot be written: {error.strerror}",
                hint="free some space or repair the disk; the server goes on by itself as soon as it can write",
            ) from error
        self._offset += written

    def close(self) -> None:
        """Flush what was written and give the stream up."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.fdatasync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
        self._held.close()

    def _begin_segment(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        path = segment_path(self._folder, self._stream, self._segment + 1)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._segment += 1
        self._offset = 0
        if self._is_flushed:
            sync_folder(self._folder)

    def _undo(self) -> None:
        """Take back a part that was written, or leave the segment with its torn tail and begin another."""
        if self._descriptor < 0:
            return
        try:
            os.ftruncate(self._descriptor, self._offset)
        except OSError:
            os.close(self._descriptor)
            self._descriptor = -1


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
        """Yield the whole frames that lie between two places.

        Raises:
            CorruptError: a frame is damaged; those before it were yielded.
        """
        for segment in list_segments(self._folder, self._stream):
            if segment < start.segment or segment > end.segment:
                continue
            path = segment_path(self._folder, self._stream, segment)
            offset = start.offset if segment == start.segment else 0
            size = end.offset if segment == end.segment else path.stat().st_size
            block = _read(path, offset, size - offset)
            used = 0
            for used, payload in _split(block):
                yield Frame(self._decode(payload), Position(segment, offset + used))
            # NOTE: only the newest segment may end in a torn frame: a writer repairs it before it begins another.
            if used < len(block) and not (segment == end.segment and _is_torn(block[used:])):
                raise _damaged(path, offset + used)


def _read(path: Path, offset: int, length: int) -> bytes:
    # At most a segment and one batch.
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(max(length, 0))


def _split(block: bytes) -> Iterator[tuple[int, memoryview]]:
    """Yield the offset behind each whole frame, and its payload; end at the first that is not whole."""
    view = memoryview(block)
    start = 0
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
    return bool(0 < length <= _LONGEST_PAYLOAD and _HEADER.size + length >= len(rest))


def _repair(path: Path) -> None:
    block = _read(path, 0, path.stat().st_size)
    used = max((end for end, _ in _split(block)), default=0)
    if used < len(block) and _is_torn(block[used:]):
        os.truncate(path, used)
        logger.warning("spool.repaired", extra={"segment": path.name, "cut_bytes": len(block) - used})


def _damaged(path: Path, offset: int) -> CorruptError:
    return CorruptError(
        f"{path} is damaged at byte {offset}: a record does not match its checksum",
        hint="what lies before that place is in the log; move the file out of its folder to go on with the next one",
    )
