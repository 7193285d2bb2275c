"""Opening, joining, acknowledging and resolving incidents.

- At most one incident per model version and kind is open; further alarms join it.
- An alarm counts once: what an incident has as evidence does not open or join another.
- Every change goes through the ledger.
"""

from collections.abc import Sequence

import msgspec

from petla.core.errors import InvalidError, NotFoundError
from petla.core.names import suggest
from petla.incidents import records
from petla.incidents.incident import Evidence, Incident, IncidentState, require_move
from petla.monitoring.finding import Finding, FindingKind
from petla.monitoring.views import find_span
from petla.storage.database import reading
from petla.storage.ledger import Change
from petla.storage.workspace import Workspace

# of an incident that stays open for weeks, the first alarms and the newest ones are kept
_FIRST_KEPT = 20
_NEWEST_KEPT = 180


def open_or_join(ws: Workspace, alarms: Sequence[Finding]) -> Incident | None:
    """Open an incident for alarms of one model version and kind, or add them to the one that is open.

    Alarms that an incident has already are left out, so calling it again changes nothing.

    Args:
        ws: the project.
        alarms: stored findings of one model version and kind, oldest first.

    Returns:
        The incident, or None if there was nothing to add.
    """
    if not alarms:
        return None
    first = alarms[0]
    known = newest_evidence(ws, first.model, first.version, first.kind)
    fresh = [_make_evidence(ws, alarm) for alarm in alarms if alarm.id > known]
    if not fresh:
        return None
    newest = _find_newest(ws, first)
    if newest is None or newest.is_resolved:
        return _open(ws, first, tuple(fresh))
    return _join(ws, newest, tuple(fresh))


def newest_evidence(ws: Workspace, model: str, version: int, kind: FindingKind) -> int:
    """Return the row number of the newest alarm that an incident has as evidence; 0 for none."""
    with reading(ws.engine) as connection:
        newest = records.find_newest(connection, ws.name, model, version, kind)
    return 0 if newest is None else max(each.finding for each in newest.evidence)


def list_incidents(
    ws: Workspace, state: str | None = None, *, model: str | None = None, limit: int = 50
) -> tuple[Incident, ...]:
    """Return incidents, newest first.

    Raises:
        InvalidError: there is no such state.
    """
    states = list(IncidentState) if state is None else [_state_of(state)]
    with reading(ws.engine) as connection:
        return tuple(records.list_rows(connection, ws.name, states, model, limit))


def list_unresolved(ws: Workspace, *, model: str | None = None, limit: int = 200) -> tuple[Incident, ...]:
    """Return the incidents that are not over, newest first."""
    states = [IncidentState.OPEN, IncidentState.ACKNOWLEDGED]
    with reading(ws.engine) as connection:
        return tuple(records.list_rows(connection, ws.name, states, model, limit))


def get_incident(ws: Workspace, incident_id: int) -> Incident:
    """Return one incident.

    Raises:
        NotFoundError: there is no such incident.
    """
    with reading(ws.engine) as connection:
        return _require(records.find(connection, ws.name, incident_id), incident_id)


def acknowledge(ws: Workspace, incident_id: int, *, actor: str) -> Incident:
    """Say that somebody is looking at it; that person becomes its owner.

    Raises:
        NotFoundError: there is no such incident.
        ConflictError: it is acknowledged or resolved already.
    """
    subject = f"incident {incident_id}"
    with ws.ledger.change(actor=actor, action="incident.acknowledged", subject=subject) as change:
        incident = _require(records.find(change.connection, ws.name, incident_id), incident_id)
        require_move(incident, IncidentState.ACKNOWLEDGED)
        incident = msgspec.structs.replace(
            incident, state=IncidentState.ACKNOWLEDGED, owner=actor, acknowledged_at=change.now
        )
        records.save(change.connection, ws.name, incident)
        change.record(title=incident.title)
    return incident


def resolve(ws: Workspace, incident_id: int, outcome: str, *, actor: str) -> Incident:
    """Close an incident with what came of it.

    Raises:
        NotFoundError: there is no such incident.
        ConflictError: it is resolved already.
        InvalidError: the outcome is empty.
    """
    if not outcome.strip():
        raise InvalidError("an incident is resolved with what came of it", hint="say it in a word", field="outcome")
    subject = f"incident {incident_id}"
    with ws.ledger.change(actor=actor, action="incident.resolved", subject=subject, reason=outcome) as change:
        incident = _require(records.find(change.connection, ws.name, incident_id), incident_id)
        require_move(incident, IncidentState.RESOLVED)
        return settle(change, ws.name, incident_id, outcome)


def settle(change: Change, project: str, incident_id: int, outcome: str) -> Incident:
    """Resolve an incident within a caller's change; one that is resolved already stays as it is.

    Raises:
        NotFoundError: there is no such incident.
    """
    incident = _require(records.find(change.connection, project, incident_id), incident_id)
    if incident.is_resolved:
        return incident
    resolved = msgspec.structs.replace(incident, state=IncidentState.RESOLVED, resolved_at=change.now, outcome=outcome)
    records.save(change.connection, project, resolved)
    change.record(incident=incident.id, outcome=outcome, seconds_open=_seconds(resolved))
    return resolved


def note(change: Change, project: str, incident_id: int, outcome: str) -> None:
    """Write down within a caller's change what was tried about an incident, which stays open."""
    incident = _require(records.find(change.connection, project, incident_id), incident_id)
    if not incident.is_resolved:
        records.save(change.connection, project, msgspec.structs.replace(incident, outcome=outcome))


def _open(ws: Workspace, first: Finding, evidence: tuple[Evidence, ...]) -> Incident:
    subject = f"{first.model}:{first.version}"
    with ws.ledger.change(actor="controller", action="incident.opened", subject=subject) as change:
        incident = Incident(
            id=0,
            model=first.model,
            version=first.version,
            kind=first.kind,
            state=IncidentState.OPEN,
            title=_write_title(subject, first.kind, evidence),
            evidence=_shorten(evidence),
            owner=ws.project.project.owner,
            opened_at=change.now,
            acknowledged_at=None,
            resolved_at=None,
            outcome="",
        )
        incident = msgspec.structs.replace(incident, id=records.add(change.connection, ws.name, incident))
        seconds = incident.time_to_detect.total_seconds()
        change.record(incident=incident.id, title=incident.title, seconds_to_detect=seconds)
    return incident


def _join(ws: Workspace, newest: Incident, fresh: tuple[Evidence, ...]) -> Incident:
    subject = f"{newest.model}:{newest.version}"
    with ws.ledger.change(actor="controller", action="incident.joined", subject=subject) as change:
        incident = _require(records.find(change.connection, ws.name, newest.id), newest.id)
        incident = msgspec.structs.replace(incident, evidence=_shorten(incident.evidence + fresh))
        records.save(change.connection, ws.name, incident)
        change.record(incident=incident.id, alarms=[f"{e.what} {e.measure} {e.value:.4g}" for e in fresh])
    return incident


def _make_evidence(ws: Workspace, alarm: Finding) -> Evidence:
    span = find_span(ws, alarm)
    return Evidence(
        finding=alarm.id,
        window=alarm.window,
        what=alarm.what,
        measure=alarm.measure,
        value=alarm.value,
        limit=alarm.limit,
        rows=alarm.rows,
        since=span[0] if span else alarm.at,
        at=alarm.at,
    )


def _write_title(subject: str, kind: FindingKind, evidence: Sequence[Evidence]) -> str:
    worst = max(evidence, key=lambda each: each.value) if kind == "drift" else evidence[0]
    more = len({each.what for each in evidence}) - 1
    rest = f", and {more} more" if more else ""
    limit = "" if worst.limit is None else f", limit {worst.limit:.3g}"
    if kind == "drift" and worst.measure != "psi":
        return f"{subject} sees values that training never had: {worst.what}, {worst.value:.0%} of them{limit}{rest}"
    if kind == "drift":
        return f"{subject} sees other data: {worst.what} PSI {worst.value:.2f}{limit}, {worst.rows:,} decisions{rest}"
    if kind == "labels":
        return f"{subject} gets labels that cannot be used: {worst.value:.0%} of {worst.rows:,}{limit}"
    return f"{subject} lost quality: {worst.what} {worst.value:.3f}{limit}, {worst.rows:,} labelled decisions"


def _shorten(evidence: tuple[Evidence, ...]) -> tuple[Evidence, ...]:
    if len(evidence) <= _FIRST_KEPT + _NEWEST_KEPT:
        return evidence
    return evidence[:_FIRST_KEPT] + evidence[-_NEWEST_KEPT:]


def _find_newest(ws: Workspace, alarm: Finding) -> Incident | None:
    with reading(ws.engine) as connection:
        return records.find_newest(connection, ws.name, alarm.model, alarm.version, alarm.kind)


def _require(incident: Incident | None, incident_id: int) -> Incident:
    if incident is None:
        raise NotFoundError(f"there is no incident {incident_id}", hint="list them with 'petla incidents list'")
    return incident


def _state_of(text: str) -> IncidentState:
    try:
        return IncidentState(text)
    except ValueError as error:
        hint = suggest(text, IncidentState)
        raise InvalidError(f"incidents have no state {text!r}", hint=hint, field="state") from error


def _seconds(incident: Incident) -> float:
    took = incident.time_to_resolve
    return 0.0 if took is None else took.total_seconds()
