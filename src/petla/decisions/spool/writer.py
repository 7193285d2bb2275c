"""The writer of a stream."""

import contextlib
import logging
import math
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from petla.core.errors import UnavailableError
from petla.decisions.spool.frames import encode_frame, is_torn, read_block, split_frames
from petla.decisions.spool.segments import Segment, list_segments, note_writer, segment_path
from petla.decisions.spool.waiting import age_of, measure, read_shipped
from petla.storage.files import lock, mode_of, reported, sync_folder

logger = logging.getLogger(__name__)

# segments are numbered by the milliseconds of the clock
_NS_PER_NUMBER = 1_000_000
_SEGMENT_BYTES = 16 << 20
# a bounded stream is at least so many segments: one that was shipped in part takes room on the disk until the rest is
_SEGMENTS = 8
# how often a writer looks what of its stream was shipped; more often while it refuses
_LOOK_S = 1.0
_FULL_LOOK_S = 0.05
# after this a segment is closed, so that it can be removed once it was shipped
_LONGEST_SEGMENT_S = 3_600.0


class Bounds(NamedTuple):
    """How much of a stream may wait to be shipped."""

    size_bytes: int
    # seconds since the oldest record was made; 0: any age
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
        # as far as was seen or written; and when it was looked
        self._waiting_bytes = 0
        self._is_overdue = False
        self._looked_at = -math.inf
        self._begun_at = 0.0
        self._held = contextlib.ExitStack()
        self._held.enter_context(lock(folder / f"{stream}.lock", purpose=f"writing {stream}"))
        with reported(folder):
            segments = list_segments(folder, stream)
            # NOTE: of each origin the last, since a copy that was put back may lie among them
            for segment in {each.origin: each for each in segments}.values():
                _repair(segment_path(folder, stream, segment))
            # NOTE: drawn anew with each start, so that the place of one that was lost, copied or is elsewhere says
            # nothing about what is written here, whatever its numbers are.
            self._origin = secrets.token_hex(16)
            note_writer(folder, stream, self._origin)
            self._number = segments[-1].number if segments else 0

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
        return encode_frame(self._encode(records))

    def _write(self, frames: bytes) -> None:
        now = time.monotonic()
        try:
            if now - self._looked_at >= (_FULL_LOOK_S if self._is_full else _LOOK_S):
                self._look(now)
            if self._is_full:
                raise self._refuse()
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
        self._waiting_bytes += written

    @property
    def _is_full(self) -> bool:
        return self._is_overdue or self._waiting_bytes > self._bounds.size_bytes

    def _look(self, now: float) -> None:
        """See what waits to be shipped."""
        waiting = measure(self._folder, self._stream, read_shipped(self._folder, self._stream))
        self._waiting_bytes = waiting.size_bytes
        longest_s = self._bounds.age_s
        # the age costs a read, so it is asked only where it matters
        self._is_overdue = 0 < longest_s < age_of(self._folder, self._stream, waiting, time.time())
        self._looked_at = now
        if self._descriptor >= 0 and now - self._begun_at > _LONGEST_SEGMENT_S:
            self._leave_segment()

    def _refuse(self) -> UnavailableError:
        what = "older" if self._is_overdue else "more"
        return UnavailableError(
            f"{what} than may wait for the database is in the {self._stream} log in {self._folder}:"
            f" {self._waiting_bytes:,} bytes",
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
        number = max(self._number + 1, time.time_ns() // _NS_PER_NUMBER)
        path = segment_path(self._folder, self._stream, Segment(number, self._origin))
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, mode_of(path))
        self._number = number
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


def _repair(path: Path) -> None:
    block = read_block(path, 0, path.stat().st_size)
    used = max((end for end, _ in split_frames(block)), default=0)
    if used < len(block) and is_torn(block[used:]):
        os.truncate(path, used)
        logger.warning("spool.repaired", extra={"segment": path.name, "cut_bytes": len(block) - used})
