"""Clients of a running server: one request, and a load that goes on until it is told to stop."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

from petla.serving.supervisor import Supervisor
from petla.storage.workspace import Workspace
from tests.deployments.tiny import MODEL, ROW

PATIENCE_S = 30.0


class Reply(NamedTuple):
    status: int
    content: Any
    headers: dict[str, str]

    @property
    def error(self) -> dict[str, str]:
        return dict(self.content["error"])


def ask(port: int, path: str, body: object = None, *, method: str = "POST", **headers: str) -> Reply:
    """Send one request; a body that is no bytes goes as JSON."""
    content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, content, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        text = response.read()
        is_json = response.headers["content-type"] == "application/json"
        found = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, json.loads(text or b"null") if is_json else text.decode(), found)
    finally:
        connection.close()


def find_port() -> int:
    """Return a port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def predict(port: int, body: object = ROW, **headers: str) -> Reply:
    return ask(port, f"/predict/{MODEL}", body, **headers)


@contextmanager
def running(ws: Workspace) -> Iterator[Supervisor]:
    supervisor = Supervisor(ws)
    supervisor.start()
    try:
        supervisor.wait_ready(PATIENCE_S)
        yield supervisor
    finally:
        supervisor.stop()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.01)


class Load:
    """Threads that ask without a pause, each over a connection that it keeps open."""

    def __init__(self, port: int, n_threads: int = 4) -> None:
        self._port = port
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(n_threads)]
        # of every request that was answered with 200
        self.answers: list[dict[str, Any]] = []
        # statuses of other answers, and the errors of connections
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, n_more: int) -> None:
        """Wait until so many more requests were answered."""
        goal = len(self.answers) + n_more
        wait_until(lambda: len(self.answers) >= goal, f"{n_more} more answers came")

    def _run(self) -> None:
        body = json.dumps(ROW)
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        while not self._is_over.is_set():
            try:
                connection.request("POST", f"/predict/{MODEL}", body)
                response = connection.getresponse()
                content = response.read()
            except (http.client.HTTPException, OSError) as error:
                self.failures.append(repr(error))
                connection.close()
                continue
            if response.status == 200:
                self.answers.append(json.loads(content))
            else:
                self.failures.append(f"{response.status} {content!r}")
        connection.close()
