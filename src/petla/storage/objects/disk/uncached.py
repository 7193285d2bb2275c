"""Writing past the page cache: filling and flushing it takes several times what a fast disk needs for the bytes alone.

Where the file system does not take such writes, they go the usual way.
"""

import contextlib
import errno
import fcntl
import mmap
import os
import queue
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from petla.storage.objects.packs import Payload

# what disks and file systems want such writes to begin and end at
_ALIGNED = 4096
# less than this is not worth it
_LEAST_BYTES = 1 << 20
_BLOCK_BYTES = 4 << 20
# bytes a second; people wait less for a slower disk if the page cache is in between
_FAST = 600e6
_ZEROS = bytes(_BLOCK_BYTES)


class Stage:
    """Room for one pack, which goes to the disk in one piece; its memory is taken as it is filled.

    Args:
        size_bytes: of the room.
    """

    def __init__(self, size_bytes: int) -> None:
        # pages of its own: such writes begin at a page
        self._room = mmap.mmap(-1, _align(size_bytes))
        self._view = memoryview(self._room)
        self.size = 0

    def append(self, parts: Sequence[Payload]) -> None:
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
        n_written = 0
        if self.size >= _LEAST_BYTES and _set_direct(descriptor, wanted=True):
            # what lies behind the end is cut off afterwards
            n_written = _write_direct(descriptor, self._view[: _align(self.size)], 0)
            _set_direct(descriptor, wanted=False)
        while n_written < self.size:
            n_written += os.pwrite(descriptor, self._view[n_written : self.size], n_written)
        os.ftruncate(descriptor, self.size)
        os.fdatasync(descriptor)

    def clear(self) -> None:
        """Make room again."""
        self.size = 0


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


def write_large(descriptor: int, chunks: Iterable[Payload]) -> int:
    """Write chunks to an empty file, which may be longer than they are afterwards; return their bytes.

    A block of nothing but zeros becomes a hole. The first block tells whether the disk is fast; with a slow one, the
    rest goes through the page cache.

    Raises:
        OSError: the disk is full or may not be written.
    """
    with contextlib.closing(Flow(descriptor)) as flow:
        for chunk in chunks:
            flow.add(chunk)
        return flow.finish()


class Flow:
    """An empty file that is filled from its beginning to its end: of two blocks, one is filled, the other written.

    Args:
        descriptor: of the file; stays open.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._views = [memoryview(mmap.mmap(-1, _BLOCK_BYTES)) for _ in range(2)]
        self._end = 0
        self._offset = 0
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="flow")
        self._pending: Future[None] | None = None
        self._is_direct = _set_direct(descriptor, wanted=True)
        self._is_judged = False

    def close(self) -> None:
        """End the thread; what was not finished is lost."""
        self._writer.shutdown(wait=True, cancel_futures=True)
        _set_direct(self._descriptor, wanted=False)

    def add_at(self, offset: int, chunk: Payload) -> bool:
        """Take in bytes that may lie further on; return whether they did. What lies between holds anything then."""
        ahead = offset - self._offset - self._end
        if ahead < 0:
            return False
        if self._end + ahead >= _BLOCK_BYTES:
            self._views[0][self._end :] = _ZEROS[self._end :]
            self._end = _BLOCK_BYTES
            self._send(_BLOCK_BYTES)
            self._offset = offset // _ALIGNED * _ALIGNED
            ahead = offset - self._offset
        self._views[0][self._end : self._end + ahead] = _ZEROS[:ahead]
        self._end += ahead
        self.add(chunk)
        return True

    def add(self, chunk: Payload) -> None:
        """Take in the next bytes."""
        rest = memoryview(chunk)
        while rest:
            n_bytes = min(len(rest), _BLOCK_BYTES - self._end)
            self._views[0][self._end : self._end + n_bytes] = rest[:n_bytes]
            self._end += n_bytes
            rest = rest[n_bytes:]
            if self._end == _BLOCK_BYTES:
                self._send(_BLOCK_BYTES)

    def finish(self) -> int:
        """Write what is left; return how many bytes there were."""
        n_bytes = self._offset + self._end
        if self._end:
            padded = _align(self._end)
            self._views[0][self._end : padded] = bytes(padded - self._end)
            self._send(padded)
        self._await()
        return n_bytes

    def _send(self, n_bytes: int) -> None:
        self._await()
        self._pending = self._writer.submit(self._write, self._views[0][:n_bytes], self._offset)
        self._views.reverse()
        self._offset += self._end
        self._end = 0

    def _await(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def _write(self, block: memoryview, offset: int) -> None:
        if block[0] == block[-1] == 0 and bytes(block) == _ZEROS[: len(block)]:
            return
        begun = time.perf_counter()
        n_written = _write_direct(self._descriptor, block, offset) if self._is_direct else 0
        is_slow = not self._is_judged and n_written < _FAST * (time.perf_counter() - begun)
        self._is_judged = True
        if self._is_direct and (is_slow or n_written < len(block)):
            self._is_direct = _set_direct(self._descriptor, wanted=False)
        while n_written < len(block):
            n_written += os.pwrite(self._descriptor, block[n_written:], offset + n_written)


def _align(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def _write_direct(descriptor: int, view: memoryview, offset: int) -> int:
    """Return how much was written; 0 where the file system does not take it."""
    try:
        return os.pwrite(descriptor, view, offset)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            _set_direct(descriptor, wanted=False)
            raise
        return 0


def _set_direct(descriptor: int, *, wanted: bool) -> bool:
    """Say how the kernel is to take writes; return whether they go past the cache."""
    direct = getattr(os, "O_DIRECT", 0)
    with contextlib.suppress(OSError):
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | direct if wanted else flags & ~direct)
        return wanted and direct != 0
    return False
