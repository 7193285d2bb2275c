"""Staging: a new pack is put together in memory and goes to the disk in one piece, past the page cache.

Nobody reads a pack soon after it was written, and a page cache that has to be filled and flushed costs several times
what the disk does. Where the file system does not take such writes, they go the usual way.
"""

import contextlib
import errno
import fcntl
import mmap
import os
import queue
from collections.abc import Sequence

# what disks and file systems want such writes to begin and end at
_ALIGNED = 4096
# less than this is not worth it
_LEAST_BYTES = 1 << 20


class Stage:
    """Room for one pack; its memory is taken as it is filled.

    Args:
        size_bytes: of the room.
    """

    def __init__(self, size_bytes: int) -> None:
        # pages of its own: such writes begin at a page
        self._room = mmap.mmap(-1, -(-size_bytes // _ALIGNED) * _ALIGNED)
        self._view = memoryview(self._room)
        self.size = 0

    def append(self, parts: Sequence[bytes | memoryview]) -> None:
        """Add bytes; the caller sees to it that there is room."""
        end = self.size
        for part in parts:
            start, end = end, end + len(part)
            self._view[start:end] = part
        self.size = end

    def write(self, descriptor: int) -> None:
        """Write all of it to the beginning of a file that is empty, and flush it to the disk.

        Raises:
            OSError: the disk is full or may not be written.
        """
        n_written = self._write_past_cache(descriptor) if self.size >= _LEAST_BYTES else 0
        while n_written < self.size:
            n_written += os.pwrite(descriptor, self._view[n_written : self.size], n_written)
        os.ftruncate(descriptor, self.size)
        os.fdatasync(descriptor)

    def clear(self) -> None:
        """Make room again."""
        self.size = 0

    def _write_past_cache(self, descriptor: int) -> int:
        """Return how much of it was written so; 0 where the file system does not take it."""
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | getattr(os, "O_DIRECT", 0))
            # what lies behind the end is cut off afterwards
            n_written = os.pwrite(descriptor, self._view[: -(-self.size // _ALIGNED) * _ALIGNED], 0)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            n_written = 0
        finally:
            with contextlib.suppress(OSError):
                fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
        return n_written


class Stages:
    """A few stages that are used again and again.

    Args:
        number: of them at most.
        size_bytes: of each.
    """

    def __init__(self, number: int, size_bytes: int) -> None:
        self._left = number
        self._size_bytes = size_bytes
        self._free: queue.SimpleQueue[Stage] = queue.SimpleQueue()

    def take(self) -> Stage:
        """Return an empty one; waits for one to be given back when all are in use."""
        with contextlib.suppress(queue.Empty):
            return self._free.get_nowait()
        if self._left:
            self._left -= 1
            return Stage(self._size_bytes)
        return self._free.get()

    def give_back(self, stage: Stage) -> None:
        """Let another pack use it."""
        stage.clear()
        self._free.put(stage)
