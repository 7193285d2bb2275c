"""The retraining policy: whether an alarm starts a retraining. Rules without input and output.

- Only alarms of the kinds that the project names start one, and only if it names a dataset for fresh data.
- One retraining of a model at a time.
- A retraining needs `minimum_rows` labels that came in after the one before it began, however that one ended: the same
  labels would give the same challenger, and a person who said no is not asked the same thing again.
"""

import msgspec

from petla.core.project import RetrainTable
from petla.loop.retraining.states import Retraining
from petla.monitoring.finding import FindingKind


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What the policy looks at."""

    # what kind of alarm the open incident is about
    kind: FindingKind
    # the model's newest retraining, open or over; None: there was none
    last: Retraining | None
    # labelled decisions whose labels are newer than those that the last retraining had
    labels: int


class Start(msgspec.Struct, frozen=True, tag=True):
    """Start a retraining now."""


class Wait(msgspec.Struct, frozen=True, tag=True):
    """Start one later."""

    # what is waited for, in words
    reason: str


class Nothing(msgspec.Struct, frozen=True, tag=True):
    """Leave it to a person."""

    reason: str


Step = Start | Wait | Nothing


def decide(table: RetrainTable, situation: Situation) -> Step:
    """Say what to do about an open incident.

    Example:
        >>> decide(RetrainTable(), Situation(kind="drift", last=None, labels=5_000))
        Nothing(reason='the project names no dataset to retrain on')
        >>> decide(RetrainTable(dataset="flights"), Situation(kind="drift", last=None, labels=5_000))
        Start()
    """
    last = situation.last
    if not table.dataset:
        return Nothing("the project names no dataset to retrain on")
    if situation.kind not in table.on:
        return Nothing(f"the project does not retrain on {situation.kind}")
    if last is not None and last.is_open:
        return Wait(f"retraining {last.id} is under way")
    if situation.labels < table.minimum_rows:
        since = "" if last is None else f" since retraining {last.id} ({last.state})"
        return Wait(f"{situation.labels:,} of {table.minimum_rows:,} labelled decisions have come{since}")
    return Start()
