"""The ledger: every change of state and its one audit entry, in one transaction.

Entries form a chain: each holds the hash of the one before it, and a signature by the project's key. The newest entry
is also named in a signed file beside the database, so that entries removed from the end are missed as well.

- An entry's hash covers everything in it and the hash of its predecessor; its signature covers the project as well.
- Sequence numbers have no gaps.
- The database may be ahead of the head file (a crash between the two), never behind it.
- From the second entry on there is a head file.

What this cannot see: a database and a head file that are both put back to an earlier copy, and whatever the holder of
the secret key writes.
"""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Row, func, insert, select, text

from petla.core.clock import Clock, to_text
from petla.core.digests import canonical_json, digest_value
from petla.core.errors import BusyError, CorruptError, UnavailableError
from petla.storage.database import reading, writing
from petla.storage.files import lock, reported, write_atomic
from petla.storage.signing import Keyring
from petla.storage.tables import audit

GENESIS = "0" * 64
_PAGE = 1_000
_ADVICE = "compare the database with a backup; the entries before it are whole"

logger = logging.getLogger(__name__)


class Entry(msgspec.Struct, frozen=True):
    """One audit entry."""

    seq: int
    at: str
    actor: str
    action: str
    subject: str
    reason: str
    details: dict[str, Any]
    previous: str
    hash: str


class Head(msgspec.Struct, frozen=True):
    """The newest entry, as the file beside the database remembers it."""

    seq: int
    hash: str
    # by the project's key, so that the file cannot be made from the database alone
    signature: bytes = b""


class Change:
    """One transaction under way."""

    def __init__(self, connection: Connection, now: str) -> None:
        self.connection = connection
        # the moment of the change, as rows store it
        self.now = now
        self.details: dict[str, Any] = {}

    def record(self, **details: Any) -> None:  # noqa: ANN401 - JSON values
        """Add facts to the audit entry, such as figures and the names of what was changed."""
        self.details.update(details)


class Ledger:
    """The audited way into a project's rows.

    Args:
        engine: the database.
        project: whose chain it is.
        keys: signs the entries.
        head_path: the file that remembers the newest entry.
        clock: gives the moments of the entries.
    """

    def __init__(self, engine: Engine, *, project: str, keys: Keyring, head_path: Path, clock: Clock) -> None:
        self.engine = engine
        self.project = project
        self._keys = keys
        self._head_path = head_path
        self._clock = clock

    @contextlib.contextmanager
    def change(self, *, actor: str, action: str, subject: str, reason: str = "") -> Iterator[Change]:
        """Change state: the rows written in the block and one audit entry are committed together, or neither is.

        Args:
            actor: the person, or the part such as `controller`, that does it.
            action: what happens, `noun.past_verb`.
            subject: what it happens to, such as `delay:3`.
            reason: why, in the actor's words.

        Raises:
            UnavailableError: the database cannot be written; nothing was changed.
        """
        self._keys.prepare()
        with writing(self.engine) as connection:
            change = Change(connection, to_text(self._clock()))
            head = self._head_in(connection)
            yield change
            entry = _chain(head, change, actor=actor, action=action, subject=subject, reason=reason)
            row = msgspec.structs.asdict(entry) | {
                "project": self.project,
                "details": canonical_json(entry.details).decode(),
                "signature": self._keys.sign(self._sealed("entry", entry)),
            }
            connection.execute(insert(audit).values(row))
        self._remember(entry)

    def list_entries(self, *, after: int = 0, limit: int = _PAGE) -> list[Entry]:
        """Return entries in order, those with a number above `after`."""
        with reading(self.engine) as connection:
            return [_entry_of(row) for row in self._rows(connection, after, limit)]

    def list_newest(self, *, limit: int = 50) -> list[Entry]:
        """Return the newest entries, the oldest of them first."""
        with reading(self.engine) as connection:
            newest = self._head_in(connection).seq
        return self.list_entries(after=max(0, newest - limit), limit=limit)

    def verify(self) -> int:
        """Check the whole chain; return the number of entries.

        Raises:
            CorruptError: an entry was changed, removed, inserted or not signed; the message names it.
        """
        # NOTE: read before the rows: entries written in between are ahead of it, which is allowed.
        head = self._stored_head()
        last = Head(0, GENESIS)
        with reading(self.engine) as connection:
            while rows := self._rows(connection, last.seq, _PAGE):
                for row in rows:
                    entry = _entry_of(row)
                    self._check(entry, row.signature, last)
                    if head is not None and entry.seq == head.seq and entry.hash != head.hash:
                        raise _broken(entry.seq, "is not the one that was written: the whole chain was replaced")
                    last = Head(entry.seq, entry.hash)
        if head is None and last.seq > 1:
            raise _broken(last.seq, f"may not be the newest: {self._head_path} is missing")
        if head is not None and last.seq < head.seq:
            raise _broken(last.seq + 1, f"was removed, with all after it up to {head.seq}")
        return last.seq

    def _check(self, entry: Entry, signature: object, last: Head) -> None:
        if entry.seq != last.seq + 1:
            raise _broken(last.seq + 1, "was removed")
        if entry.previous != last.hash:
            raise _broken(entry.seq, "does not continue the one before it: an entry was changed, removed or inserted")
        if _hash_of(entry) != entry.hash:
            raise _broken(entry.seq, f"({entry.action} {entry.subject}) was changed after it was written")
        # SQLite keeps a text in a column of bytes, where somebody put one.
        signed = signature if isinstance(signature, bytes) else b""
        self._keys.verify(self._sealed("entry", entry), signed, what=f"audit entry {entry.seq}", hint=_ADVICE)

    def _rows(self, connection: Connection, after: int, limit: int) -> list[Row[Any]]:
        mine = (audit.c.project == self.project) & (audit.c.seq > after)
        return list(connection.execute(select(audit).where(mine).order_by(audit.c.seq).limit(limit)))

    def _head_in(self, connection: Connection) -> Head:
        if connection.dialect.name == "postgresql":
            key = text("SELECT pg_advisory_xact_lock(hashtext(:project))")
            connection.execute(key, {"project": self.project})
        newest = select(func.max(audit.c.seq)).where(audit.c.project == self.project).scalar_subquery()
        found = connection.execute(
            select(audit.c.seq, audit.c.hash).where(audit.c.project == self.project, audit.c.seq == newest)
        ).one_or_none()
        return Head(0, GENESIS) if found is None else Head(found.seq, found.hash)

    def _remember(self, entry: Entry) -> None:
        head = Head(entry.seq, entry.hash, self._keys.sign(self._sealed("head", entry)))
        try:
            with lock(self._head_path.with_suffix(".lock"), purpose="writing the audit trail's head", wait_s=10):
                try:
                    stored = self._stored_head()
                except CorruptError:
                    # Left as it is: `verify` shows it to a person.
                    logger.warning("audit_head.found_damaged", extra={"seq": entry.seq})
                    return
                # Another process may have come first with a later entry.
                if stored is None or stored.seq < head.seq:
                    write_atomic(self._head_path, msgspec.json.encode(head))
        except (UnavailableError, BusyError):
            # The change is committed and stays; a head file that is behind is allowed.
            logger.warning("audit_head.left_behind", extra={"seq": entry.seq}, exc_info=True)

    def _stored_head(self) -> Head | None:
        what = f"the audit trail's head file {self._head_path}"
        try:
            with reported(self._head_path, "read"):
                head = msgspec.json.decode(self._head_path.read_bytes(), type=Head)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CorruptError(f"{what} is damaged: {error}", hint=_ADVICE) from error
        self._keys.verify(self._sealed("head", head), head.signature, what=what, hint=_ADVICE)
        return head

    def _sealed(self, kind: str, link: Entry | Head) -> bytes:
        """What a signature covers; the kind keeps an entry's signature from passing as a head's."""
        return f"audit {kind} {self.project} {link.seq} {link.hash}".encode()


def _chain(head: Head, change: Change, *, actor: str, action: str, subject: str, reason: str) -> Entry:
    # as they will be read again: a tuple comes back as a list, a number that is none as null
    details = msgspec.json.decode(canonical_json(change.details))
    entry = Entry(head.seq + 1, change.now, actor, action, subject, reason, details, head.hash, "")
    return msgspec.structs.replace(entry, hash=_hash_of(entry))


def _hash_of(entry: Entry) -> str:
    return digest_value(msgspec.structs.replace(entry, hash=""))


def _entry_of(row: Row[Any]) -> Entry:
    values = {name: getattr(row, name) for name in Entry.__struct_fields__}
    try:
        return Entry(**values | {"details": msgspec.json.decode(row.details)})
    except msgspec.DecodeError as error:
        raise _broken(row.seq, f"({row.action} {row.subject}) was changed after it was written") from error


def _broken(seq: int, what: str) -> CorruptError:
    return CorruptError(f"audit entry {seq} {what}", hint=_ADVICE)
