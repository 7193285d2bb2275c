"""Rows of incidents."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from petla.incidents.incident import Evidence, Incident, IncidentState
from petla.monitoring.finding import FindingKind
from petla.storage.tables import incidents

_decode_evidence = msgspec.json.Decoder(tuple[Evidence, ...]).decode


def add(connection: Connection, project: str, incident: Incident) -> int:
    """Insert an incident; return its number."""
    values = _row_of(incident) | {"project": project}
    del values["id"]
    number: int = connection.execute(insert(incidents).values(values).returning(incidents.c.id)).scalar_one()
    return number


def save(connection: Connection, project: str, incident: Incident) -> None:
    """Replace what is known of an incident."""
    here = (incidents.c.project == project) & (incidents.c.id == incident.id)
    connection.execute(update(incidents).where(here).values(_row_of(incident)))


def find(connection: Connection, project: str, incident_id: int) -> Incident | None:
    """Return one incident, or None."""
    here = (incidents.c.project == project) & (incidents.c.id == incident_id)
    row = connection.execute(select(incidents).where(here)).one_or_none()
    return None if row is None else _incident_of(row)


def find_newest(connection: Connection, project: str, model: str, version: int, kind: FindingKind) -> Incident | None:
    """Return the newest incident of a model version and kind, resolved or not, or None."""
    query = select(incidents).where(
        incidents.c.project == project,
        incidents.c.model == model,
        incidents.c.version == version,
        incidents.c.kind == kind,
    )
    row = connection.execute(query.order_by(incidents.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else _incident_of(row)


def list_rows(
    connection: Connection, project: str, states: Sequence[IncidentState], model: str | None, limit: int
) -> list[Incident]:
    """Return incidents in any of some states, newest first."""
    query = select(incidents).where(
        incidents.c.project == project, incidents.c.state.in_([state.value for state in states])
    )
    if model is not None:
        query = query.where(incidents.c.model == model)
    return [_incident_of(row) for row in connection.execute(query.order_by(incidents.c.id.desc()).limit(limit))]


def _row_of(incident: Incident) -> dict[str, Any]:
    return msgspec.structs.asdict(incident) | {
        "state": incident.state.value,
        "evidence": msgspec.json.encode(incident.evidence).decode(),
    }


def _incident_of(row: Row[Any]) -> Incident:
    values = {name: getattr(row, name) for name in Incident.__struct_fields__}
    return Incident(**values | {"state": IncidentState(row.state), "evidence": _decode_evidence(row.evidence)})
