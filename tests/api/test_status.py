"""The status in one piece."""

from pathlib import Path

from petla.api.status import describe_model
from petla.incidents.incidents import resolve
from tests.loop.stage import open_incident
from tests.monitoring.rows import make_workspace


def test_status_names_an_open_incident_however_many_are_newer(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    oldest = open_incident(ws)
    for version in range(2, 54):
        resolve(ws, open_incident(ws, version).id, "the sensor was replaced", actor="ann")

    assert describe_model(ws, "delay").open_incidents == (oldest.id,)
