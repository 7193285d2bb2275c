"""The data plane's HTTP: a bare ASGI callable, read from top to bottom for one prediction.

`POST /predict/{model}` has a way of its own: one table from path to service, which is exchanged as a whole when another
snapshot serves. Everything else is a door of the table below.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from petla.core.errors import PetlaError
from petla.core.names import suggest
from petla.core.project import ServingTable
from petla.deployments.access.keys import Scope as KeyScope
from petla.models.signature import Row
from petla.serving.doors.about.health import say_alive, say_ready, show_metrics
from petla.serving.doors.about.openapi import show_document
from petla.serving.doors.calls import add_query, echo, make_call
from petla.serving.doors.door import Answer, Door, Visit, answer_json, refuse_error, refuse_method, write_own
from petla.serving.doors.feedback import take_feedback
from petla.serving.doors.inputs.subjects import SubjectSchema
from petla.serving.doors.inputs.unpacking import unpack
from petla.serving.doors.keys import scope_for
from petla.serving.doors.predict import answer_predict
from petla.serving.doors.responses import Problem, encode_problem, headers_for, mark_served
from petla.serving.doors.standards.invocations import answer_invocations, say_version, write_invocations_error
from petla.serving.doors.standards.rest import answer_inference, write_inference_error
from petla.serving.doors.wire.origins import Origins
from petla.serving.metrics import ModelMetrics
from petla.serving.path.request import Call, Request
from petla.serving.path.service import Service
from petla.serving.plane import PREDICT, Plane

logger = logging.getLogger(__name__)

Message = Mapping[str, Any]
Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# headers of the request, names in lower case
Given = Mapping[bytes, bytes]

_READ = ("GET", "HEAD")
_WRITE = ("POST",)
# whole path -> door
DOORS = {
    "/feedback": Door(_WRITE, take_feedback),
    "/healthz": Door(_READ, say_alive),
    "/readyz": Door(_READ, say_ready),
    "/metrics": Door(_READ, show_metrics),
    "/openapi.json": Door(_READ, show_document),
    # Open Inference Protocol
    "/v2": Door(_READ, answer_inference, write_inference_error),
    # MLflow
    "/invocations": Door(_WRITE, answer_invocations, write_invocations_error),
    "/ping": Door(_READ, say_ready),
    "/health": Door(_READ, say_ready),
    "/version": Door(_READ, say_version),
}
# beginning of a path -> door
PREFIXES = {
    # models that serve and have no way of their own, and those that do not serve
    PREDICT: Door(_WRITE, answer_predict),
    "/v2/": Door((*_READ, *_WRITE), answer_inference, write_inference_error),
    "/invocations/": Door(_WRITE, answer_invocations, write_invocations_error),
}

# Larger bodies are decoded on a thread, so that other requests do not wait for them. So many take 1.3 ms of the loop,
# measured; the other doors need ten times as long for a byte, and have a limit of their own (`asking.INLINE_BYTES`).
_INLINE_BODY_BYTES = 256 * 1024
_LONGEST_SHOWN = 60


class App:
    """The doors of one worker.

    Args:
        plane: what serves.
        body_limit_bytes: largest body.
        table: says who may ask; None: as it stands where the project file says nothing.
    """

    def __init__(self, plane: Plane, body_limit_bytes: int, table: ServingTable | None = None) -> None:
        self._plane = plane
        self._body_limit_bytes = body_limit_bytes
        self._origins = Origins(table or ServingTable())
        self._unknown = plane.metrics.of("")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        service = self._plane.by_path.get(scope["path"])
        metrics = service.metrics if service is not None else self._unknown
        # the protocol has made it already
        given = scope["fields"] if "fields" in scope else dict(scope["headers"])
        try:
            self._origins.check(scope["method"], given)
            if service is not None and scope["method"] == "POST":
                status, body, headers = await self._predict(service, scope, given, receive)
            else:
                (status, body, headers), metrics = await self._answer_other(scope, given, receive)
        except PetlaError as error:
            status, body, headers = refuse_error(write_own, error)
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
        if b"origin" in given:
            headers = headers + self._origins.find_headers(given)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _predict(self, service: Service, scope: Scope, given: Given, receive: Receive) -> Answer:
        call = make_call(given, time.time_ns())
        if scope["query_string"]:
            call = add_query(call, scope["query_string"])
        if self._plane.keys is not None:
            self._plane.keys.check(given, KeyScope.PREDICT)
        body = await self._read(PREFIXES[PREDICT], given, receive)
        if not isinstance(body, bytes):
            return body
        subjects: Sequence[str] = ()
        if service.about is not None:
            rows, is_many, subjects = await self._decode_about(service.about, body)
        elif len(body) <= _INLINE_BODY_BYTES:
            rows, is_many = service.schema.decode(body)
        else:
            rows, is_many = await asyncio.to_thread(service.schema.decode, body)
        if call.subject and not any(subjects):
            subjects = [call.subject] * len(rows)
        request = Request(rows, call, is_many=is_many, subjects=subjects)
        answer = await service.answer(request)
        headers = headers_for(len(answer))
        return 200, answer, mark_served(headers, request.served_by) if request.served_by else headers

    async def _decode_about(self, about: SubjectSchema, body: bytes) -> tuple[list[Row], bool, list[str]]:
        if len(body) <= _INLINE_BODY_BYTES:
            return about.decode(body)
        return await asyncio.to_thread(about.decode, body)

    async def _answer_other(self, scope: Scope, given: Given, receive: Receive) -> tuple[Answer, ModelMetrics]:
        """Answer what has no way of its own; return where it is counted as well."""
        visit = Visit(scope["method"], scope["path"], given, Call(time.time_ns()), self._unknown)
        door = find_door(visit.path)
        if door is None:
            return _refuse_path(visit.path), visit.metrics
        preflight = self._origins.find_preflight(visit.method, given, door.methods)
        if preflight is not None:
            return (200, b"", preflight), visit.metrics
        try:
            needed = scope_for(visit.method, visit.path)
            if self._plane.keys is not None and needed is not None:
                self._plane.keys.check(given, needed)
            if visit.method not in door.methods:
                return refuse_method(door.form, visit, [name for name in door.methods if name != "HEAD"]), visit.metrics
            if visit.method == "POST":
                body = await self._read(door, given, receive)
                if not isinstance(body, bytes):
                    return body, visit.metrics
                visit.body = body
            visit.call = add_query(make_call(given, visit.call.at_ns), scope["query_string"])
            return await door.answer(self._plane, visit), visit.metrics
        except PetlaError as error:
            return refuse_error(door.form, error), visit.metrics

    async def _read(self, door: Door, given: Given, receive: Receive) -> bytes | Answer:
        """Return the body, or the answer to one that is not taken; what is declared too large is not read at all.

        Raises:
            ConnectionError: the client went away before all of it was there.
            MalformedError: it is not what its Content-Encoding says.
            UnknownEncodingError: it is compressed in a way that is not known here.
        """
        body = await self._gather(given, receive)
        if body is not None and b"content-encoding" in given:
            body = await asyncio.to_thread(unpack, body, given[b"content-encoding"], self._body_limit_bytes)
        return self._refuse_body(door) if body is None else body

    async def _gather(self, given: Given, receive: Receive) -> bytes | None:
        """Return the body as it was sent, or None if it is too large.

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

    def _refuse_body(self, door: Door) -> Answer:
        message = f"the body is larger than {self._body_limit_bytes} bytes"
        problem = Problem("too_large", message, hint="send fewer rows, or raise serving.body_limit_bytes")
        status, body = door.form(413, problem, ())
        return answer_json(body, status)


def find_door(path: str) -> Door | None:
    """Return the door of a path, or None."""
    door = DOORS.get(path)
    if door is not None:
        return door
    return next((each for prefix, each in PREFIXES.items() if path.startswith(prefix)), None)


def _refuse_path(path: str) -> Answer:
    shown = path[:_LONGEST_SHOWN]
    hint = suggest(shown, [*DOORS, PREDICT + "MODEL"])
    return answer_json(encode_problem("not_found", f"there is no {shown!r}", hint=hint), 404)
