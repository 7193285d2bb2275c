"""Versions beside the champion on a real server: who answers, what is recorded, and versions that cannot be loaded."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from petla.core.errors import UnavailableError
from petla.decisions.record import Decision, ShadowAnswer
from petla.decisions.spool import DECISIONS, SHADOWS, SPOOL_FOLDER, SpoolReader, end_of
from petla.deployments.beside.rollout import Plan, plan_canary, plan_shadow
from petla.deployments.beside.rollouts import list_rollouts, promote, start, stop
from petla.deployments.deploy import deploy, find_deployment, rollback
from petla.deployments.server import list_acknowledgements
from petla.loop.controller import Controller
from petla.storage.workspace import Workspace
from tests.deployments.tiny import MODEL, PROJECT, ROW, add_version, open_shop, states_of
from tests.serving.client import Load, ask, predict, running, wait_until

Record = TypeVar("Record", bound=msgspec.Struct)


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    project = PROJECT.replace('target = "is_fraud"', 'target = "is_fraud"\nsubject = "customer"')
    limits = "[models.fraud.deploy]\ndisagreement = 0.1\n[models.fraud.monitor]\nwindow_rows = 1000000\n"
    ws = open_shop(tmp_path, f"{project}\n{limits}")
    for bias in (-4.0, -3.0):
        add_version(ws, bias)
    deploy(ws, MODEL, 1, actor="ada")
    return ws


@pytest.fixture
def port(shop: Workspace) -> Iterator[int]:
    with running(shop) as supervisor:
        yield supervisor.server.port


def read_spool(ws: Workspace, stream: str, kind: type[Record]) -> list[Record]:
    folder = ws.state / SPOOL_FOLDER / "0"
    reader = SpoolReader(folder, stream, kind)
    return [each for frame in reader.frames({}, end_of(folder, stream)) for each in frame.records]


def stages_of(ws: Workspace) -> dict[int, tuple[str, str]]:
    (said,) = list_acknowledgements(ws.state)
    return {status.version: (str(status.stage), status.role) for status in said.versions}


def test_shadow_answers_every_decision_of_the_champion(shop: Workspace, port: int) -> None:
    start(shop, MODEL, plan_shadow(2), actor="ada")
    with Load(port, n_threads=2) as load:
        load.wait_for(40)
    wait_until(lambda: len(read_spool(shop, SHADOWS, ShadowAnswer)) >= len(load.answers), "the shadow has answered")

    shadows = read_spool(shop, SHADOWS, ShadowAnswer)
    assert {answer["version"] for answer in load.answers} == {1}
    assert {each.decision_id for each in shadows} == {answer["id"] for answer in load.answers}
    assert stages_of(shop) == {1: ("live", "champion"), 2: ("live", "shadow")}


def test_canary_answers_its_subjects_and_steps_back_for_nobody_else(shop: Workspace, port: int) -> None:
    start(shop, MODEL, plan_canary(2, (0.5,)), actor="ada")
    people = [f"customer {n}" for n in range(30)]

    alone = {person: predict(port, ROW | {"customer": person}).content["version"] for person in people}
    named = {person: predict(port, x_petla_subject=person).content["version"] for person in people}
    together = predict(port, [ROW | {"customer": person} for person in people]).content

    assert set(alone.values()) == {1, 2}
    assert alone == named == {person: answer["version"] for person, answer in zip(people, together, strict=True)}
    decisions = read_spool(shop, DECISIONS, Decision)
    assert {(each.arm, each.version) for each in decisions} == {("champion", 1), ("canary", 2)}
    done = promote(shop, MODEL, actor="ada")
    assert {predict(port, ROW | {"customer": person}).content["version"] for person in people} == {2}
    assert (done.live, done.standby) == (2, 1)


def test_canary_that_answers_otherwise_is_rolled_back_and_the_champion_answers_everybody(
    shop: Workspace, port: int
) -> None:
    always_not = add_version(shop, -50.0)
    start(shop, MODEL, plan_canary(always_not, (0.5,)), actor="ada")
    controller = Controller(shop)

    with Load(port, n_threads=2) as load:
        for _ in range(100):
            load.wait_for(50)
            controller.tick()
            if not list_rollouts(shop, is_running=True):
                break
        seen = len(load.answers)
        load.wait_for(50)
    controller.close()

    (rollout,) = list_rollouts(shop)
    assert (rollout.state, states_of(shop)[always_not]) == ("rolled back", "testing")
    assert re.search(r"it answered (true in 0%|false in 100%) of them, the champion in (100|0)%", rollout.outcome)
    assert load.failures == []
    assert {answer["version"] for answer in load.answers[:seen]} == {1, always_not}
    # the first of them were asked before
    assert {answer["version"] for answer in load.answers[seen + 10 :]} == {1}
    seconds = read_spool(shop, SHADOWS, ShadowAnswer)
    asked = {each.id: each for each in read_spool(shop, DECISIONS, Decision)}
    assert {(asked[each.decision_id].arm, each.version, each.label) for each in seconds} == {("canary", 1, True)}


def test_version_that_is_named_answers_whatever_the_split_says(shop: Workspace, port: int) -> None:
    start(shop, MODEL, plan_canary(2, (0.5,)), actor="ada")
    inputs = [
        {"name": name, "shape": [1], "datatype": datatype, "data": [ROW[name]]}
        for name, datatype in (("amount", "FP64"), ("items", "INT64"), ("country", "BYTES"))
    ]

    for version in "12":
        door = f"/v2/models/{MODEL}/versions/{version}"
        answers = [ask(port, f"{door}/infer", {"inputs": inputs}).content for _ in range(8)]
        assert {answer["model_version"] for answer in answers} == {version}
        assert ask(port, f"{door}/ready", method="GET").status == 200
        assert ask(port, door, method="GET").content["versions"] == ["1", "2"]

    decisions = read_spool(shop, DECISIONS, Decision)
    assert {(each.arm, each.served_by, each.version) for each in decisions} == {
        ("named", "named", 1),
        ("named", "named", 2),
    }
    stop(shop, MODEL, actor="ada")
    ask(port, f"/v2/models/{MODEL}/versions/1/infer", {"inputs": inputs})
    assert read_spool(shop, DECISIONS, Decision)[-1].arm == "champion"


@pytest.mark.parametrize("plan", [plan_shadow(3), plan_canary(3, (0.5,))])
def test_version_that_fails_its_golden_rows_goes_back_to_testing(shop: Workspace, port: int, plan: Plan) -> None:
    add_version(shop, -3.0, golden_shift=-0.1)

    with Load(port, n_threads=2) as load:
        load.wait_for(10)
        with pytest.raises(UnavailableError, match=r"fraud:3 was not deployed: worker 0: model fraud:3: .*golden"):
            start(shop, MODEL, plan, actor="ada")
        load.wait_for(10)

    assert load.failures == []
    assert states_of(shop) == {1: "production", 2: "testing", 3: "testing"}
    assert {answer["version"] for answer in load.answers} == {1}
    assert stages_of(shop) == {1: ("live", "champion")}


def test_stages_follow_the_versions(shop: Workspace, port: int) -> None:
    deploy(shop, MODEL, 2, actor="ada")
    wait_until(lambda: stages_of(shop) == {1: ("standby", "standby"), 2: ("live", "champion")}, "the old one drained")

    rollback(shop, MODEL, actor="ada", reason="back")

    wait_until(lambda: stages_of(shop) == {1: ("live", "champion"), 2: ("standby", "standby")}, "the new one drained")
    found = find_deployment(shop, MODEL)
    assert found is not None
    assert [status.version for status in found.stages["0"]] == [2, 1]

    start(shop, MODEL, plan_canary(2, (0.5,)), actor="ada")
    wait_until(lambda: stages_of(shop) == {1: ("live", "champion"), 2: ("live", "canary")}, "it is tried again")
    with Load(port, n_threads=2) as load:
        load.wait_for(20)
        rollback(shop, MODEL, actor="ada", reason="no better")
        wait_until(lambda: stages_of(shop) == {1: ("live", "champion"), 2: ("standby", "standby")}, "it stands by")
        rollback(shop, MODEL, actor="ada", reason="the other is worse still")
        load.wait_for(20)
    assert load.failures == []
    assert {answer["version"] for answer in load.answers[-10:]} == {2}
