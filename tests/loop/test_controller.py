"""The controller: one step at a time, and nothing that a kill could lose."""

import subprocess
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from petla.core.errors import BusyError, UnavailableError
from petla.decisions.spool import DECISIONS, SPOOL_FOLDER
from petla.deployments.deploy import deploy, rollback
from petla.deployments.server import Server, server_lock, write_server
from petla.deployments.snapshot import read_snapshot
from petla.incidents.incidents import list_incidents
from petla.loop.approvals import grant
from petla.loop.controller import ATTEMPTS, Controller, plan_for
from petla.loop.retraining.policy import Start, Wait
from petla.loop.retraining.retrainings import begin, list_retrainings, move_on
from petla.loop.retraining.states import RetrainingState
from petla.loop.retraining.trainer import Trainer, TrainingEnd
from petla.models.registry import find_champion
from petla.models.states import State
from petla.pipeline.plan import RunRequest
from petla.storage.files import lock
from petla.storage.workspace import Workspace
from tests.decisions.logged import oldest_segment, spool
from tests.loop.stage import add_version, ask_about, begin_trained, commit_retraining, open_incident, store_alarm
from tests.monitoring.rows import make_decisions, make_workspace, store_decisions, store_truths


def go_live(ws: Workspace, version: int) -> None:
    add_version(ws, version, State.TESTING)
    deploy(ws, "delay", version, actor="ann")


def label(ws: Workspace, n: int, start: int = 0) -> None:
    """Store decisions with their labels."""
    made = make_decisions(n, start=start)
    store_decisions(ws, made)
    store_truths(ws, [(decision, decision.label) for decision in made])


def test_alarm_about_the_champion_opens_one_incident_that_later_alarms_join(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    go_live(ws, 1)
    store_alarm(ws)

    Controller(ws).tick()
    store_alarm(ws, window=2)
    Controller(ws).tick()

    (incident,) = list_incidents(ws)
    assert [each.window for each in incident.evidence] == [1, 2]


def test_alarm_about_a_version_that_is_not_live_opens_none(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    go_live(ws, 1)
    go_live(ws, 2)
    store_alarm(ws, version=1)

    Controller(ws).tick()

    assert list_incidents(ws) == ()


def test_incident_of_a_version_that_was_replaced_is_resolved(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    go_live(ws, 1)
    store_alarm(ws)
    controller = Controller(ws)
    controller.tick()
    go_live(ws, 2)

    controller.tick()

    (incident,) = list_incidents(ws)
    assert (incident.is_resolved, incident.outcome) == (True, "delay:1 is live no longer; delay:2 answers")


def test_retraining_waits_for_labels_and_for_fresh_ones_after_the_last(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    go_live(ws, 1)
    incident = open_incident(ws)
    label(ws, 400)
    assert plan_for(ws, incident) == Wait("400 of 500 labelled decisions have come")

    label(ws, 100, start=400)
    assert plan_for(ws, incident) == Start()
    first = begin(ws, incident, last_feedback=500)
    assert plan_for(ws, incident) == Wait("retraining 1 is under way")
    move_on(ws, first, RetrainingState.FAILED, outcome="the disk was full")

    assert plan_for(ws, incident) == Wait("0 of 500 labelled decisions have come since retraining 1 (failed)")
    label(ws, 500, start=500)
    assert plan_for(ws, incident) == Start()


def test_retraining_that_failed_leaves_its_reason_in_the_open_incident(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    retraining = begin(ws, open_incident(ws), last_feedback=0)

    move_on(ws, retraining, RetrainingState.FAILED, outcome="the disk was full")

    (incident,) = list_incidents(ws)
    assert (incident.is_resolved, incident.outcome) == (False, "retraining 1: the disk was full")


def test_step_that_keeps_failing_ends_the_retraining(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    go_live(ws, 1)
    retraining = begin_trained(ws, candidate=77)
    controller = Controller(ws, rest_s=0)

    for _ in range(ATTEMPTS):
        assert list_retrainings(ws)[0].is_open
        controller.tick()

    (failed,) = list_retrainings(ws)
    assert failed.state is RetrainingState.FAILED
    assert failed.outcome == "trained: there is no model version delay:77; next: see 'petla models list'"
    assert failed.id == retraining.id


def test_step_that_failed_rests_before_it_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ws = make_workspace(tmp_path)
    go_live(ws, 1)
    begin_trained(ws, candidate=77)
    controller = Controller(ws, rest_s=3600)

    for _ in range(ATTEMPTS + 1):
        controller.tick()

    assert caplog.messages.count("retraining.step_failed") == 1
    assert list_retrainings(ws)[0].is_open


def test_training_that_dies_each_time_ends_the_retraining(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ws = make_workspace(tmp_path)
    commit_retraining(ws)

    def kill(_: Trainer, folder: Path, __: bytes) -> "subprocess.Popen[bytes]":
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("answer.json", "errors.log"):
            (folder / name).touch()
        process = subprocess.Popen(["sh", "-c", "kill -9 $$"])
        process.wait()
        return process

    # stands for a machine whose memory is too small for the training
    monkeypatch.setattr(Trainer, "_start", kill)
    controller = Controller(ws, rest_s=0)

    for _ in range(2 * ATTEMPTS):
        controller.tick()

    (failed,) = list_retrainings(ws)
    assert failed.state is RetrainingState.FAILED
    assert "status -9" in failed.outcome


@pytest.mark.parametrize(("error", "is_open"), [(BusyError("ann is at work"), True), (ZeroDivisionError("?"), False)])
def test_being_busy_is_no_fault_and_a_bug_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, is_open: bool
) -> None:
    ws = make_workspace(tmp_path)
    go_live(ws, 1)
    begin_trained(ws, candidate=1)

    def fail(*_: object) -> None:
        raise error

    # stands for steps that meet somebody else at work, or a mistake of ours
    monkeypatch.setattr("petla.loop.controller.advance", fail)
    controller = Controller(ws, rest_s=0)

    for _ in range(ATTEMPTS):
        controller.tick()

    assert list_retrainings(ws)[0].is_open is is_open


def test_damaged_spool_is_reported_once_and_the_monitors_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ws = make_workspace(tmp_path)
    go_live(ws, 1)
    spool(ws, make_decisions(2), make_decisions(2, start=2))
    first = oldest_segment(ws.state / SPOOL_FOLDER / "0", DECISIONS)
    first.write_bytes(b"?" * 64)
    controller = Controller(ws)
    controller.tick()
    store_alarm(ws)

    controller.tick()

    assert len(list_incidents(ws)) == 1
    assert caplog.messages.count("spool.found_damaged") == 1


def test_deployment_that_was_killed_before_its_file_is_published_by_the_next_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws = make_workspace(tmp_path)
    go_live(ws, 1)
    controller = Controller(ws)
    controller.tick()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    add_version(ws, 2, State.TESTING)
    with monkeypatch.context() as patch:
        patch.setattr("petla.deployments.publishing.write_atomic", die)
        with pytest.raises(KeyboardInterrupt):
            deploy(ws, "delay", 2, actor="ann")
    controller.tick()

    snapshot = read_snapshot(ws.state)
    assert snapshot is not None
    assert snapshot.routes["delay"].live.version == 2


def test_granted_request_is_deployed_by_the_next_controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ws = make_workspace(tmp_path)
    asked = ask_about(ws)

    def fail(*_: object, **__: object) -> None:
        raise UnavailableError("worker 0 cannot serve it")

    # stands for workers that do not take the version; it needs no server and no broken package
    monkeypatch.setattr("petla.loop.rollout.deploy", fail)
    with pytest.raises(UnavailableError):
        grant(ws, asked.id, actor="olga")
    monkeypatch.undo()

    Controller(ws).tick()

    champion = find_champion(ws, "delay")
    assert champion is not None
    assert champion.version == 2
    assert list_retrainings(ws)[0].state is RetrainingState.DONE


def test_challenger_that_the_workers_did_not_take_is_deployed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws = make_workspace(tmp_path)
    asked = ask_about(ws)
    write_server(ws.state, Server(host="127.0.0.1", port=1, pid=1, workers=1))
    # only the patience is another one
    monkeypatch.setattr("petla.loop.rollout.deploy", partial(deploy, wait_s=0.01))

    with lock(server_lock(ws.state), purpose="a server without workers"), pytest.raises(UnavailableError):
        grant(ws, asked.id, actor="olga")
    assert list_retrainings(ws)[0].state is RetrainingState.DEPLOYING
    Controller(ws).tick()

    champion = find_champion(ws, "delay")
    assert champion is not None
    assert champion.version == 2
    assert list_retrainings(ws)[0].state is RetrainingState.DONE


@pytest.mark.parametrize(
    ("third", "outcome"),
    [
        (False, "delay:2 was live, and delay:1 was put back meanwhile"),
        (True, "delay:2 was compared with version 1, but delay:3 is live meanwhile"),
    ],
)
def test_yes_does_not_undo_what_a_person_did_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, third: bool, outcome: str
) -> None:
    ws = make_workspace(tmp_path)
    asked = ask_about(ws)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        # stands for a command that is killed right after the yes
        patch.setattr("petla.loop.approvals.go_live", die)
        with pytest.raises(KeyboardInterrupt):
            grant(ws, asked.id, actor="olga")
    if third:
        go_live(ws, 3)
    else:
        deploy(ws, "delay", 2, actor="olga")
        rollback(ws, "delay", actor="olga", reason="it is slow")
    Controller(ws).tick()

    (lost,) = list_retrainings(ws)
    assert (lost.state, lost.outcome) == (RetrainingState.LOST, outcome)


def test_loop_outlives_what_a_pass_runs_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ws = make_workspace(tmp_path)
    stop, passes = threading.Event(), []

    def tick() -> None:
        passes.append(1)
        if len(passes) == 1:
            raise UnavailableError("the database is away")
        if len(passes) == 2:
            raise ZeroDivisionError
        stop.set()

    controller = Controller(ws)
    # the errors are the point; what a real pass does is tested above
    monkeypatch.setattr(controller, "tick", tick)
    monkeypatch.setattr("petla.loop.controller.PAUSE_S", 0.001)

    controller.run(stop)

    assert len(passes) == 3
    assert caplog.messages == [*["controller.tick_failed"] * 2, "controller.recovered"]


def test_training_that_fails_hands_back_its_words(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    retraining = begin(ws, open_incident(ws), last_feedback=0)

    # the folder holds no petla.toml
    end = wait_for_end(Trainer(ws), ws, retraining.id)

    assert end.status == 2
    assert end.answer is None
    assert "petla.toml" in end.tail


def test_training_ends_with_the_controller(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    retraining = begin(ws, open_incident(ws), last_feedback=0)
    trainer = Trainer(ws)
    assert trainer.poll(retraining, RunRequest()) is None

    trainer.close()

    # it is no longer known, so it is started anew
    assert trainer.poll(retraining, RunRequest()) is None
    trainer.close()


def wait_for_end(trainer: Trainer, ws: Workspace, number: int) -> TrainingEnd:
    retraining = next(each for each in list_retrainings(ws) if each.id == number)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        end = trainer.poll(retraining, RunRequest())
        if end is not None:
            return end
        time.sleep(0.02)
    raise AssertionError("the training did not end")
