"""From a name to its bytes: every chunk is verified before anybody sees it."""

import os
import threading
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from petla.core.errors import CorruptError, NotFoundError
from petla.storage.files import reported
from petla.storage.objects.index import Index, Place, batches
from petla.storage.objects.naming import ChunkList, Record, decode_list
from petla.storage.objects.packs import HEADER_BYTES, Payload, open_payload

_OPEN_PACKS = 64
# content longer than this is read ahead by threads
_AHEAD_BYTES = 4 << 20
_CHUNKS_AT_ONCE = 32
# so much is read at once where it lies in one piece
_RUN_BYTES = 2 << 20
_THREADS = 2


class Reader:
    """Reads entries of a store.

    Args:
        index: says where they lie.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._mutex = threading.Lock()
        self._open: OrderedDict[str, _OpenPack] = OrderedDict()

    def get(self, digest: bytes) -> bytes:
        """Return the content of one entry, verified.

        Raises:
            NotFoundError: there is no such entry.
            CorruptError: its bytes do not match its name.
            UnavailableError: its pack cannot be read.
        """
        place = self.locate(digest)
        return bytes(self.open(place, self.read_payload(place)))

    def open(self, place: Place, payload: Payload) -> Payload:
        """Return the content of a payload, verified.

        Raises:
            CorruptError: it is not what the entry says.
        """
        try:
            return open_payload(place.entry, payload)
        except ValueError as error:
            raise self.corrupt(place, str(error)) from error

    def locate(self, digest: bytes) -> Place:
        """Return an entry's place.

        Raises:
            NotFoundError: there is none.
        """
        place = self._index.find(digest)
        if place is None:
            raise NotFoundError(
                f"object {digest.hex()} is not in {self._index.packs.parent}",
                hint="bring it back with 'petla data pull', or, if it is data, add the data again",
            )
        return place

    def get_list(self, digest: bytes) -> ChunkList | None:
        """Return a list; None: the name is that of a chunk.

        Raises:
            NotFoundError, CorruptError, UnavailableError: as `get`.
        """
        place = self.locate(digest)
        if not place.entry.is_list:
            return None
        content = self.open(place, self.read_payload(place))
        try:
            return decode_list(content)
        except ValueError as error:
            raise self.corrupt(place, str(error)) from error

    def list_chunks(self, digest: bytes) -> Iterator[Record]:
        """Yield the chunks of some content in their order.

        Raises:
            NotFoundError, CorruptError, UnavailableError: as `get`.
        """
        found = self.get_list(digest)
        if found is None:
            yield Record(digest, self.locate(digest).entry.size)
            return
        for record in found.records:
            if found.level:
                yield from self.list_chunks(record.digest)
            else:
                yield record

    def stream(self, digest: bytes) -> Iterator[Payload]:
        """Yield the verified chunks of some content in their order.

        Raises:
            NotFoundError, CorruptError, UnavailableError: as `get`; what came before was right.
        """
        found = self.get_list(digest)
        if found is None:
            yield self.get(digest)
        elif found.size <= _AHEAD_BYTES:
            for record in self.list_chunks(digest):
                yield self.get(record.digest)
        else:
            yield from self._stream_ahead(self.list_chunks(digest))

    def read_payload(self, place: Place) -> bytes:
        """Return a payload as it lies."""
        path = self._index.packs / place.pack
        for _ in range(2):
            try:
                with reported(path, "read"):
                    return self._open_pack(place.pack).read(place.entry.stored, place.offset)
            except FileNotFoundError:
                # A sweep has moved it since the index was asked.
                place = self.locate(place.entry.digest)
                path = self._index.packs / place.pack
        raise self.corrupt(place, "the pack is gone")

    def read_payloads(self, places: Iterable[Place]) -> Iterator[tuple[Place, Payload]]:
        """Yield payloads as they lie; those that lie one behind the other are read at once."""
        for run in _list_runs(places):
            first, last = run[0], run[-1]
            n_bytes = last.offset + last.entry.stored - first.offset
            whole = first._replace(entry=first.entry._replace(stored=n_bytes))
            content = memoryview(self.read_payload(whole)) if len(run) > 1 else memoryview(b"")
            for place in run:
                start = place.offset - first.offset
                payload = content[start : start + place.entry.stored]
                # alone, or a sweep has moved them, or the pack is cut off
                is_here = len(content) == n_bytes
                yield place, payload if is_here else self.read_payload(place)

    def corrupt(self, place: Place, problem: str) -> CorruptError:
        """Return the error for a damaged entry."""
        return CorruptError(
            f"object {place.entry.digest.hex()} in {self._index.packs / place.pack} is damaged: {problem}",
            hint="petla data verify names all that is damaged and how to bring it back; nothing was overwritten",
        )

    def close(self) -> None:
        """Close the packs; they open again on the next use."""
        with self._mutex:
            self._open.clear()

    def _stream_ahead(self, records: Iterator[Record]) -> Iterator[Payload]:
        waiting: deque[Future[list[Payload]]] = deque()
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="chunks") as pool:
            try:
                while some := list(islice(records, _CHUNKS_AT_ONCE)):
                    waiting.append(pool.submit(self._get_many, [record.digest for record in some]))
                    if len(waiting) > _THREADS:
                        yield from waiting.popleft().result()
                while waiting:
                    yield from waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _get_many(self, digests: list[bytes]) -> list[Payload]:
        places = self._index.find_many(digests)
        wanted = [places.get(digest) or self.locate(digest) for digest in digests]
        return [self.open(place, payload) for place, payload in self.read_payloads(wanted)]

    def _open_pack(self, pack: str) -> "_OpenPack":
        with self._mutex:
            found = self._open.get(pack)
            if found is None:
                found = self._open[pack] = _OpenPack(self._index.packs / pack)
                if len(self._open) > _OPEN_PACKS:
                    self._open.popitem(last=False)
            else:
                self._open.move_to_end(pack)
            return found


class _OpenPack:
    """A pack that is closed once nobody reads from it any more."""

    def __init__(self, path: Path) -> None:
        self._descriptor = -1
        self._descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def read(self, size: int, offset: int) -> bytes:
        return os.pread(self._descriptor, size, offset)


def _list_runs(places: Iterable[Place]) -> Iterator[list[Place]]:
    run: list[Place] = []
    for place in places:
        if run and not _is_next(run, place):
            yield run
            run = []
        run.append(place)
    if run:
        yield run


def _is_next(run: Sequence[Place], place: Place) -> bool:
    last = run[-1]
    is_behind = place.pack == last.pack and place.offset == last.offset + last.entry.stored + HEADER_BYTES
    return is_behind and place.offset - run[0].offset < _RUN_BYTES


def walk(index: Index, reader: Reader, digests: Iterable[bytes], known: set[bytes]) -> Iterator[Place]:
    """Yield all entries that some content needs, each once, chunks before the lists that name them.

    Args:
        index: says where they lie.
        reader: reads the lists.
        digests: names of content.
        known: what was yielded already; grows.

    Raises:
        NotFoundError, CorruptError, UnavailableError: as `Reader.get`.
    """
    for some in batches(digests, _CHUNKS_AT_ONCE * 8):
        fresh = [digest for digest in dict.fromkeys(some) if digest not in known]
        known.update(fresh)
        places = index.find_many(fresh)
        for digest in fresh:
            place = places.get(digest) or reader.locate(digest)
            if place.entry.is_list:
                found = reader.get_list(digest)
                yield from walk(index, reader, (record.digest for record in found.records) if found else (), known)
            yield place
