"""The records of the spool, a decision and the truth that arrives later, and what the log gives back of them."""

from enum import StrEnum
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
# the arm of requests that name a version beside the champion or, while requests are divided among arms, the champion:
# they chose it, so no comparison may count them
NAMED = "named"

# characters; no index of a database takes texts of any length
LONGEST_SUBJECT = 256

# begins what stands for an input that is too large to be recorded whole: a picture, or an array of numbers
DIGEST = "blake3:"

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
    # effect of each input on the score, in the order of the inputs, None where it is not known; empty: nobody asked
    explanation: tuple[float | None, ...] = ()


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


class FeedbackStatus(StrEnum):
    """What a piece of feedback is to its decision."""

    # the first truth about a decision of the log
    FIRST = "first"
    # the truth that was known already; it changes nothing
    REPEATED = "repeated"
    # another truth than the one before, which it replaces
    CORRECTED = "corrected"
    # the log does not have its decision: not yet, or nobody made it
    WAITING = "waiting"
    # no class of the version that decided, or, of a regression, no number: kept, and used for nothing
    UNKNOWN_CLASS = "unknown class"
    # its decision was removed when it had been kept long enough
    LATE = "late"


class LoggedFeedback(msgspec.Struct, frozen=True):
    """One piece of feedback as the log holds it."""

    truth: Truth
    # when it was reported
    at: str
    status: FeedbackStatus


class LoggedShadow(msgspec.Struct, frozen=True):
    """What another version would have answered."""

    model: str
    version: int
    at: str
    # None: it failed
    label: Truth | None
    score: float
    latency_us: int
    worker: str
    # why it has no answer; empty: it has one
    error: str


class LoggedDecision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision as the log holds it, with the newest truth about it and what its version was made of."""

    seq: int
    id: DecisionId
    request_id: str
    trace_id: str
    at: str
    model: str
    version: int
    # digest of the version's package; empty: the registry does not know the version
    package: str
    # dataset -> digest of the version it was trained on
    data: dict[str, str]
    # that it was trained from
    commit: str
    arm: str
    # field -> value as scored
    inputs: dict[str, Any]
    flags: tuple[str, ...]
    label: Truth
    score: float
    served_by: str
    latency_us: int
    worker: str
    subject: str
    # field -> its effect on the score, None where it is not known; empty: nobody asked
    explanation: dict[str, float | None]
    # None: not known yet
    truth: Truth | None = None
    # all that was said about it, in order; only where one decision is asked for
    feedback: tuple[LoggedFeedback, ...] = ()
    # only where one decision is asked for
    shadows: tuple[LoggedShadow, ...] = ()


class Place(msgspec.Struct, frozen=True):
    """Where a decision stands in the log: decisions that arrive later move nothing before or behind it."""

    at: str
    seq: int

    def __str__(self) -> str:
        """Write it as people and programs pass it on."""
        return f"{self.at}~{self.seq}"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which decisions are meant; what is None does not matter."""

    model: str | None = None
    version: int | None = None
    arm: str | None = None
    # has this flag
    flag: str | None = None
    # what answered
    served_by: str | None = None
    subject: str | None = None
    # made at this stored moment or later
    since: str | None = None
    # made before this stored moment
    until: str | None = None
    # whether the truth is known
    labelled: bool | None = None
    # stands behind this place, where the newest come first
    older_than: Place | None = None
    # stands before it
    newer_than: Place | None = None


class Labelled(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of feedback joined to its decision."""

    feedback_seq: int
    decision_seq: int
    # the moment of the decision
    at: str
    # that the request was given to
    arm: str = CHAMPION
    label: Truth
    score: float
    truth: Truth


class LabelledInputs(msgspec.Struct, frozen=True):
    """What a decision was about, and what turned out to be true."""

    id: str
    # field -> value as scored
    inputs: dict[str, Any]
    truth: Truth
