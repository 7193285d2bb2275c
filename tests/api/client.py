"""A control plane in memory, and a visitor who came in by a link."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from litestar import Litestar
from litestar.testing import TestClient

from petla.api.app import make_app
from petla.api.sessions import make_link
from petla.storage.workspace import Workspace
from petla.web.routes import make_error_page, make_routes
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


def make_project(folder: Path, text: str = PROJECT) -> Workspace:
    return open_project(folder, text)


def find_token(html: str) -> str:
    found = re.search(r'name="csrf_token" value="([0-9a-f]{64})"', html)
    assert found is not None
    return found[1]
