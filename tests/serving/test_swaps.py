"""Swap and rollback of a real server under load, and versions that it cannot serve."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import msgspec
import polars as pl
import pytest
from sklearn.dummy import DummyClassifier

from petla.core.errors import UnavailableError
from petla.core.settings import Settings
from petla.decisions.log import count_decisions, count_known
from petla.decisions.shipper import Shipped, ship
from petla.deployments.deploy import deploy, find_deployment, rollback, take_back_refused
from petla.deployments.server import list_acknowledgements
from petla.models import registry
from petla.models.conversion.original import make_original
from petla.models.package import PYTHON_FILE, GoldenRow, store_package
from petla.storage.workspace import Workspace
from tests.contracts.damage import flip, flip_all
from tests.deployments.tiny import MODEL, add_version, make_package, open_shop, register, states_of
from tests.serving.client import Load, ask, predict, running, wait_until


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    ws = open_shop(tmp_path)
    add_version(ws)
    add_version(ws, -3.0)
    return ws


@pytest.fixture
def port(shop: Workspace) -> Iterator[int]:
    deploy(shop, MODEL, 1, actor="ada")
    with running(shop) as supervisor:
        yield supervisor.server.port


def test_swap_and_rollback_under_load_fail_no_request(shop: Workspace, port: int) -> None:
    with Load(port) as load:
        load.wait_for(50)
        swapped = deploy(shop, MODEL, 2, actor="ada")
        load.wait_for(50)
        for _ in range(10):
            rolled = rollback(shop, MODEL, actor="ada", reason="back and forth")
            load.wait_for(20)
    ship(shop)

    assert load.failures == []
    assert swapped.took_ms is not None
    assert rolled.took_ms is not None
    assert rolled.took_ms < 1_000
    assert set(Counter(answer["version"] for answer in load.answers)) == {1, 2}
    assert count_known(shop, [answer["id"] for answer in load.answers]) == len(load.answers) == count_decisions(shop)


def test_answers_come_from_the_new_version_once_it_is_acknowledged(shop: Workspace, port: int) -> None:
    before = predict(port).content

    done = deploy(shop, MODEL, 2, actor="ada")

    after = predict(port).content
    assert (before["version"], after["version"]) == (1, 2)
    assert before["probability"] < after["probability"]
    assert done.workers == 1
    (said,) = list_acknowledgements(shop.state)
    assert (said.serving, said.seen, said.error) == (2, 2, "")


def test_version_with_other_answers_than_it_was_packaged_with_is_taken_back(shop: Workspace, port: int) -> None:
    strange = add_version(shop, -3.0, golden_shift=-0.1)

    with Load(port, n_threads=2) as load:
        load.wait_for(10)
        with pytest.raises(UnavailableError, match=r"fraud:3 was not deployed: worker 0: .*golden"):
            deploy(shop, MODEL, strange, actor="ada")
        load.wait_for(10)

    assert load.failures == []
    assert {answer["version"] for answer in load.answers} == {1}
    assert states_of(shop) == {1: "production", 2: "testing", 3: "testing"}
    found = find_deployment(shop, MODEL)
    assert found is not None
    assert (found.live, found.standby) == (1, None)


def test_refused_deployment_whose_command_died_is_taken_back(
    shop: Workspace, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> str:
        # stands for a kill while the command waits for the workers
        raise KeyboardInterrupt

    strange = add_version(shop, -3.0, golden_shift=-0.1)
    with monkeypatch.context() as patch:
        patch.setattr("petla.deployments.publishing._await_workers", die)
        with pytest.raises(KeyboardInterrupt):
            deploy(shop, MODEL, strange, actor="ada")
    wait_until(lambda: any(each.error for each in list_acknowledgements(shop.state)), "the worker refused it")

    assert [take_back_refused(shop), take_back_refused(shop)] == [True, False]

    assert states_of(shop) == {1: "production", 2: "testing", 3: "testing"}
    assert predict(port).content["version"] == 1
    deploy(shop, MODEL, 2, actor="ada")
    assert take_back_refused(shop) is False


def test_version_that_served_is_not_taken_back_for_failing_later(shop: Workspace) -> None:
    package = registry.get_version(shop, MODEL, 1).package
    with running(shop):
        deploy(shop, MODEL, 1, actor="ada")
    flip(shop.objects, package)
    with running(shop):
        assert list_acknowledgements(shop.state)[0].error

        assert take_back_refused(shop) is False

    flip(shop.objects, package)
    with running(shop) as supervisor:
        assert predict(supervisor.server.port).content["version"] == 1


def test_deployment_after_one_that_failed_is_taken_up(shop: Workspace, port: int) -> None:
    strange = add_version(shop, -3.0, golden_shift=-0.1)
    with pytest.raises(UnavailableError):
        deploy(shop, MODEL, strange, actor="ada")

    deploy(shop, MODEL, 2, actor="ada")

    assert predict(port).content["version"] == 2


def test_python_package_is_served_beside_the_loop(shop: Workspace, port: int) -> None:
    deploy(shop, MODEL, add_python_version(shop), actor="ada")
    with Load(port, n_threads=6) as load:
        load.wait_for(60)
    rolled = rollback(shop, MODEL, actor="ada", reason="slower")

    assert load.failures == []
    assert {(answer["version"], answer["probability"]) for answer in load.answers} == {(3, 0.75)}
    assert (rolled.live, predict(port).content["version"]) == (1, 1)
    assert ship(shop).decisions == len(load.answers) + 1


def add_python_version(ws: Workspace) -> int:
    """A version whose model is scikit-learn's own, in a process of its own: P(fraud) is 3/4 for everybody."""
    frame = pl.DataFrame({"amount": [1.0] * 4, "items": [1.0] * 4, "country": ["pl"] * 4})
    estimator = DummyClassifier(strategy="prior").fit(frame, [True, True, True, False])
    content = cloudpickle.dumps(make_original(estimator, frame, frame.columns))
    golden = (GoldenRow((2.5, 3, "de"), (0.25, 0.75)),)
    package = msgspec.structs.replace(make_package(), kind="python", golden=golden)
    return register(ws, package, store_package(ws, package, {PYTHON_FILE: content}))


def test_every_worker_follows(shop: Workspace) -> None:
    deploy(shop, MODEL, 1, actor="ada")
    pair = Workspace(shop.root, shop.project, Settings(actor="ada", workers=2))
    with running(pair) as supervisor, Load(supervisor.server.port, n_threads=6) as load:
        load.wait_for(30)
        done = deploy(pair, MODEL, 2, actor="ada")
        load.wait_for(30)

    assert done.workers == 2
    assert load.failures == []
    assert ship(pair) == Shipped(len(load.answers), 0, 0)
    assert count_known(pair, [each["id"] for each in load.answers]) == len(load.answers)


def test_server_without_a_deployment_says_so_and_takes_up_the_first(shop: Workspace) -> None:
    with running(shop) as supervisor:
        port = supervisor.server.port
        unready = ask(port, "/readyz", method="GET")
        missing = predict(port)
        deploy(shop, MODEL, 1, actor="ada")
        served = predict(port)

    assert (unready.status, unready.error["code"]) == (503, "unavailable")
    assert (missing.status, served.status) == (404, 200)


def test_server_starts_without_a_model_that_is_damaged_and_says_why(shop: Workspace) -> None:
    deploy(shop, MODEL, 1, actor="ada")
    flip_all(shop.objects)

    with running(shop) as supervisor:
        reply = predict(supervisor.server.port)
        unready = ask(supervisor.server.port, "/readyz", method="GET")

    assert (reply.status, unready.status) == (503, 503)
    assert "is damaged" in reply.error["message"]


def test_restarted_server_serves_the_last_snapshot(shop: Workspace, port: int) -> None:
    deploy(shop, MODEL, 2, actor="ada")
    assert predict(port).content["version"] == 2


def test_memory_does_not_grow_with_swaps(shop: Workspace, port: int) -> None:
    deploy(shop, MODEL, 2, actor="ada")
    (said,) = list_acknowledgements(shop.state)
    for _ in range(20):
        rollback(shop, MODEL, actor="ada", reason="back and forth")

    assert read_memory_kib(said.pid) < 150 * 1024
    wait_until(lambda: predict(port).status == 200, "it answers")


def read_memory_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
