"""Rows of the table `runs`."""

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from petla.core.digests import canonical_json
from petla.pipeline.plan import Plan
from petla.pipeline.result import Executed, Run, RunState, StepResult
from petla.storage.tables import runs

_steps = msgspec.json.Decoder(tuple[StepResult, ...])


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run when it begins, beside its plan."""

    cause: str
    commit: str
    is_dirty: bool
    started_by: str


def add_run(connection: Connection, project: str, plan: Plan, beginning: Beginning, now: str) -> int:
    """Add a run that is under way; return its number."""
    values = {
        "project": project,
        "model": plan.model,
        "state": RunState.RUNNING,
        "cause": beginning.cause,
        "commit": beginning.commit,
        "dirty": beginning.is_dirty,
        "parameters": _to_json(plan.parameters),
        "data": _to_json(plan.data),
        "metrics": "{}",
        "steps": "[]",
        "error": "",
        "started_at": now,
        "started_by": beginning.started_by,
    }
    number: int = connection.execute(insert(runs).values(values).returning(runs.c.id)).scalar_one()
    return number


def finish_run(connection: Connection, project: str, run_id: int, done: Executed, now: str) -> None:
    """Mark a run as done, with what it made."""
    values = {"state": RunState.DONE, "metrics": _to_json(done.metrics), "steps": _to_json(done.steps)}
    _change(connection, project, run_id, values | {"finished_at": now})


def break_off_run(connection: Connection, project: str, run_id: int, state: RunState, error: str, now: str) -> bool:
    """Mark a run as failed or interrupted; return whether it was under way."""
    return _change(connection, project, run_id, {"state": state, "error": error, "finished_at": now})


def find_run(connection: Connection, project: str, run_id: int) -> Run | None:
    """Return a run, or None."""
    mine = (runs.c.project == project) & (runs.c.id == run_id)
    row = connection.execute(select(runs).where(mine)).one_or_none()
    return None if row is None else _run_of(row)


def list_newest(connection: Connection, project: str, model: str | None, limit: int) -> list[Run]:
    """Return the newest runs first."""
    mine = runs.c.project == project
    if model is not None:
        mine &= runs.c.model == model
    return [
        _run_of(row) for row in connection.execute(select(runs).where(mine).order_by(runs.c.id.desc()).limit(limit))
    ]


def find_newest_data(connection: Connection, project: str, model: str) -> dict[str, str]:
    """Return the digests of the datasets that the newest finished run of a model used; empty if there is none."""
    done = (runs.c.project == project) & (runs.c.model == model) & (runs.c.state == RunState.DONE)
    found = connection.execute(select(runs.c.data).where(done).order_by(runs.c.id.desc()).limit(1)).scalar_one_or_none()
    return {} if found is None else msgspec.json.decode(found, type=dict[str, str])


def _change(connection: Connection, project: str, run_id: int, values: dict[str, Any]) -> bool:
    mine = (runs.c.project == project) & (runs.c.id == run_id) & (runs.c.state == RunState.RUNNING)
    return connection.execute(update(runs).where(mine).values(values)).rowcount == 1


def _run_of(row: Row[Any]) -> Run:
    return Run(
        id=row.id,
        model=row.model,
        state=RunState(row.state),
        cause=row.cause,
        commit=row.commit,
        is_dirty=row.dirty,
        parameters=msgspec.json.decode(row.parameters),
        data=msgspec.json.decode(row.data),
        metrics=msgspec.json.decode(row.metrics),
        steps=_steps.decode(row.steps),
        error=row.error,
        started_at=row.started_at,
        finished_at=row.finished_at,
        started_by=row.started_by,
    )


def _to_json(value: Any) -> str:  # noqa: ANN401 - whatever msgspec can encode
    return canonical_json(value).decode()
