"""Rows of retrainings, approvals and the controller's lease."""

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, insert, select, update

from petla.loop.approval import Approval, ApprovalState
from petla.loop.retraining.states import FINAL, Retraining, RetrainingState
from petla.storage.tables import approvals, controllers, retrainings


class LeaseRow(msgspec.Struct, frozen=True):
    """Which control plane runs a project's controller."""

    instance: str
    # the same for all that share a state folder
    place: str
    host: str
    pid: int
    beat: int


def find_lease(connection: Connection, project: str) -> LeaseRow | None:
    """Return who has the lease, or None."""
    row = connection.execute(select(controllers).where(controllers.c.project == project)).one_or_none()
    return None if row is None else LeaseRow(row.instance, row.place, row.host, row.pid, row.beat)


def take_lease(connection: Connection, project: str, lease: LeaseRow, before: LeaseRow | None) -> bool:
    """Take the lease if it is still as it was; return whether it was. A row that another made first is refused."""
    values = msgspec.structs.asdict(lease)
    if before is None:
        connection.execute(insert(controllers).values(values | {"project": project}))
        return True
    is_same = (controllers.c.instance == before.instance) & (controllers.c.beat == before.beat)
    query = update(controllers).where(controllers.c.project == project, is_same).values(values)
    return connection.execute(query).rowcount == 1


def beat_lease(connection: Connection, project: str, instance: str) -> None:
    """Show that the holder lives."""
    mine = (controllers.c.project == project) & (controllers.c.instance == instance)
    connection.execute(update(controllers).where(mine).values(beat=controllers.c.beat + 1))


def remove_lease(connection: Connection, project: str, instance: str) -> None:
    """Give the lease back, if it is still this one's."""
    mine = (controllers.c.project == project) & (controllers.c.instance == instance)
    connection.execute(delete(controllers).where(mine))


def add_retraining(connection: Connection, project: str, retraining: Retraining) -> int:
    """Insert a retraining; return its number."""
    values = msgspec.structs.asdict(retraining) | {"project": project, "state": retraining.state.value}
    del values["id"]
    number: int = connection.execute(insert(retrainings).values(values).returning(retrainings.c.id)).scalar_one()
    return number


def move_retraining(connection: Connection, project: str, retraining: Retraining, before: RetrainingState) -> bool:
    """Replace what is known of a retraining if it is still in the state `before`; return whether it was."""
    here = (retrainings.c.project == project) & (retrainings.c.id == retraining.id)
    values = msgspec.structs.asdict(retraining) | {"state": retraining.state.value}
    query = update(retrainings).where(here, retrainings.c.state == before.value).values(values)
    return connection.execute(query).rowcount == 1


def find_retraining(connection: Connection, project: str, retraining_id: int) -> Retraining | None:
    """Return one retraining, or None."""
    here = (retrainings.c.project == project) & (retrainings.c.id == retraining_id)
    row = connection.execute(select(retrainings).where(here)).one_or_none()
    return None if row is None else _retraining_of(row)


def find_asking(connection: Connection, project: str, approval_id: int) -> Retraining | None:
    """Return the retraining that a request belongs to, or None."""
    here = (retrainings.c.project == project) & (retrainings.c.approval_id == approval_id)
    row = connection.execute(select(retrainings).where(here)).one_or_none()
    return None if row is None else _retraining_of(row)


def list_retraining_rows(
    connection: Connection, project: str, *, model: str | None, is_open: bool, limit: int
) -> list[Retraining]:
    """Return retrainings, newest first; with `is_open` only those that are not over."""
    query = select(retrainings).where(retrainings.c.project == project)
    if model is not None:
        query = query.where(retrainings.c.model == model)
    if is_open:
        query = query.where(retrainings.c.state.not_in([state.value for state in FINAL]))
    rows = connection.execute(query.order_by(retrainings.c.id.desc()).limit(limit))
    return [_retraining_of(row) for row in rows]


def add_approval(connection: Connection, project: str, approval: Approval) -> int:
    """Insert a request; return its number."""
    values = msgspec.structs.asdict(approval) | {"project": project, "state": approval.state.value}
    del values["id"]
    number: int = connection.execute(insert(approvals).values(values).returning(approvals.c.id)).scalar_one()
    return number


def answer_approval(connection: Connection, project: str, approval: Approval) -> bool:
    """Write down the answer to a request that still waits; return whether it did."""
    here = (approvals.c.project == project) & (approvals.c.id == approval.id)
    values = msgspec.structs.asdict(approval) | {"state": approval.state.value}
    query = update(approvals).where(here, approvals.c.state == ApprovalState.WAITING.value).values(values)
    return connection.execute(query).rowcount == 1


def find_approval(connection: Connection, project: str, approval_id: int) -> Approval | None:
    """Return one request, or None."""
    here = (approvals.c.project == project) & (approvals.c.id == approval_id)
    row = connection.execute(select(approvals).where(here)).one_or_none()
    return None if row is None else _approval_of(row)


def list_approval_rows(
    connection: Connection, project: str, state: ApprovalState | None, model: str | None, limit: int
) -> list[Approval]:
    """Return requests, newest first."""
    query = select(approvals).where(approvals.c.project == project)
    if state is not None:
        query = query.where(approvals.c.state == state.value)
    if model is not None:
        query = query.where(approvals.c.model == model)
    return [_approval_of(row) for row in connection.execute(query.order_by(approvals.c.id.desc()).limit(limit))]


def _retraining_of(row: Row[Any]) -> Retraining:
    values = {name: getattr(row, name) for name in Retraining.__struct_fields__}
    return Retraining(**values | {"state": RetrainingState(row.state)})


def _approval_of(row: Row[Any]) -> Approval:
    values = {name: getattr(row, name) for name in Approval.__struct_fields__}
    return Approval(**values | {"state": ApprovalState(row.state)})
