"""Clients that are slow, large or broken: each is answered in our shape where it can be, and none holds a worker."""

import json
import select
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from petla.deployments.deploy import deploy
from petla.serving.doors.protocol import HEAD_BYTES, HEAD_FIELDS
from tests.deployments.tiny import MODEL, PROJECT, ROW, add_version, open_shop
from tests.serving.client import ask, predict, running, wait_until

CONNECTIONS = 12
BODY = json.dumps(ROW).encode()
GOOD = b"POST /predict/%b HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (
    MODEL.encode(),
    len(BODY),
    BODY,
)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    text = f"{PROJECT}client_timeout_s = 1.0\nconnections = {CONNECTIONS}\n"
    ws = open_shop(tmp_path_factory.mktemp("limits"), text)
    deploy(ws, MODEL, add_version(ws), actor="ada")
    with running(ws) as supervisor:
        yield supervisor.server.port


def connect(port: int, content: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(content)
    return connection


def can_send(connection: socket.socket) -> bool:
    try:
        connection.send(b"x")
    except OSError:
        return False
    return True


def read_all(connection: socket.socket) -> bytes:
    answer = b""
    try:
        while block := connection.recv(65536):
            answer += block
    except ConnectionResetError:
        pass
    finally:
        connection.close()
    return answer


def parse(answer: bytes) -> tuple[int, dict[str, Any]]:
    """Return the status and the error of an answer in the one shape, after which the server closes."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head
    assert b"connection: close" in head
    error = json.loads(body)["error"]
    assert set(error) == {"code", "message", "field", "hint"}
    return int(head.split()[1]), error


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nconnection: close\r\n\r\n", 404),
        (b"POST /feedback HTTP/1.1\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}", 400),
        (b"POST /feedback HTTP/1.1\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}", 400),
        (b"POST /feedback HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n", 400),
        (b"POST /feedback HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nname: a\x01b\r\n\r\n", 400),
        (b"GET /" + b"x" * HEAD_BYTES + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\nname: " + b"x" * HEAD_BYTES + b"\r\n\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\n" + b"name: x\r\n" * (HEAD_FIELDS + 1) + b"\r\n", 431),
    ],
)
def test_broken_http_is_answered_in_the_one_shape(port: int, content: bytes, status: int) -> None:
    assert parse(read_all(connect(port, content)))[0] == status
    assert predict(port).status == 200


def test_head_that_never_ends_is_refused(port: int) -> None:
    connection = connect(port, b"GET /healthz HTTP/1.1\r\nname: ")
    while not select.select([connection], [], [], 0.01)[0]:
        connection.sendall(b"x" * 4096)

    assert parse(read_all(connection))[0] == 431


def test_large_body_in_the_same_packet_as_its_head_is_no_large_head(port: int) -> None:
    body = json.dumps([ROW] * 1_000).encode()
    head = b"POST /predict/fraud HTTP/1.1\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)

    assert read_all(connect(port, head + body)).startswith(b"HTTP/1.1 200")


def test_garbage_after_a_right_request_does_not_spoil_its_answer(port: int) -> None:
    answer = read_all(connect(port, GOOD + b"\x00\xff garbage\r\n\r\n"))

    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.1") == 1


def test_client_that_sends_no_more_gets_all_its_answers(port: int) -> None:
    connection = connect(port, GOOD * 20)
    connection.shutdown(socket.SHUT_WR)

    assert read_all(connection).count(b"HTTP/1.1 200") == 20


def test_body_that_breaks_off_decides_nothing(port: int) -> None:
    head = b"POST /predict/fraud HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(BODY), BODY)
    rows = 'petla_rows_answered_total{model="fraud",worker="0"} '
    before = ask(port, "/metrics", method="GET").content.partition(rows)[2].split("\n")[0]

    connection = connect(port, head)
    connection.shutdown(socket.SHUT_WR)

    assert read_all(connection) == b""
    assert ask(port, "/metrics", method="GET").content.partition(rows)[2].split("\n")[0] == before


def test_wish_for_another_protocol_is_answered_in_this_one(port: int) -> None:
    wish = GOOD.replace(b"host: localhost", b"host: localhost\r\nconnection: upgrade\r\nupgrade: h2c")

    last = wish.replace(b"upgrade\r\n", b"close, upgrade\r\n", 1)

    assert read_all(connect(port, wish + GOOD + last)).count(b"HTTP/1.1 200") == 3


def test_name_of_a_model_may_be_written_with_percents(port: int) -> None:
    assert ask(port, "/predict/%66raud?version=1", ROW).status == 200
    assert ask(port, "/predict/fr%2Faud", ROW).status == 404


def test_name_trace_and_deadline_of_a_request_come_back(port: int) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    right = predict(port, x_request_id="order-17", traceparent=trace, x_request_timeout_ms="60000")
    wrong = predict(port, x_request_id="order-18", x_request_timeout_ms="soon")

    assert (right.status, right.headers["x-request-id"], right.headers["traceparent"]) == (200, "order-17", trace)
    assert (wrong.status, wrong.headers["x-request-id"]) == (400, "order-18")
    assert wrong.error["field"] == "x-request-timeout-ms"


def test_slow_clients_lose_their_connections_and_hold_nobody_up(port: int) -> None:
    head = connect(port, b"POST /predict/fraud HTTP/1.1\r\nhost")
    body = connect(port, b"POST /predict/fraud HTTP/1.1\r\ncontent-length: 1000\r\n\r\n{")
    refused = connect(port, b"POST /predict/fraud HTTP/1.1\r\ncontent-length: 1000000\r\n\r\n{")
    silent = connect(port)
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", port))
    deaf.sendall(b"GET /metrics HTTP/1.1\r\n\r\n" * 6_000)

    # each sends a little now and then, which is not enough
    slow = [head, body, refused]
    while slow:
        for connection in select.select([], slow, [], 0.1)[1]:
            try:
                connection.send(b"x")
            except OSError:
                slow.remove(connection)
            if connection in select.select(slow, [], [], 0)[0]:
                slow.remove(connection)
        assert predict(port).status == 200
        time.sleep(0.05)

    assert parse(read_all(head))[0] == 408
    assert parse(read_all(body))[1]["code"] == "too_slow"
    assert b" 413 " in read_all(refused)
    assert read_all(silent) == b""
    wait_until(lambda: not can_send(deaf), "the client that does not listen was cut off")
    deaf.close()


def test_too_many_connections_are_refused_and_it_recovers(port: int) -> None:
    held = [connect(port) for _ in range(CONNECTIONS)]

    status, error = parse(read_all(connect(port, GOOD)))

    assert (status, error["code"]) == (503, "unavailable")
    flood = [connect(port) for _ in range(CONNECTIONS)]
    assert read_all(connect(port)) == b""
    for connection in held + flood:
        connection.close()
    assert predict(port).status == 200
