"""Versions beside the champion, without a server: routes, states, rows, audit trail; and what is refused."""

from pathlib import Path

import msgspec
import pytest

from petla.core.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from petla.data.profile.columns import Kind
from petla.deployments.beside.rollout import (
    Plan,
    RolloutArm,
    RolloutKind,
    RolloutState,
    parse_arm,
    parse_share,
    plan_canary,
    plan_experiment,
    plan_shadow,
    require_same_inputs,
)
from petla.deployments.beside.rollouts import list_rollouts, promote, start, step, stop
from petla.deployments.deploy import deploy, find_deployment, rollback
from petla.deployments.server import Server, server_lock, write_server
from petla.deployments.snapshot import Route, read_snapshot
from petla.models.package import ONNX_FILE, store_package
from petla.models.signature import InputField, Signature
from petla.storage.files import lock
from petla.storage.workspace import Workspace
from tests.deployments.tiny import (
    MODEL,
    SIGNATURE,
    actions_of,
    add_version,
    make_onnx,
    make_package,
    open_shop,
    register,
    states_of,
)


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    """Version 1 is live; 2, 3 and 4 are in testing."""
    ws = open_shop(tmp_path)
    for bias in (-4.0, -3.0, -2.0, -1.0):
        add_version(ws, bias)
    deploy(ws, MODEL, 1, actor="ada")
    return ws


def route_of(ws: Workspace) -> Route:
    snapshot = read_snapshot(ws.state)
    assert snapshot is not None
    return snapshot.routes[MODEL]


def find_standby(ws: Workspace) -> int | None:
    standby = route_of(ws).standby
    return standby.version if standby is not None else None


def test_shadow_is_published_and_named_in_the_audit_trail(shop: Workspace) -> None:
    done = start(shop, MODEL, plan_shadow(2, 0.5), actor="bob", reason="curious")

    shadow = route_of(shop).shadow
    assert shadow is not None
    assert (shadow.variant.version, shadow.share, route_of(shop).live.version) == (2, 0.5, 1)
    assert states_of(shop) == {1: "production", 2: "shadow", 3: "testing", 4: "testing"}
    entry = shop.ledger.list_entries()[-1]
    assert (entry.actor, entry.action, entry.subject, entry.reason) == ("bob", "shadow.started", "fraud:2", "curious")
    assert entry.details["fraud:2"] == {"from": "testing", "to": "shadow"}
    assert [(each.kind, each.champion, each.started_by) for each in done.rollouts] == [("shadow", 1, "bob")]


def test_canary_grows_with_the_same_salt_until_it_is_promoted(shop: Workspace) -> None:
    start(shop, MODEL, plan_canary(2, (0.05, 0.25, 1.0)), actor="ada")
    first = route_of(shop).split
    step(shop, list_rollouts(shop)[0], actor="controller", reason="500 rows without a sign of harm")
    second = route_of(shop).split
    assert first is not None
    assert second is not None
    assert (first.salt, first.arms[0].share, second.arms[0].share) == (second.salt, 0.05, 0.25)

    done = step(shop, list_rollouts(shop)[0], actor="controller", reason="the last step")

    assert (done.live, done.standby, done.rollouts, route_of(shop).split) == (2, 1, (), None)
    assert states_of(shop) == {1: "retired", 2: "production", 3: "testing", 4: "testing"}
    assert list_rollouts(shop)[0].state is RolloutState.PROMOTED
    assert actions_of(shop)[-3:] == ["canary.started", "canary.stepped", "model.deployed"]


def test_step_that_somebody_took_already_is_refused(shop: Workspace) -> None:
    start(shop, MODEL, plan_canary(2, (0.05, 0.25)), actor="ada")
    before = list_rollouts(shop)[0]
    step(shop, before, actor="controller", reason="fine")

    with pytest.raises(ConflictError, match="changed meanwhile"):
        step(shop, before, actor="controller", reason="fine")
    with pytest.raises(ConflictError, match="no further step"):
        step(shop, list_rollouts(shop)[0], actor="controller", reason="fine")


def test_shadow_becomes_the_canary(shop: Workspace) -> None:
    start(shop, MODEL, plan_shadow(2), actor="ada")

    start(shop, MODEL, plan_canary(2, (0.1,)), actor="ada", reason="it agrees")

    assert (route_of(shop).shadow, states_of(shop)[2]) == (None, "canary")
    canary, shadow = list_rollouts(shop)
    assert (canary.state, shadow.state, shadow.ended_at) == ("running", "stopped", canary.started_at)


def test_experiment_has_any_number_of_arms_beside_a_shadow(shop: Workspace) -> None:
    arms = [RolloutArm("blue", 2, 0.3), RolloutArm("green", 3, 0.3)]
    start(shop, MODEL, plan_experiment(arms), actor="ada")
    start(shop, MODEL, plan_shadow(4), actor="ada")

    assert states_of(shop) == {1: "production", 2: "canary", 3: "canary", 4: "shadow"}
    with pytest.raises(ConflictError, match="several versions run") as caught:
        promote(shop, MODEL, actor="ada")
    assert caught.value.hint == "name one: fraud:2, fraud:3, fraud:4"

    promote(shop, MODEL, version=3, actor="ada")

    assert states_of(shop) == {1: "retired", 2: "testing", 3: "production", 4: "testing"}
    assert [(each.kind, each.state) for each in list_rollouts(shop)] == [
        ("shadow", "stopped"),
        ("experiment", "promoted"),
    ]


def test_rollback_ends_the_canary_first_and_goes_back_then(shop: Workspace) -> None:
    deploy(shop, MODEL, 2, actor="ada")
    start(shop, MODEL, plan_canary(3, (0.5,)), actor="ada")

    first = rollback(shop, MODEL, actor="ada", reason="complaints")
    second = rollback(shop, MODEL, actor="ada", reason="still")

    assert ((first.live, first.standby), (second.live, second.standby)) == ((2, 1), (1, 2))
    assert states_of(shop) == {1: "production", 2: "retired", 3: "testing", 4: "testing"}
    assert (list_rollouts(shop)[0].state, list_rollouts(shop)[0].outcome) == ("stopped", "complaints")


def test_stop_ends_what_is_named(shop: Workspace) -> None:
    start(shop, MODEL, plan_shadow(2), actor="ada")
    start(shop, MODEL, plan_canary(3, (0.5,)), actor="ada")

    stop(shop, MODEL, kind=RolloutKind.SHADOW, actor="ada", reason="seen enough")

    assert (route_of(shop).shadow, states_of(shop)[2], states_of(shop)[3]) == (None, "testing", "canary")
    stop(shop, MODEL, actor="ada")
    with pytest.raises(ConflictError, match="no version runs beside"):
        stop(shop, MODEL, actor="ada")


def test_deployment_of_another_version_ends_what_ran_beside_the_champion(shop: Workspace) -> None:
    start(shop, MODEL, plan_canary(2, (0.5,)), actor="ada")

    deploy(shop, MODEL, 3, actor="ada")

    assert states_of(shop) == {1: "retired", 2: "testing", 3: "production", 4: "testing"}
    assert (list_rollouts(shop)[0].state, list_rollouts(shop)[0].outcome) == (
        "stopped",
        "fraud:3 was deployed for everybody",
    )


def test_what_has_a_place_gets_no_second_one(shop: Workspace) -> None:
    start(shop, MODEL, plan_canary(2, (0.5,)), actor="ada")

    for plan, reason in (
        (plan_shadow(1), "fraud:1 is live already"),
        (plan_shadow(2), "fraud:2 answers a share already"),
        (plan_canary(3, (0.5,)), "fraud:2 answers a share already"),
    ):
        with pytest.raises(ConflictError, match=reason):
            start(shop, MODEL, plan, actor="ada")


def test_nothing_runs_beside_nothing(tmp_path: Path) -> None:
    ws = open_shop(tmp_path)
    add_version(ws)

    with pytest.raises(NotFoundError, match="nothing serves for model fraud"):
        start(ws, MODEL, plan_shadow(1), actor="ada")


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        (
            msgspec.structs.replace(SIGNATURE, inputs=(*SIGNATURE.inputs, InputField("hour", Kind.NUMBER, False))),
            "takes the input hour, which the champion does not take",
        ),
        (msgspec.structs.replace(SIGNATURE, inputs=SIGNATURE.inputs[:2]), "lacks the input country"),
        (
            msgspec.structs.replace(SIGNATURE, inputs=(InputField("amount", Kind.TEXT, False), *SIGNATURE.inputs[1:])),
            "input amount is of the kind text, the champion's of the kind number",
        ),
        (
            msgspec.structs.replace(
                SIGNATURE,
                inputs=(SIGNATURE.inputs[0], InputField("items", Kind.INTEGER, False), SIGNATURE.inputs[2]),
            ),
            "input items may not be null",
        ),
        (msgspec.structs.replace(SIGNATURE, classes=(0, 1, 2)), "answers something else"),
    ],
)
def test_version_that_takes_or_answers_something_else_is_refused(signature: Signature, reason: str) -> None:
    with pytest.raises(ConflictError, match=f"fraud:2 cannot run beside fraud:1: .*{reason}"):
        require_same_inputs(MODEL, (1, SIGNATURE), (2, signature))


def test_version_with_other_inputs_changes_nothing(shop: Workspace) -> None:
    package = msgspec.structs.replace(
        make_package(), signature=msgspec.structs.replace(SIGNATURE, inputs=SIGNATURE.inputs[:2])
    )
    version = register(shop, package, store_package(shop, package, {ONNX_FILE: make_onnx(0.0)}))
    before = len(actions_of(shop))

    with pytest.raises(ConflictError, match="lacks the input country"):
        start(shop, MODEL, plan_shadow(version), actor="ada")

    assert (len(actions_of(shop)), states_of(shop)[version]) == (before, "testing")


@pytest.mark.parametrize("plan", [plan_shadow(2), plan_canary(2, (0.05,))])
def test_workers_that_do_not_take_it_up_send_the_version_back_to_testing(shop: Workspace, plan: Plan) -> None:
    write_server(shop.state, Server(host="127.0.0.1", port=1, pid=1, workers=1))

    with (
        lock(server_lock(shop.state), purpose="the server"),
        pytest.raises(UnavailableError, match="fraud:2 was not deployed: only 0 of 1 workers"),
    ):
        start(shop, MODEL, plan, actor="ada", wait_s=0.05)

    assert states_of(shop)[2] == "testing"
    assert (route_of(shop).split, route_of(shop).shadow) == (None, None)
    assert list_rollouts(shop)[0].state is RolloutState.REFUSED
    found = find_deployment(shop, MODEL)
    assert found is not None
    assert (found.live, found.rollouts) == (1, ())


def test_refused_promotion_leaves_the_champion_and_ends_the_canary(shop: Workspace) -> None:
    start(shop, MODEL, plan_canary(2, (0.05,)), actor="ada")
    write_server(shop.state, Server(host="127.0.0.1", port=1, pid=1, workers=1))

    with lock(server_lock(shop.state), purpose="the server"), pytest.raises(UnavailableError):
        promote(shop, MODEL, actor="ada", wait_s=0.05)

    assert states_of(shop) == {1: "production", 2: "testing", 3: "testing", 4: "testing"}
    assert list_rollouts(shop)[0].state is RolloutState.REFUSED
    assert (route_of(shop).live.version, route_of(shop).split) == (1, None)


def test_version_that_stands_by_is_tried_again_and_still_answers_the_rollback(shop: Workspace) -> None:
    deploy(shop, MODEL, 2, actor="ada")
    start(shop, MODEL, plan_shadow(1), actor="ada")
    assert (states_of(shop)[1], find_standby(shop)) == ("shadow", 1)
    start(shop, MODEL, plan_canary(1, (0.05, 0.25)), actor="ada")
    tried = step(shop, list_rollouts(shop)[0], actor="controller", reason="fine")
    assert (tried.live, tried.standby, states_of(shop)[1]) == (2, 1, "canary")

    ended = rollback(shop, MODEL, actor="ada", reason="no better than it was")
    assert (ended.live, ended.standby, states_of(shop)[1], route_of(shop).split) == (2, 1, "retired", None)
    back = rollback(shop, MODEL, actor="ada", reason="still better than 2")

    assert (back.live, back.standby) == (1, 2)
    assert states_of(shop) == {1: "production", 2: "retired", 3: "testing", 4: "testing"}


def test_former_champion_is_promoted_or_retired_again(shop: Workspace) -> None:
    for version in (2, 3):
        deploy(shop, MODEL, version, actor="ada")
    # 3 is live, 2 stands by, 1 only was the champion
    start(shop, MODEL, plan_experiment([RolloutArm("old", 1, 0.2), RolloutArm("other", 4, 0.2)]), actor="ada")
    stop(shop, MODEL, actor="ada")
    assert states_of(shop) == {1: "retired", 2: "retired", 3: "production", 4: "testing"}

    start(shop, MODEL, plan_canary(1, (0.2,)), actor="ada")
    deploy(shop, MODEL, 4, actor="ada")
    assert states_of(shop) == {1: "retired", 2: "retired", 3: "retired", 4: "production"}

    start(shop, MODEL, plan_canary(1, (0.2,)), actor="ada")
    done = promote(shop, MODEL, actor="ada")
    assert (done.live, done.standby, states_of(shop)[1]) == (1, 4, "production")


def test_former_champion_that_the_workers_do_not_take_is_retired_again(shop: Workspace) -> None:
    deploy(shop, MODEL, 2, actor="ada")
    write_server(shop.state, Server(host="127.0.0.1", port=1, pid=1, workers=1))

    with lock(server_lock(shop.state), purpose="the server"), pytest.raises(UnavailableError):
        start(shop, MODEL, plan_canary(1, (0.05,)), actor="ada", wait_s=0.05)

    assert (states_of(shop)[1], find_standby(shop)) == ("retired", 1)


@pytest.mark.parametrize("text", ["", "five", "0%", "101%", "nan"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(InvalidError) as caught:
        parse_share(text, "canary")
    assert caught.value.field == "canary"


@pytest.mark.parametrize("text", ["blue", "blue=3", "=3:30%", "blue=x:30%", "blue=0:30%", "blue=3:0"])
def test_what_is_no_arm_is_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        parse_arm(text)


@pytest.mark.parametrize(
    ("arms", "reason"),
    [
        ((), "needs an arm"),
        ((RolloutArm("champion", 2, 0.3),), "no name for an arm"),
        ((RolloutArm("blue", 2, 0.3), RolloutArm("blue", 3, 0.3)), "name blue comes twice"),
        ((RolloutArm("blue", 2, 0.3), RolloutArm("green", 2, 0.3)), "version 2 comes twice"),
        ((RolloutArm("blue", 2, 0.6), RolloutArm("green", 3, 0.6)), "take 120% together"),
    ],
)
def test_experiment_that_cannot_be_is_refused(arms: tuple[RolloutArm, ...], reason: str) -> None:
    with pytest.raises(InvalidError, match=reason):
        plan_experiment(arms)


@pytest.mark.parametrize("steps", [(), (1.0,), (0.5, 0.25), (0.1, 0.1)])
def test_ramp_that_does_not_grow_is_refused(steps: tuple[float, ...]) -> None:
    with pytest.raises(InvalidError):
        plan_canary(2, steps)
