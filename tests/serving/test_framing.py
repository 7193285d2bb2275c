"""What surrounds a body is counted, never read as its head, and understood in one way, before any key is looked at."""

import socket
from collections.abc import Iterator

import pytest

from petla.deployments.access import granting as access
from petla.deployments.access.keys import Scope
from petla.deployments.deploy import deploy
from petla.serving.doors.protocol import HEAD_BYTES, HEAD_FIELDS
from tests.api.client import make_project, run_server
from tests.deployments.tiny import MODEL, PROJECT, add_version, open_shop
from tests.serving.client import ask, running
from tests.serving.test_limits import BODY, GOOD, connect, parse, read_all

HEAD = b"POST /predict/fraud HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n"
CHUNK = b"%x\r\n%b\r\n" % (len(BODY), BODY)
# of endless bytes; the kernels' buffers on the way take some of them
N_BLOCKS, MOST_TAKEN = 400, 16_000_000


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    ws = open_shop(tmp_path_factory.mktemp("keyed"), PROJECT + 'access = "keys"\n')
    deploy(ws, MODEL, add_version(ws), actor="ada")
    key = access.add(ws, "shop", [Scope.PREDICT])
    with running(ws) as supervisor:
        yield supervisor.server.port, key


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    ws = open_shop(tmp_path_factory.mktemp("framing"))
    deploy(ws, MODEL, add_version(ws), actor="ada")
    with running(ws) as supervisor:
        yield supervisor.server.port


@pytest.fixture(scope="module")
def control_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with run_server(make_project(tmp_path_factory.mktemp("control"))) as port:
        yield port


def send_until_cut(port: int, begin: bytes, block: bytes) -> tuple[int, bytes]:
    """Send a beginning and then the same again and again; return how many bytes were taken, and the answer."""
    connection, taken = connect(port, begin), 0
    try:
        for _ in range(N_BLOCKS):
            connection.sendall(block)
            taken += len(block)
    except OSError:
        pass
    return taken, read_all(connection)


ENDLESS = [
    (b"0\r\n", b"X-A: " + b"a" * 60_000 + b"\r\n"),
    (b"0\r\nX-A: ", b"a" * 60_000),
    (b"0\r\n", b"a: b\r\n" * 10_000),
    (b"2;", b"a" * 60_000),
    (b"", (b"1;" + b"a" * 1_000 + b"\r\n \r\n") * 60),
]


@pytest.mark.parametrize(("begin", "block"), ENDLESS)
def test_endless_trailers_and_extensions_are_cut_off(port: int, begin: bytes, block: bytes) -> None:
    taken, _ = send_until_cut(port, HEAD + b"\r\n" + begin, block)

    assert taken < MOST_TAKEN
    assert ask(port, "/healthz", method="GET").status == 200


@pytest.mark.parametrize(("begin", "block"), ENDLESS[:2])
def test_endless_trailers_and_extensions_are_cut_off_without_a_key(
    keyed: tuple[int, str], begin: bytes, block: bytes
) -> None:
    taken, _ = send_until_cut(keyed[0], HEAD + b"\r\n" + begin, block)

    assert taken < MOST_TAKEN


@pytest.mark.parametrize(("begin", "block"), ENDLESS)
def test_endless_trailers_and_extensions_are_cut_off_by_the_control_plane(
    control_port: int, begin: bytes, block: bytes
) -> None:
    head = b"POST /api/nothing HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ntransfer-encoding: chunked\r\n\r\n" % control_port

    taken, _ = send_until_cut(control_port, head + begin, block)

    assert taken < MOST_TAKEN


@pytest.mark.parametrize(
    "rest",
    [
        b"0\r\n" + b"a: b\r\n" * (HEAD_FIELDS + 1) + b"\r\n",
        b"0\r\n" + b"a: " + b"b" * 2 * HEAD_BYTES + b"\r\n\r\n",
        b"0\r\n" + (b"a: " + b"b" * 1_000 + b"\r\n") * 90 + b"\r\n",
        b"0;" + b"b" * 3 * HEAD_BYTES + b"\r\n\r\n",
    ],
)
def test_too_much_around_a_body_is_refused(port: int, rest: bytes) -> None:
    status, error = parse(read_all(connect(port, HEAD + b"\r\n" + CHUNK + rest)))

    assert (status, error["code"]) == (431, "too_large")


def test_body_in_many_small_chunks_is_taken(port: int) -> None:
    body = b"[" + b",".join([BODY] * 400) + b"]"
    chunks = b"".join(b"1;a\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"

    answer = read_all(connect(port, HEAD + b"connection: close\r\n\r\n" + chunks))

    assert answer.startswith(b"HTTP/1.1 200")


def test_requests_behind_a_chunked_one_in_the_same_piece_are_answered(port: int) -> None:
    chunked = HEAD + b"\r\n" + CHUNK + b"0\r\nx: y\r\n\r\n"
    last = GOOD.replace(b"host:", b"connection: close\r\nhost:")

    assert read_all(connect(port, (GOOD + chunked) * 150 + last)).count(b"HTTP/1.1 200") == 301


def test_trailer_is_no_header(keyed: tuple[int, str]) -> None:
    port, key = keyed
    trailer = b"0\r\nx-api-key: %b\r\nx-request-id: trailer\r\nconnection: close\r\n\r\n" % key.encode()
    named = HEAD + b"connection: close\r\nx-request-id: head\r\n"

    without = read_all(connect(port, named + b"\r\n" + CHUNK + trailer))
    right = read_all(connect(port, named + b"x-api-key: %b\r\n\r\n" % key.encode() + CHUNK + trailer))

    assert without.startswith(b"HTTP/1.1 401")
    assert right.startswith(b"HTTP/1.1 200")
    assert b"x-request-id: head" in right
    assert b"trailer" not in right


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nHost: evil.example\r\n", 400),
        (b"POST /feedback HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip, chunked\r\n", 400),
        (
            b"POST /feedback HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n",
            400,
        ),
    ],
)
def test_ambiguous_head_is_refused_by_both_planes(port: int, control_port: int, head: bytes, status: int) -> None:
    for each in (port, control_port):
        assert parse(read_all(connect(each, head + b"\r\n")))[0] == status


@pytest.mark.parametrize("host", [b"host: 127.0.0.1:%d\r\n", b""])
def test_target_that_names_a_host_counts_and_not_the_header(port: int, control_port: int, host: bytes) -> None:
    for each in (port, control_port):
        field = host % each if host else b""
        foreign = b"GET http://evil.example/healthz HTTP/1.1\r\n%bconnection: close\r\n\r\n" % field
        own = b"GET http://127.0.0.1:%d/healthz HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n" % each

        assert read_all(connect(each, foreign)).startswith(b"HTTP/1.1 421")
        assert read_all(connect(each, own)).startswith(b"HTTP/1.1 200")


def test_wish_of_an_old_client_is_answered_as_an_old_one(port: int) -> None:
    wish = GOOD.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"\r\n", b"\r\nconnection: upgrade\r\nupgrade: h2c\r\n", 1)

    # the connection ends behind an answer to HTTP/1.0
    assert read_all(connect(port, wish)).count(b"HTTP/1.1 200") == 1


def test_thousands_of_wishes_at_once_are_all_answered(port: int) -> None:
    wish = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    connection = connect(port, wish * 3_000)
    connection.shutdown(socket.SHUT_WR)

    assert read_all(connection).count(b"HTTP/1.1 200") == 3_000
