"""Reading files for the store, with md5, which takes the longest, on a thread of its own."""

import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import blake3

from petla.core.errors import ConflictError
from petla.storage.files import reported
from petla.storage.objects.naming import LEAST_BYTES, Record, Stored, cut, md5_of, name_of

_BLOCK_BYTES = 4 << 20
# how far whoever counts the md5 and whoever cuts chunks may be apart
_MOST_APART_BYTES = 256 << 20
# files below are read whole, many by one task
SMALL_BYTES = 1 << 20
_SMALL_AT_ONCE = 200
_SMALL_BATCH_BYTES = 4 << 20
_AHEAD = 3
_THREADS = 2


class Source(NamedTuple):
    """A file to be read."""

    path: str
    # size, mtime in ns, inode and mode, as they were when somebody looked; it must not have changed since
    numbers: tuple[int, ...]

    def require_same(self, descriptor: int) -> None:
        """See that the file is the one that was looked at.

        Raises:
            ConflictError: it was changed.
        """
        if numbers_of(os.fstat(descriptor)) != self.numbers:
            raise ConflictError(f"{self.path} was changed while it was read", hint="try again when it is complete")


def find_source(path: Path) -> Source:
    """Return a file as it is now.

    Raises:
        FileNotFoundError: there is none.
    """
    return Source(str(path), numbers_of(path.stat()))


def numbers_of(status: os.stat_result) -> tuple[int, ...]:
    """Return what changes when a file does: size, mtime in ns, inode, mode."""
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_mode


class Small(NamedTuple):
    """A small file that was read."""

    size: int
    md5: str
    # digest and content of each chunk
    chunks: list[tuple[bytes, bytes | memoryview]]

    def stored(self) -> Stored:
        """Return what the file is."""
        records = [Record(digest, len(content)) for digest, content in self.chunks]
        return Stored(name_of(records), self.size, self.md5)


class Blocks:
    """A file as lists of chunks; what was yielded is overwritten by what comes two lists later.

    Args:
        source: the file.

    Raises:
        FileNotFoundError: there is no such file.
        UnavailableError: it cannot be read.
    """

    def __init__(self, source: Source) -> None:
        self._looked_at = source
        self._path = Path(source.path)
        with reported(self._path, "read"):
            self._descriptor = os.open(self._path, os.O_RDONLY)
        self._md5 = md5_of()
        self._counting: _Counting | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._counting is not None:
            self._counting.stop()
        os.close(self._descriptor)

    def __iter__(self) -> Iterator[list[memoryview]]:
        """Yield the chunks of the file, some at a time; an empty file is one empty chunk."""
        # one more than the file, so that its end is seen at once
        size = min(_BLOCK_BYTES, max(self._looked_at.numbers[0] + 1, 1024))
        buffers = [bytearray(size), bytearray(size)]
        rest, offset = b"", 0
        while True:
            buffer = memoryview(buffers[0])
            buffers.reverse()
            buffer[: len(rest)] = rest
            end = len(rest) + self._fill(buffer[len(rest) :], offset)
            is_last, is_first = end < len(buffer), offset == 0
            offset += end - len(rest)
            self._count(buffer[:end], offset, is_whole=is_last and is_first)
            if end or is_first:
                chunks = list(cut(buffer[:end]))
                if not is_last:
                    # Where the last chunk ends is not known before more was read.
                    rest = bytes(chunks.pop())
                yield chunks
            if is_last:
                return

    def finish(self) -> str:
        """Return the md5 of all that was read.

        Raises:
            ConflictError: the file was changed since it was looked at.
            UnavailableError: it cannot be read.
        """
        if self._counting is not None:
            with reported(self._path, "read"):
                self._counting.finish()
        self._looked_at.require_same(self._descriptor)
        digest: str = self._md5.hexdigest()
        return digest

    def _fill(self, target: memoryview, offset: int) -> int:
        n_read = 0
        with reported(self._path, "read"):
            while n_read < len(target) and (n := os.preadv(self._descriptor, [target[n_read:]], offset + n_read)):
                n_read += n
        return n_read

    def _count(self, content: memoryview, offset: int, *, is_whole: bool) -> None:
        if is_whole:
            self._md5.update(content)
        elif self._counting is None:
            self._counting = _Counting(self._descriptor, self._md5)
        else:
            self._counting.keep_pace(offset)


class _Counting:
    """The md5 of a file on a thread of its own, which reads for itself: nothing that is done beside it holds it up.

    The two stay near each other, so that what one reads the other finds in the page cache.
    """

    def __init__(self, descriptor: int, md5: Any) -> None:  # noqa: ANN401 - hashlib names no type for it
        self._descriptor = descriptor
        self._md5 = md5
        self._moved = threading.Condition()
        self._counted_bytes = 0
        self._beside_bytes = 0
        # whether it still waits for the other one
        self._keeps_pace = True
        self._is_stopped = False
        self._is_over = False
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="md5", daemon=True)
        self._thread.start()

    def keep_pace(self, offset: int) -> None:
        """Say how far the file was read beside it; waits for it where it is far behind."""
        with self._moved:
            self._beside_bytes = offset
            self._moved.notify()
            self._moved.wait_for(lambda: self._is_over or offset - self._counted_bytes <= _MOST_APART_BYTES)

    def finish(self) -> None:
        """Wait for the end.

        Raises:
            OSError: the file cannot be read.
        """
        self._go_on()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Leave the rest."""
        self._is_stopped = True
        self._go_on()
        self._thread.join()

    def _go_on(self) -> None:
        with self._moved:
            self._keeps_pace = False
            self._moved.notify()

    def _run(self) -> None:
        block = memoryview(bytearray(_BLOCK_BYTES))
        try:
            while not self._is_stopped and (n := os.preadv(self._descriptor, [block], self._counted_bytes)):
                self._md5.update(block[:n])
                with self._moved:
                    self._counted_bytes += n
                    self._moved.notify()
                    self._moved.wait_for(self._is_near)
        except OSError as error:
            self._error = error
        with self._moved:
            self._is_over = True
            self._moved.notify()

    def _is_near(self) -> bool:
        return not self._keeps_pace or self._counted_bytes - self._beside_bytes <= _MOST_APART_BYTES


def digest_file(path: Path) -> Stored:
    """Return what `Writer.put_file` would, and keep nothing.

    Raises:
        FileNotFoundError: there is no such file.
        UnavailableError: it cannot be read.
    """
    with reported(path, "read"):
        return _digest_large(find_source(path))


def digest_files(sources: Sequence[Source]) -> Iterator[Stored]:
    """Yield what each file is, in their order, and keep nothing.

    Raises:
        FileNotFoundError: there is no such file.
        ConflictError: one was changed since it was looked at.
        UnavailableError: one cannot be read.
    """
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="objects") as pool:
        for small, large in group_small(pool, sources):
            if large is not None:
                yield _digest_large(large)
            else:
                yield from (each.stored() for each in small)


def group_small(pool: ThreadPoolExecutor, sources: Sequence[Source]) -> Iterator[tuple[list[Small], Source | None]]:
    """Yield files in their order: small ones in groups that were read ahead, a large one alone and unread."""
    waiting: deque[Future[list[Small]] | Source] = deque()
    for group in _group(sources):
        waiting.append(pool.submit(_read_all, group) if isinstance(group, list) else group)
        while len(waiting) > _AHEAD:
            yield _take(waiting.popleft())
    while waiting:
        yield _take(waiting.popleft())


def read_small(source: Source) -> Small:
    """Read a small file whole.

    Raises:
        FileNotFoundError: there is no such file.
        ConflictError: it was changed since it was looked at.
        OSError: it cannot be read.
    """
    descriptor = os.open(source.path, os.O_RDONLY)
    try:
        # one more than there is: a file that grows is not missed
        content = os.read(descriptor, source.numbers[0] + 1)
        while len(content) < source.numbers[0] and (part := os.read(descriptor, SMALL_BYTES)):
            content += part
        source.require_same(descriptor)
    finally:
        os.close(descriptor)
    if len(content) <= LEAST_BYTES:
        chunks: list[tuple[bytes, bytes | memoryview]] = [(blake3.blake3(content).digest(), content)]
    else:
        chunks = [(blake3.blake3(chunk).digest(), chunk) for chunk in cut(content)]
    return Small(len(content), md5_of(content).hexdigest(), chunks)


def _digest_large(source: Source) -> Stored:
    records: list[Record] = []
    with Blocks(source) as blocks:
        for chunks in blocks:
            records += [Record(blake3.blake3(chunk).digest(), len(chunk)) for chunk in chunks]
        md5 = blocks.finish()
    return Stored(name_of(records), sum(record.size for record in records), md5)


def _take(item: Future[list[Small]] | Source) -> tuple[list[Small], Source | None]:
    return ([], item) if isinstance(item, Source) else (item.result(), None)


def _read_all(sources: list[Source]) -> list[Small]:
    found = []
    for source in sources:
        try:
            found.append(read_small(source))
        except OSError:
            with reported(Path(source.path), "read"):
                raise
    return found


def _group(sources: Sequence[Source]) -> Iterator[list[Source] | Source]:
    group: list[Source] = []
    n_bytes = 0
    for source in sources:
        size = source.numbers[0]
        if size >= SMALL_BYTES:
            if group:
                yield group
            yield source
            group, n_bytes = [], 0
            continue
        group.append(source)
        n_bytes += size
        if len(group) == _SMALL_AT_ONCE or n_bytes >= _SMALL_BATCH_BYTES:
            yield group
            group, n_bytes = [], 0
    if group:
        yield group
