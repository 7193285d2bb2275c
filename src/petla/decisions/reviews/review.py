"""A review: one decision that was answered provisionally and that a person decides."""

from enum import StrEnum

import msgspec

from petla.decisions.record import Truth


class ReviewState(StrEnum):
    """Where a review is in its life."""

    # nobody has decided yet
    WAITING = "waiting"
    # a person has
    DECIDED = "decided"


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A decision in the queue."""

    # of the decision
    id: str
    model: str
    version: int
    # the moment of the decision
    at: str
    # the provisional answer
    label: Truth
    # names of the guards that sent it here
    flags: tuple[str, ...]
    state: ReviewState = ReviewState.WAITING
    # the person's; None: not yet
    answer: Truth | None = None
    decided_by: str = ""
    decided_at: str | None = None
    reason: str = ""
    # when the webhook is called next; None: there is nothing to deliver, or no longer
    deliver_at: str | None = None
    # calls that were begun
    attempts: int = 0
    delivered_at: str | None = None
    # why the last call failed; empty: it did not, or there was none
    delivery_error: str = ""
