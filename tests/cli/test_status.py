"""`petla status` while the database is away."""

import os
import socket
import sqlite3
from pathlib import Path

import pytest

from petla.core.settings import Settings
from petla.deployments.server import Server, server_lock, write_server
from petla.loop.lease import Lease
from petla.storage.files import lock
from tests.cli.calling import call
from tests.deployments.tiny import open_shop


def test_status_says_what_has_to_be_corrected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ws = open_shop(tmp_path)
    with lock(server_lock(ws.state), purpose="the server"):
        (ws.state / "petla.db").write_bytes(b"something else entirely" * 100)
        write_server(ws.state, Server(host="127.0.0.1", port=8080, pid=1, workers=1))

        status = call(ws, "status")

    assert status == 3
    assert "does not work until its database is corrected" in capsys.readouterr().out


def test_status_says_what_goes_on_and_what_is_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ws = open_shop(tmp_path)
    with socket.socket() as unused, lock(server_lock(ws.state), purpose="the server"):
        unused.bind(("127.0.0.1", 0))
        # bound and not listening: the port refuses
        ws.settings = Settings(database=f"postgresql://ann:secret@127.0.0.1:{unused.getsockname()[1]}/shop")
        write_server(ws.state, Server(host="127.0.0.1", port=8080, pid=1, workers=1))

        status = call(ws, "status")

    said = capsys.readouterr()
    assert status == 3
    assert "shop is serving on http://127.0.0.1:8080" in said.out
    assert "the control plane waits for its database" in said.out
    assert "secret" not in said.out + said.err
    assert "next: see that it is there" in said.err


def test_status_says_that_another_installation_controls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    settings = Settings(actor="ada", database=f"sqlite:///{tmp_path / 'shared.db'}")
    here, there = open_shop(tmp_path / "here"), open_shop(tmp_path / "there")
    here.settings = there.settings = settings
    lease = Lease(here)
    assert lease.hold()

    assert (call(there, "status"), call(here, "status")) == (0, 0)

    assert capsys.readouterr().out.count(f"(pid {os.getpid()}); this installation stands by") == 1
    lease.release()


def test_status_says_that_the_project_is_another_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    settings = Settings(actor="ada", database=f"sqlite:///{tmp_path / 'shared.db'}")
    here, there = open_shop(tmp_path / "here"), open_shop(tmp_path / "there")
    here.settings = there.settings = settings
    with here.ledger.change(actor="ada", action="dataset.added", subject="orders:1"):
        pass

    assert call(there, "status") == 0

    assert "this folder can change nothing: the project 'shop' in this database" in capsys.readouterr().out


def test_status_leaves_a_foreign_database_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE notes (a)")
    connection.close()
    before = path.read_bytes()
    ws = open_shop(tmp_path)
    ws.settings = Settings(database=f"sqlite:///{path}")

    assert call(ws, "status") == 1

    assert "holds tables of something else (notes)" in capsys.readouterr().err
    assert path.read_bytes() == before
