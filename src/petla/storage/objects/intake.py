"""Reading files for the store: their chunks, and their md5."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import blake3

from petla.storage.files import reported
from petla.storage.objects.beside.counting import Md5s, counting
from petla.storage.objects.beside.sharing import SMALL_BYTES, is_small, share, sharing
from petla.storage.objects.naming import LEAST_BYTES, Record, Stored, cut, md5_of, name_of
from petla.storage.objects.sources import Source, find_source

_BLOCK_BYTES = 4 << 20


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
        md5s: counts it as its next; None: it is counted here.

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
        digest: str = self._md5.hexdigest() if self._md5s is None else self._md5s.take()
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
            return _digest_large(source, md5s)


def digest_files(sources: Sequence[Source]) -> Iterator[Stored]:
    """Yield what each file is, in their order, and keep nothing.

    Raises:
        FileNotFoundError: there is no such file.
        ConflictError: one was changed since it was looked at.
        UnavailableError: one cannot be read.
    """
    large = [source for source in sources if not is_small(source)]
    with counting(large) as md5s, sharing(sources) as partner:
        for some in share(sources, digest_small, lambda source: _digest_large(source, md5s), partner):
            yield from some


def digest_small(sources: Sequence[Source]) -> list[Stored]:
    """Return what small files are, and keep nothing.

    Raises:
        FileNotFoundError, ConflictError, UnavailableError: as `digest_files`.
    """
    return [each.stored() for each in read_all(sources)]


def read_all(sources: Sequence[Source]) -> list[Small]:
    """Read small files whole.

    Raises:
        FileNotFoundError, ConflictError, UnavailableError: as `digest_files`.
    """
    found = []
    for source in sources:
        try:
            found.append(_read_small(source))
        except OSError:
            with reported(Path(source.path), "read"):
                raise
    return found


def _read_small(source: Source) -> Small:
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


def _digest_large(source: Source, md5s: Md5s | None) -> Stored:
    records: list[Record] = []
    with Blocks(source, md5s) as blocks:
        for chunks in blocks:
            records += [Record(blake3.blake3(chunk).digest(), len(chunk)) for chunk in chunks]
        md5 = blocks.finish()
    return Stored(name_of(records), sum(record.size for record in records), md5)
