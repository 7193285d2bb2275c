"""Deploying without a server: rows, states, snapshot, audit trail. With one: tests/serving."""

from pathlib import Path

import pytest

from petla.core.errors import BusyError, ConflictError, CorruptError, NotFoundError, UnavailableError
from petla.deployments.deploy import deploy, find_deployment, list_deployments, republish, rollback
from petla.deployments.server import Server, find_server, server_lock, write_server
from petla.deployments.snapshot import read_snapshot, snapshot_path
from petla.models import registry
from petla.models.states import State
from petla.storage.files import lock
from petla.storage.workspace import Workspace
from tests.contracts.damage import flip
from tests.deployments.tiny import MODEL, actions_of, add_version, open_shop, states_of


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    return open_shop(tmp_path)


def test_first_deployment_makes_a_champion(shop: Workspace) -> None:
    version = add_version(shop)

    done = deploy(shop, MODEL, version, actor="ada", reason="first")

    assert (done.live, done.standby, done.snapshot, done.took_ms) == (1, None, 1, None)
    assert states_of(shop) == {1: "production"}
    snapshot = read_snapshot(shop.state)
    assert snapshot is not None
    assert (snapshot.number, snapshot.routes[MODEL].live.version) == (1, 1)


def test_second_deployment_retires_the_first_which_stands_by(shop: Workspace) -> None:
    add_version(shop)
    add_version(shop, -3.0)
    deploy(shop, MODEL, 1, actor="ada")

    done = deploy(shop, MODEL, 2, actor="ada")

    assert (done.live, done.standby, done.snapshot) == (2, 1, 2)
    assert states_of(shop) == {1: "retired", 2: "production"}


def test_rollback_exchanges_live_and_standby(shop: Workspace) -> None:
    for version in (add_version(shop), add_version(shop, -3.0)):
        deploy(shop, MODEL, version, actor="ada")

    back = rollback(shop, MODEL, actor="ada", reason="complaints")
    forward = rollback(shop, MODEL, actor="ada", reason="it was the weather")

    assert (back.live, back.standby, back.snapshot) == (1, 2, 3)
    assert (forward.live, forward.standby, forward.snapshot) == (2, 1, 4)
    assert states_of(shop) == {1: "retired", 2: "production"}


def test_every_change_is_one_audit_entry(shop: Workspace) -> None:
    for version in (add_version(shop), add_version(shop, -3.0)):
        deploy(shop, MODEL, version, actor="bob", reason="better")
    rollback(shop, MODEL, actor="ada", reason="complaints")

    *_, before, last = shop.ledger.list_entries()

    assert (before.actor, before.action, before.subject, before.reason) == (
        "bob",
        "model.deployed",
        "fraud:2",
        "better",
    )
    assert before.details["before"] == 1
    assert (last.actor, last.action, last.subject) == ("ada", "model.rolled_back", "fraud:1")
    assert shop.ledger.verify() == len(actions_of(shop))


def test_live_version_cannot_be_deployed_again(shop: Workspace) -> None:
    deploy(shop, MODEL, add_version(shop), actor="ada")

    with pytest.raises(ConflictError, match="fraud:1 is live already"):
        deploy(shop, MODEL, 1, actor="ada")


def test_rejected_version_cannot_be_deployed(shop: Workspace) -> None:
    version = add_version(shop)
    with shop.ledger.change(actor="ada", action="model.rejected", subject="fraud:1") as change:
        registry.move(change, shop.name, MODEL, version, State.REJECTED)

    with pytest.raises(ConflictError, match="fraud:1 is rejected"):
        deploy(shop, MODEL, version, actor="ada")

    assert list_deployments(shop) == []
    assert read_snapshot(shop.state) is None


def test_unknown_version_cannot_be_deployed(shop: Workspace) -> None:
    with pytest.raises(NotFoundError):
        deploy(shop, MODEL, 7, actor="ada")


def test_altered_package_is_refused_before_anything_changes(shop: Workspace) -> None:
    version = add_version(shop)
    digest = registry.get_version(shop, MODEL, version).package
    flip(shop.objects, digest)

    with pytest.raises(CorruptError, match=digest):
        deploy(shop, MODEL, version, actor="ada")

    assert states_of(shop) == {1: "testing"}
    assert find_deployment(shop, MODEL) is None


def test_rollback_needs_something_to_go_back_to(shop: Workspace) -> None:
    with pytest.raises(NotFoundError, match="nothing serves for model fraud"):
        rollback(shop, MODEL, actor="ada", reason="")
    deploy(shop, MODEL, add_version(shop), actor="ada")

    with pytest.raises(ConflictError, match="nothing to go back to"):
        rollback(shop, MODEL, actor="ada", reason="")


def test_crash_between_commit_and_publishing_is_healed(shop: Workspace) -> None:
    deploy(shop, MODEL, add_version(shop), actor="ada")
    published = snapshot_path(shop.state).read_bytes()
    deploy(shop, MODEL, add_version(shop, -3.0), actor="ada")
    snapshot_path(shop.state).write_bytes(published)

    assert republish(shop) == 2

    snapshot = read_snapshot(shop.state)
    assert snapshot is not None
    assert snapshot.routes[MODEL].live.version == 2


@pytest.mark.parametrize("content", [None, b'{"numb'])
def test_lost_or_damaged_snapshot_is_published_again(shop: Workspace, content: bytes | None) -> None:
    deploy(shop, MODEL, add_version(shop), actor="ada")
    snapshot_path(shop.state).unlink()
    if content is not None:
        snapshot_path(shop.state).write_bytes(content)

    republish(shop)

    assert read_snapshot(shop.state) is not None


def test_nothing_deployed_publishes_nothing(shop: Workspace) -> None:
    assert republish(shop) == 0
    assert list_deployments(shop) == []


def test_deployment_is_listed_with_who_and_when(shop: Workspace) -> None:
    done = deploy(shop, MODEL, add_version(shop), actor="bob")

    assert list_deployments(shop) == [done]
    assert (done.changed_by, done.workers) == ("bob", 0)


def test_dead_server_does_not_count(shop: Workspace) -> None:
    write_server(shop.state, Server(host="127.0.0.1", port=1, pid=1, workers=1))
    server_lock(shop.state).touch()
    assert find_server(shop.state) is None

    with lock(server_lock(shop.state), purpose="the server"):
        found = find_server(shop.state)

    assert found is not None
    assert found.url == "http://127.0.0.1:1"


def test_workers_that_do_not_answer_in_time_take_the_deployment_back(shop: Workspace) -> None:
    first, second = add_version(shop), add_version(shop, -3.0)
    deploy(shop, MODEL, first, actor="ada")
    write_server(shop.state, Server(host="127.0.0.1", port=1, pid=1, workers=1))

    with (
        lock(server_lock(shop.state), purpose="the server"),
        pytest.raises(
            UnavailableError, match=r"fraud:2 was not deployed: only 0 of 1 workers.*fraud:1 serves as before"
        ),
    ):
        deploy(shop, MODEL, second, actor="ada", wait_s=0.05)

    assert states_of(shop) == {1: "production", 2: "testing"}
    found = find_deployment(shop, MODEL)
    assert found is not None
    assert (found.live, found.standby, found.snapshot) == (1, None, 3)
    assert actions_of(shop)[-2:] == ["model.deployed", "deployment.taken_back"]


def test_two_deployments_do_not_collide(shop: Workspace) -> None:
    version = add_version(shop)
    impatient = Workspace(shop.root, shop.project, type(shop.settings)(actor="bob", wait_s=0))

    with lock(shop.state / "deploying.lock", purpose="deploying fraud:9"), pytest.raises(BusyError, match="fraud:9"):
        deploy(impatient, MODEL, version, actor="bob")
