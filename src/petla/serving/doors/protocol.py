"""HTTP of one connection with limits for clients that are slow, large or broken; both planes have them.

There are no timers: whoever owns the connections calls `check` on each of them about once a second, and what has not
moved on for too long is ended. A request pays nothing for it.
"""

import asyncio
from collections.abc import Iterable
from enum import Enum
from typing import Any, NamedTuple, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from petla.serving.doors.responses import encode_problem
from petla.serving.doors.wire.exchange import Exchange
from petla.serving.doors.wire.heads import Fields, check_head, is_plain, write_without_wish
from petla.serving.doors.wire.lean import LeanProtocol
from petla.serving.doors.wire.server import Handshake
from petla.serving.metrics import ModelMetrics

# Of a request's head; nginx takes 32 KiB and Apache a hundred fields. The same counts for what surrounds a body's
# chunks: extensions and trailer fields.
HEAD_BYTES = 32 * 1024
HEAD_FIELDS = 100

# More is read in pieces of this size, so that what is not body is counted before much of it has come.
_PIECE_BYTES = HEAD_BYTES // 2
# Beside a chunk's bytes: its length, two ends of line and a little more. As Go's net/http allows it.
_CHUNK_BYTES = 16
# between two requests
_IDLE_S = 75.0
# a refused client may go on sending so long before its connection is cut: else it would not see why it was refused
_LINGER_S = 2.0
# and so many bytes
_LINGER_BYTES = 1024 * 1024


class Limits(NamedTuple):
    """What the connections of one process may do."""

    # more than this are refused, more than twice as many are not heard at all
    connections: int
    # seconds to send a request, and to take an answer
    client_timeout_s: float


class Refusal(NamedTuple):
    """An answer to what is no request of HTTP."""

    status: int
    code: str
    message: str
    hint: str = ""


_BROKEN = Refusal(400, "malformed", "this is no request of HTTP/1.1")
_LARGE_HEAD = Refusal(
    431,
    "too_large",
    f"the request's head has more than {HEAD_BYTES} bytes or {HEAD_FIELDS} fields",
    "send what is long in the body",
)
_LARGE_FRAME = Refusal(
    431,
    "too_large",
    f"chunk extensions and trailer fields have more than {HEAD_BYTES} bytes or {HEAD_FIELDS} fields",
    "leave them out: they are not read",
)
_SURPLUS = Refusal(503, "unavailable", "too many connections are open", "send the request again a little later")


class Phase(Enum):
    """Where a connection stands."""

    # not a byte of a first request
    FRESH = 1
    # between requests
    IDLE = 2
    HEAD = 3
    BODY = 4
    # the request is there and its answer is not
    ANSWERING = 5
    # the client does not take the answer
    WRITING = 6
    # it was refused, or is being closed
    ENDING = 7


class LimitedProtocol(HttpToolsProtocol):
    """HTTP of one connection, for any ASGI application.

    Args:
        limits: what it may do.
        unanswered: counts what never becomes a request of the application.
        uvicorn: what uvicorn hands to its protocols.
    """

    # NOTE: neither is there before the first byte of a request, whatever uvicorn's annotations say.
    scope: dict[str, Any] | None  # type: ignore[assignment]
    cycle: Exchange | RequestResponseCycle | None  # type: ignore[assignment]

    def __init__(self, limits: Limits, unanswered: ModelMetrics, **uvicorn: Any) -> None:  # noqa: ANN401
        super().__init__(**uvicorn)
        self._limits = limits
        self._unanswered = unanswered
        # what counted as this connection until now
        self.handshake: Handshake | None = None
        self._is_surplus = False
        # what follows is read and thrown away
        self._is_over = False
        # what was read since
        self._thrown_bytes = 0
        # of a head that is not complete, so far
        self._head_bytes = 0
        # of the body of the piece that is being read, with what its chunks need around them
        self._body_bytes = 0
        # of a body that is not complete, so far: what came beside that
        self._frame_bytes = 0
        # whether the head that was read asks for another protocol
        self._is_wishing = False
        self._refusal = _BROKEN
        # what the last look saw, and when it saw that first
        self._seen: tuple[Phase, object] = (Phase.FRESH, None)
        self._since_s = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        super().connection_made(transport)
        self.connections.discard(self.handshake)
        self._since_s = self.loop.time()
        n_open = len(self.connections)
        if n_open > self._limits.connections:
            self._is_surplus = True
            if n_open > 2 * self._limits.connections:
                transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End; what its requests and it know of each other would wait for the garbage collector, bodies and all."""
        super().connection_lost(exc)
        self.cycle = None
        self.pipeline.clear()

    def data_received(self, data: bytes) -> None:
        """Read what came; what is no HTTP, or too much of it, is refused."""
        if self._is_over:
            self._throw_away(len(data))
            return
        if len(data) > _PIECE_BYTES:
            for start in range(0, len(data), _PIECE_BYTES):
                self.data_received(data[start : start + _PIECE_BYTES])
            return
        rest: bytes | None = data
        while rest and not self._is_over:
            rest = self._read(rest)

    def on_headers_complete(self) -> None:
        """Begin to answer, if there is room and the head is neither too large nor ambiguous.

        Raises:
            ValueError: it is refused; the parser passes it on as an error of its own.
        """
        if self._is_surplus:
            self._refusal = _SURPLUS
            raise ValueError("too many connections")
        headers = self.headers
        if len(headers) > HEAD_FIELDS or (self._head_bytes and self._measure_head() > HEAD_BYTES):
            self._refusal = _LARGE_HEAD
            raise ValueError("the head is too large")
        self._head_bytes = self._frame_bytes = 0
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise ValueError("this is no proxy")
            self._is_wishing = True
            return
        fields = dict(headers)
        if not is_plain(self.url, headers, fields):
            self._check_head(headers)
            fields = dict(headers)
        cast("dict[str, Any]", self.scope)["fields"] = fields
        # What the parser finds from here on are trailer fields, which nobody reads.
        self.headers = []
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_chunk_header(self) -> None:
        """Count what a chunk needs around it; the parser calls this for each chunk."""
        self._body_bytes += _CHUNK_BYTES

    def on_message_complete(self) -> None:
        """Let the request's body end.

        Raises:
            ValueError: it has too many trailer fields; the parser passes it on as an error of its own.
        """
        cycle = self.cycle
        if cycle is None or self._is_wishing:
            return
        if len(self.headers) > HEAD_FIELDS:
            self._refusal = _LARGE_FRAME
            raise ValueError("there are too many trailer fields")
        cycle.more_body = False
        if not cycle.response_complete:
            cycle.message_event.set()

    def on_response_complete(self) -> None:
        """Go on with the next request, if it is there already."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer what is complete although its client sends no more; return whether the connection stays for that."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body or not self.transport.can_write_eof():
            return False
        self._is_over = True
        cycle.keep_alive = False
        return True

    def check(self, now_s: float) -> None:
        """End the connection if it has stood still for too long.

        Args:
            now_s: the loop's time.
        """
        phase = self._find_phase()
        seen = (phase, self.scope)
        if phase is not self._seen[0] or self.scope is not self._seen[1]:
            self._seen, self._since_s = seen, now_s
            return
        stood_s = now_s - self._since_s
        match phase:
            case Phase.IDLE if stood_s > _IDLE_S:
                self.transport.close()
            case Phase.FRESH if stood_s > self._limits.client_timeout_s:
                self.transport.close()
            case Phase.HEAD | Phase.BODY if stood_s > self._limits.client_timeout_s:
                self._refuse_late()
            case Phase.WRITING if stood_s > self._limits.client_timeout_s:
                self.transport.abort()
            case Phase.ENDING if stood_s > _LINGER_S:
                self.transport.abort()
            case _:
                pass

    def _read(self, data: bytes) -> bytes | None:
        """Read what came up to where a request asks for another protocol; return what is to be read next."""
        scope = self.scope
        self._body_bytes = 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as wish:
            return self._ignore_wish(data[wish.args[0] :])
        except httptools.HttpParserError:
            self._refuse_rest(self._refusal)
            return None
        cycle = self.cycle
        if cycle is None or cycle.scope is not self.scope:
            self._note_open_head(len(data))
        elif cycle.more_body and self.scope is scope:
            # NOTE: of the piece in which a request begins nothing counts; it is smaller than what is allowed.
            self._frame_bytes = max(0, self._frame_bytes + len(data) - self._body_bytes)
            if self._frame_bytes > HEAD_BYTES or len(self.headers) > HEAD_FIELDS:
                self._refuse_rest(_LARGE_FRAME)
        return None

    def _throw_away(self, n_bytes: int) -> None:
        self._thrown_bytes += n_bytes
        if self._thrown_bytes > _LINGER_BYTES and not self.transport.is_closing():
            self.transport.pause_reading()

    def _ignore_wish(self, rest: bytes) -> bytes:
        """Return a request that asks for another protocol, as Java's client does, as if it had not asked.

        NOTE: the parser takes what follows such a head for the other protocol, and with it the request's body.
        """
        self._is_wishing = False
        parser = self.parser
        head = write_without_wish(parser.get_method(), self.url, parser.get_http_version(), self.headers)
        self.parser = httptools.HttpRequestParser(self)
        return head + rest

    def _check_head(self, headers: Fields) -> None:
        """Refuse a head that two readers would understand differently.

        Raises:
            ValueError: as `check_head`.
        """
        try:
            check_head(self.url, headers)
        except ValueError as error:
            self._refusal = Refusal(400, "malformed", str(error))
            raise

    def _find_phase(self) -> Phase:
        cycle = self.cycle
        is_owed = cycle is not None and not cycle.response_complete and not cycle.disconnected
        if self.transport.is_closing() or (self._is_over and not is_owed):
            return Phase.ENDING
        if self.flow.write_paused:
            return Phase.WRITING
        if self.scope is None:
            return Phase.FRESH
        if cycle is None or cycle.scope is not self.scope:
            return Phase.HEAD
        if self.pipeline:
            # it waits for us, not for its client
            return Phase.ANSWERING
        if cycle.more_body:
            return Phase.BODY
        if not cycle.response_complete:
            return Phase.ANSWERING
        is_taken = self.transport.get_write_buffer_size() == 0
        return Phase.IDLE if is_taken else Phase.WRITING

    def _refuse_late(self) -> None:
        if self.cycle is not None and self.cycle.response_started and self.cycle.scope is self.scope:
            self.transport.close()
            return
        limit = f"{self._limits.client_timeout_s:g} s"
        hint = "send it faster, or raise serving.client_timeout_s"
        self._refuse_rest(Refusal(408, "too_slow", f"the request was not complete after {limit}", hint))

    def _refuse_rest(self, refusal: Refusal) -> None:
        """Answer nothing more than what is complete, then close."""
        self._is_over = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            # The answer to a request that was right would be taken for the refusal's.
            cycle.keep_alive = False
            return
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self._unanswered.count(refusal.status)
        self.transport.write(_encode(refusal))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _note_open_head(self, size: int) -> None:
        """Add a piece to the head that is not complete; refuse one that is too large already.

        NOTE: of the piece in which a head begins only that counts which the parser has handed over: requests before it
        may lie in the same piece, and the parser does not say where they end. A complete head is measured exactly.
        """
        self._head_bytes += size if self._head_bytes else self._measure_head()
        if self._head_bytes > HEAD_BYTES:
            self._refuse_rest(_LARGE_HEAD)

    def _measure_head(self) -> int:
        if self.scope is None:
            return 0
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)


class WorkerProtocol(LimitedProtocol, LeanProtocol):  # type: ignore[misc]
    """HTTP of one connection of a worker: the limits, and the lean way to its application."""


def check_connections(connections: Iterable[object], now_s: float) -> None:
    """End those connections whose client is too slow.

    Args:
        connections: as uvicorn lists them.
        now_s: the loop's time.
    """
    for connection in list(connections):
        cast("LimitedProtocol", connection).check(now_s)


def _encode(refusal: Refusal) -> bytes:
    body = encode_problem(refusal.code, refusal.message, hint=refusal.hint)
    again = b"retry-after: 1\r\n" if refusal.status == 503 else b""
    head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n%b\r\n" % (len(body), again)
    return b"".join((STATUS_LINE[refusal.status], head, body))
