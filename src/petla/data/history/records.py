"""The rows of dataset versions, and of what was removed from them."""

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy import Connection, Row, insert, select, update

from petla.core.digests import Digest
from petla.storage.tables import dataset_versions as table
from petla.storage.tables import forgotten, model_versions


class DatasetVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a dataset."""

    dataset: str
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    # of the manifest, which names all files
    digest: Digest
    # DVC's identity: of the file, or of the listing with `.dir`
    md5: str
    size_bytes: int
    files: int
    # None: not a table, or not counted yet
    rows: int | None
    # object that holds the profile; None: not a table, or so large that its profile is made when it is asked for
    profile: Digest | None
    # `person`, or where it was exported from
    source: str
    created_at: str
    created_by: str


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was removed from all history of a dataset."""

    dataset: str
    # in the dataset; empty where the dataset is one file; both are empty where somebody else had it removed
    path: str
    # of the object whose bytes were removed everywhere
    object: str
    # DVC's name for the same bytes
    md5: str
    reason: str
    at: str
    by: str

    def describe(self) -> str:
        """Say what it was and who had it removed.

        Example:
            >>> asked = {"reason": "she asked", "at": "2026-03-01T12:00", "by": "ann"}
            >>> Forgotten(dataset="faces", path="a.png", object="0f", md5="3c", **asked).describe()
            'faces: a.png was forgotten on 2026-03-01 by ann: she asked'
        """
        what = f"{self.dataset}: {self.path}" if self.path else self.dataset
        return f"{what} was forgotten on {self.at[:10]} by {self.by}: {self.reason}"


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


def find_newest_at(connection: Connection, project: str, dataset: str, at: str) -> DatasetVersion | None:
    """Return the newest version that was there at a moment, or None."""
    mine = (table.c.project == project) & (table.c.dataset == dataset) & (table.c.created_at <= at)
    statement = select(table).where(mine).order_by(table.c.version.desc()).limit(1)
    return _version_of(connection.execute(statement).one_or_none())


def list_every(connection: Connection, project: str) -> list[DatasetVersion]:
    """Return every version of every dataset, by dataset and number."""
    statement = select(table).where(table.c.project == project).order_by(table.c.dataset, table.c.version)
    return [_value_of(row) for row in connection.execute(statement)]


def insert_version(connection: Connection, project: str, version: DatasetVersion) -> None:
    """Store a version."""
    connection.execute(insert(table).values(msgspec.structs.asdict(version) | {"project": project}))


def clear_profile(connection: Connection, project: str, version: DatasetVersion) -> None:
    """Note that a version's profile is gone; it is made again when it is asked for."""
    mine = (table.c.project == project) & (table.c.dataset == version.dataset) & (table.c.version == version.version)
    connection.execute(update(table).where(mine).values(profile=None))


def set_profile(connection: Connection, project: str, version: DatasetVersion, profile: str, rows: int) -> bool:
    """Note the profile of a version that was added without one; False: there is no such version any more."""
    mine = (table.c.project == project) & (table.c.dataset == version.dataset) & (table.c.version == version.version)
    return connection.execute(update(table).where(mine).values(profile=profile, rows=rows)).rowcount == 1


def list_packages(connection: Connection, project: str) -> set[str]:
    """Return the packages of all models."""
    statement = select(model_versions.c.package).where(model_versions.c.project == project)
    return set(connection.execute(statement).scalars())


def list_forgotten(connection: Connection, project: str) -> list[Forgotten]:
    """Return all tombstones."""
    rows = connection.execute(select(forgotten).where(forgotten.c.project == project))
    return [Forgotten(**{name: getattr(row, name) for name in Forgotten.__struct_fields__}) for row in rows]


def insert_forgotten(connection: Connection, project: str, items: Iterable[Forgotten]) -> None:
    """Store tombstones; those that are there stay as they are."""
    known = {(item.object, item.dataset, item.path) for item in list_forgotten(connection, project)}
    fresh = [item for item in items if (item.object, item.dataset, item.path) not in known]
    if fresh:
        connection.execute(insert(forgotten), [msgspec.structs.asdict(item) | {"project": project} for item in fresh])


def _version_of(row: Row[Any] | None) -> DatasetVersion | None:
    return None if row is None else _value_of(row)


def _value_of(row: Row[Any]) -> DatasetVersion:
    return DatasetVersion(**{name: getattr(row, name) for name in DatasetVersion.__struct_fields__})
