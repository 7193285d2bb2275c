"""Ends of workers: requests under way are answered, and a worker that answers nobody is replaced."""

import http.client
import logging
import os
import signal
import threading
from pathlib import Path

import pytest

from petla.deployments.deploy import deploy
from petla.deployments.server import list_acknowledgements
from petla.serving.supervisor import Supervisor
from petla.storage.workspace import Workspace
from tests.deployments.tiny import MODEL, PROJECT, ROW, add_version, open_shop
from tests.serving.client import Reply, predict, running, wait_until
from tests.serving.fragile import LEISURELY, SLOW, add_fragile_version


class Asking(threading.Thread):
    """A request that takes its time."""

    def __init__(self, port: int, amount: float) -> None:
        super().__init__()
        self._port, self._amount = port, amount
        self.reply: Reply | None = None
        self.failure = ""

    def run(self) -> None:
        try:
            self.reply = predict(self._port, ROW | {"amount": self._amount})
        except (http.client.HTTPException, OSError) as error:
            self.failure = repr(error)


def ask_slowly(supervisor: Supervisor, amount: float) -> Asking:
    """Begin a request, and return when it is under way."""
    port = supervisor.server.port
    asking = Asking(port, amount)
    asking.start()
    # the worker reads in the order of arrival
    wait_until(lambda: predict(port, ROW | {"country": 1}).status == 422, "the worker has read it")
    return asking


def open_fragile(folder: Path, settings: str = "") -> Workspace:
    ws = open_shop(folder, PROJECT + settings)
    deploy(ws, MODEL, add_fragile_version(ws), actor="ada")
    return ws


def test_request_under_way_is_answered_when_the_server_stops(tmp_path: Path) -> None:
    with running(open_fragile(tmp_path)) as supervisor:
        asking = ask_slowly(supervisor, LEISURELY)

    asking.join()
    assert asking.reply is not None, asking.failure
    assert asking.reply.status == 200
    assert supervisor.statuses == [0]


def test_request_that_takes_longer_than_the_grace_holds_nobody_up(tmp_path: Path) -> None:
    with running(open_fragile(tmp_path, "grace_s = 0.5\n")) as supervisor:
        asking = ask_slowly(supervisor, SLOW)

    # it would take a minute
    asking.join(20)
    assert not asking.is_alive()
    assert asking.failure


def test_nobody_waits_in_vain_while_others_are_answered(tmp_path: Path) -> None:
    with running(open_fragile(tmp_path)) as supervisor:
        port = supervisor.server.port
        asking = ask_slowly(supervisor, LEISURELY)
        stopping = threading.Thread(target=supervisor.stop)
        stopping.start()
        wait_until(lambda: _is_refused(port), "a new connection was refused")
        was_under_way = asking.is_alive()
        stopping.join()
        asking.join()

    assert was_under_way
    assert asking.reply is not None


def _is_refused(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.connect()
    except ConnectionRefusedError:
        return True
    finally:
        connection.close()
    return False


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    ws = open_shop(tmp_path, PROJECT + "stuck_s = 1.0\n")
    deploy(ws, MODEL, add_version(ws), actor="ada")
    return ws


def test_worker_that_answers_nobody_is_replaced(shop: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    with running(shop) as supervisor, caplog.at_level(logging.WARNING):
        # it has begun to serve
        assert predict(supervisor.server.port).status == 200
        (victim,) = (said.pid for said in list_acknowledgements(shop.state))
        os.kill(victim, signal.SIGSTOP)
        wait_until(lambda: "worker.stuck" in caplog.messages, "it was found")
        wait_until(lambda: victim not in {said.pid for said in list_acknowledgements(shop.state)}, "it was replaced")
        assert predict(supervisor.server.port).status == 200

    (stuck,) = [record for record in caplog.records if record.message == "worker.stuck"]
    assert stuck.__dict__["pid"] == victim
    assert supervisor.statuses == [0]


def test_terminal_that_closes_ends_no_worker(shop: Workspace) -> None:
    with running(shop) as supervisor:
        before = {said.pid for said in list_acknowledgements(shop.state)}
        for pid in before:
            os.kill(pid, signal.SIGHUP)
        assert predict(supervisor.server.port).status == 200
        assert {said.pid for said in list_acknowledgements(shop.state)} == before

    assert supervisor.statuses == [0]
