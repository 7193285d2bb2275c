"""uvicorn's HTTP protocol with a leaner way from a request to its answer: `Exchange` in place of a cycle and a task."""

import urllib.parse
from collections import deque
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from petla.serving.doors.wire.exchange import Exchange

# a longer content-length belongs to a body of which the application is to see the beginning
_GATHERED_DIGITS = 5


class LeanProtocol(HttpToolsProtocol):
    """HTTP of one connection; what uvicorn offers and we do not use is left out: WebSockets, access log, lifespan."""

    scope: dict[str, Any]  # type: ignore[assignment]
    cycle: Exchange | None  # type: ignore[assignment]
    # requests that wait for those before them, and the application
    pipeline: deque[tuple[Exchange, Any]]  # type: ignore[assignment]

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.url = b""
        self.expect_100_continue = False
        self._is_large = False
        self.headers = []
        self.scope = {
            "type": "http",
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
            "headers": self.headers,
        }

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head."""
        name = name.lower()
        self.headers.append((name, value))
        if name == b"content-length":
            self._is_large = len(value) > _GATHERED_DIGITS
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        """Take up a request, behind those that are not answered yet."""
        parser, scope = self.parser, self.scope
        url = httptools.parse_url(self.url)
        raw_path = url.path
        path = raw_path.decode("ascii")
        scope["method"] = parser.get_method().decode("ascii")
        scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        scope["raw_path"] = raw_path
        scope["query_string"] = url.query or b""
        version = parser.get_http_version()
        if version != "1.1":
            scope["http_version"] = version
        before = self.cycle
        keep_alive = version != "1.0" and parser.should_keep_alive()
        exchange = self.cycle = Exchange(
            self, scope, keep_alive=keep_alive, is_asked_first=self.expect_100_continue, is_large=self._is_large
        )
        if before is None or before.response_complete:
            exchange.begin()
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, and no more than the application keeps up with."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return
        cycle.add(body)
        if len(cycle.body) > HIGH_WATER_LIMIT and not cycle.response_complete:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        """Let the body end."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    def _start_asgi_task(self, cycle: Exchange, app: object) -> None:  # type: ignore[override]  # noqa: ARG002
        """Answer a request that waited for the one before it; in a turn of its own, as there may be thousands."""
        self.loop.call_soon(cycle.begin)
