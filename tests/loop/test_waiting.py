"""Why nothing is done about an open incident."""

from pathlib import Path

from petla.incidents.incidents import open_or_join
from petla.loop.controller import explain_waiting
from petla.monitoring.counting import make_counter
from petla.monitoring.judging import judge_drift
from petla.monitoring.reference import Reference
from petla.monitoring.views import list_new_alarms
from petla.storage.database import writing
from tests.monitoring.rows import make_decisions, make_reference, make_workspace


def test_open_alarm_says_which_labels_it_waits_for(tmp_path: Path) -> None:
    ws, known = make_workspace(tmp_path), make_reference()

    def find_reference(_model: str, _version: int) -> Reference:
        return known

    with writing(ws.engine) as connection:
        make_counter(ws, find_reference)(connection, make_decisions(500, shift=1.5))
    judge_drift(ws, find_reference)
    incident = open_or_join(ws, list_new_alarms(ws, "delay", 1, "drift", after=0))

    assert incident is not None
    assert explain_waiting(ws, incident) == "0 of 500 labelled decisions have come"
