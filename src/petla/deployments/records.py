"""Rows of deployments and snapshots."""

import msgspec
from sqlalchemy import Connection, delete, func, insert, select

from petla.deployments.snapshot import Snapshot
from petla.storage.tables import deployments, snapshots


class DeploymentRow(msgspec.Struct, frozen=True, kw_only=True):
    """What should serve for one model."""

    model: str
    live: int
    standby: int | None
    changed_at: str
    changed_by: str


def list_deployments(connection: Connection, project: str) -> list[DeploymentRow]:
    """Return what should serve, by model; a project has few models."""
    query = select(deployments).where(deployments.c.project == project).order_by(deployments.c.model)
    names = DeploymentRow.__struct_fields__
    return [DeploymentRow(**{name: getattr(row, name) for name in names}) for row in connection.execute(query)]


def put_deployment(connection: Connection, project: str, row: DeploymentRow) -> None:
    """Say what should serve for a model."""
    remove_deployment(connection, project, row.model)
    connection.execute(insert(deployments).values(project=project, **msgspec.structs.asdict(row)))


def remove_deployment(connection: Connection, project: str, model: str) -> None:
    """Say that nothing serves for a model."""
    where = (deployments.c.project == project) & (deployments.c.model == model)
    connection.execute(delete(deployments).where(where))


def add_snapshot(connection: Connection, snapshot: Snapshot) -> None:
    """Keep a snapshot; a number that exists is refused by the database."""
    row = {"project": snapshot.project, "number": snapshot.number, "at": snapshot.at}
    connection.execute(insert(snapshots).values(document=msgspec.json.encode(snapshot).decode(), **row))


def find_newest_snapshot(connection: Connection, project: str) -> Snapshot | None:
    """Return the snapshot with the highest number, or None if nothing was ever deployed."""
    newest = select(func.max(snapshots.c.number)).where(snapshots.c.project == project)
    number = connection.execute(newest).scalar()
    return None if number is None else find_snapshot(connection, project, number)


def find_snapshot_at(connection: Connection, project: str, at: str) -> Snapshot | None:
    """Return the snapshot that was the newest at a moment, or None."""
    query = select(func.max(snapshots.c.number)).where(snapshots.c.project == project, snapshots.c.at <= at)
    number = connection.execute(query).scalar()
    return None if number is None else find_snapshot(connection, project, number)


def find_snapshot(connection: Connection, project: str, number: int) -> Snapshot | None:
    """Return a snapshot by its number, or None."""
    query = select(snapshots.c.document).where(snapshots.c.project == project, snapshots.c.number == number)
    document = connection.execute(query).scalar_one_or_none()
    return None if document is None else msgspec.json.decode(document, type=Snapshot)
