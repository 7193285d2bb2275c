"""The queue of reviews: filled by the shipper, emptied by people.

- A decision enters the queue in the transaction that puts it into the log, so exactly once.
- A review is decided once, whoever comes first, by a named person with a reason.
- Of several that are decided with one word each stands for itself: one that cannot be decided holds up no other.
- The provisional answer stays as it is in the log: what a client got is not changed afterwards.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from petla.core.clock import to_text
from petla.core.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    PetlaError,
    UnavailableError,
)
from petla.core.names import suggest
from petla.core.project.guarding import REVIEW
from petla.decisions.record import Decision, Truth
from petla.decisions.reviews import records
from petla.decisions.reviews.review import Review, ReviewState
from petla.deployments.policy import find_answer
from petla.models import registry
from petla.models.signature import Signature
from petla.storage.database import reading
from petla.storage.workspace import Workspace

__all__ = [
    "Outcome",
    "Review",
    "ReviewState",
    "count_waiting",
    "decide",
    "decide_each",
    "decide_typed",
    "find_review",
    "get_review",
    "list_reviews",
    "make_collector",
    "read_answer",
]

# decisions that one word is for
MOST = 200


class Outcome(NamedTuple):
    """What came of one of several decisions: the decided review, or why it was not decided."""

    id: str
    result: Review | PetlaError


def make_collector(ws: Workspace) -> Callable[[Connection, Sequence[Decision]], None]:
    """Return a counter for the shipper that puts into the queue what a guard sent there."""

    def collect(connection: Connection, batch: Sequence[Decision]) -> None:
        records.add_reviews(connection, ws.name, [_review_of(d) for d in batch if REVIEW in d.flags])

    return collect


def list_reviews(
    ws: Workspace, state: str | None = None, *, model: str | None = None, limit: int = 50
) -> tuple[Review, ...]:
    """Return reviews: those that wait oldest first, the others newest first.

    Raises:
        InvalidError: there is no such state.
    """
    wanted = None if state is None else _state_of(state)
    with reading(ws.engine) as connection:
        return tuple(records.list_review_rows(connection, ws.name, wanted, model, limit))


def count_waiting(ws: Workspace, model: str | None = None) -> int:
    """Return how many decisions wait for a person."""
    with reading(ws.engine) as connection:
        return records.count_waiting(connection, ws.name, model)


def find_review(ws: Workspace, decision_id: str) -> Review | None:
    """Return the review of a decision, or None."""
    with reading(ws.engine) as connection:
        return records.find_review(connection, ws.name, decision_id)


def get_review(ws: Workspace, decision_id: str) -> Review:
    """Return the review of a decision.

    Raises:
        NotFoundError: no guard sent it to a person.
    """
    found = find_review(ws, decision_id)
    if found is None:
        raise NotFoundError(
            f"decision {decision_id!r} waits for nobody", hint="list what does with 'petla reviews list'", field="id"
        )
    return found


def decide(ws: Workspace, decision_id: str, answer: Truth, *, actor: str, reason: str) -> Review:
    """Take a person's word on a decision; if the project has a webhook, it is told.

    Raises:
        NotFoundError: there is no such review.
        ForbiddenError: nobody says so.
        ConflictError: it was decided already.
        InvalidError: no reason was given, or the model does not answer so.
    """
    if not actor:
        raise ForbiddenError("nobody decides here", hint="sign in", field="actor")
    asked = get_review(ws, decision_id)
    settled = _check_word(ws, asked, answer, reason)
    with ws.ledger.change(
        actor=actor, action="decision.reviewed", subject=f"{asked.model}:{asked.version}", reason=reason.strip()
    ) as change:
        decided = msgspec.structs.replace(
            asked,
            state=ReviewState.DECIDED,
            answer=settled,
            decided_by=actor,
            decided_at=change.now,
            reason=reason.strip(),
            deliver_at=change.now if _webhook_of(ws, asked.model) else None,
        )
        if not records.decide_review(change.connection, ws.name, decided):
            now = records.find_review(change.connection, ws.name, decision_id) or asked
            raise ConflictError(
                f"decision {decision_id} was decided by {now.decided_by or 'somebody'} already",
                hint="list what still waits with 'petla reviews list --state waiting'",
            )
        change.record(decision=asked.id, provisional=asked.label, answer=settled, flags=list(asked.flags))
    return decided


def decide_typed(ws: Workspace, decision_id: str, text: str, *, actor: str, reason: str) -> Review:
    """Take a person's word as it was typed.

    Raises:
        NotFoundError: there is no such review.
        ForbiddenError: nobody says so.
        ConflictError: it was decided already.
        InvalidError: no reason was given, or the model does not answer so.
    """
    answer = read_answer(ws, get_review(ws, decision_id), text)
    return decide(ws, decision_id, answer, actor=actor, reason=reason)


def decide_each(ids: Iterable[str], decide_one: Callable[[str], Review]) -> list[Outcome]:
    """Decide several, one after the other, each in a change of its own; return what came of each, in their order.

    Args:
        ids: which; one that is named twice is decided once.
        decide_one: decides the one that it is told.

    Raises:
        ForbiddenError: nobody says so.
        InvalidError: none or too many are named, or no reason was given; then none is decided.
    """
    named = list(dict.fromkeys(ids))
    if not 0 < len(named) <= MOST:
        hint = f"name at most {MOST} at once" if named else "say which are to be decided"
        raise InvalidError(f"{len(named):,} decisions are named", hint=hint, field="ids")
    outcomes: list[Outcome] = []
    for i, decision_id in enumerate(named):
        try:
            outcomes.append(Outcome(decision_id, decide_one(decision_id)))
        except UnavailableError as error:
            # whatever is away is away for the rest too
            return [*outcomes, *(Outcome(each, error) for each in named[i:])]
        except (NotFoundError, ConflictError, InvalidError) as error:
            if error.field == "reason":
                raise  # it is the same one for all of them
            outcomes.append(Outcome(decision_id, error))
    return outcomes


def read_answer(ws: Workspace, review: Review, text: str) -> Truth:
    """Return what a person typed as the model's own value.

    Raises:
        InvalidError: the model does not answer so.
    """
    signature = _signature_of(ws, review)
    named = next((value for value in signature.classes if _to_text(value) == text.strip().lower()), None)
    if named is not None:
        return named
    try:
        return float(text)
    except ValueError:
        return _settle(signature, text)


def _check_word(ws: Workspace, asked: Review, answer: Truth, reason: str) -> Truth:
    if not reason.strip():
        raise InvalidError("a decision needs a reason", hint="say why, for whoever reads it later", field="reason")
    return _settle(_signature_of(ws, asked), answer)


def _settle(signature: Signature, answer: Truth) -> Truth:
    settled = find_answer(signature, answer)
    if settled is None:
        allowed = " or ".join(map(_to_text, signature.classes)) or "a number"
        raise InvalidError(f"the model does not answer {answer!r}", hint=f"answer {allowed}", field="answer")
    return settled


def _signature_of(ws: Workspace, review: Review) -> Signature:
    return registry.get_version(ws, review.model, review.version).certificate.signature


def _webhook_of(ws: Workspace, model: str) -> str:
    table = ws.project.models.get(model)
    return table.guards.webhook if table is not None else ""


def _review_of(decision: Decision) -> Review:
    return Review(
        id=decision.id,
        model=decision.model,
        version=decision.version,
        at=to_text(datetime.fromtimestamp(decision.at_ns / 1e9, UTC)),
        label=decision.label,
        flags=tuple(flag for flag in decision.flags if flag != REVIEW),
    )


def _to_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _state_of(text: str) -> ReviewState:
    try:
        return ReviewState(text)
    except ValueError as error:
        hint = suggest(text, ReviewState)
        raise InvalidError(f"reviews have no state {text!r}", hint=hint, field="state") from error
