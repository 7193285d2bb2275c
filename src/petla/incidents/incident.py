"""An incident: what is wrong with a live model, since when, and what came of it."""

from datetime import timedelta
from enum import StrEnum

import msgspec

from petla.core.clock import from_text
from petla.core.errors import ConflictError
from petla.monitoring.finding import FindingKind


class IncidentState(StrEnum):
    """Where an incident is in its life."""

    # nobody has said yet that they are looking at it
    OPEN = "open"
    # somebody is looking at it
    ACKNOWLEDGED = "acknowledged"
    # over, with an outcome
    RESOLVED = "resolved"


MOVES: dict[IncidentState, frozenset[IncidentState]] = {
    IncidentState.OPEN: frozenset({IncidentState.ACKNOWLEDGED, IncidentState.RESOLVED}),
    IncidentState.ACKNOWLEDGED: frozenset({IncidentState.RESOLVED}),
    IncidentState.RESOLVED: frozenset(),
}


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm of an incident."""

    # number of the finding's row
    finding: int
    window: int
    # the feature that drifted, or the metric that fell
    what: str
    measure: str
    value: float
    limit: float | None
    rows: int
    # moment of the first decision in the window, and of the verdict
    since: str
    at: str


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a live model version."""

    id: int
    model: str
    version: int
    # names the playbook
    kind: FindingKind
    state: IncidentState
    # one sentence with the figures of the alarm that opened it
    title: str
    # the alarms that opened or joined it, oldest first
    evidence: tuple[Evidence, ...]
    # who answers for it
    owner: str
    opened_at: str
    acknowledged_at: str | None
    resolved_at: str | None
    # what was done about it so far; empty: nothing yet
    outcome: str

    @property
    def is_resolved(self) -> bool:
        """Whether it is over."""
        return self.state is IncidentState.RESOLVED

    @property
    def time_to_detect(self) -> timedelta:
        """From the first decision of the first bad window to the opening."""
        return from_text(self.opened_at) - from_text(self.evidence[0].since)

    @property
    def time_to_acknowledge(self) -> timedelta | None:
        """From the opening until somebody said that they are looking at it; None: not yet."""
        return from_text(self.acknowledged_at) - from_text(self.opened_at) if self.acknowledged_at else None

    @property
    def time_to_resolve(self) -> timedelta | None:
        """From the opening to the end; None: not yet."""
        return from_text(self.resolved_at) - from_text(self.opened_at) if self.resolved_at else None


def require_move(incident: Incident, to: IncidentState) -> None:
    """Accept only a move that the table has.

    Raises:
        ConflictError: it does not.
    """
    if to not in MOVES[incident.state]:
        raise ConflictError(
            f"incident {incident.id} is {incident.state} and cannot become {to}",
            hint="list the open ones with 'petla incidents list'",
        )
