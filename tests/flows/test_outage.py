"""The database is away when `petla up` starts, or when its control plane does: what was published goes on serving."""

import json
import os
import shutil
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from petla.api.sessions import make_api_token
from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.deployments.deploy import deploy
from petla.storage.workspace import Workspace
from tests.contracts.postgresql import PostgresqlServer, find_programs, start_server
from tests.deployments.tiny import MODEL, PROJECT, ROW, add_version
from tests.flows.product import Product, petla

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server of this file's own, since it is stopped."""
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server program, or no user that may run it")
    with start_server(programs) as started:
        yield started


@pytest.fixture
def shop(server: PostgresqlServer, tmp_path: Path) -> Workspace:
    """A project on that server; version 1 is live, version 2 may be."""
    (tmp_path / "petla.toml").write_text(PROJECT, encoding="utf-8")
    settings = Settings(actor="ada", database=server.make_database())
    ws = Workspace(tmp_path, decode_project(PROJECT), settings)
    deploy(ws, MODEL, add_version(ws), actor="ada")
    add_version(ws, bias=1.0)
    ws.close()
    return ws


@pytest.fixture
def away(server: PostgresqlServer, shop: Workspace) -> Iterator[Workspace]:
    """The same project while the server is stopped; at the end it runs again."""
    server.stop()
    yield shop
    if not server.is_running:
        server.start()


def test_up_serves_what_was_published_and_takes_up_the_rest_when_the_database_is_back(
    server: PostgresqlServer, away: Workspace
) -> None:
    database = away.settings.database
    with Product(away.root, PETLA_DATABASE=database, PETLA_WORKERS="1") as running:
        answered = [running.post(f"/predict/{MODEL}", ROW)["id"]]
        assert "\nwaiting: workers serve what was published last" in running.said
        assert _ask_api(away, running) == (503, "unavailable")
        shown = petla(away.root, "status", PETLA_DATABASE=database)
        assert shown.returncode == 3
        assert f"shop is serving on {running.serving}" in shown.stdout
        assert "waits for its database" in shown.stdout

        _kill_control(running)
        answered.append(running.post(f"/predict/{MODEL}", ROW)["id"])
        _kill_control(running)
        server.start()

        running.wait_for(lambda: all(_is_logged(away, each) for each in answered) or None)
        assert petla(away.root, "deploy", f"{MODEL}:2", PETLA_DATABASE=database).returncode == 0
        assert running.post(f"/predict/{MODEL}", ROW)["version"] == 2
        assert _ask_api(away, running) == (200, "")


def test_up_that_is_stopped_while_the_database_is_away_loses_nothing(server: PostgresqlServer, away: Workspace) -> None:
    database = away.settings.database
    with Product(away.root, PETLA_DATABASE=database, PETLA_WORKERS="1") as running:
        answered = running.post(f"/predict/{MODEL}", ROW)["id"]
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
        assert "is kept in the spool" in running.said
    server.start()

    with Product(away.root, PETLA_DATABASE=database, PETLA_WORKERS="1") as again:
        again.wait_for(lambda: _is_logged(away, answered) or None)


def test_up_ends_with_its_words_where_nothing_was_ever_published(away: Workspace) -> None:
    shutil.rmtree(away.state / "serving")

    done = petla(away.root, "up", PETLA_DATABASE=away.settings.database, PETLA_CONTROL_PORT="0")

    assert done.returncode == 3
    assert "\nnext: see that it is there" in done.stderr


def test_up_ends_with_its_words_where_waiting_does_not_help(shop: Workspace) -> None:
    database = shop.settings.database.replace("@/petla", "@/nothing")

    done = petla(shop.root, "up", PETLA_DATABASE=database, PETLA_CONTROL_PORT="0")

    assert done.returncode == 3
    assert "does not exist" in done.stderr
    assert "\nnext: correct the address, user or password in PETLA_DATABASE" in done.stderr


def _kill_control(running: Product) -> None:
    """Kill the control plane with -9, and wait until another answers."""
    killed = running.wait_for(running.find_control)
    os.kill(killed, signal.SIGKILL)
    running.wait_for(lambda: running.find_control() not in (None, killed) or None)


def _is_logged(ws: Workspace, decision: str) -> bool:
    return petla(ws.root, "decisions", "show", decision, PETLA_DATABASE=ws.settings.database).returncode == 0


def _ask_api(ws: Workspace, running: Product) -> tuple[int, str]:
    """Return the status of the API's answer about the project, and the code of its problem document."""
    token = make_api_token(ws, "test")
    address = running.pages.partition("/?")[0]
    request = urllib.request.Request(f"{address}/api/status", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["error"]["code"]
