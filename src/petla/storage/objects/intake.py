"""Reading files for the store: their chunks, and md5, which is counted beside."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import blake3

from petla.storage.files import reported
from petla.storage.objects.md5.counting import Md5s, counting
from petla.storage.objects.naming import LEAST_BYTES, Record, Stored, cut, md5_of, name_of
from petla.storage.objects.sources import Source, find_source

_BLOCK_BYTES = 4 << 20
# files below are read whole, many by one task
SMALL_BYTES = 1 << 20
_SMALL_AT_ONCE = 200
_SMALL_BATCH_BYTES = 4 << 20
_AHEAD = 3
_THREADS = 2


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
        md5s: was asked for it; None: it is counted here.

    Raises:
        FileNotFoundError: there is no such file.
        UnavailableError: it cannot be read.
    """

    def __init__(self, source: Source, md5s: Md5s | None = None) -> None:
        self._looked_at = source
        self._path = Path(source.path)
        with reported(self._path, "read"):
            self._descriptor = os.open(self._path, os.O_RDONLY)
        self._md5s = md5s
        # where nobody else counts
        self._md5 = md5_of()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
            if self._md5s is None:
                self._md5.update(buffer[len(rest) : end])
            else:
                self._md5s.keep_pace(offset)
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
        self._looked_at.require_same(self._descriptor)
        digest: str = self._md5.hexdigest() if self._md5s is None else self._md5s.take()[0]
        return digest

    def _fill(self, target: memoryview, offset: int) -> int:
        n_read = 0
        with reported(self._path, "read"):
            while n_read < len(target) and (n := os.preadv(self._descriptor, [target[n_read:]], offset + n_read)):
                n_read += n
        return n_read


def digest_file(path: Path) -> Stored:
    """Return what `Writer.put_file` would, and keep nothing.

    Raises:
        FileNotFoundError: there is no such file.
        UnavailableError: it cannot be read.
    """
    with reported(path, "read"):
        source = find_source(path)
        with counting([source]) as md5s:
            if md5s is not None:
                md5s.ask([source])
            return _digest_large(source, md5s)


def digest_files(sources: Sequence[Source]) -> Iterator[Stored]:
    """Yield what each file is, in their order, and keep nothing.

    Raises:
        FileNotFoundError: there is no such file.
        ConflictError: one was changed since it was looked at.
        UnavailableError: one cannot be read.
    """
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="objects") as pool, counting(sources) as md5s:
        for small, large in group_small(pool, sources, md5s):
            if large is not None:
                yield _digest_large(large, md5s)
            else:
                yield from (each.stored() for each in small)


def group_small(
    pool: ThreadPoolExecutor, sources: Sequence[Source], md5s: Md5s | None
) -> Iterator[tuple[list[Small], Source | None]]:
    """Yield files in their order: small ones in groups that were read ahead, a large one alone and unread.

    Args:
        pool: reads the small ones.
        sources: the files.
        md5s: is asked for all of them; whoever takes a large one takes its md5. None: whoever reads them counts.
    """
    waiting: deque[Future[list[Small]] | Source] = deque()
    for group in _group(sources):
        if md5s is not None:
            md5s.ask(group if isinstance(group, list) else [group])
        read = partial(_read_all, has_md5=md5s is None)
        waiting.append(pool.submit(read, group) if isinstance(group, list) else group)
        while len(waiting) > _AHEAD:
            yield _take(waiting.popleft(), md5s)
    while waiting:
        yield _take(waiting.popleft(), md5s)


def read_small(source: Source, *, has_md5: bool = True) -> Small:
    """Read a small file whole; its md5 stays empty where it is not wanted.

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
    return Small(len(content), md5_of(content).hexdigest() if has_md5 else "", chunks)


def _digest_large(source: Source, md5s: Md5s | None) -> Stored:
    records: list[Record] = []
    with Blocks(source, md5s) as blocks:
        for chunks in blocks:
            records += [Record(blake3.blake3(chunk).digest(), len(chunk)) for chunk in chunks]
        md5 = blocks.finish()
    return Stored(name_of(records), sum(record.size for record in records), md5)


def _take(item: Future[list[Small]] | Source, md5s: Md5s | None) -> tuple[list[Small], Source | None]:
    if isinstance(item, Source):
        return [], item
    found = item.result()
    if md5s is not None:
        found = [Small(each.size, md5, each.chunks) for each, md5 in zip(found, md5s.take(), strict=True)]
    return found, None


def _read_all(sources: list[Source], *, has_md5: bool) -> list[Small]:
    found = []
    for source in sources:
        try:
            found.append(read_small(source, has_md5=has_md5))
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
