"""Incidents: opening, joining, and the only moves there are."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from petla.core.errors import ConflictError, InvalidError, NotFoundError
from petla.incidents.incident import IncidentState
from petla.incidents.incidents import acknowledge, get_incident, list_incidents, list_unresolved, open_or_join, resolve
from petla.incidents.playbooks import playbook_of
from petla.monitoring.finding import Finding, FindingKind
from petla.monitoring.records import add_findings, list_alarms
from petla.storage.database import reading, writing
from petla.storage.workspace import Workspace
from tests.monitoring.rows import make_workspace


def store_alarms(
    ws: Workspace, *values: float, window: int = 1, kind: FindingKind = "drift", version: int = 1
) -> Sequence[Finding]:
    """Store one alarm per value; return all alarms of the version."""
    what = {"drift": "wind", "quality": "accuracy"}[kind]
    alarm = Finding(
        model="delay",
        version=version,
        kind=kind,
        window=window,
        what=what,
        measure="psi" if kind == "drift" else what,
        value=0,
        limit=0.25,
        rows=500,
        is_alarm=True,
        at="2013-07-01T13:00:00.000000Z",
    )
    made = [msgspec.structs.replace(alarm, value=value, what=f"{what}{i or ''}") for i, value in enumerate(values)]
    with writing(ws.engine) as connection:
        add_findings(connection, ws.name, made)
    with reading(ws.engine) as connection:
        return list_alarms(connection, ws.name, "delay", version, kind=kind, after=0)


def test_alarm_opens_an_incident_with_its_figures(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)

    incident = open_or_join(ws, store_alarms(ws, 0.31, 0.62))

    assert incident is not None
    assert incident.title == "delay:1 sees other data: wind1 PSI 0.62, limit 0.25, 500 decisions, and 1 more"
    assert [each.value for each in incident.evidence] == [0.31, 0.62]
    assert (incident.state, incident.owner) == (IncidentState.OPEN, "olga")
    assert get_incident(ws, incident.id) == incident


def test_further_alarms_join_and_the_same_alarm_counts_once(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    open_or_join(ws, store_alarms(ws, 0.3))
    alarms = store_alarms(ws, 0.4, window=2)

    joined = open_or_join(ws, alarms)
    again = open_or_join(ws, alarms)

    assert joined is not None
    assert [each.window for each in joined.evidence] == [1, 2]
    assert again is None
    assert list_incidents(ws) == (joined,)


def test_each_kind_and_each_version_has_its_own(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)

    open_or_join(ws, store_alarms(ws, 0.3))
    open_or_join(ws, store_alarms(ws, 0.7, kind="quality"))
    open_or_join(ws, store_alarms(ws, 0.3, version=2))

    assert [(i.version, i.kind) for i in list_incidents(ws)] == [(2, "drift"), (1, "quality"), (1, "drift")]


def test_alarm_after_the_end_opens_another_one(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    first = open_or_join(ws, store_alarms(ws, 0.3))
    assert first is not None
    resolve(ws, first.id, "the feed was repaired", actor="ann")

    second = open_or_join(ws, store_alarms(ws, 0.4, window=2))

    assert second is not None
    assert second.id != first.id
    assert [each.window for each in second.evidence] == [2]
    assert list_unresolved(ws) == (second,)


def test_life_of_an_incident_has_its_times(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    opened = open_or_join(ws, store_alarms(ws, 0.3))
    assert opened is not None

    taken = acknowledge(ws, opened.id, actor="ann")
    done = resolve(ws, opened.id, "the feed was repaired", actor="ann")

    assert (taken.state, taken.owner) == (IncidentState.ACKNOWLEDGED, "ann")
    assert (done.state, done.outcome) == (IncidentState.RESOLVED, "the feed was repaired")
    assert opened.time_to_detect > timedelta(0)
    assert done.time_to_acknowledge is not None
    assert done.time_to_resolve is not None
    assert timedelta(0) <= done.time_to_acknowledge <= done.time_to_resolve
    actions = [entry.action for entry in ws.ledger.list_entries()]
    assert actions == ["incident.opened", "incident.acknowledged", "incident.resolved"]
    assert ws.ledger.verify() == 3


def test_moves_that_are_not_in_the_table_are_refused(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    opened = open_or_join(ws, store_alarms(ws, 0.3))
    assert opened is not None
    acknowledge(ws, opened.id, actor="ann")

    with pytest.raises(ConflictError, match="is acknowledged"):
        acknowledge(ws, opened.id, actor="bob")
    resolve(ws, opened.id, "done", actor="ann")
    with pytest.raises(ConflictError, match="is resolved"):
        resolve(ws, opened.id, "again", actor="ann")
    with pytest.raises(ConflictError, match="is resolved"):
        acknowledge(ws, opened.id, actor="ann")
    assert get_incident(ws, opened.id).outcome == "done"


def test_faults_of_the_caller_are_named(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)

    with pytest.raises(NotFoundError, match="no incident 7"):
        acknowledge(ws, 7, actor="ann")
    with pytest.raises(InvalidError, match="what came of it"):
        resolve(ws, 7, " ", actor="ann")
    with pytest.raises(InvalidError, match="no state 'opne'") as caught:
        list_incidents(ws, "opne")
    assert "open" in caught.value.hint


def test_long_incident_keeps_its_first_and_its_newest_alarms(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    for window in range(1, 7):
        incident = open_or_join(ws, store_alarms(ws, *[0.3] * 50, window=window))

    assert incident is not None
    assert len(incident.evidence) == 200
    assert (incident.evidence[0].window, incident.evidence[-1].window) == (1, 6)
    assert open_or_join(ws, store_alarms(ws, window=6)) is None


@pytest.mark.parametrize("kind", ["drift", "quality"])
def test_every_kind_has_a_playbook(kind: FindingKind) -> None:
    playbook = playbook_of(kind)

    assert playbook.kind == kind
    assert len(playbook.steps) >= 4
    assert playbook.meaning
    assert playbook.automatic
