"""What a piece of feedback is to its decision."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from petla.core.ids import find_moment
from petla.decisions.record import FeedbackStatus, Truth

# gives a value as a version's own label, or None
Reader = Callable[[object], Truth | None]

# statuses of feedback that says something new about a decision of the log
EFFECTIVE = (FeedbackStatus.FIRST, FeedbackStatus.CORRECTED)


class Arrival(NamedTuple):
    """One piece of feedback as it came."""

    decision_id: str
    truth: Truth
    # stored moment of the report
    at: str


class Judged(NamedTuple):
    """One piece of feedback, and what it is."""

    arrival: Arrival
    status: FeedbackStatus
    # stored moment of its decision; of the report where the decision is gone; None: it waits
    decided_at: str | None


def judge_arrivals(
    arrivals: Iterable[Arrival],
    decided_at: Mapping[str, str],
    truths: Mapping[str, Truth],
    kept_since: datetime | None = None,
    readers: Mapping[str, Reader] | None = None,
) -> list[Judged]:
    """Say of each piece of feedback, in order, what it is; its truth becomes the label of the version that decided.

    Args:
        arrivals: in the order in which they came.
        decided_at: id -> moment of those decisions that are in the log.
        truths: id -> truth that holds until now.
        kept_since: older decisions were removed; None: none was.
        readers: id -> reads a label of its decision's version; without one a truth stays as it came.

    Example:
        >>> pair = [Arrival("a", True, "now"), Arrival("a", False, "now")]
        >>> [str(each.status) for each in judge_arrivals(pair, {"a": "then"}, {"a": True})]
        ['repeated', 'corrected']
    """
    known = dict(truths)
    judged = []
    for arrival in arrivals:
        name, truth, at = arrival
        decided = decided_at.get(name)
        if decided is None:
            is_late = _is_gone(name, kept_since)
            status = FeedbackStatus.LATE if is_late else FeedbackStatus.WAITING
            judged.append(Judged(arrival, status, at if is_late else None))
            continue
        read = (readers or {}).get(name)
        label = truth if read is None else read(truth)
        if label is None:
            judged.append(Judged(arrival, FeedbackStatus.UNKNOWN_CLASS, decided))
            continue
        truth = label
        if name not in known:
            status = FeedbackStatus.FIRST
        else:
            status = FeedbackStatus.REPEATED if known[name] == truth else FeedbackStatus.CORRECTED
        known[name] = truth
        judged.append(Judged(Arrival(name, truth, at), status, decided))
    return judged


def _is_gone(decision_id: str, kept_since: datetime | None) -> bool:
    made = find_moment(decision_id) if kept_since is not None else None
    return made is not None and kept_since is not None and made < kept_since
