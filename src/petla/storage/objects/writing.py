"""From bytes to packs: what is new is appended, and nothing counts before it is safe.

A writer holds a lock on the pack that it appends to; another writer takes another pack. A pack's entries get into the
index only once the pack was flushed to the disk, so what a killed writer left behind is at worst a tail that nobody
refers to.
"""

import contextlib
import fcntl
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import blake3

from petla.core.errors import CorruptError
from petla.core.ids import uuid7_source
from petla.core.progress import SILENT, Progress
from petla.storage.files import make_folder, mode_of, reported, sync_folder
from petla.storage.objects.beside.counting import Md5s, counting
from petla.storage.objects.beside.sharing import SMALL_BYTES, is_small, share, sharing
from petla.storage.objects.disk.uncached import Stage, Stages
from petla.storage.objects.index import Index, Place, batches_of_bytes
from petla.storage.objects.intake import Blocks, read_all
from petla.storage.objects.naming import MOST_BYTES, Record, Stored, build_lists, cut
from petla.storage.objects.packs import (
    HEADER_BYTES,
    PACK_BYTES,
    SUFFIX,
    Codec,
    Entry,
    Payload,
    Placed,
    compress,
    encode_header,
    open_payload,
)
from petla.storage.objects.sources import Source, find_source

# So many new bytes of a session are compressed at once; the rest would keep people waiting, and is compressed when it
# travels or when a sweep writes it again.
_COMPRESSED_BYTES = 32 << 20
# what is appended at once
_BATCH_BYTES, _BATCH = 4 << 20, 256
# packs that may wait for the disk, while another one is filled
_FLUSHES = 1
_STAGE_BYTES = PACK_BYTES + _BATCH_BYTES + MOST_BYTES + _BATCH * HEADER_BYTES


class _Chunk(NamedTuple):
    digest: bytes
    content: bytes | memoryview
    is_list: bool = False


_Pair = tuple[Entry, Payload]


class Writer:
    """One session of writing; made by `ObjectStore.writing`.

    Args:
        index: of the store.
        progress: is told of the bytes that were read.
        compress_bytes: so many new bytes are compressed; None: all.
    """

    def __init__(self, index: Index, progress: Progress = SILENT, compress_bytes: int | None = None) -> None:
        self._index = index
        self._progress = progress
        self._compressible = _COMPRESSED_BYTES if compress_bytes is None else compress_bytes
        self._tail: _Tail | None = None
        # digests of this session that are not in the index yet
        self._fresh: set[bytes] = set()
        self._relied: list[Place] = []
        # full packs on their way to the disk, one after the other: a list must not be known before its chunks
        self._flushes: deque[tuple[Future[None], _Tail]] = deque()
        self._flusher = ThreadPoolExecutor(1, thread_name_prefix="flush")
        # from which a pack is full
        self._pack_bytes = PACK_BYTES
        self._stages = Stages(_FLUSHES + 1, _STAGE_BYTES)

    def put_bytes(self, content: bytes) -> str:
        """Keep bytes; return their name.

        Raises:
            UnavailableError: the disk is full or may not be written.
        """
        records = self._put_chunks(list(cut(content)))
        self._progress.advance(len(content))
        return self._name(records)

    def put_file(self, path: Path) -> Stored:
        """Keep a file's content, read once.

        Raises:
            FileNotFoundError: there is no such file.
            ConflictError: it is being changed.
            UnavailableError: it cannot be read, or the disk is full or may not be written.
        """
        with reported(path, "read"):
            source = find_source(path)
        (stored,) = self.put_files([source])
        return stored

    def _put_large(self, source: Source, md5s: Md5s | None) -> Stored:
        records: list[Record] = []
        with Blocks(source, md5s) as blocks:
            for chunks in blocks:
                records += self._put_chunks(chunks)
                self._progress.advance(sum(len(chunk) for chunk in chunks))
            md5 = blocks.finish()
        return Stored(self._name(records), sum(record.size for record in records), md5)

    def put_files(self, sources: Sequence[Source]) -> Iterator[Stored]:
        """Keep the content of files, and yield what each is, in their order.

        Where there are many small files, a partner keeps a part of them, and commits it on its own.

        Raises:
            FileNotFoundError, ConflictError, UnavailableError: as `put_file`.
        """
        large = [source for source in sources if not is_small(source)]
        with counting(large) as md5s, sharing(sources, self._index.packs.parent) as partner:
            if partner is not None:
                self.share_room()
            for some in share(sources, self.put_small, lambda source: self._put_large(source, md5s), partner):
                self._progress.advance(sum(each.size for each in some if each.size < SMALL_BYTES))
                yield from some

    def put_small(self, sources: Sequence[Source]) -> list[Stored]:
        """Keep the content of small files here.

        Raises:
            FileNotFoundError, ConflictError, UnavailableError: as `put_file`.
        """
        some = read_all(sources)
        self._keep([_Chunk(*chunk) for each in some for chunk in each.chunks])
        names = [self._name([Record(digest, len(content)) for digest, content in each.chunks]) for each in some]
        return [Stored(name, each.size, each.md5) for name, each in zip(names, some, strict=True)]

    def share_room(self) -> None:
        """Use half the memory and half the time for compressing, since another process does as much beside."""
        self._pack_bytes = PACK_BYTES // 2
        self._compressible //= 2

    def put_payload(self, entry: Entry, payload: Payload) -> None:
        """Keep an entry as it came from another store.

        Raises:
            CorruptError: it is not what its name says.
            UnavailableError: the disk is full or may not be written.
        """
        try:
            open_payload(entry, payload)
        except ValueError as error:
            raise CorruptError(f"object {entry.digest.hex()} arrived damaged: {error}", hint="try again") from error
        self.put_verified([(entry, payload)])

    def put_verified(self, pairs: Sequence[tuple[Entry, Payload]]) -> None:
        """Keep entries that the caller has compared with their names.

        Raises:
            UnavailableError: the disk is full or may not be written.
        """
        fresh = {entry.digest: (entry, payload) for entry, payload in pairs if entry.digest not in self._fresh}
        places = self._index.find_many(fresh)
        self._relied.extend(places.values())
        self._append([pair for digest, pair in fresh.items() if digest not in places])

    def commit(self) -> None:
        """Make all that was put safe, and known to everybody."""
        while self._flushes:
            self._await_flush()
        if self._tail is not None:
            self._tail.commit()
            self._tail = None
        self._index.touch(self._relied)
        self._relied.clear()
        self._fresh.clear()

    def close(self) -> None:
        """End the session; what was not committed does not count."""
        self._flusher.shutdown(wait=True, cancel_futures=True)
        for _, tail in self._flushes:
            tail.close()
        if self._tail is not None:
            self._tail.close()
            self._tail = None

    def _put_chunks(self, chunks: Sequence[memoryview]) -> list[Record]:
        found = [_Chunk(blake3.blake3(chunk).digest(), chunk) for chunk in chunks]
        self._keep(found)
        return [Record(chunk.digest, len(chunk.content)) for chunk in found]

    def _name(self, records: Sequence[Record]) -> str:
        """Keep the lists above chunks; return the name of it all."""
        if len(records) == 1:
            return records[0].digest.hex()
        lists = [_Chunk(digest, encoded, is_list=True) for digest, encoded in build_lists(records)]
        self._keep(lists)
        return lists[-1].digest.hex()

    def _keep(self, chunks: Iterable[_Chunk]) -> None:
        wanted = {chunk.digest: chunk for chunk in chunks if chunk.digest not in self._fresh}
        places = self._index.find_many(wanted)
        self._relied.extend(places.values())
        if len(self._relied) > 100_000:
            self._index.touch(self._relied)
            self._relied.clear()
        self._append([self._encode(chunk) for digest, chunk in wanted.items() if digest not in places])

    def _encode(self, chunk: _Chunk) -> _Pair:
        size = len(chunk.content)
        codec, payload = Codec.RAW, chunk.content
        if self._compressible > 0 and not chunk.is_list:
            self._compressible -= size
            codec, payload = compress(chunk.content)
        return Entry(chunk.digest, chunk.is_list, codec, size, len(payload)), payload

    def _append(self, pairs: Sequence[_Pair]) -> None:
        for some in batches_of_bytes(pairs, lambda pair: pair[0].stored, _BATCH_BYTES, most=_BATCH):
            if self._tail is None:
                self._tail = _Tail(self._index, self._stages)
            self._tail.append(some)
            self._fresh.update(entry.digest for entry, _ in some)
            if self._tail.size >= self._pack_bytes:
                self._retire_tail()

    def _retire_tail(self) -> None:
        """Flush a full pack and index it, beside the work that goes on."""
        if self._tail is not None:
            self._flushes.append((self._flusher.submit(self._tail.commit), self._tail))
            self._tail = None
        while len(self._flushes) > _FLUSHES:
            self._await_flush()

    def _await_flush(self) -> None:
        flush, tail = self._flushes[0]
        flush.result()
        self._flushes.popleft()
        self._fresh.difference_update(placed.entry.digest for placed in tail.placed)


class Mover:
    """Writes entries again in packs of their own; the index then says that they lie there. For sweeps.

    Args:
        index: of the store.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._tail: _Tail | None = None
        self._stages = Stages(1, _STAGE_BYTES)

    def put(self, entry: Entry, payload: Payload) -> None:
        """Write an entry again; what lies raw is compressed if it pays."""
        if entry.codec is Codec.RAW and not entry.is_list:
            codec, packed = compress(payload)
            entry, payload = entry._replace(codec=codec, stored=len(packed)), bytes(packed)
        if self._tail is None:
            self._tail = _Tail(self._index, self._stages, is_apart=True)
        self._tail.append([(entry, payload)])
        if self._tail.size >= PACK_BYTES:
            self.commit()

    def commit(self) -> None:
        """Make what was written safe, and known."""
        if self._tail is not None:
            self._tail.commit(moves=True)
            self._tail = None

    def close(self) -> None:
        """End; what was not committed does not count."""
        if self._tail is not None:
            self._tail.close()
            self._tail = None


class _Tail:
    """The end of one pack, which this writer alone appends to."""

    def __init__(self, index: Index, stages: Stages, *, is_apart: bool = False) -> None:
        self._index = index
        self._stages = stages
        self._stage: Stage | None = None
        self.placed: list[Placed] = []
        self._descriptor, self._path, self._is_made = _make_pack(index) if is_apart else _take_pack(index)
        try:
            self.size = self._end = _cut_torn(index, self._path, self._descriptor)
        except BaseException:
            os.close(self._descriptor)
            raise
        if self._is_made:
            self._stage = stages.take()

    def append(self, pairs: Sequence[_Pair]) -> None:
        """Append entries; nothing of it counts before `commit`."""
        parts: list[Payload] = []
        offset = self.size
        placed = []
        for entry, payload in pairs:
            parts += (encode_header(entry), payload)
            placed.append(Placed(entry, offset + HEADER_BYTES))
            offset += HEADER_BYTES + entry.stored
        if self._stage is not None:
            self._stage.append(parts)
        else:
            with reported(self._path):
                _write_all(self._descriptor, parts, self.size)
        self.size = offset
        self.placed += placed

    def commit(self, *, moves: bool = False) -> None:
        """Flush to the disk, tell the index, let go."""
        try:
            with reported(self._path):
                if self._stage is not None:
                    self._stage.write(self._descriptor)
                    sync_folder(self._path.parent)
                else:
                    os.fdatasync(self._descriptor)
            # From here on the bytes stay, whatever becomes of the index.
            self._end = self.size
            self._index.insert(self._path.name, self.size, self.placed, moves=moves)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the pack; what was not committed is cut off, so that a full disk has room again."""
        if self._stage is not None:
            self._stages.give_back(self._stage)
            self._stage = None
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            os.close(self._descriptor)
            self._descriptor = -1


_next_id = uuid7_source()


def _take_pack(index: Index) -> tuple[int, Path, bool]:
    """Lock a pack that has room and that nobody else appends to, else a new one."""
    for name, size in reversed(index.list_packs()[-8:]):
        if size < PACK_BYTES // 2 and (descriptor := _try_lock(index.packs / name)) >= 0:
            return descriptor, index.packs / name, False
    return _make_pack(index)


def _make_pack(index: Index) -> tuple[int, Path, bool]:
    path = index.packs / f"{_next_id().replace('-', '')}{SUFFIX}"
    with reported(path):
        make_folder(index.packs)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode_of(path))
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor, path, True


def _try_lock(path: Path) -> int:
    """Return a descriptor that holds the lock, or -1."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return -1
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A sweep may have removed it between the two calls.
        is_there = path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino
    except OSError:
        is_there = False
    if not is_there:
        os.close(descriptor)
        return -1
    return descriptor


def _cut_torn(index: Index, path: Path, descriptor: int) -> int:
    """Take over what a killed writer finished, cut off what it did not; return where the pack ends."""
    with reported(path):
        end = index.adopt(path.name, descriptor)
        if os.fstat(descriptor).st_size > end:
            os.ftruncate(descriptor, end)
    return end


def _write_all(descriptor: int, parts: list[Payload], offset: int) -> None:
    n_written = os.pwritev(descriptor, parts, offset)
    n_expected = sum(len(part) for part in parts)
    while n_written < n_expected:
        # A full disk takes a part and refuses the rest: the next call says so.
        rest = b"".join(parts)[n_written:]
        n_written += os.pwrite(descriptor, rest, offset + n_written)
