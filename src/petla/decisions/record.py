"""The records of the spool, a decision and the truth that arrives later, and what the log gives back of them."""

from typing import Any

import msgspec

from petla.core.ids import DecisionId

# arms and what else may answer; the arms of an experiment have names of their own
CHAMPION = "champion"
CANARY = "canary"
# the version before, because the one that was asked failed
STANDBY = "standby"
# the answer that the project file states for when no version can answer
DEFAULT = "default"
# an answer that a rule of the project file sets in the place of the model's
RULE = "rule"

# the value that a client sends as truth
Truth = bool | int | float | str


class Decision(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One prediction with its context, as it is written before the answer leaves.

    Fields are only ever added at the end, so that an older spool can be read.
    """

    id: DecisionId
    request_id: str
    # nanoseconds since 1970 UTC
    at_ns: int
    model: str
    version: int
    # values in the order of the signature's inputs
    inputs: tuple[Any, ...]
    # the decided class, or the predicted number
    label: bool | int | float | str
    # probability of the positive class (binary) or of the decided class; the number itself for a regression
    score: float
    # what answered: the name of its arm where that arm's version did, else STANDBY, DEFAULT or RULE
    served_by: str
    latency_us: int
    worker: str
    # of the W3C trace that the request belongs to, 32 hexadecimal digits; empty: none
    trace_id: str = ""
    # the arm that the request was given to
    arm: str = CHAMPION
    # what is unusual about the input or the answer, by the name of the guard
    flags: tuple[str, ...] = ()
    # whom or what the decision is about, as the request says; empty: it does not say
    subject: str = ""
    # effect of each input on the score, in the order of the inputs; empty: nobody asked
    explanation: tuple[float, ...] = ()


class ShadowAnswer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a version that nobody sees would have answered to a decision's input."""

    decision_id: DecisionId
    at_ns: int
    model: str
    version: int
    # as in the decision; None: it failed
    label: bool | int | float | str | None
    score: float
    latency_us: int
    worker: str
    # why it has no answer; empty: it has one
    error: str = ""


class Feedback(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The truth about one decision."""

    decision_id: DecisionId
    truth: Truth
    at_ns: int


class LoggedDecision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision as the log holds it, with the newest truth about it."""

    seq: int
    id: DecisionId
    request_id: str
    at: str
    model: str
    version: int
    # field -> value as scored
    inputs: dict[str, Any]
    label: Truth
    score: float
    served_by: str
    latency_us: int
    worker: str
    # None: not known yet
    truth: Truth | None = None


class Labelled(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of feedback joined to its decision."""

    feedback_seq: int
    decision_seq: int
    # the moment of the decision
    at: str
    label: Truth
    score: float
    truth: Truth
