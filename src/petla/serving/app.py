"""The data plane's HTTP: a bare ASGI callable, read from top to bottom for one prediction.

`POST /predict/{model}`, `POST /feedback`, `GET /healthz`, `/readyz`, `/metrics`. What a prediction needs is in one
table from path to service, which is exchanged as a whole when another snapshot serves.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from petla.core.errors import PetlaError, UnavailableError
from petla.core.names import suggest
from petla.serving.doors.calls import echo, make_call
from petla.serving.doors.feedback import decode_feedback
from petla.serving.doors.keys import Keys, scope_for
from petla.serving.doors.responses import (
    PLAIN,
    Headers,
    describe_error,
    encode_problem,
    headers_for,
)
from petla.serving.metrics import Metrics
from petla.serving.path.request import Request
from petla.serving.path.service import Service
from petla.serving.recorder import Recorder

logger = logging.getLogger(__name__)

Message = Mapping[str, Any]
Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# headers of the request, names in lower case
Given = Mapping[bytes, bytes]
# status, body, headers
Answer = tuple[int, bytes, Headers]

PREDICT = "/predict/"
# door -> method
DOORS = {"/feedback": "POST", "/healthz": "GET", "/readyz": "GET", "/metrics": "GET"}

# larger bodies are decoded on a thread, so that other requests do not wait for them
_INLINE_BODY_BYTES = 256 * 1024
_LONGEST_SHOWN = 60


class App:
    """The doors of one worker.

    Args:
        recorder: where feedback goes; services have it for decisions.
        metrics: the worker's counts.
        body_limit_bytes: largest body.
    """

    def __init__(self, recorder: Recorder, metrics: Metrics, body_limit_bytes: int) -> None:
        self._recorder = recorder
        self._metrics = metrics
        self._body_limit_bytes = body_limit_bytes
        self._services: dict[str, Service] = {}
        self._unknown = metrics.of("")
        # None: everybody may ask
        self.keys: Keys | None = None
        # why it is not ready; empty: it is
        self.not_ready = "nothing is deployed yet; next: petla deploy MODEL"
        # models that should serve and cannot -> why
        self.failing: dict[str, str] = {}

    def exchange(self, services: Mapping[str, Service]) -> None:
        """Let other services answer from now on: one reference."""
        self._services = {PREDICT + model: service for model, service in services.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        service = self._services.get(scope["path"])
        metrics = service.metrics if service is not None else self._unknown
        given = dict(scope["headers"])
        try:
            if self.keys is not None and (needed := scope_for(scope["method"], scope["path"])) is not None:
                self.keys.check(given, needed)
            if service is not None and scope["method"] == "POST":
                status, body, headers = await self._predict(service, given, receive)
            else:
                status, body, headers = await self._answer_other(scope, given, receive)
        except PetlaError as error:
            status, body, headers = describe_error(error)
        except ConnectionError:
            # Nobody is there any more.
            return
        except Exception:
            logger.exception("request.failed")
            status, body = 500, encode_problem("error", "the server failed on this request; it is written to its log")
            headers = headers_for(len(body))
        metrics.count(status)
        if said := echo(given):
            headers = headers + said
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _predict(self, service: Service, given: Given, receive: Receive) -> Answer:
        call = make_call(given, time.time_ns())
        body = await self._read(given, receive)
        if body is None:
            return self._refuse_body()
        if len(body) <= _INLINE_BODY_BYTES:
            rows, is_many = service.schema.decode(body)
        else:
            rows, is_many = await asyncio.to_thread(service.schema.decode, body)
        answer = await service.answer(Request(rows, call, is_many=is_many))
        return 200, answer, headers_for(len(answer))

    async def _answer_other(self, scope: Scope, given: Given, receive: Receive) -> Answer:
        """Answer what is no prediction of a model that serves."""
        path, method = scope["path"], scope["method"]
        if path.startswith(PREDICT):
            return self._refuse_prediction(path, method)
        allowed = DOORS.get(path)
        if allowed is None:
            hint = suggest(path[:_LONGEST_SHOWN], [*DOORS, PREDICT + "MODEL"])
            return _refuse(404, "not_found", f"there is no {path[:_LONGEST_SHOWN]!r}", hint=hint)
        if method != allowed and not (method == "HEAD" and allowed == "GET"):
            return _refuse_method(path, method, allowed)
        match path:
            case "/feedback":
                return await self._take_feedback(given, receive)
            case "/metrics":
                page = self._metrics.render()
                return 200, page, [PLAIN, (b"content-length", b"%d" % len(page))]
            case "/readyz" if self.not_ready:
                raise UnavailableError(f"not ready: {self.not_ready}")
            case _:
                return _json(200, b'{"status":"ok"}')

    async def _take_feedback(self, given: Given, receive: Receive) -> Answer:
        body = await self._read(given, receive)
        if body is None:
            return self._refuse_body()
        feedback = decode_feedback(body, time.time_ns())
        await self._recorder.record_feedback(feedback)
        return _json(202, b'{"accepted":%d}' % len(feedback))

    async def _read(self, given: Given, receive: Receive) -> bytes | None:
        """Return the body, or None if it is too large; what is declared too large is not read at all.

        Raises:
            ConnectionError: the client went away before all of it was there.
        """
        if int(given.get(b"content-length", 0)) > self._body_limit_bytes:
            return None
        message = await receive()
        body: bytes = message.get("body", b"")
        blocks, size = [body], len(body)
        while message.get("more_body", False):
            if size > self._body_limit_bytes:
                return None
            message = await receive()
            blocks.append(message.get("body", b""))
            size += len(blocks[-1])
        if message["type"] == "http.disconnect":
            raise ConnectionError
        if size > self._body_limit_bytes:
            return None
        return body if len(blocks) == 1 else b"".join(blocks)

    def _refuse_body(self) -> Answer:
        message = f"the body is larger than {self._body_limit_bytes} bytes"
        return _refuse(413, "too_large", message, hint="send fewer rows, or raise serving.body_limit_bytes")

    def _refuse_prediction(self, path: str, method: str) -> Answer:
        model = path.removeprefix(PREDICT)
        if path in self._services:
            return _refuse_method(path, method, "POST")
        if model in self.failing:
            raise UnavailableError(f"model {model} cannot be served: {self.failing[model]}")
        known = [name.removeprefix(PREDICT) for name in self._services]
        shown = model[:_LONGEST_SHOWN]
        return _refuse(404, "not_found", f"no model {shown!r} is served", field="model", hint=suggest(shown, known))


def _json(status: int, body: bytes) -> Answer:
    return status, body, headers_for(len(body))


def _refuse(status: int, code: str, message: str, *, field: str = "", hint: str = "") -> Answer:
    return _json(status, encode_problem(code, message, field=field, hint=hint))


def _refuse_method(path: str, method: str, allowed: str) -> Answer:
    hint = f"use {allowed}"
    body = encode_problem("wrong_method", f"{path[:_LONGEST_SHOWN]} takes no {method}", hint=hint)
    return 405, body, [*headers_for(len(body)), (b"allow", allowed.encode())]
