"""The object store: what the rest of the house sees of it."""

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from petla.core.errors import CorruptError, NotFoundError
from petla.core.progress import SILENT, Progress
from petla.storage.files import lock, reported
from petla.storage.objects.disk.filling import Wanted, create, fill
from petla.storage.objects.disk.landing import Landings
from petla.storage.objects.index import Index, Place, batches
from petla.storage.objects.naming import Record, Stored, digest_content
from petla.storage.objects.packs import Entry, Payload
from petla.storage.objects.reading import Reader, walk
from petla.storage.objects.sweeping import Sweep, plan_sweep, remove, sweep
from petla.storage.objects.writing import Writer
from petla.storage.temporary import temporary_folder

# how long a sweep waits for writers, and they for it
_WAIT_S = 600.0
_WRITTEN_AT_ONCE = 128


class Usage(msgspec.Struct, frozen=True):
    """How much a store holds."""

    entries: int
    packs: int
    # before compression
    size_bytes: int
    # files on the disk
    stored_bytes: int


class Damage(msgspec.Struct, frozen=True):
    """An entry that is not what its name says."""

    digest: str
    pack: str
    problem: str


class ObjectStore:
    """A folder of immutable objects, each named by its content.

    Many processes may read and write it at once. Nothing that is read is unverified.

    Args:
        folder: where the packs lie; made on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index = Index(folder)
        self._reader = Reader(self._index)
        # what arrives is written to files as well, where somebody wants them
        self.landings = Landings()

    @property
    def temporary(self) -> Path:
        """The folder of the project's temporary folders, beside the packs."""
        return self.folder / "tmp"

    def __contains__(self, digest: str) -> bool:
        return self._index.find(bytes.fromhex(digest)) is not None

    @contextlib.contextmanager
    def writing(self, progress: Progress = SILENT, *, compress_bytes: int | None = None) -> Iterator[Writer]:
        """Put many objects at once; what was put counts at the end of the block, or before.

        Args:
            progress: is told of the bytes that were read.
            compress_bytes: so many new bytes are compressed; None: as much as nobody has to wait for.
        """
        with shared(self.folder):
            writer = Writer(self._index, progress, compress_bytes)
            try:
                yield writer
                writer.commit()
            finally:
                writer.close()

    @contextlib.contextmanager
    def landing(self, folder: Path) -> Iterator[None]:
        """Write large objects that are pulled in the block to a folder at once; those that nobody took are removed.

        Args:
            folder: on the file system where they are wanted.
        """
        with reported(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with temporary_folder(self.temporary, near=folder) as aside:
            self.landings = Landings(aside)
            try:
                yield
            finally:
                self.landings.close()
                self.landings = Landings()

    def put_bytes(self, content: bytes) -> str:
        """Keep bytes; return their name. Known bytes are not written again.

        Raises:
            UnavailableError: the disk is full or may not be written.
        """
        place = self._index.find(bytes.fromhex(digest := digest_content(content)))
        if place is not None:
            self._index.touch([place])
            return digest
        with self.writing() as writer:
            return writer.put_bytes(content)

    def put_file(self, source: Path) -> Stored:
        """Keep a copy of a file, read once; return what it is.

        Raises:
            FileNotFoundError: there is no such source.
            UnavailableError: the source cannot be read, or the disk is full or may not be written.
        """
        with self.writing() as writer:
            return writer.put_file(source)

    def get_bytes(self, digest: str) -> bytes:
        """Return an object's bytes.

        Raises:
            NotFoundError: there is no such object.
            CorruptError: its bytes do not match its name.
            UnavailableError: it cannot be read.
        """
        return b"".join(self.read(digest))

    def read(self, digest: str) -> Iterator[Payload]:
        """Yield an object's bytes, chunk by chunk, each verified.

        Raises:
            NotFoundError, CorruptError, UnavailableError: as `get_bytes`; what came before was right.
        """
        return self._reader.stream(bytes.fromhex(digest))

    def size_of(self, digest: str) -> int:
        """Return an object's size in bytes.

        Raises:
            NotFoundError: there is no such object.
        """
        found = self._reader.get_list(bytes.fromhex(digest))
        return self._reader.locate(bytes.fromhex(digest)).entry.size if found is None else found.size

    def copy_out(self, digest: str, target: Path, *, mode: int = 0o644) -> None:
        """Write an object to a file, which is replaced only once all of it was verified.

        Raises:
            NotFoundError: there is no such object.
            CorruptError: its bytes do not match its name; the target stays as it was.
            UnavailableError: the disk is full or may not be written; the target stays as it was.
        """
        with reported(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(self.temporary, near=target.parent) as folder, reported(target):
            self.write_out(digest, folder / "file", mode=mode)
            os.replace(folder / "file", target)  # noqa: PTH105 - says that it replaces

    def write_out(self, digest: str, target: Path, *, mode: int = 0o644) -> None:
        """Write an object to a file that is nobody's yet; what was written before a failure stays there.

        Raises:
            NotFoundError, CorruptError: as `copy_out`.
            OSError: the target cannot be written.
        """
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        fill(descriptor, self.read(digest), mode, size=self.size_of(digest))

    def write_files(self, wanted: Sequence[Wanted], stopped: threading.Event, progress: Progress = SILENT) -> None:
        """Write objects to new files; small ones are read many at once.

        Args:
            wanted: the files, in an order that follows the store's as far as possible.
            stopped: set by others: leave the rest.
            progress: is told of the bytes that were written.

        Raises:
            FileExistsError: there is a file of that name already.
            NotFoundError, CorruptError: as `copy_out`.
            OSError: one cannot be written.
        """
        for some in batches(wanted, _WRITTEN_AT_ONCE):
            if stopped.is_set():
                return
            places = self._index.find_many(bytes.fromhex(each.digest) for each in some)
            small, large = [], []
            for each in some:
                place = places.get(bytes.fromhex(each.digest))
                if place is None or place.entry.is_list:
                    large.append(each)
                else:
                    small.append((each, place))
            for (each, _), (place, payload) in zip(small, self._reader.read_payloads(p for _, p in small), strict=True):
                create(each, [self._reader.open(place, payload)])
                progress.advance(place.entry.size)
            for each in large:
                if not stopped.is_set():
                    progress.advance(create(each, self.read(each.digest), size=self.size_of(each.digest)))

    def verify(self, digest: str) -> None:
        """Read an object and compare it with its name.

        Raises:
            NotFoundError: there is no such object.
            CorruptError: its bytes do not match its name.
            UnavailableError: it cannot be read.
        """
        for _ in self.read(digest):
            pass

    def set_aside(self, digest: str) -> Path:
        """Forget where the damaged entries of an object lie, so that the same content can be kept again.

        Returns:
            A pack that holds one of them; it keeps the bytes until a sweep.
        """
        known: set[bytes] = set()
        pack = ""
        while (place := self._find_damaged(bytes.fromhex(digest), known)) is not None:
            pack = place.pack
            self._index.drop([place.entry.digest])
        return self._index.packs / pack

    def rely_on(self, digests: Iterable[str]) -> set[str]:
        """Return those objects whose names are known here, and keep sweeps away from them for a while."""
        places = self._index.find_many(bytes.fromhex(digest) for digest in digests)
        self._index.touch(places.values())
        return {digest.hex() for digest in places}

    def find_missing(self, digests: Iterable[str]) -> set[str]:
        """Return those objects that are not here, or not whole."""
        missing = set()
        known: set[bytes] = set()
        for digest in digests:
            try:
                for _ in walk(self._index, self._reader, [bytes.fromhex(digest)], known):
                    pass
            except (NotFoundError, CorruptError):
                missing.add(digest)
        return missing

    def list_entries(self, digests: Iterable[str]) -> Iterator[Place]:
        """Yield all that objects consist of, each entry once, chunks before the lists that name them.

        Raises:
            NotFoundError, CorruptError: an object is not here, or not whole.
        """
        return walk(self._index, self._reader, (bytes.fromhex(digest) for digest in digests), set())

    def list_records(self, digest: str) -> tuple[Record, ...] | None:
        """Return what a list names, nothing for a chunk, and None for what is not here or is a damaged list."""
        try:
            found = self._reader.get_list(bytes.fromhex(digest))
        except (NotFoundError, CorruptError):
            return None
        return found.records if found else ()

    def read_payloads(self, places: Iterable[Place]) -> Iterator[tuple[Entry, Payload]]:
        """Yield entries as they lie, each verified.

        Raises:
            CorruptError: one is not what its name says.
        """
        for place, payload in self._reader.read_payloads(places):
            self._reader.open(place, payload)
            yield place.entry, payload

    def verify_all(self, progress: Progress = SILENT) -> Iterator[Damage]:
        """Read every entry of every pack; yield what is damaged or not whole."""
        progress.begin("verifying", sum(size for _, size in self._index.list_packs()))
        for place in self._index.list_all():
            progress.advance(place.entry.stored)
            try:
                self._reader.open(place, self._reader.read_payload(place))
            except CorruptError as error:
                yield Damage(place.entry.digest.hex(), place.pack, error.message)
        for place in self._index.list_all():
            if place.entry.is_list:
                yield from self._list_gaps(place)

    def plan_sweep(self, keep: Iterable[str], *, min_age_s: float) -> Sweep:
        """Return what `sweep` would do."""
        return plan_sweep(self._index, self._reader, _digests_of(keep), min_age_s)

    def sweep(self, keep: Iterable[str], *, min_age_s: float, progress: Progress = SILENT) -> Sweep:
        """Drop all that is needed by none of some objects, and write packs again that have lost much.

        Args:
            keep: names of objects that stay, with all that they consist of.
            min_age_s: what somebody put or relied on later than so many seconds ago stays as well.
            progress: is told of the bytes that were written again.

        Raises:
            BusyError: somebody is writing.
            UnavailableError: the disk is full; nothing was dropped.
        """
        with exclusive(self.folder):
            return sweep(self._index, self._reader, _digests_of(keep), min_age_s, progress)

    def remove(self, digests: Iterable[str], keep: Iterable[str]) -> int:
        """Remove objects so that their bytes are in no pack any more; return how many bytes that were.

        Args:
            digests: names of the objects.
            keep: objects that share chunks with them and stay whole.

        Raises:
            BusyError: somebody is writing.
            UnavailableError: the disk is full; nothing was removed.
        """
        with exclusive(self.folder):
            return remove(self._index, self._reader, _digests_of(digests), _digests_of(keep))

    def usage(self) -> Usage:
        """Return how much there is."""
        entries, size_bytes, _ = self._index.count()
        packs = self._index.list_packs()
        return Usage(entries, len(packs), size_bytes, sum(size for _, size in packs))

    def close(self) -> None:
        """Close all files; they open again on the next use."""
        self._reader.close()
        self._index.close()

    def _find_damaged(self, digest: bytes, known: set[bytes]) -> Place | None:
        try:
            for place in walk(self._index, self._reader, [digest], known):
                if not self._is_sound(place):
                    return place
        except NotFoundError:
            return None
        except CorruptError:
            return self._find_damaged_list(digest)
        return None

    def _find_damaged_list(self, digest: bytes) -> Place | None:
        place = self._index.find(digest)
        if place is None or not place.entry.is_list:
            return None
        if not self._is_sound(place):
            return place
        found = self._reader.get_list(digest)
        below = (self._find_damaged_list(record.digest) for record in (found.records if found else ()))
        return next((place for place in below if place is not None), None)

    def _is_sound(self, place: Place) -> bool:
        try:
            self._reader.open(place, self._reader.read_payload(place))
        except CorruptError:
            return False
        return True

    def _list_gaps(self, place: Place) -> Iterator[Damage]:
        try:
            found = self._reader.get_list(place.entry.digest)
        except CorruptError:
            # it was named already
            return
        records: tuple[Record, ...] = found.records if found else ()
        here = self._index.find_many(record.digest for record in records)
        if n_missing := sum(1 for record in records if record.digest not in here):
            yield Damage(place.entry.digest.hex(), place.pack, f"{n_missing} of its {len(records)} chunks are missing")


def shared(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Write beside others; a sweep waits."""
    return lock(folder / "writers.lock", purpose="writing objects", wait_s=_WAIT_S, shared=True)


def exclusive(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Be the only one who writes."""
    return lock(folder / "writers.lock", purpose="sweeping objects", wait_s=_WAIT_S)


def _digests_of(names: Iterable[str]) -> list[bytes]:
    return [bytes.fromhex(name) for name in names]
