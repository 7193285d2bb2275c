"""Rows of API keys."""

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from petla.deployments.access.keys import Key, Scope
from petla.storage.tables import api_keys


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key, who made it, and whether it still opens anything."""

    number: int
    name: str
    scopes: tuple[Scope, ...]
    rate_per_s: float
    burst: int
    created_at: str
    created_by: str
    # None: it opens what it was made for
    revoked_at: str | None


def next_number(connection: Connection, project: str) -> int:
    """Return the number of the next key; numbers are not used twice."""
    highest = select(func.max(api_keys.c.number)).where(api_keys.c.project == project)
    return (connection.execute(highest).scalar() or 0) + 1


def add_key(connection: Connection, project: str, key: Key, *, at: str, by: str) -> None:
    """Keep a key; of the key itself, its hash."""
    row = msgspec.structs.asdict(key) | {"scopes": " ".join(key.scopes)}
    connection.execute(insert(api_keys).values(project=project, created_at=at, created_by=by, **row))


def revoke_key(connection: Connection, project: str, name: str, *, at: str) -> int:
    """Let a key open nothing from now on; return how many there were."""
    where = (api_keys.c.project == project) & (api_keys.c.name == name) & api_keys.c.revoked_at.is_(None)
    return connection.execute(update(api_keys).where(where).values(revoked_at=at)).rowcount


def list_rows(connection: Connection, project: str, *, limit: int = 10_000) -> list[KeyRow]:
    """Return all keys, oldest first, without their hashes."""
    query = select(api_keys).where(api_keys.c.project == project).order_by(api_keys.c.number).limit(limit)
    names = [name for name in KeyRow.__struct_fields__ if name != "scopes"]
    return [
        KeyRow(scopes=_read_scopes(row.scopes), **{name: getattr(row, name) for name in names})
        for row in connection.execute(query)
    ]


def list_keys(connection: Connection, project: str) -> tuple[Key, ...]:
    """Return the keys that open something, as the workers see them."""
    where = (api_keys.c.project == project) & api_keys.c.revoked_at.is_(None)
    names = [name for name in Key.__struct_fields__ if name != "scopes"]
    return tuple(
        Key(scopes=_read_scopes(row.scopes), **{name: getattr(row, name) for name in names})
        for row in connection.execute(select(api_keys).where(where).order_by(api_keys.c.number))
    )


def _read_scopes(text: str) -> tuple[Scope, ...]:
    return tuple(Scope(word) for word in text.split())
