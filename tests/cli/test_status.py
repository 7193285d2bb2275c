"""`petla status` while the database is away."""

import socket
from pathlib import Path

import pytest

from petla.core.settings import Settings
from petla.deployments.server import Server, server_lock, write_server
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
