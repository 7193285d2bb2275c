"""Clients of the control plane that are slow, large or broken: each is answered or cut off, and holds nobody up."""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator

import pytest

from petla.api.sessions import make_api_token
from petla.serving.doors.protocol import HEAD_BYTES, HEAD_FIELDS, Limits
from petla.storage.workspace import Workspace
from tests.api.client import make_project, run_server
from tests.serving.client import wait_until
from tests.web.seed import seed_loop

LIMITS = Limits(connections=8, client_timeout_s=1.0)
HOST = b"host: 127.0.0.1:%d\r\n"


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    ws = make_project(tmp_path_factory.mktemp("limits"))
    seed_loop(ws)
    return ws


@pytest.fixture(scope="module")
def port(ws: Workspace) -> Iterator[int]:
    with run_server(ws, LIMITS) as port:
        yield port


@pytest.fixture
def token(ws: Workspace) -> bytes:
    return b"authorization: Bearer %b\r\n" % make_api_token(ws, "test").encode()


def connect(port: int, content: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    # one that was refused early need not hear the rest
    with contextlib.suppress(ConnectionError):
        connection.sendall(content)
    return connection


def read_all(connection: socket.socket) -> bytes:
    answer = b""
    with connection, contextlib.suppress(ConnectionResetError):
        while block := connection.recv(65536):
            answer += block
    return answer


def is_well(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status == 200


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nname: a\x01b\r\n\r\n", 400),
        (b"POST /healthz HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /" + b"x" * HEAD_BYTES + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\n" + b"name: x\r\n" * (HEAD_FIELDS + 1) + b"\r\n", 431),
    ],
)
def test_broken_client_is_answered_and_cut_off(port: int, content: bytes, status: int) -> None:
    answer = read_all(connect(port, content.replace(b"/healthz HTTP/1.1\r\n", b"/healthz HTTP/1.1\r\n" + HOST % port)))

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert set(json.loads(answer.partition(b"\r\n\r\n")[2])["error"]) == {"code", "message", "field", "hint"}
    assert is_well(port)


def test_slow_clients_are_refused_and_cut_off(port: int, token: bytes, caplog: pytest.LogCaptureFixture) -> None:
    grant = b"POST /api/approvals/1/grant HTTP/1.1\r\n%bcontent-type: application/json\r\n%b" % (HOST % port, token)
    silent = connect(port, b"")
    head = connect(port, b"GET /healthz HTTP/1.1\r\nhost")
    body = connect(port, grant + b"content-length: 100\r\n\r\n{")
    refused = connect(port, b"POST /healthz HTTP/1.1\r\n%bcontent-length: 100\r\n\r\n{" % (HOST % port))

    assert is_well(port)
    assert [read_all(each)[:12] for each in (silent, head, body, refused)] == [
        b"",
        b"HTTP/1.1 408",
        b"HTTP/1.1 408",
        b"HTTP/1.1 405",
    ]
    assert not caplog.records


@pytest.mark.parametrize(
    "framing", [b"content-length: 10000000\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n989680\r\n"]
)
def test_body_that_is_too_large_is_refused(port: int, token: bytes, framing: bytes) -> None:
    head = b"POST /api/approvals/1/grant HTTP/1.1\r\n%bcontent-type: application/json\r\n%b" % (HOST % port, token)

    connection = connect(port, head + framing + b" " * 1_500_000)

    assert b"HTTP/1.1 413 " in connection.recv(65536)
    connection.close()
    assert is_well(port)


def test_too_many_connections_are_refused_and_it_recovers(port: int) -> None:
    held = [connect(port, b"") for _ in range(LIMITS.connections)]

    refused = read_all(connect(port, b"GET /healthz HTTP/1.1\r\n%b\r\n" % (HOST % port)))

    assert refused.startswith(b"HTTP/1.1 503 ")
    for connection in held:
        connection.close()
    wait_until(lambda: is_well(port), "it has noticed")


def test_connection_stays_for_the_next_request(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.connect()
    held = connection.sock
    for path in ("/healthz", "/assets/tokens.css", "/healthz"):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, connection.sock) == (200, held)
    connection.close()
