"""A control plane in memory, and a visitor who came in by a link; and one with a socket."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from litestar import Litestar
from litestar.testing import TestClient

from petla.api.app import make_app
from petla.api.server import LIMITS, make_server
from petla.api.sessions import make_api_token, make_link
from petla.serving.doors.protocol import Limits
from petla.storage.certificates import Certificate
from petla.storage.workspace import Workspace
from petla.web.routes import make_error_page, make_routes
from tests.serving.client import wait_until
from tests.web.seed import PROJECT, open_project

BASE = "http://127.0.0.1:8000"
HTML = {"accept": "text/html"}

Client = TestClient[Litestar]


@contextmanager
def open_client(ws: Workspace, *, is_signed_in: bool = True) -> Iterator[Client]:
    app = make_app(ws, base_url=BASE, extra_routes=make_routes(ws), error_page=make_error_page(ws))
    with TestClient(app, base_url=BASE) as client:
        if is_signed_in:
            assert client.get(make_link(ws, BASE)).status_code == 200
        yield client


@contextmanager
def open_program(ws: Workspace) -> Iterator[Client]:
    """A program with a token of its own."""
    with open_client(ws, is_signed_in=False) as client:
        client.headers["authorization"] = f"Bearer {make_api_token(ws, 'test')}"
        yield client


@contextmanager
def run_server(ws: Workspace, limits: Limits = LIMITS, certificate: Certificate | None = None) -> Iterator[int]:
    """Serve a control plane on a port of its own."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        base = f"{'https' if certificate else 'http'}://127.0.0.1:{port}"
        app = make_app(ws, base_url=base, extra_routes=make_routes(ws), error_page=make_error_page(ws))
        server = make_server(app, certificate, limits)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        wait_until(lambda: server.started, "the control plane listens")
        try:
            yield port
        finally:
            server.should_exit = True
            thread.join()


def make_project(folder: Path, text: str = PROJECT) -> Workspace:
    return open_project(folder, text)


def find_token(html: str) -> str:
    found = re.search(r'name="csrf_token" value="([0-9a-f]{64})"', html)
    assert found is not None
    return found[1]
