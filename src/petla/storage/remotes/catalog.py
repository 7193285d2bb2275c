"""What a remote is known to hold: a cache beside the project, brought up to date by one listing.

Pack lists on the remote never change once they are there, so each is fetched once.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from petla.core.errors import CorruptError, UnavailableError
from petla.storage.files import make_folder, reported, reserve
from petla.storage.objects.index import Place, ask_for_many
from petla.storage.objects.packs import HEADER_BYTES, Codec, Entry, decode_header
from petla.storage.remotes.bucket import Bucket

PACKS = "packs"
PACK, LIST = ".pack", ".index"
_THREADS = 8
_SCHEMA = """
CREATE TABLE IF NOT EXISTS packs (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, size INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS entries (
    digest BLOB PRIMARY KEY, pack INTEGER NOT NULL, offset INTEGER NOT NULL,
    stored INTEGER NOT NULL, size INTEGER NOT NULL, flags INTEGER NOT NULL
) WITHOUT ROWID;
"""
_SELECT = """
SELECT digest, name, offset, stored, entries.size, flags FROM entries JOIN packs ON packs.id = pack
"""
_FIND = f"{_SELECT} WHERE digest = ?"
_LIST = f"{_SELECT} WHERE name = ? ORDER BY offset"


def allow() -> None:
    """Confirm without a question: nobody but the owner of the catalog deletes."""


class Catalog:
    """The entries of a remote and where they lie.

    Args:
        bucket: the remote.
        path: of the cache.
    """

    def __init__(self, bucket: Bucket, path: Path) -> None:
        self._bucket = bucket
        self._path = path
        self._mutex = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        # raises if this process may not delete what the catalog names
        self.confirm: Callable[[], None] = allow

    def refresh(self) -> None:
        """Learn what is on the remote now.

        Raises:
            ForbiddenError, NotFoundError, UnavailableError: the remote does not answer.
            CorruptError: a pack list on it is damaged.
        """
        lying = {item.key.rpartition("/")[2] for item in self._bucket.list(PACKS)}
        names = {name.removesuffix(LIST) for name in lying if name.endswith(LIST)}
        # A pack without its list is one that is still arriving; a list without its pack is one that goes.
        names = {name for name in names if name + PACK in lying}
        known = set(self.list_packs())
        if known - names:
            # What was in those may lie in others as well, whose lists tell.
            self.clear()
            known = set()
        fresh = sorted(names - known)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="remote") as pool:
            for name, content in zip(fresh, pool.map(self._fetch, fresh), strict=True):
                self.add(name, decode_pack_list(content, f"{self._bucket.name}: {name}{LIST}"))

    def find(self, digest: bytes) -> Place | None:
        """Return where an entry lies on the remote, or None."""
        with self._mutex:
            row = self._opened().execute(_FIND, (digest,)).fetchone()
        return _place_of(row) if row else None

    def find_many(self, digests: Iterable[bytes]) -> dict[bytes, Place]:
        """Return the places of those entries that are on the remote."""
        with self._mutex:
            connection = self._opened()
            return {row[0]: _place_of(row) for row in ask_for_many(connection, _SELECT, digests)}

    def list_packs(self) -> dict[str, int]:
        """Return the size of each pack by name."""
        with self._mutex:
            return dict(self._opened().execute("SELECT name, size FROM packs ORDER BY name").fetchall())

    def list_of(self, pack: str) -> list[Place]:
        """Return the entries of a pack in their order."""
        with self._mutex:
            return [_place_of(row) for row in self._opened().execute(_LIST, (pack,)).fetchall()]

    def add(self, pack: str, entries: list[Entry]) -> None:
        """Note a pack."""
        size = sum(HEADER_BYTES + entry.stored for entry in entries)
        with self._changing() as connection:
            connection.execute("INSERT OR IGNORE INTO packs (name, size) VALUES (?, ?)", (pack, size))
            number = connection.execute("SELECT id FROM packs WHERE name = ?", (pack,)).fetchone()[0]
            connection.executemany(
                "INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (e.digest, number, offset, e.stored, e.size, e.is_list | e.codec << 1)
                    for e, offset in _with_offsets(entries)
                ],
            )

    def clear(self) -> None:
        """Forget all, to be learnt again."""
        with self._changing() as connection:
            connection.execute("DELETE FROM entries")
            connection.execute("DELETE FROM packs")

    def close(self) -> None:
        """Close the cache; the next call opens it again."""
        with self._mutex:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _fetch(self, name: str) -> bytes:
        return self._bucket.get(f"{PACKS}/{name}{LIST}")

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._mutex:
            connection = self._opened()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                connection.close()
                self._connection = None
                raise UnavailableError(
                    f"{self._path} cannot be written: {error}", hint="free some space; the file may be deleted"
                ) from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            with reported(self._path):
                make_folder(self._path.parent)
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        try:
            return _open(self._path)
        except sqlite3.DatabaseError:
            # It is damaged, and only a cache.
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            return _open(self._path)


def encode_pack_list(entries: Iterable[bytes]) -> bytes:
    """Write what is in a pack: the headers of its entries, one after the other."""
    return b"".join(entries)


def decode_pack_list(content: bytes, where: str) -> list[Entry]:
    """Read what is in a pack.

    Raises:
        CorruptError: it is damaged.
    """
    try:
        starts = range(0, len(content), HEADER_BYTES)
        return [decode_header(content[start : start + HEADER_BYTES]) for start in starts]
    except ValueError as error:
        raise CorruptError(
            f"remote {where} is damaged: {error}",
            hint="remove it from the remote and push again from where the data are",
        ) from error


def _with_offsets(entries: Iterable[Entry]) -> Iterator[tuple[Entry, int]]:
    end = 0
    for entry in entries:
        yield entry, end + HEADER_BYTES
        end += HEADER_BYTES + entry.stored


def _open(path: Path) -> sqlite3.Connection:
    reserve(path)
    connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.executescript(_SCHEMA)
    return connection


def _place_of(row: tuple[bytes, str, int, int, int, int]) -> Place:
    digest, pack, offset, stored, size, flags = row
    return Place(Entry(digest, bool(flags & 1), Codec(flags >> 1), size, stored), pack, offset, 0)
