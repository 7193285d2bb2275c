"""Large files that are written while what they consist of arrives, so that nobody has to read it again for them.

Chunks that come in the order of the file go straight to the disk. What comes late, comes once for several places, or
was here already is read from the store at the end. A chunk is verified before it comes here, and its places are those
that verified lists name: what is finished is the object.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from petla.storage.files import mode_of, reported
from petla.storage.objects.disk.filling import LARGE_BYTES, finish_file
from petla.storage.objects.disk.uncached import Flow
from petla.storage.objects.naming import ChunkList, Record
from petla.storage.objects.packs import Codec, Entry, Payload, open_payload

# each takes the memory of a flow
_OPEN = 1


class Landings:
    """The files that wait for their chunks, and those that are complete.

    Args:
        folder: where they are written; None: nobody wants any.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._waiting: set[str] = set()
        self._lists: dict[bytes, ChunkList] = {}
        self._landings: list[_Landing] = []
        self._finished: dict[str, Path] = {}

    def want(self, objects: Iterable[str]) -> None:
        """Ask for objects as files."""
        if self._folder is not None:
            self._waiting.update(objects)

    def expect(self, lists: Mapping[bytes, ChunkList]) -> None:
        """Learn from lists that came which chunks belong where."""
        self._lists |= lists if self._waiting else {}
        for digest in sorted(self._waiting):
            with contextlib.suppress(KeyError):
                records = list(self._list_chunks(bytes.fromhex(digest)))
                self._waiting.discard(digest)
                if self._folder is not None and sum(record.size for record in records) >= LARGE_BYTES:
                    self._landings.append(_Landing(digest, self._folder / digest, records))

    def take(self, pairs: Iterable[tuple[Entry, Payload]]) -> None:
        """Write chunks that came, where files wait for them.

        Raises:
            UnavailableError: the disk is full or may not be written.
        """
        for entry, payload in pairs if self._landings else ():
            for landing in self._landings:
                if landing.is_waiting_for(entry.digest) and self._may_write(landing):
                    with reported(landing.path):
                        landing.write(entry, payload)

    def finish(self, read: Callable[[str], Iterator[Payload]]) -> None:
        """Write what did not come in order.

        A file of which little came is removed: the store is read faster as a whole.

        Args:
            read: yields the verified bytes of a chunk.

        Raises:
            UnavailableError: the disk is full or may not be written.
        """
        for landing in self._landings:
            with reported(landing.path):
                if landing.is_begun and landing.finish(read):
                    self._finished[landing.digest] = landing.path
        self._landings.clear()

    def pop(self, digest: str) -> Path | None:
        """Return the complete file of an object, which is the caller's from now on, or None."""
        return self._finished.pop(digest, None)

    def close(self) -> None:
        """Let go of what is not complete."""
        for landing in self._landings:
            landing.close()
        self._landings.clear()

    def _may_write(self, landing: "_Landing") -> bool:
        return landing.is_open or (not landing.is_begun and sum(each.is_open for each in self._landings) < _OPEN)

    def _list_chunks(self, digest: bytes) -> Iterator[Record]:
        found = self._lists[digest]
        for record in found.records:
            if found.level:
                yield from self._list_chunks(record.digest)
            else:
                yield record


class _Landing:
    """One file, and what it still lacks."""

    def __init__(self, digest: str, path: Path, records: Sequence[Record]) -> None:
        self.digest = digest
        self.path = path
        self._size = 0
        # where each chunk goes; those that are written are taken out
        self._places: dict[bytes, list[int]] = {}
        for record in records:
            self._places.setdefault(record.digest, []).append(self._size)
            self._size += record.size
        self._awaited = set(self._places)
        self._n_written = 0
        self._descriptor = -1
        self._flow: Flow | None = None
        self.is_begun = False

    @property
    def is_open(self) -> bool:
        """Whether it takes up memory."""
        return self._flow is not None

    def is_waiting_for(self, digest: bytes) -> bool:
        """Whether a chunk belongs to it that has not come."""
        return digest in self._awaited

    def write(self, entry: Entry, payload: Payload) -> None:
        """Write a verified chunk, unless it is late."""
        flow = self._flow or self._begin()
        self._awaited.discard(entry.digest)
        first, *others = self._places[entry.digest]
        content = payload if entry.codec is Codec.RAW else open_payload(entry, payload)
        if flow.add_at(first, content):
            self._places[entry.digest] = others
            self._n_written += entry.size
        if not self._awaited:
            self._end_flow()

    def finish(self, read: Callable[[str], Iterator[Payload]]) -> bool:
        """Write what is left; return whether it was little, else the file is removed."""
        self._end_flow()
        if self._n_written * 2 < self._size:
            self.path.unlink()
            self.close()
            return False
        for digest, places in self._places.items():
            content = b"".join(read(digest.hex())) if places else b""
            for place in places:
                _write_at(self._descriptor, content, place)
        descriptor, self._descriptor = self._descriptor, -1
        finish_file(descriptor, self._size, mode_of(self.path))
        return True

    def close(self) -> None:
        """Let go of the file; unless it was finished, it is of no use."""
        if self._flow is not None:
            self._flow.close()
            self._flow = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _begin(self) -> Flow:
        self.is_begun = True
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode_of(self.path))
        self._flow = Flow(self._descriptor)
        return self._flow

    def _end_flow(self) -> None:
        if self._flow is not None:
            self._flow.finish()
            self._flow.close()
            self._flow = None


def _write_at(descriptor: int, content: bytes, offset: int) -> None:
    n_written = 0
    while n_written < len(content):
        n_written += os.pwrite(descriptor, content[n_written:], offset + n_written)
