"""The ledger: every change of state and its one audit entry, in one transaction.

Entries form a chain: each holds the hash of the one before it, and a signature by the project's key. The newest entry
is also named, signed, in the project's row and in a file beside the database, so that entries removed from the end are
missed as well.

- An entry's hash covers everything in it and the hash of its predecessor; its signature covers the project as well.
- Sequence numbers have no gaps.
- The project's row is written with its entry. The database may be ahead of the head file (a crash between the two),
  never behind it.
- From the first entry on there is a head file. A row is there since the first entry that names the public key: that is
  entry 1, or the first one that was made after 0.1.0.
- Nothing is added to a trail that another key signed, or that is shorter than its heads say.
- Rows that decide what serves are what the entries say, see `storage.explained`.

What this cannot see: a database and a head file that are both put back to an earlier copy, and whatever the holder of
the secret key writes.
"""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import msgspec
from sqlalchemy import Connection, Engine, Row, delete, func, insert, or_, select, text

from petla.core.clock import Clock, to_text
from petla.core.digests import canonical_json, digest_value
from petla.core.errors import BusyError, ConflictError, CorruptError, InvalidError, UnavailableError
from petla.storage.database import reading, writing
from petla.storage.explained import Witness, has_audited_rows
from petla.storage.files import lock, reported, write_atomic
from petla.storage.signing import Keyring
from petla.storage.tables import audit, projects

GENESIS = "0" * 64
# characters of a reason, and of an actor's name
LONGEST_REASON = 10_000
LONGEST_ACTOR = 500
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
            InvalidError: the reason or the actor's name is too long.
            ConflictError: the project of this name in the database belongs to another folder.
            CorruptError: the trail is shorter than it was, or the signing key is lost; nothing was changed.
            UnavailableError: the database cannot be written; nothing was changed.
        """
        _require_short("reason", reason, LONGEST_REASON)
        _require_short("actor", actor, LONGEST_ACTOR)
        with writing(self.engine) as connection:
            change = Change(connection, to_text(self._clock()))
            self._await_turn(connection)
            head = self._head_in(connection)
            is_marked = self._require_own(connection, head, self._head_before())
            yield change
            self._keys.prepare()
            if not is_marked:
                change.record(public_key=self._keys.public_key)
            entry = _chain(head, change, actor=actor, action=action, subject=subject, reason=reason)
            row = msgspec.structs.asdict(entry) | {
                "project": self.project,
                "details": canonical_json(entry.details).decode(),
                "signature": self._keys.sign(self._sealed("entry", entry)),
            }
            connection.execute(insert(audit).values(row))
            self._put_head(connection, entry)
        self._remember(entry)

    def require_own(self) -> None:
        """Check that the trail in the database is this project's, and not shorter than it was.

        Raises:
            ConflictError: it belongs to another folder.
            CorruptError: it is shorter, or the signing key is lost.
        """
        # NOTE: read before the rows, as in `verify`.
        head = self._head_before()
        with reading(self.engine) as connection:
            self._require_own(connection, self._head_in(connection), head)

    def recall(self, name: str) -> Witness:
        """Return what the entries about one thing say of it, such as `delay:3`.

        Raises:
            CorruptError: one of them was changed or not signed.
        """
        witness = Witness()
        is_about = or_(
            audit.c.subject == name, audit.c.details.contains(canonical_json(name).decode(), autoescape=True)
        )
        query = select(audit).where(audit.c.project == self.project, is_about).order_by(audit.c.seq)
        with reading(self.engine) as connection:
            for row in connection.execute(query):
                entry = _entry_of(row)
                self._check_alone(entry, row.signature)
                witness.see(entry.action, entry.subject, entry.actor, entry.details)
        return witness

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
        last, witness, is_marked = Head(0, GENESIS), Witness(), False
        with reading(self.engine) as connection:
            while rows := self._rows(connection, last.seq, _PAGE):
                for row in rows:
                    entry = _entry_of(row)
                    self._check(entry, row.signature, last)
                    if head is not None and entry.seq == head.seq and entry.hash != head.hash:
                        raise _broken(entry.seq, "is not the one that was written: the whole chain was replaced")
                    last = Head(entry.seq, entry.hash)
                    witness.see(entry.action, entry.subject, entry.actor, entry.details)
                    is_marked = is_marked or "public_key" in entry.details
            if head is not None:
                _require_reached(last, head)
            own = self._row_in(connection)
            if own is None and is_marked:
                raise _broken(last.seq, "may not be the newest: the project's row is missing")
            self._require_row(connection, last, own)
            if head is None and last.seq:
                raise _broken(last.seq, f"may not be the newest: {self._head_path} is missing")
            witness.hold(connection, self.project)
        return last.seq

    def _check(self, entry: Entry, signature: object, last: Head) -> None:
        if entry.seq != last.seq + 1:
            raise _broken(last.seq + 1, "was removed")
        if entry.previous != last.hash:
            raise _broken(entry.seq, "does not continue the one before it: an entry was changed, removed or inserted")
        self._check_alone(entry, signature)

    def _check_alone(self, entry: Entry, signature: object) -> None:
        if _hash_of(entry) != entry.hash:
            raise _broken(entry.seq, f"({entry.action} {entry.subject}) was changed after it was written")
        signed = _bytes_of(signature)
        self._keys.verify(self._sealed("entry", entry), signed, what=f"audit entry {entry.seq}", hint=_ADVICE)

    def _rows(self, connection: Connection, after: int, limit: int) -> list[Row[Any]]:
        mine = (audit.c.project == self.project) & (audit.c.seq > after)
        return list(connection.execute(select(audit).where(mine).order_by(audit.c.seq).limit(limit)))

    def _await_turn(self, connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            key = text("SELECT pg_advisory_xact_lock(hashtext(:project))")
            connection.execute(key, {"project": self.project})

    def _head_in(self, connection: Connection) -> Head:
        """Return the newest entry, with its own signature."""
        newest = connection.execute(select(func.max(audit.c.seq)).where(audit.c.project == self.project)).scalar()
        return self._find_head(connection, newest or 0) or Head(0, GENESIS)

    def _find_head(self, connection: Connection, seq: int) -> Head | None:
        query = select(audit.c.hash, audit.c.signature).where(audit.c.project == self.project, audit.c.seq == seq)
        found = connection.execute(query).one_or_none()
        return None if found is None else Head(seq, found.hash, _bytes_of(found.signature))

    def _require_own(self, connection: Connection, newest: Head, head: Head | None) -> bool:
        """Accept the trail that the database has now; return whether the project has a row already.

        Args:
            connection: of a change, or one that reads.
            newest: the newest entry.
            head: what the head file said before.
        """
        row = self._row_in(connection)
        if newest.seq and not self._is_ours("entry", newest):
            self._refuse_strange(connection, newest)
        if head is not None:
            _require_reached(newest, head)
        elif row is None and newest.seq:
            raise _broken(newest.seq, f"may not be the newest: {self._head_path} is missing")
        self._require_row(connection, newest, row)
        return row is not None

    def _require_row(self, connection: Connection, newest: Head, row: Row[Any] | None) -> None:
        """Accept a trail only as long as the project's row says that it is."""
        if row is not None:
            signed = Head(row.seq, row.hash, _bytes_of(row.signature))
            if not self._is_ours("head", signed):
                raise _broken(newest.seq, "may not be the newest: the project's row is not signed by its key")
            _require_reached(newest, signed)
            if signed.seq < newest.seq:
                raise _broken(newest.seq, "is newer than the project's row, which is written with it")
        elif newest.seq == 0 and has_audited_rows(connection, self.project):
            raise _broken(1, "was removed, with all after it: there are rows that were written with them")

    def _refuse_strange(self, connection: Connection, newest: Head) -> NoReturn:
        first = self._find_head(connection, 1)
        if first is not None and self._is_ours("entry", first):
            raise _broken(newest.seq, "is not signed by this project's key")
        raise ConflictError(
            f"the project {self.project!r} in this database belongs to another folder; nothing was changed",
            hint="bring its .petla/keys, or name yours otherwise in petla.toml",
            field="project.name",
        )

    def _is_ours(self, kind: str, link: Head) -> bool:
        try:
            self._keys.verify(self._sealed(kind, link), link.signature, what="")
        except CorruptError:
            return False
        return True

    def _head_before(self) -> Head | None:
        """Return what the head file says; None: it is missing, or of no use, which `verify` shows to a person."""
        try:
            return self._stored_head()
        except UnavailableError:
            logger.warning("audit_head.found_damaged")
            return None

    def _row_in(self, connection: Connection) -> Row[Any] | None:
        return connection.execute(select(projects).where(projects.c.project == self.project)).one_or_none()

    def _put_head(self, connection: Connection, entry: Entry) -> None:
        values = {
            "project": self.project,
            "public_key": self._keys.public_key,
            "seq": entry.seq,
            "hash": entry.hash,
            "signature": self._keys.sign(self._sealed("head", entry)),
        }
        connection.execute(delete(projects).where(projects.c.project == self.project))
        connection.execute(insert(projects).values(values))

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


def _bytes_of(signature: object) -> bytes:
    # SQLite keeps a text in a column of bytes, where somebody put one.
    return signature if isinstance(signature, bytes) else b""


def shortened(text: str) -> str:
    """Return a text that a reason may hold: what an error said may be of any length."""
    if len(text) <= LONGEST_REASON:
        return text
    return f"{text[: LONGEST_REASON - 100]}... (cut: {len(text):,} characters)"


def _require_short(field: str, value: str, longest: int) -> None:
    if len(value) > longest:
        raise InvalidError(
            f"`{field}` must have at most {longest:,} characters, got {len(value):,}",
            hint="shorten it, and name a document that holds the rest",
            field=field,
        )


def _require_reached(last: Head, head: Head) -> None:
    """Accept a chain only if it has come to where it is known to have been."""
    if last.seq < head.seq:
        raise _broken(last.seq + 1, f"was removed, with all after it up to {head.seq}")
    if last.seq == head.seq and last.hash != head.hash:
        raise _broken(last.seq, "is not the one that was written: the whole chain was replaced")


def _broken(seq: int, what: str) -> CorruptError:
    return CorruptError(f"audit entry {seq} {what}", hint=_ADVICE)
