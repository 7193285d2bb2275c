"""One request and its answer on a connection: what an ASGI application receives and sends.

uvicorn runs the application in a task of its own for each request, from the end of its head on. Here it begins when
the request is whole, and runs as a plain coroutine: most requests are answered in this turn of the loop or in the
next, where a task only costs. It becomes a task as soon as it waits for a future.
"""

import asyncio
import logging
import types
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Self

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

if TYPE_CHECKING:
    from petla.serving.doors.wire.lean import LeanProtocol

logger = logging.getLogger(__name__)

# A larger body is handed to the application while it comes: it may refuse it.
_GATHERED_BYTES = 64 * 1024
_DISCONNECT = {"type": "http.disconnect"}
_FAILED = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Exchange:
    """A request that comes in, and its answer, which the application sends whole.

    uvicorn's protocol knows it as a cycle and sees its flags; it says by `message_event.set()` that more has come.

    Args:
        protocol: the connection.
        scope: the request's head.
        keep_alive: whether the connection may stay open.
        is_asked_first: whether the client waits to be told to send its body.
        is_large: whether the application begins before the body is there.
    """

    __slots__ = (
        "_has_news",
        "_head",
        "_is_asked_first",
        "_is_large",
        "_may_start",
        "_news",
        "_protocol",
        "_started",
        "body",
        "disconnected",
        "keep_alive",
        "more_body",
        "response_complete",
        "scope",
    )

    def __init__(
        self,
        protocol: "LeanProtocol",
        scope: dict[str, Any],
        *,
        keep_alive: bool,
        is_asked_first: bool,
        is_large: bool,
    ) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.body: bytes | bytearray = b""
        self.more_body = True
        self.disconnected = False
        self.response_complete = False
        self._protocol = protocol
        self._is_asked_first = is_asked_first
        self._is_large = is_large
        # whether those before it on the connection are answered
        self._may_start = False
        self._started = False
        self._has_news = False
        # only while the application waits for more
        self._news: asyncio.Future[None] | None = None
        self._head: bytes | None = None

    @property
    def message_event(self) -> Self:
        """What is told that something has come: itself."""
        return self

    @property
    def response_started(self) -> bool:
        """Whether the application has sent the head of its answer."""
        return self._head is not None

    def add(self, piece: bytes) -> None:
        """Take a piece of the body."""
        if not self.body:
            self.body = piece
        else:
            if isinstance(self.body, bytes):
                self.body = bytearray(self.body)
            self.body += piece
        if self._started or len(self.body) > _GATHERED_BYTES:
            self.set()

    def set(self) -> None:
        """Take note of what has come: a piece of the body, its end, or the end of the connection."""
        self._has_news = True
        if self._news is not None:
            if not self._news.done():
                self._news.set_result(None)
        elif self._may_start and not self._started and not self.disconnected:
            self._start()

    def begin(self) -> None:
        """Let the application begin as soon as there is something for it."""
        self._may_start = True
        if (self._has_news or self._is_asked_first or self._is_large) and not self.disconnected:
            self._start()

    async def receive(self) -> dict[str, Any]:
        """Return the next piece of the body, or that the client has gone or has its answer."""
        protocol = self._protocol
        if self._is_asked_first and not protocol.transport.is_closing():
            protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._is_asked_first = False
        while not (self._has_news or self.disconnected or self.response_complete):
            protocol.flow.resume_reading()
            self._news = protocol.loop.create_future()
            await self._news
            self._news = None
        if self.disconnected or self.response_complete:
            return _DISCONNECT
        self._has_news = False
        body, self.body = bytes(self.body), b""
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: dict[str, Any]) -> None:
        """Take the head of the answer, then its whole body.

        Raises:
            ValueError: the application does not answer whole, or not in this order.
        """
        protocol = self._protocol
        if protocol.flow.write_paused and not self.disconnected:
            await protocol.flow.drain()
        if self.disconnected or protocol.transport.is_closing():
            return
        if self._head is None:
            self._head = encode_head(message["status"], message["headers"])
            return
        if self.response_complete or message.get("more_body", False):
            raise ValueError("an answer is sent once and whole")
        self.response_complete = True
        content = self._head + b"\r\n" if self.keep_alive else self._head + b"connection: close\r\n\r\n"
        protocol.transport.write(content if self.scope["method"] == "HEAD" else content + message["body"])
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()

    def _start(self) -> None:
        self._started = True
        self._step(self._protocol.app(self.scope, self.receive, self.send))

    def _step(self, application: Coroutine[Any, Any, None]) -> None:
        """Run the application up to where it waits."""
        try:
            awaited = application.send(None)
        except StopIteration:
            return
        except Exception as error:
            self._fail(error)
            return
        loop = self._protocol.loop
        if awaited is None:
            loop.call_soon(self._step, application)
            return
        tasks = self._protocol.tasks
        task = loop.create_task(self._finish(application, awaited))
        task.add_done_callback(tasks.discard)
        tasks.add(task)

    async def _finish(self, application: Coroutine[Any, Any, None], awaited: Any) -> None:  # noqa: ANN401
        """Run the rest of the application, as a task."""
        try:
            await _rest(application, awaited)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Answer for an application that has failed to."""
        logger.error("exchange.failed", exc_info=error)
        transport = self._protocol.transport
        if not self.response_complete and not transport.is_closing():
            self.response_complete = True
            transport.write(_FAILED)
        transport.close()


def encode_head(status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    r"""Return an answer's head, without the empty line at its end.

    Raises:
        ValueError: a header contains an end of line.

    Example:
        >>> encode_head(200, [(b"content-length", b"2")])
        b'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n'
    """
    head = STATUS_LINE[status] + b"".join([b"%b: %b\r\n" % header for header in headers])
    if head.count(b"\n") != len(headers) + 1 or head.count(b"\r") != len(headers) + 1:
        raise ValueError("a header contains an end of line")
    return head


@types.coroutine
def _rest(application: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:  # noqa: ANN401
    """Go on with a coroutine that waits for a future already."""
    while True:
        step: Callable[[Any], Any] = application.send
        try:
            value = yield awaited
        except BaseException as error:
            step, value = application.throw, error
        try:
            awaited = step(value)
        except StopIteration:
            return
