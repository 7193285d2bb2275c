"""Retrainings: beginning one, moving it on, and reading them."""

from typing import Any

import msgspec

from petla.core.errors import ConflictError, NotFoundError
from petla.incidents.incident import Incident
from petla.incidents.incidents import note
from petla.loop import records
from petla.loop.retraining.states import FINAL, Retraining, RetrainingState, require_move
from petla.storage.database import reading
from petla.storage.ledger import Change, shortened
from petla.storage.workspace import Workspace

CONTROLLER = "controller"


def list_retrainings(
    ws: Workspace, *, model: str | None = None, is_open: bool = False, limit: int = 50
) -> tuple[Retraining, ...]:
    """Return retrainings, newest first; with `is_open` only those that are not over."""
    with reading(ws.engine) as connection:
        found = records.list_retraining_rows(connection, ws.name, model=model, is_open=is_open, limit=limit)
    return tuple(found)


def get_retraining(ws: Workspace, retraining_id: int) -> Retraining:
    """Return one retraining.

    Raises:
        NotFoundError: there is no such retraining.
    """
    with reading(ws.engine) as connection:
        found = records.find_retraining(connection, ws.name, retraining_id)
    if found is None:
        raise NotFoundError(f"there is no retraining {retraining_id}")
    return found


def begin(ws: Workspace, incident: Incident, *, last_feedback: int) -> Retraining:
    """Begin the retraining that an incident asks for."""
    subject = f"{incident.model}:{incident.version}"
    with ws.ledger.change(
        actor=CONTROLLER, action="retraining.started", subject=subject, reason=incident.title
    ) as change:
        retraining = Retraining(
            id=0,
            model=incident.model,
            incident_id=incident.id,
            state=RetrainingState.WANTED,
            dataset_version=None,
            commit="",
            candidate=None,
            approval_id=None,
            last_feedback=last_feedback,
            outcome="",
            started_at=change.now,
            changed_at=change.now,
        )
        number = records.add_retraining(change.connection, ws.name, retraining)
        change.record(retraining=number, incident=incident.id, last_feedback=last_feedback)
    return msgspec.structs.replace(retraining, id=number)


def move_on(ws: Workspace, retraining: Retraining, to: RetrainingState, **known: Any) -> Retraining:  # noqa: ANN401
    """Move a retraining to its next state, with what is known since, in a change of its own.

    Raises:
        ConflictError: the table has no such move, or somebody else moved it first.
    """
    action = f"retraining.{_WORDS.get(to, to.value)}"
    reason = str(known.get("outcome", ""))
    with ws.ledger.change(
        actor=CONTROLLER, action=action, subject=_subject(retraining), reason=shortened(reason)
    ) as change:
        moved = move_within(change, ws.name, retraining, to, **known)
        if to in FINAL:
            note(change, ws.name, retraining.incident_id, f"retraining {retraining.id}: {moved.outcome}")
    return moved


def move_within(
    change: Change,
    project: str,
    retraining: Retraining,
    to: RetrainingState,
    **known: Any,  # noqa: ANN401 - values of the row's own fields
) -> Retraining:
    """Move a retraining within a caller's change.

    Raises:
        ConflictError: the table has no such move, or somebody else moved it first.
    """
    require_move(retraining, to)
    moved = msgspec.structs.replace(retraining, state=to, changed_at=change.now, **known)
    if not records.move_retraining(change.connection, project, moved, retraining.state):
        raise ConflictError(
            f"retraining {retraining.id} is no longer {retraining.state}", hint="somebody else moved it; look again"
        )
    change.record(retraining=retraining.id, state=to.value, **known)
    return moved


# audit entries are written as noun.past_verb
_WORDS = {RetrainingState.WAITING: "asked", RetrainingState.DEPLOYING: "released", RetrainingState.DONE: "finished"}


def _subject(retraining: Retraining) -> str:
    return retraining.model if retraining.candidate is None else f"{retraining.model}:{retraining.candidate}"
