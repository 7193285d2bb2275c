"""Making and revoking API keys: one audited change, then the file that the workers read."""

from collections.abc import Sequence

from petla.core.digests import digest_bytes
from petla.core.errors import ConflictError, InvalidError, NotFoundError
from petla.core.names import suggest
from petla.deployments.access import records
from petla.deployments.access.keys import Key, Scope, encode_keys, keys_path, make_secret
from petla.deployments.access.records import KeyRow
from petla.storage.database import reading
from petla.storage.files import write_atomic
from petla.storage.workspace import Workspace

_LONGEST_NAME = 100


def add(ws: Workspace, name: str, scopes: Sequence[Scope], *, rate_per_s: float = 0.0, reason: str = "") -> str:
    """Make a key; return it. It is not kept, so nobody can see it again.

    Args:
        ws: the project.
        name: whom or what it is for.
        scopes: what it opens.
        rate_per_s: requests a second that it may send, those of one second at once; 0: no limit.
        reason: why, for the audit trail.

    Raises:
        InvalidError: a name or rate that makes no sense, or no scope.
        ConflictError: there is a key of this name.
    """
    _check(name, scopes, rate_per_s)
    with ws.ledger.change(actor=ws.actor, action="key.added", subject=f"key:{name}", reason=reason) as change:
        rows = records.list_rows(change.connection, ws.name)
        if any(row.name == name and row.revoked_at is None for row in rows):
            raise ConflictError(
                f"there is a key {name!r} already", hint=f"choose another name, or 'petla keys revoke {name}' first"
            )
        number = records.next_number(change.connection, ws.name)
        secret, hashed = make_secret(number)
        key = Key(
            number=number,
            name=name,
            hash=hashed,
            scopes=tuple(dict.fromkeys(scopes)),
            rate_per_s=rate_per_s,
            burst=max(1, round(rate_per_s)) if rate_per_s else 0,
        )
        records.add_key(change.connection, ws.name, key, at=change.now, by=ws.actor)
        change.record(number=number, scopes=key.scopes, rate_per_s=rate_per_s, hash=digest_bytes(hashed.encode()))
    publish(ws)
    return secret


def list_keys(ws: Workspace) -> list[KeyRow]:
    """Return all keys that were ever made, oldest first; their secrets are known to nobody."""
    with reading(ws.engine) as connection:
        return records.list_rows(connection, ws.name)


def require_key(ws: Workspace, name: str) -> None:
    """Check that there is such a key.

    Raises:
        NotFoundError: there is none, or it is revoked.
    """
    known = [row.name for row in list_keys(ws) if row.revoked_at is None]
    if name not in known:
        raise NotFoundError(f"there is no key {name!r}", hint=suggest(name, known) or "see 'petla keys list'")


def revoke(ws: Workspace, name: str, *, reason: str = "") -> None:
    """Let a key open nothing from now on.

    Raises:
        NotFoundError: there is no such key, or it is revoked.
    """
    require_key(ws, name)
    with ws.ledger.change(actor=ws.actor, action="key.revoked", subject=f"key:{name}", reason=reason) as change:
        records.revoke_key(change.connection, ws.name, name, at=change.now)
    publish(ws)


def publish(ws: Workspace) -> None:
    """Tell the workers, if they do not know yet: also where a command died before it did so."""
    with reading(ws.engine) as connection:
        content = encode_keys(records.list_keys(connection, ws.name))
    path = keys_path(ws.state)
    try:
        is_known = path.read_bytes() == content
    except FileNotFoundError:
        is_known = content == encode_keys(())
    if not is_known:
        write_atomic(path, content, mode=0o600)


def _check(name: str, scopes: Sequence[Scope], rate_per_s: float) -> None:
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise InvalidError(f"a key cannot be called {name[:_LONGEST_NAME]!r}", hint="say whom it is for", field="name")
    if not scopes:
        raise InvalidError("a key without a scope opens nothing", hint="add --scope predict", field="scope")
    if not 0 <= rate_per_s <= 1e6:
        raise InvalidError(f"the rate is {rate_per_s:g}, but must be 0 to 1,000,000 a second", field="rate")
