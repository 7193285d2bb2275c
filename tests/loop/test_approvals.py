"""Approvals: the question, the yes, the no, and who may say it."""

from pathlib import Path

import msgspec
import pytest

from petla.core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from petla.core.project import ModelTable
from petla.deployments.deploy import deploy, find_deployment, rollback
from petla.deployments.snapshot import read_snapshot
from petla.gates.verdict import Check
from petla.incidents.incidents import get_incident, list_incidents
from petla.loop.approvals import ApprovalState, get_approval, grant, list_approvals, refuse
from petla.loop.question import write_question
from petla.loop.retraining.retrainings import get_retraining, list_retrainings
from petla.loop.retraining.states import RetrainingState
from petla.loop.retraining.steps import advance
from petla.loop.retraining.trainer import Trainer
from petla.models.registry import find_champion, get_version
from petla.models.states import State
from tests.loop.stage import FIGURES, add_version, ask_about, begin_trained, make_verdict
from tests.monitoring.rows import make_workspace

TABLE = ModelTable(target="late")


def test_question_has_the_figures() -> None:
    assert write_question(make_verdict(), TABLE) == (
        "delay:2 is 2.9 points better than delay:1 on accuracy (0.731 against 0.702, 95% interval +1.9 to +3.8, "
        "17,000 rows) and passed 4 of 4 gates: deploy?"
    )


def test_question_does_not_claim_what_the_interval_does_not_show() -> None:
    check = Check(name="champion", passed=True, message="", figures=FIGURES | {"low": -0.004})

    question = write_question(msgspec.structs.replace(make_verdict(), checks=(check,)), TABLE)

    assert question.startswith("delay:2 is not clearly better or worse than delay:1 on accuracy (0.731 against 0.702")


def test_question_without_figures_or_champion_says_so() -> None:
    bare = Check(name="champion", passed=True, message="the champion cannot score these rows")

    compared = write_question(msgspec.structs.replace(make_verdict(), checks=(bare,)), TABLE)
    first = write_question(make_verdict(champion=None), TABLE)

    assert compared == (
        "delay:2 passed 1 of 1 gates; compared with delay:1: the champion cannot score these rows: deploy?"
    )
    assert first == "delay:2 passed 4 of 4 gates, and nothing is live that it could be compared with: deploy?"


def test_error_metric_is_worded_as_less_is_better() -> None:
    figures = {"candidate": 10.2, "champion": 12.5, "difference": 2.3, "low": 1.9, "high": 2.8, "rows": 400.0}
    check = Check(name="champion", passed=True, message="", figures=figures)
    table = ModelTable(target="minutes", task="regression")

    question = write_question(msgspec.structs.replace(make_verdict(), checks=(check,)), table)

    assert "is 2.300 better than delay:1 on mae (10.2 against 12.5, 95% interval +1.9 to +2.8, 400 rows)" in question


def test_yes_deploys_and_resolves_the_incident_also_if_nothing_serves(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    asked = ask_about(ws)

    answered = grant(ws, asked.id, actor="olga", reason="looks right")

    assert (answered.state, answered.decided_by) == (ApprovalState.GRANTED, "olga")
    snapshot, deployment = read_snapshot(ws.state), find_deployment(ws, "delay")
    assert snapshot is not None
    assert deployment is not None
    assert snapshot.routes["delay"].live.version == deployment.live == 2
    assert [r.state for r in list_retrainings(ws)] == [RetrainingState.DONE]
    (incident,) = list_incidents(ws)
    assert (incident.is_resolved, incident.outcome) == (True, "delay:2 went live in place of delay:1")
    assert ws.ledger.verify() > 0


def test_no_rejects_the_challenger_and_the_champion_stays(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    asked = ask_about(ws)

    refuse(ws, asked.id, actor="olga", reason="after the holidays")

    champion = find_champion(ws, "delay")
    assert champion is not None
    assert champion.version == 1
    assert get_version(ws, "delay", 2).state is State.REJECTED
    (retraining,) = list_retrainings(ws)
    assert retraining.state is RetrainingState.REFUSED
    outcome = "olga refused delay:2: after the holidays; delay:1 stays live"
    assert get_incident(ws, retraining.incident_id).outcome == retraining.outcome == outcome


def test_who_asked_may_not_grant(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    asked = ask_about(ws)

    for actor in ("controller", ""):
        with pytest.raises(ForbiddenError, match="may not approve"):
            grant(ws, asked.id, actor=actor)
    assert get_approval(ws, asked.id).state is ApprovalState.WAITING


def test_request_is_answered_once(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    asked = ask_about(ws)
    grant(ws, asked.id, actor="olga")

    with pytest.raises(ConflictError, match="was granted by olga"):
        grant(ws, asked.id, actor="bob")
    with pytest.raises(ConflictError, match="was granted by olga"):
        refuse(ws, asked.id, actor="bob", reason="too late")
    assert get_approval(ws, asked.id).decided_by == "olga"


def test_no_needs_a_reason_and_a_request(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)

    with pytest.raises(InvalidError, match="needs a reason"):
        refuse(ws, 1, actor="olga", reason="")
    with pytest.raises(NotFoundError, match="no request for approval 1"):
        refuse(ws, 1, actor="olga", reason="no")
    with pytest.raises(InvalidError, match="no state"):
        list_approvals(ws, "wating")


def test_yes_about_another_champion_is_refused_and_the_controller_withdraws_it(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    asked = ask_about(ws)
    add_version(ws, 3, State.TESTING)
    deploy(ws, "delay", 3, actor="ann")

    with pytest.raises(ConflictError, match="compared with version 1, but version 3 is live"):
        grant(ws, asked.id, actor="olga")
    advance(ws, list_retrainings(ws)[0], Trainer(ws))

    assert get_approval(ws, asked.id).state is ApprovalState.WITHDRAWN
    assert list_retrainings(ws)[0].state is RetrainingState.LOST
    assert get_version(ws, "delay", 2).state is State.TESTING


def test_challenger_deployed_by_hand_ends_its_request(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    asked = ask_about(ws)
    deploy(ws, "delay", 2, actor="ann")

    for _ in range(2):
        advance(ws, list_retrainings(ws)[0], Trainer(ws))

    assert get_approval(ws, asked.id).state is ApprovalState.WITHDRAWN
    assert list_retrainings(ws)[0].state is RetrainingState.DONE


def test_project_that_needs_no_approval_deploys_by_itself(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    table = ws.project.models["delay"]
    free = msgspec.structs.replace(table, deploy=msgspec.structs.replace(table.deploy, approval="none"))
    ws.project = msgspec.structs.replace(ws.project, models={"delay": free})
    add_version(ws, 1, State.TESTING)
    deploy(ws, "delay", 1, actor="ann")
    add_version(ws, 2, State.TESTING, make_verdict())
    retraining = begin_trained(ws)

    for _ in range(2):
        advance(ws, get_retraining(ws, retraining.id), Trainer(ws))

    champion = find_champion(ws, "delay")
    assert champion is not None
    assert champion.version == 2
    assert list_approvals(ws) == ()


def test_crash_between_the_yes_and_the_deployment_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ws = make_workspace(tmp_path)
    asked = ask_about(ws)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    # a process that is killed here leaves exactly these rows behind
    monkeypatch.setattr("petla.loop.rollout.deploy", die)
    with pytest.raises(KeyboardInterrupt):
        grant(ws, asked.id, actor="olga")
    monkeypatch.undo()
    assert get_approval(ws, asked.id).state is ApprovalState.GRANTED
    retraining = list_retrainings(ws)[0]
    assert retraining.state is RetrainingState.DEPLOYING

    moved = advance(ws, retraining, Trainer(ws))

    assert moved.state is RetrainingState.DONE


def test_crash_after_the_deployment_does_not_undo_a_rollback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ws = make_workspace(tmp_path)
    asked = ask_about(ws)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    # killed after the deployment, before its row here; then a person rolls back
    monkeypatch.setattr("petla.loop.rollout.settle", die)
    with pytest.raises(KeyboardInterrupt):
        grant(ws, asked.id, actor="olga")
    monkeypatch.undo()
    rollback(ws, "delay", actor="ann", reason="wrong answers")

    moved = advance(ws, list_retrainings(ws)[0], Trainer(ws))

    assert moved.state is RetrainingState.LOST
    assert moved.outcome == "delay:2 was live, and delay:1 was put back meanwhile"
    champion = find_champion(ws, "delay")
    assert champion is not None
    assert champion.version == 1
