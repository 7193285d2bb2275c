"""The rows of monitors, incidents and loop on each kind of database."""

from pathlib import Path

from petla.core.settings import Settings
from petla.deployments.beside.rollout import plan_canary
from petla.deployments.beside.rollouts import list_rollouts, start
from petla.deployments.deploy import deploy
from petla.deployments.snapshot import read_snapshot
from petla.incidents.incidents import acknowledge, list_incidents, list_unresolved, open_or_join, resolve
from petla.loop.approvals import list_approvals, refuse
from petla.loop.controller import Controller
from petla.loop.retraining.retrainings import list_retrainings
from petla.monitoring.counting import make_counter
from petla.monitoring.judging import judge_drift, judge_quality
from petla.monitoring.reference import Reference
from petla.monitoring.rollouts.report import make_report
from petla.monitoring.views import count_traffic, list_new_alarms, list_quality, make_drift_table
from petla.storage.database import writing
from petla.storage.workspace import Workspace
from tests.deployments.tiny import MODEL, PROJECT, actions_of, add_version, open_shop, states_of
from tests.loop.stage import ask_about
from tests.monitoring.rollouts.pairs import spool_arm
from tests.monitoring.rows import make_decisions, make_reference, make_workspace, store_decisions, store_truths


def test_windows_alarms_and_incidents_are_kept(tmp_path: Path, database_address: str) -> None:
    ws = make_workspace(tmp_path, database=database_address, quality_limit=0.99)
    reference = make_reference(1_000)
    made = make_decisions(700, shift=1.5)

    def find_reference(_model: str, _version: int) -> Reference:
        return reference

    store_decisions(ws, made)
    store_truths(ws, [(decision, n % 2 == 0) for n, decision in enumerate(made)])
    with writing(ws.engine) as connection:
        make_counter(ws, find_reference)(connection, made)
    judge_drift(ws, find_reference)
    judge_quality(ws, find_reference)

    assert count_traffic(ws, "delay").versions[0].open_rows == 200
    assert make_drift_table(ws, "delay", 1).features[0].state == "alarm"
    assert list_quality(ws, "delay")[0].rows == 500
    incident = open_or_join(ws, list_new_alarms(ws, "delay", 1, "drift", after=0))
    assert incident is not None
    acknowledge(ws, incident.id, actor="ann")
    assert len(list_unresolved(ws)) == 1
    resolve(ws, incident.id, "the feed was repaired", actor="ann")
    assert [each.id for each in list_incidents(ws, "resolved")] == [incident.id]
    ws.engine.dispose()


def test_retrainings_and_approvals_are_kept(tmp_path: Path, database_address: str) -> None:
    ws = make_workspace(tmp_path, database=database_address)

    refuse(ws, ask_about(ws).id, actor="olga", reason="after the holidays")

    assert [each.state for each in list_retrainings(ws, model="delay")] == ["refused"]
    assert list_retrainings(ws, is_open=True) == ()
    assert [each.decided_by for each in list_approvals(ws, "refused", model="delay")] == ["olga"]
    ws.engine.dispose()


def test_canary_that_answers_otherwise_is_rolled_back(tmp_path: Path, database_address: str) -> None:
    opened = open_shop(tmp_path, f"{PROJECT}\n[models.fraud.deploy]\ndisagreement = 0.02\n")
    ws = Workspace(tmp_path, opened.project, Settings(actor="ada", database=database_address))
    for bias in (-4.0, -3.0):
        add_version(ws, bias)
    deploy(ws, MODEL, 1, actor="ada")
    start(ws, MODEL, plan_canary(2, (0.05, 0.5)), actor="ada")
    controller = Controller(ws)
    spool_arm(ws, 100, flipped=1)
    controller.tick()
    assert states_of(ws)[2] == "canary"

    spool_arm(ws, 100, flipped=40)
    controller.tick()
    controller.close()

    (rollout,) = list_rollouts(ws)
    assert (rollout.state, states_of(ws)) == ("rolled back", {1: "production", 2: "testing"})
    assert rollout.outcome.startswith(
        "fraud:2 decided 41 of 200 decisions otherwise: more than 11.3%, and 2% is allowed"
    )
    assert "it answered true in 0% of them, the champion in 20.5%" in rollout.outcome
    assert actions_of(ws)[-1] == "canary.rolled_back"
    snapshot = read_snapshot(ws.state)
    assert snapshot is not None
    assert (snapshot.routes[MODEL].live.version, snapshot.routes[MODEL].split) == (1, None)
    comparison = make_report(ws, MODEL, rollout.id).arms[1].comparison
    assert comparison is not None
    assert (comparison.pairs, comparison.flipped.n) == (200, 41)
    ws.engine.dispose()
