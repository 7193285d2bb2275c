"""A real server with a real Python model that dies, raises, hangs or answers nothing; and guards through HTTP."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from petla.core.errors import InvalidError, UnavailableError, UserCodeError
from petla.core.project import decode_project
from petla.data.profile.columns import ColumnProfile, Kind, Profile
from petla.decisions.log import count_decisions, count_known
from petla.decisions.shipper import ship
from petla.deployments.deploy import deploy, publish_policy, rollback
from petla.deployments.server import list_acknowledgements
from petla.models.package import ONNX_FILE, store_package
from petla.models.runtime.python_process import PythonRuntime
from petla.storage.workspace import Workspace
from tests.deployments.tiny import (
    MODEL,
    PROJECT,
    ROW,
    actions_of,
    add_version,
    make_onnx,
    make_package,
    open_shop,
    register,
)
from tests.serving.client import Load, Reply, predict, running, wait_until
from tests.serving.fragile import DEADLY, GREEDY, NOTHING, RAISING, SLOW, add_fragile_version, pickle_fragile

POLICY = """
[models.fraud.serving]
timeout_s = 1.0
hang_s = 1.5
failures = 50
rest_s = 0.1

[models.fraud.fallback]
answer = false
probability = 0.02
"""
GUARDS = """
[models.fraud.guards.range]
action = "flag"
[models.fraud.guards.unseen]
action = "review"
[models.fraud.guards.confidence]
action = "default"
band = 0.02
[models.fraud.fallback]
answer = false
[[models.fraud.guards.rules]]
name = "large from XX"
when = "amount > 50 and country == 'XX'"
action = "rule"
answer = true
"""


def reopen(ws: Workspace, project: str) -> Workspace:
    """The same project after its file was changed."""
    return Workspace(ws.root, decode_project(project), ws.settings)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A fragile champion and an ONNX version before it."""
    ws = open_shop(tmp_path_factory.mktemp("shop"), PROJECT + POLICY)
    deploy(ws, MODEL, add_version(ws), actor="ada")
    deploy(ws, MODEL, add_fragile_version(ws), actor="ada")
    return ws


@pytest.fixture(scope="module")
def port(shop: Workspace) -> Iterator[int]:
    with running(shop) as supervisor:
        yield supervisor.server.port


def find_child(ws: Workspace) -> int | None:
    """The process of the Python model: the worker's only child."""
    (said,) = list_acknowledgements(ws.state)
    children = Path(f"/proc/{said.pid}/task/{said.pid}/children").read_text("ascii").split()
    others = (
        path.read_text("ascii").split()
        for path in Path(f"/proc/{said.pid}/task").glob("*/children")
        if path.parent.name != str(said.pid)
    )
    found = [int(pid) for pids in (children, *others) for pid in pids]
    return found[0] if found else None


def served_by(reply: Reply) -> str:
    assert reply.status == 200
    assert reply.content.get("served_by", "") == reply.headers.get("x-petla-served-by", "")
    return str(reply.content.get("served_by", ""))


@pytest.mark.parametrize("amount", [DEADLY, RAISING, NOTHING])
def test_row_that_breaks_the_model_is_answered_by_the_version_before(port: int, amount: float) -> None:
    broken = predict(port, ROW | {"amount": amount})

    assert (served_by(broken), broken.content["version"]) == ("standby", 1)
    wait_until(lambda: served_by(predict(port)) == "", "the model answers again")
    fine = predict(port).content
    assert (fine["version"], fine["probability"]) == (2, 0.75)


def test_model_that_hangs_is_answered_in_time_and_replaced(port: int) -> None:
    assert served_by(predict(port, ROW | {"amount": SLOW})) == "standby"
    wait_until(lambda: served_by(predict(port)) == "", "another process answers")


def test_killed_processes_under_load_cost_no_answer(shop: Workspace, port: int) -> None:
    predict(port)
    before = count_all(shop)
    with Load(port, n_threads=6) as load:
        for _ in range(3):
            load.wait_for(30)
            wait_until(lambda: find_child(shop) is not None, "a process runs")
            victim = find_child(shop) or 0
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda: find_child(shop) not in (None, victim), "another process runs")  # noqa: B023
        load.wait_for(30)
    ids = [answer["id"] for answer in load.answers]
    after = count_all(shop)

    assert load.failures == []
    assert count_known(shop, ids) == len(ids) == after - before
    assert {answer.get("served_by", "") for answer in load.answers} <= {"", "standby"}


def count_all(ws: Workspace) -> int:
    ship(ws)
    return count_decisions(ws)


def test_list_with_a_poisonous_row_is_answered_whole_by_the_version_before(port: int) -> None:
    reply = predict(port, [ROW, ROW | {"amount": RAISING}, ROW])

    assert [(answer["version"], answer["served_by"]) for answer in reply.content] == [(1, "standby")] * 3
    assert reply.headers["x-petla-served-by"] == "standby"


@pytest.mark.slow
def test_process_that_takes_too_much_memory_is_refused_and_replaced() -> None:
    runtime = PythonRuntime(pickle_fragile(), memory_bytes=1 << 30)
    try:
        pid = runtime.pid
        with pytest.raises(UserCodeError, match="MemoryError"):
            runtime.score([(GREEDY, 1, "pl")])
        assert runtime.score([(1.0, 1, "pl")]).tolist() == [[0.25, 0.75]]
        assert runtime.pid != pid
    finally:
        runtime.close()


@pytest.mark.slow
def test_process_that_dies_again_and_again_is_left_alone_for_a_while() -> None:
    runtime = PythonRuntime(pickle_fragile())
    try:
        messages = []
        for _ in range(5):
            with pytest.raises(UnavailableError, match=r"was lost|left alone") as caught:
                runtime.score([(DEADLY, 1, "pl")])
            messages.append(str(caught.value))
        assert "left alone for 0." in messages[-1]
        wait_until(lambda: answers(runtime), "it is asked again")
    finally:
        runtime.close()


def answers(runtime: PythonRuntime) -> bool:
    try:
        return len(runtime.score([(1.0, 1, "pl")])) == 1
    except UnavailableError:
        return False


def add_profiled_version(ws: Workspace) -> int:
    profile = Profile(
        rows=9,
        columns=(
            ColumnProfile(name="amount", kind=Kind.NUMBER, rows=9, missing=0, distinct=9, minimum=0.0, maximum=10.0),
            ColumnProfile(name="country", kind=Kind.CATEGORY, rows=9, missing=0, distinct=2, categories=("pl", "de")),
        ),
    )
    package = msgspec.structs.replace(make_package(), profile=profile)
    return register(ws, package, store_package(ws, package, {ONNX_FILE: make_onnx(-4.0)}))


def test_guards_change_without_another_version_and_are_seen_in_answers_and_log(tmp_path: Path) -> None:
    ws = open_shop(tmp_path)
    deploy(ws, MODEL, add_profiled_version(ws), actor="ada")
    with running(ws) as supervisor:
        port = supervisor.server.port
        plain = predict(port, ROW | {"amount": 99.0, "country": "XX"}).content
        guarded = reopen(ws, PROJECT + GUARDS)
        done = publish_policy(guarded, MODEL, actor="ada", reason="fraud from XX")
        usual = predict(port)
        many = predict(
            port,
            [
                ROW | {"amount": 99.0},
                ROW | {"amount": 6.0, "country": "fr"},
                ROW | {"amount": 2.5, "items": 1, "country": "de"},
                ROW | {"amount": 99.0, "country": "XX"},
            ],
        )

    assert (done.live, done.workers) == (1, 1)
    assert set(plain) == set(usual.content) == {"id", "is_fraud", "probability", "version"}
    assert [(a.get("flags"), a.get("served_by"), a["is_fraud"]) for a in many.content] == [
        (["range"], None, True),
        (["unseen", "review"], None, True),
        (["confidence"], "default", False),
        (["large from XX", "range", "unseen", "review"], "rule", True),
    ]
    assert many.headers["x-petla-served-by"] == "default, rule"
    assert "policy.published" in actions_of(ws)


def test_policy_that_does_not_fit_the_version_is_refused_with_every_mistake(tmp_path: Path) -> None:
    ws = open_shop(tmp_path)
    deploy(ws, MODEL, add_version(ws), actor="ada")
    wrong = GUARDS.replace("amount > 50", "amout > 50").replace("answer = true", 'answer = "yes"')
    bad = reopen(ws, PROJECT + wrong)

    with pytest.raises(InvalidError) as caught:
        publish_policy(bad, MODEL, actor="ada")
    with pytest.raises(InvalidError):
        deploy(bad, MODEL, add_version(ws), actor="ada")

    assert [fault.field for fault in caught.value.faults] == [
        "models.fraud.guards.rules.1.answer",
        "models.fraud.guards.rules.1.when",
    ]
    assert "did you mean" in str(caught.value) or "it has amount" in str(caught.value)


def test_rollback_never_fails_for_a_rule_that_the_older_version_cannot_follow(tmp_path: Path) -> None:
    ws = open_shop(tmp_path)
    deploy(ws, MODEL, add_version(ws), actor="ada")
    deploy(ws, MODEL, add_version(ws), actor="ada")
    bad = reopen(ws, PROJECT + GUARDS.replace("amount > 50", "amout > 50"))

    with running(bad) as supervisor:
        assert rollback(bad, MODEL, actor="ada", reason="worse").live == 1
        assert predict(supervisor.server.port).status == 200
