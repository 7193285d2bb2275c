"""Incidents: what is wrong, since when, what to do, and what Pętla does by itself meanwhile."""

from petla.incidents.incident import Evidence, Incident, IncidentState
from petla.incidents.incidents import get_incident, list_incidents
from petla.incidents.playbooks import playbook_of
from petla.loop.controller import explain_waiting
from petla.loop.retraining.retrainings import list_retrainings
from petla.loop.retraining.states import Retraining
from petla.storage.workspace import Workspace
from petla.web import figures
from petla.web.blocks import find_moment, make_moment, metric_name, split_title
from petla.web.contexts import AlarmLine, IncidentLine, IncidentPage, IncidentsPage, Step
from petla.web.pieces import Badge, Row

_TONES: dict[IncidentState, str] = {
    IncidentState.OPEN: "bad",
    IncidentState.ACKNOWLEDGED: "warm",
    IncidentState.RESOLVED: "good",
}
_RETRAININGS_SEARCHED = 100
_ALARMS_SHOWN = 50


def make_incidents(ws: Workspace) -> IncidentsPage:
    """Return all incidents, those that are not over first."""
    found = list_incidents(ws, limit=100)
    return IncidentsPage(
        current=tuple(_make_line(ws, incident) for incident in found if not incident.is_resolved),
        resolved=tuple(_make_line(ws, incident) for incident in found if incident.is_resolved),
    )


def make_incident(ws: Workspace, incident_id: int, *, fault: str = "", typed: str = "") -> IncidentPage:
    """Return one incident with its playbook.

    Raises:
        NotFoundError: there is no such incident.
    """
    incident = get_incident(ws, incident_id)
    title, detail = split_title(incident.title)
    playbook = playbook_of(incident.kind)
    known = list_retrainings(ws, model=incident.model, limit=_RETRAININGS_SEARCHED)
    retraining = next((each for each in known if each.incident_id == incident.id), None)
    alarms = tuple(_make_alarm(ws, each) for each in incident.evidence[::-1][:_ALARMS_SHOWN])
    return IncidentPage(
        id=incident.id,
        title=title,
        detail=detail,
        badge=_badge(incident),
        model=f"{incident.model}:{incident.version}",
        model_href=f"/models/{incident.model}",
        owner=incident.owner,
        timeline=_make_timeline(ws, incident),
        meaning_title=playbook.title,
        meaning=playbook.meaning,
        steps=playbook.steps,
        automatic=playbook.automatic,
        alarms=alarms,
        retraining=_describe_retraining(ws, retraining),
        approval_href=f"/approvals/{retraining.approval_id}" if retraining and retraining.approval_id else "",
        outcome=incident.outcome,
        waits=_explain_waiting(ws, incident),
        can_acknowledge=incident.state is IncidentState.OPEN,
        can_resolve=not incident.is_resolved,
        fault=fault,
        typed=typed,
    )


def _make_line(ws: Workspace, incident: Incident) -> IncidentLine:
    lasted = incident.time_to_resolve
    title, detail = split_title(incident.title)
    return IncidentLine(
        id=incident.id,
        href=f"/incidents/{incident.id}",
        title=title,
        detail=detail,
        model=f"{incident.model}:{incident.version}",
        badge=_badge(incident),
        opened_at=make_moment(incident.opened_at, ws.clock()),
        lasted=figures.duration(lasted) if lasted is not None else "",
        owner=incident.owner,
    )


def _badge(incident: Incident) -> Badge:
    return Badge(str(incident.state), _TONES[incident.state])


def _make_timeline(ws: Workspace, incident: Incident) -> tuple[Step, ...]:
    now = ws.clock()
    taken = incident.time_to_acknowledge
    lasted = incident.time_to_resolve
    steps = [
        Step(
            "Alarm opened it",
            make_moment(incident.opened_at, now),
            f"{figures.duration(incident.time_to_detect)} after the first decision of the bad window",
            True,
        ),
        Step(
            "Acknowledged",
            find_moment(incident.acknowledged_at, now),
            f"{incident.owner}, after {figures.duration(taken)}" if taken is not None else "nobody yet",
            taken is not None,
        ),
        Step(
            "Resolved",
            find_moment(incident.resolved_at, now),
            f"after {figures.duration(lasted)}" if lasted is not None else "not yet",
            lasted is not None,
        ),
    ]
    return tuple(step for step in steps if step.is_done or not incident.is_resolved)


def _explain_waiting(ws: Workspace, incident: Incident) -> str:
    """Say why nothing was done; empty: it is over, or petla.toml names its model no more."""
    is_open = not incident.is_resolved and incident.model in ws.project.models
    return explain_waiting(ws, incident) if is_open else ""


def _make_alarm(ws: Workspace, evidence: Evidence) -> AlarmLine:
    return AlarmLine(
        what=metric_name(evidence.what),
        measure="PSI" if evidence.measure == "psi" else metric_name(evidence.measure),
        value=figures.metric(evidence.value),
        limit="none" if evidence.limit is None else figures.metric(evidence.limit),
        window=evidence.window,
        rows=figures.count(evidence.rows),
        at=make_moment(evidence.at, ws.clock()),
    )


def _describe_retraining(ws: Workspace, retraining: Retraining | None) -> tuple[Row, ...]:
    if retraining is None:
        return ()
    changed = make_moment(retraining.changed_at, ws.clock())
    rows = [Row(f"Retraining {retraining.id}", str(retraining.state), changed.ago)]
    if retraining.dataset_version is not None:
        rows.append(Row("Fresh data", f"dataset version {retraining.dataset_version}", "newest labelled decisions"))
    if retraining.commit:
        rows.append(Row("Commit", figures.digest(retraining.commit), is_code=True))
    if retraining.candidate is not None:
        name = f"{retraining.model}:{retraining.candidate}"
        href = f"/models/{retraining.model}/versions/{retraining.candidate}"
        rows.append(Row("Challenger", name, href=href))
    if retraining.outcome:
        rows.append(Row("Outcome", retraining.outcome))
    return tuple(rows)
