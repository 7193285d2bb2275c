"""The index: in which pack, and where in it, each entry lies.

A cache and nothing more: what it lacks is read from the packs' own headers when the store is opened, and what lies in
packs that are gone is dropped. So it may be deleted at any time.
"""

import contextlib
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from petla.core.errors import UnavailableError
from petla.storage.files import make_folder, reported, reserve
from petla.storage.objects.packs import HEADER_BYTES, Codec, Entry, Placed, list_packs, scan

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS packs (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    -- everything before it is in the index
    size INTEGER NOT NULL,
    -- its entries were written again elsewhere; the file only waits for its end
    doomed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS entries (
    digest BLOB PRIMARY KEY, pack INTEGER NOT NULL, offset INTEGER NOT NULL,
    stored INTEGER NOT NULL, size INTEGER NOT NULL,
    -- bit 0: a list; the rest: the codec
    flags INTEGER NOT NULL,
    -- when somebody last relied on it, in seconds since 1970
    seen INTEGER NOT NULL
) WITHOUT ROWID;
"""
_SELECT = """
SELECT digest, name, offset, stored, entries.size, flags, seen FROM entries JOIN packs ON packs.id = pack
"""
_FIND = f"{_SELECT} WHERE digest = ?"
_LIST = f"{_SELECT} WHERE name = ? ORDER BY offset"
# how long one waits for others who write
_WAIT_S = 60.0
# asked for at once
_MANY = 256
_INSERT = "INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)"
_CUT = "DELETE FROM entries WHERE offset + stored > ? AND pack = (SELECT id FROM packs WHERE name = ?)"
_SHORTEN = """
UPDATE packs SET size = (SELECT coalesce(max(offset + stored), 0) FROM entries WHERE entries.pack = packs.id)
WHERE name = ?
"""
_MOVE = "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)"
# what was relied on this recently need not be noted again
_SEEN_AGAIN_S = 3600


class Place(NamedTuple):
    """Where an entry lies."""

    entry: Entry
    # name of the pack
    pack: str
    # where its payload begins
    offset: int
    # when somebody last relied on it, in seconds since 1970
    seen: int


class Index:
    """The places of all entries of a store.

    Args:
        folder: of the store; the packs lie in `packs/` below it.
    """

    def __init__(self, folder: Path) -> None:
        self.packs = folder / "packs"
        self._path = folder / "index.db"
        self._mutex = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._pid = 0

    def find(self, digest: bytes) -> Place | None:
        """Return an entry's place, or None."""
        rows = self._ask(_FIND, (digest,))
        return _place_of(rows[0]) if rows else None

    def find_many(self, digests: Iterable[bytes]) -> dict[bytes, Place]:
        """Return the places of those entries that are here."""
        with self._mutex, self._failing():
            connection = self._opened()
            return {row[0]: _place_of(row) for row in ask_for_many(connection, _SELECT, digests)}

    def list_all(self) -> Iterator[Place]:
        """Yield every entry, in the order of the packs."""
        for name, _ in self.list_packs():
            yield from self.list_of(name)

    def list_of(self, pack: str) -> list[Place]:
        """Return the entries of a pack in their order."""
        rows = self._ask(_LIST, (pack,))
        return [_place_of(row) for row in rows]

    def list_packs(self) -> list[tuple[str, int]]:
        """Return name and indexed size of each pack, in the order they were made."""
        return self._ask("SELECT name, size FROM packs WHERE doomed = 0 ORDER BY name")

    def count(self) -> tuple[int, int, int]:
        """Return the number of entries, their bytes before compression, and as they lie."""
        rows = self._ask("SELECT count(*), coalesce(sum(size), 0), coalesce(sum(stored), 0) FROM entries")
        entries, size, stored = rows[0]
        return entries, size, stored

    def insert(self, pack: str, size: int, placed: Iterable[Placed], *, moves: bool = False) -> None:
        """Note entries of a pack, up to a size, in one step.

        Args:
            pack: its name.
            size: where its indexed part ends from now on.
            placed: what was appended.
            moves: entries that are known already lie here from now on.
        """
        now = int(time.time())
        with self._changing() as connection:
            number = _number_of(connection, pack, size)
            connection.executemany(
                _MOVE if moves else _INSERT,
                [(e.digest, number, offset, e.stored, e.size, e.is_list | e.codec << 1, now) for e, offset in placed],
            )

    def touch(self, places: Iterable[Place]) -> None:
        """Note that somebody relies on entries, so that a sweep leaves them alone for a while."""
        now = int(time.time())
        stale = [(now, place.entry.digest) for place in places if place.seen < now - _SEEN_AGAIN_S]
        if stale:
            with self._changing() as connection:
                connection.executemany("UPDATE entries SET seen = ? WHERE digest = ?", stale)

    def drop(self, digests: Iterable[bytes]) -> None:
        """Forget the places of entries."""
        with self._changing() as connection:
            connection.executemany("DELETE FROM entries WHERE digest = ?", [(digest,) for digest in digests])

    def doom(self, packs: Sequence[str]) -> None:
        """Forget what still lies in packs, and remove their files; what a crash leaves is removed at the next start."""
        with self._changing() as connection:
            for name in packs:
                connection.execute("DELETE FROM entries WHERE pack = (SELECT id FROM packs WHERE name = ?)", (name,))
                connection.execute("UPDATE packs SET doomed = 1 WHERE name = ?", (name,))
        self._bury()

    def adopt(self, pack: str, descriptor: int) -> int:
        """Note what lies behind the indexed end of a pack; return where its whole entries end.

        Args:
            pack: its name.
            descriptor: the pack, held by the caller's lock.
        """
        rows = self._ask("SELECT size FROM packs WHERE name = ?", (pack,))
        end = rows[0][0] if rows else 0
        found = list(scan(descriptor, end))
        if found:
            end = found[-1].offset + found[-1].entry.stored
        if found or not rows:
            self.insert(pack, end, found)
        return end

    @cached_property
    def _nothing(self) -> sqlite3.Connection:
        return _in_memory()

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        with self._mutex:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _ask(self, statement: str, values: Sequence[object] = ()) -> list:  # type: ignore[type-arg]
        with self._mutex, self._failing():
            return self._opened().execute(statement, values).fetchall()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._mutex, self._failing():
            connection = self._opened(will_write=True)
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            is_full = "full" in str(error) or "disk I/O" in str(error)
            hint = "free some space" if is_full else f"delete {self._path}; it is made again from the packs"
            raise UnavailableError(f"the index {self._path} cannot be used: {error}", hint=hint) from error

    def _opened(self, *, will_write: bool = False) -> sqlite3.Connection:
        # NOTE: a connection must not be used on both sides of a fork.
        if self._connection is None or self._pid != os.getpid():
            if not will_write and not self.packs.is_dir():
                # Who only looks makes no folder.
                return self._nothing
            self._connection, self._pid = self._open(), os.getpid()
            self._catch_up()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        with reported(self.packs):
            make_folder(self.packs)
        if not os.access(self._path.parent, os.W_OK):
            return self._open_to_read()
        try:
            return _connect(self._path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            # It is damaged, and only a cache.
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            return _connect(self._path)

    def _open_to_read(self) -> sqlite3.Connection:
        """A folder that may not be written: its index as it is, or one in memory."""
        with contextlib.suppress(sqlite3.Error):
            # NOTE: without `immutable` SQLite would write its files for locks beside it.
            uri = f"{self._path.resolve().as_uri()}?mode=ro&immutable=1"
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
            connection.execute("SELECT count(*) FROM packs, entries WHERE 0")
            return connection
        return _in_memory()

    def _catch_up(self) -> None:
        """Make the index what the packs are."""
        # NOTE: in this order: a pack only grows, so one that is shorter than it was known to be has lost something.
        known = dict(self._ask("SELECT name, size FROM packs"))
        lying = list_packs(self.packs)
        if self._is_read_only():
            return
        self._bury()
        for name in known.keys() - lying.keys():
            self._cut(name, 0)
        for name, size in lying.items():
            if size < known.get(name, 0):
                self._cut(name, size)
            elif size >= known.get(name, 0) + HEADER_BYTES:
                self._adopt_if_free(name)

    def _cut(self, pack: str, size: int) -> None:
        """Forget what a pack has lost; without anything left, the pack itself."""
        with self._changing() as connection:
            connection.execute(_CUT, (size, pack))
            connection.execute(_SHORTEN, (pack,))
            if size == 0:
                connection.execute("DELETE FROM packs WHERE name = ?", (pack,))

    def _adopt_if_free(self, pack: str) -> None:
        """Adopt what a writer left behind that is no more; one that is still at work does it by itself."""
        with contextlib.suppress(OSError):
            descriptor = os.open(self.packs / pack, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                self.adopt(pack, descriptor)
            finally:
                os.close(descriptor)

    def _bury(self) -> None:
        doomed = [row[0] for row in self._ask("SELECT name FROM packs WHERE doomed = 1")]
        if not doomed:
            return
        for name in doomed:
            with reported(self.packs / name):
                (self.packs / name).unlink(missing_ok=True)
        with self._changing() as connection:
            connection.executemany("DELETE FROM packs WHERE name = ? AND doomed = 1", [(name,) for name in doomed])

    def _is_read_only(self) -> bool:
        is_file = bool(self._ask("PRAGMA database_list")[0][2])
        return is_file and not os.access(self._path.parent, os.W_OK)


def ask_for_many(connection: sqlite3.Connection, select: str, digests: Iterable[bytes]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of entries, in no order; a tenth of the time of asking for each."""
    for some in batches(digests, _MANY):
        yield from connection.execute(f"{select} WHERE digest IN ({','.join('?' * len(some))})", some)


def batches(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield values in lists of at most `size`."""
    rest = iter(values)
    while some := list(islice(rest, size)):
        yield some


def batches_of_bytes(
    values: Iterable[T], size_of: Callable[[T], int], most_bytes: int, *, most: int | None = None
) -> Iterator[list[T]]:
    """Yield values in lists that end once they hold so many bytes, or so many values."""
    batch: list[T] = []
    n_bytes = 0
    for value in values:
        batch.append(value)
        n_bytes += size_of(value)
        if n_bytes >= most_bytes or len(batch) == most:
            yield batch
            batch, n_bytes = [], 0
    if batch:
        yield batch


def _connect(path: Path) -> sqlite3.Connection:
    reserve(path)
    connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
    try:
        _use_log(connection)
        # A commit that power loss takes away is found again in the packs, which are flushed before it.
        connection.execute("PRAGMA synchronous = NORMAL")
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone():
            connection.executescript(_SCHEMA)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _use_log(connection: sqlite3.Connection) -> None:
    """Let many read while one writes; waits for others that say the same at this moment."""
    until_s = time.monotonic() + _WAIT_S
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # NOTE: SQLite's own patience does not hold for this.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until_s:
                raise
            time.sleep(0.002)


def _in_memory() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.executescript(_SCHEMA)
    return connection


def _number_of(connection: sqlite3.Connection, pack: str, size: int) -> int:
    connection.execute(
        "INSERT INTO packs (name, size) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET size = max(size, excluded.size)",
        (pack, size),
    )
    number: int = connection.execute("SELECT id FROM packs WHERE name = ?", (pack,)).fetchone()[0]
    return number


def _place_of(row: tuple[bytes, str, int, int, int, int, int]) -> Place:
    digest, pack, offset, stored, size, flags, seen = row
    return Place(Entry(digest, bool(flags & 1), Codec(flags >> 1), size, stored), pack, offset, seen)
