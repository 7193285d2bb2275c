"""Approvals: the question to a person whether a passed challenger goes live, and the answer.

- Who asked may not grant.
- A request is answered once, whoever comes first.
- A yes is about the champion that the challenger was compared with: if another one is live, the request is over.
- A no rejects the challenger, leaves the champion, and closes the incident with the reason, in one change.
"""

from typing import NoReturn

import msgspec

from petla.core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from petla.core.names import suggest
from petla.gates.verdict import Verdict
from petla.incidents.incidents import settle
from petla.loop import records
from petla.loop.approval import Approval, ApprovalState
from petla.loop.question import write_question
from petla.loop.retraining.retrainings import CONTROLLER, move_within
from petla.loop.retraining.states import Retraining, RetrainingState
from petla.loop.rollout import go_live
from petla.models import registry
from petla.models.states import State
from petla.storage.database import reading
from petla.storage.ledger import Change, shortened
from petla.storage.workspace import Workspace

__all__ = ["Approval", "ApprovalState", "ask", "get_approval", "grant", "list_approvals", "refuse", "withdraw"]


def list_approvals(
    ws: Workspace, state: str | None = None, *, model: str | None = None, limit: int = 50
) -> tuple[Approval, ...]:
    """Return requests, newest first.

    Raises:
        InvalidError: there is no such state.
    """
    wanted = None if state is None else _state_of(state)
    with reading(ws.engine) as connection:
        return tuple(records.list_approval_rows(connection, ws.name, wanted, model, limit))


def get_approval(ws: Workspace, approval_id: int) -> Approval:
    """Return one request.

    Raises:
        NotFoundError: there is no such request.
    """
    with reading(ws.engine) as connection:
        found = records.find_approval(connection, ws.name, approval_id)
    if found is None:
        raise NotFoundError(
            f"there is no request for approval {approval_id}", hint="list them with 'petla approvals list'"
        )
    return found


def ask(ws: Workspace, retraining: Retraining, verdict: Verdict) -> Approval:
    """Put the question whether a retraining's challenger goes live; the retraining waits for the answer."""
    subject = f"{verdict.model}:{verdict.version}"
    _, table = ws.get_model(verdict.model)
    with ws.ledger.change(actor=CONTROLLER, action="approval.asked", subject=subject) as change:
        approval = Approval(
            id=0,
            model=verdict.model,
            version=verdict.version,
            champion=verdict.champion,
            state=ApprovalState.WAITING,
            question=write_question(verdict, table),
            asked_by=CONTROLLER,
            asked_at=change.now,
            decided_by="",
            decided_at=None,
            reason="",
        )
        number = records.add_approval(change.connection, ws.name, approval)
        move_within(change, ws.name, retraining, RetrainingState.WAITING, approval_id=number)
        change.record(approval=number, question=approval.question)
    return msgspec.structs.replace(approval, id=number)


def grant(ws: Workspace, approval_id: int, *, actor: str, reason: str = "") -> Approval:
    """Say yes: the challenger goes live, at once, also if no controller runs.

    Raises:
        NotFoundError: there is no such request.
        ForbiddenError: who asked may not grant.
        ConflictError: it was answered already, or another champion is live than it was compared with.
        UnavailableError: the yes is recorded, but the workers could not take the version; the controller tries again.
    """
    asked = get_approval(ws, approval_id)
    if actor in ("", asked.asked_by):
        raise ForbiddenError(
            f"{actor or 'nobody'} asked for {asked.model}:{asked.version} and may not approve it",
            hint="let somebody else decide",
            field="actor",
        )
    champion = registry.find_champion(ws, asked.model)
    live = None if champion is None else champion.version
    if asked.state is ApprovalState.WAITING and live not in (asked.champion, asked.version):
        raise ConflictError(
            f"{asked.model}:{asked.version} was compared with version {asked.champion or 'none'}, but version "
            f"{live or 'none'} is live now",
            hint="the controller withdraws this request; deploy by hand with 'petla deploy' if you are sure",
        )
    subject = f"{asked.model}:{asked.version}"
    with ws.ledger.change(actor=actor, action="approval.granted", subject=subject, reason=reason) as change:
        approval = _answer(change, ws.name, asked, ApprovalState.GRANTED, actor, reason)
        retraining = _find_asking(change, ws.name, asked)
        moved = move_within(change, ws.name, retraining, RetrainingState.DEPLOYING)
    go_live(ws, moved, actor=actor)
    return approval


def refuse(ws: Workspace, approval_id: int, *, actor: str, reason: str) -> Approval:
    """Say no: the challenger is rejected, the champion stays, and the incident says so.

    Raises:
        NotFoundError: there is no such request.
        ConflictError: it was answered already, or the challenger is live meanwhile.
        InvalidError: no reason was given.
    """
    if not reason.strip():
        raise InvalidError("a no needs a reason", hint="say why, for whoever reads it later", field="reason")
    asked = get_approval(ws, approval_id)
    subject = f"{asked.model}:{asked.version}"
    stays = "nothing is live" if asked.champion is None else f"{asked.model}:{asked.champion} stays live"
    outcome = f"{actor} refused {subject}: {reason}; {stays}"
    with ws.ledger.change(actor=actor, action="approval.refused", subject=subject, reason=reason) as change:
        approval = _answer(change, ws.name, asked, ApprovalState.REFUSED, actor, reason)
        registry.move(change, ws.name, asked.model, asked.version, State.REJECTED)
        retraining = _find_asking(change, ws.name, asked)
        move_within(change, ws.name, retraining, RetrainingState.REFUSED, outcome=outcome)
        settle(change, ws.name, retraining.incident_id, outcome)
    return approval


def withdraw(ws: Workspace, retraining: Retraining, reason: str, *, to: RetrainingState) -> None:
    """Take back a question that lost its meaning, and move its retraining to where that leaves it."""
    asked = get_approval(ws, retraining.approval_id or 0)
    subject = f"{asked.model}:{asked.version}"
    with ws.ledger.change(
        actor=CONTROLLER, action="approval.withdrawn", subject=subject, reason=shortened(reason)
    ) as change:
        _answer(change, ws.name, asked, ApprovalState.WITHDRAWN, CONTROLLER, reason)
        move_within(change, ws.name, retraining, to, outcome=reason)


def _answer(change: Change, project: str, asked: Approval, state: ApprovalState, actor: str, reason: str) -> Approval:
    answered = msgspec.structs.replace(asked, state=state, decided_by=actor, decided_at=change.now, reason=reason)
    if not records.answer_approval(change.connection, project, answered):
        now = records.find_approval(change.connection, project, asked.id)
        _refuse_second(now or asked)
    change.record(approval=asked.id, question=asked.question)
    return answered


def _refuse_second(now: Approval) -> NoReturn:
    raise ConflictError(
        f"request {now.id} for {now.model}:{now.version} was {now.state} by {now.decided_by or 'somebody'} already",
        hint="list what still waits with 'petla approvals list --state waiting'",
    )


def _find_asking(change: Change, project: str, asked: Approval) -> Retraining:
    found = records.find_asking(change.connection, project, asked.id)
    if found is None:
        raise NotFoundError(f"no retraining belongs to request {asked.id}", hint="run 'petla audit verify'")
    return found


def _state_of(text: str) -> ApprovalState:
    try:
        return ApprovalState(text)
    except ValueError as error:
        hint = suggest(text, ApprovalState)
        raise InvalidError(f"requests have no state {text!r}", hint=hint, field="state") from error
