"""Rows of deployments, rollouts and snapshots."""

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, update

from petla.deployments.beside.rollout import Rollout, RolloutArm, RolloutKind, RolloutState
from petla.deployments.snapshot import Snapshot
from petla.storage.tables import deployments, rollouts, snapshots

# columns of a rollout that hold JSON
_JSON = ("arms", "steps")


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


def add_rollout(connection: Connection, project: str, rollout: Rollout) -> int:
    """Keep a new rollout, with nothing counted yet; return its number."""
    row = _values_of(rollout) | {"project": project, "evidence": "{}"}
    del row["id"]
    number: int = connection.execute(insert(rollouts).values(row).returning(rollouts.c.id)).scalar_one()
    return number


def put_rollout(connection: Connection, rollout: Rollout) -> None:
    """Keep a rollout as it is now; what was counted of it stays."""
    connection.execute(update(rollouts).where(rollouts.c.id == rollout.id).values(_values_of(rollout)))


def mark_refused(connection: Connection, project: str, model: str, ended_at: str, outcome: str) -> None:
    """Say of the rollouts that ended or began with a change that the workers refused that it came to nothing."""
    mine = (rollouts.c.project == project) & (rollouts.c.model == model) & (rollouts.c.ended_at == ended_at)
    connection.execute(update(rollouts).where(mine).values(state=RolloutState.REFUSED, outcome=outcome))


def list_rollouts(
    connection: Connection, project: str, *, model: str | None = None, is_running: bool = False, limit: int = 50
) -> list[Rollout]:
    """Return rollouts, newest first."""
    wanted: list[ColumnElement[bool]] = [rollouts.c.project == project]
    if model is not None:
        wanted.append(rollouts.c.model == model)
    if is_running:
        wanted.append(rollouts.c.state == RolloutState.RUNNING)
    query = select(rollouts).where(*wanted).order_by(rollouts.c.id.desc()).limit(limit)
    return [_rollout_of(row) for row in connection.execute(query)]


def get_evidence(connection: Connection, rollout: int) -> str:
    """Return the JSON of what was counted of a rollout."""
    evidence: str = connection.execute(select(rollouts.c.evidence).where(rollouts.c.id == rollout)).scalar_one()
    return evidence


def put_evidence(connection: Connection, rollout: int, evidence: str) -> None:
    """Keep what was counted of a rollout."""
    connection.execute(update(rollouts).where(rollouts.c.id == rollout).values(evidence=evidence))


def _values_of(rollout: Rollout) -> dict[str, Any]:
    values = msgspec.structs.asdict(rollout)
    return values | {name: msgspec.json.encode(values[name]).decode() for name in _JSON}


def _rollout_of(row: Row[Any]) -> Rollout:
    values = {name: getattr(row, name) for name in Rollout.__struct_fields__}
    return Rollout(
        **values
        | {
            "kind": RolloutKind(row.kind),
            "state": RolloutState(row.state),
            "arms": msgspec.json.decode(row.arms, type=tuple[RolloutArm, ...]),
            "steps": msgspec.json.decode(row.steps, type=tuple[float, ...]),
        }
    )
