"""The way from a request to its answer, with applications that wait, fail, and answer what they may not."""

import asyncio
import functools
import gc
import socket
import struct
import types
import weakref
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from petla.serving.doors.protocol import HEAD_BYTES, Limits, WorkerProtocol
from petla.serving.metrics import ModelMetrics

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

PATIENCE_S = 30.0
LIMITS = Limits(connections=100, client_timeout_s=PATIENCE_S)


async def answer(send: Send, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


def converse(application: Application, *pieces: bytes, ends: bytes = b"") -> bytes:
    """Send pieces to a connection, a turn or more apart; return what comes until it closes, or until `ends`."""

    async def run() -> bytes:
        config = uvicorn.Config(application, lifespan="off", ws="none", interface="asgi3", log_config=None)
        config.load()
        make = functools.partial(
            WorkerProtocol, LIMITS, ModelMetrics(), config=config, server_state=ServerState(), app_state={}
        )
        server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)
            return await asyncio.wait_for(reader.readuntil(ends) if ends else reader.read(), PATIENCE_S)
        finally:
            writer.close()
            server.close()

    return asyncio.run(run())


def request(body: bytes = b"", *, path: bytes = b"/", more: bytes = b"connection: close\r\n") -> bytes:
    return b"POST %b HTTP/1.1\r\ncontent-length: %d\r\n%b\r\n%b" % (path, len(body), more, body)


@types.coroutine
def next_turn() -> Generator[None, None, None]:
    yield


async def echo(_scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await answer(send, (await receive())["body"])


def test_application_runs_without_a_task_until_it_waits_for_a_future() -> None:
    async def application(_scope: dict[str, Any], receive: Receive, send: Send) -> None:
        before = asyncio.current_task()
        message = await receive()
        await next_turn()
        between = asyncio.current_task()
        await asyncio.wait_for(asyncio.to_thread(int), PATIENCE_S)
        after = asyncio.current_task()
        await answer(send, b"%b %d %d %d" % (message["body"], before is None, between is None, after is None))

    assert converse(application, request(b"hello")).endswith(b"\r\n\r\nhello 1 1 0")


def test_body_in_pieces_is_handed_over_whole() -> None:
    async def application(_scope: dict[str, Any], receive: Receive, send: Send) -> None:
        message = await receive()
        await answer(send, message["body"] + b" %d" % message["more_body"])

    head, body = request(b"one two three")[:-13], b"one two three"

    assert converse(application, head[:20], head[20:], body[:4], body[4:]).endswith(b"\r\n\r\none two three 0")


def test_large_body_is_handed_over_while_it_comes() -> None:
    async def application(_scope: dict[str, Any], receive: Receive, send: Send) -> None:
        sizes = []
        is_more = True
        while is_more:
            message = await receive()
            sizes.append(len(message["body"]))
            is_more = message["more_body"]
        await answer(send, b"%d %d" % (sum(sizes), len(sizes) > 1))

    assert converse(application, request(b"x" * 1_000_000)).endswith(b"\r\n\r\n1000000 1")


def test_a_thousand_pipelined_requests_are_answered_in_order() -> None:
    async def application(scope: dict[str, Any], _receive: Receive, send: Send) -> None:
        await answer(send, scope["path"].encode())

    kept = b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % n for n in range(1_300))

    answered = converse(application, kept + request(path=b"/last"))

    paths = [part.rpartition(b"\r\n\r\n")[2] for part in answered.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert paths == [b"/%d" % n for n in range(1_300)] + [b"/last"]


@pytest.mark.parametrize("size", [0, 20_000, 60_000])
def test_head_that_begins_behind_other_requests_is_measured_alone(size: int) -> None:
    before = request(b"x" * size, more=b"") + request(b"hello", more=b"") * 1_000
    head = request(path=b"/last")

    said = converse(echo, before + head[:30], head[30:])

    assert said.count(b"HTTP/1.1 200 OK") == 1_002


@pytest.mark.parametrize("n_pieces", [1, 2, 9])
def test_large_head_behind_other_requests_is_refused(n_pieces: int) -> None:
    name = b"name: " + b"x" * HEAD_BYTES + b"\r\n"
    before = request(b"hello", more=b"") * 1_000 + b"GET / HTTP/1.1\r\n"
    size = len(name) // n_pieces + 1
    pieces = [name[start : start + size] for start in range(0, len(name), size)]

    said = converse(echo, before + pieces[0], *pieces[1:], b"\r\n")

    # whether the refusal is said as well depends on whether an answer is still owed then
    assert said.count(b"HTTP/1.1 200 OK") == 1_000


def test_head_request_gets_no_body() -> None:
    said = converse(echo, b"HEAD / HTTP/1.1\r\nconnection: close\r\n\r\n")

    assert said.endswith(b"content-length: 0\r\nconnection: close\r\n\r\n")


def test_body_that_is_announced_as_too_large_is_refused_before_it_comes() -> None:
    async def application(_scope: dict[str, Any], _receive: Receive, send: Send) -> None:
        await answer(send, b"too large")

    head = b"POST / HTTP/1.1\r\ncontent-length: 9000000\r\n\r\n"

    assert converse(application, head, ends=b"too large")


@pytest.mark.parametrize("waits", [0, 1])
def test_application_that_fails_is_answered_by_500_and_closed(waits: int) -> None:
    async def application(_scope: dict[str, Any], _receive: Receive, _send: Send) -> None:
        for _ in range(waits):
            await asyncio.to_thread(int)
        raise ZeroDivisionError

    assert converse(application, request(more=b"")).startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb: c", b"a\rb"])
def test_header_with_an_end_of_line_is_not_sent(value: bytes) -> None:
    async def application(_scope: dict[str, Any], _receive: Receive, send: Send) -> None:
        await answer(send, b"", (b"x-request-id", value))

    assert converse(application, request()).startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize("wire", [request(b"hello"), request(b"hello", more=b"")[:-2], b"junk\r\n\r\n"])
def test_connection_leaves_nothing_for_the_garbage_collector(wire: bytes) -> None:
    left: list[weakref.ref[WorkerProtocol]] = []

    async def run() -> None:
        config = uvicorn.Config(echo, lifespan="off", ws="none", interface="asgi3", log_config=None)
        config.load()
        state = ServerState()

        def make() -> WorkerProtocol:
            made = WorkerProtocol(LIMITS, ModelMetrics(), config=config, server_state=state, app_state={})
            left.append(weakref.ref(made))
            return made

        server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(wire)
        writer.write_eof()
        await asyncio.wait_for(reader.read(), PATIENCE_S)
        writer.close()
        await writer.wait_closed()
        while state.connections:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.001)
        server.close()

    gc.collect()
    gc.disable()
    try:
        asyncio.run(run())
        assert [found() for found in left] == [None]
    finally:
        gc.enable()


def test_application_learns_that_its_client_has_gone() -> None:
    heard = []
    begun = asyncio.Event()

    async def application(_scope: dict[str, Any], receive: Receive, _send: Send) -> None:
        heard.append((await receive())["type"])
        begun.set()
        heard.append((await receive())["type"])

    async def run() -> None:
        config = uvicorn.Config(application, lifespan="off", ws="none", interface="asgi3", log_config=None)
        config.load()
        state = ServerState()
        make = functools.partial(
            WorkerProtocol, LIMITS, ModelMetrics(), config=config, server_state=state, app_state={}
        )
        server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(request(b"hello"))
        await asyncio.wait_for(begun.wait(), PATIENCE_S)
        tasks = list(state.tasks)
        # gone, where one that only sends no more would still be answered
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()
        await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_S)
        server.close()

    asyncio.run(run())

    assert heard == ["http.request", "http.disconnect"]
