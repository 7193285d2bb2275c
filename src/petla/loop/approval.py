"""An approval: the question whether a challenger goes live, and its answer."""

from enum import StrEnum

import msgspec


class ApprovalState(StrEnum):
    """Where a request is in its life."""

    # nobody has answered yet
    WAITING = "waiting"
    # a person said yes
    GRANTED = "granted"
    # a person said no
    REFUSED = "refused"
    # the question lost its meaning: the champion changed meanwhile
    WITHDRAWN = "withdrawn"


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A request that waits for a person, or was answered."""

    id: int
    model: str
    # the challenger
    version: int
    # the champion it was compared with; None: nothing was live
    champion: int | None
    state: ApprovalState
    # one sentence with the figures
    question: str
    asked_by: str
    asked_at: str
    # empty: nobody yet
    decided_by: str
    decided_at: str | None
    reason: str
