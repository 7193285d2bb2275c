"""The rows of dataset versions."""

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from petla.storage.tables import dataset_versions as table


class DatasetVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a dataset."""

    dataset: str
    version: int
    # of the manifest, which names all files
    digest: str
    # DVC's identity: of the file, or of the listing with `.dir`
    md5: str
    size_bytes: int
    files: int
    # None: not a table, or not counted yet
    rows: int | None
    # object that holds the profile; None: not a table, or so large that its profile is made when it is asked for
    profile: str | None
    # `person`, or where it was exported from
    source: str
    created_at: str
    created_by: str


def find_by_digest(connection: Connection, project: str, dataset: str, digest: str) -> DatasetVersion | None:
    """Return the version with a digest, or None."""
    mine = (table.c.project == project) & (table.c.dataset == dataset) & (table.c.digest == digest)
    return _version_of(connection.execute(select(table).where(mine)).one_or_none())


def find_by_md5(connection: Connection, project: str, dataset: str, md5: str) -> DatasetVersion | None:
    """Return the newest version with DVC's identity, or None."""
    mine = (table.c.project == project) & (table.c.dataset == dataset) & (table.c.md5 == md5)
    statement = select(table).where(mine).order_by(table.c.version.desc()).limit(1)
    return _version_of(connection.execute(statement).one_or_none())


def find_by_number(connection: Connection, project: str, dataset: str, version: int) -> DatasetVersion | None:
    """Return the version with a number, or None."""
    mine = (table.c.project == project) & (table.c.dataset == dataset) & (table.c.version == version)
    return _version_of(connection.execute(select(table).where(mine)).one_or_none())


def list_newest(connection: Connection, project: str, dataset: str, limit: int) -> list[DatasetVersion]:
    """Return versions, newest first."""
    mine = (table.c.project == project) & (table.c.dataset == dataset)
    statement = select(table).where(mine).order_by(table.c.version.desc()).limit(limit)
    return [_value_of(row) for row in connection.execute(statement)]


def insert_version(connection: Connection, project: str, version: DatasetVersion) -> None:
    """Store a version."""
    connection.execute(insert(table).values(msgspec.structs.asdict(version) | {"project": project}))


def set_profile(connection: Connection, project: str, version: DatasetVersion, profile: str, rows: int) -> bool:
    """Note the profile of a version that was added without one; False: there is no such version any more."""
    mine = (table.c.project == project) & (table.c.dataset == version.dataset) & (table.c.version == version.version)
    return connection.execute(update(table).where(mine).values(profile=profile, rows=rows)).rowcount == 1


def _version_of(row: Row[Any] | None) -> DatasetVersion | None:
    return None if row is None else _value_of(row)


def _value_of(row: Row[Any]) -> DatasetVersion:
    return DatasetVersion(**{name: getattr(row, name) for name in DatasetVersion.__struct_fields__})
