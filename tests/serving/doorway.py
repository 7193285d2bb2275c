"""The doors of one worker without its process: the real app, lane, model and spool, asked as uvicorn asks them."""

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from petla.core.ids import uuid7_batches
from petla.core.project import AnswerTable
from petla.decisions.record import Decision
from petla.decisions.spool import DECISIONS, SPOOL_FOLDER, SpoolReader, end_of
from petla.models.package import Package
from petla.models.runtime.onnx_session import OnnxRuntime
from petla.models.runtime.running import Runtime
from petla.serving.app import App
from petla.serving.doors.protocol import Limits
from petla.serving.doors.schema import Schema
from petla.serving.doors.standards.remote import GrpcServer
from petla.serving.metrics import Metrics
from petla.serving.path.lane import Lane, Loaded
from petla.serving.path.service import Service
from petla.serving.plane import Plane
from petla.serving.recorder import Recorder
from tests.deployments.tiny import MODEL, make_onnx, make_package
from tests.serving.client import PATIENCE_S

T = TypeVar("T")

BODY_LIMIT = 256 * 1024


class Reply(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def content(self) -> Any:  # noqa: ANN401 - any JSON value
        return json.loads(self.body)


class Doorway:
    """Doors of a worker whose models were put in by hand."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self.metrics = Metrics("0", state)
        self.recorder = Recorder(state, "0", "process", self.metrics)
        self.plane = Plane(self.recorder, self.metrics)
        self.plane.not_ready = ""
        self.app = App(self.plane, BODY_LIMIT)

    def serve(self, name: str, package: Package, runtime: Runtime, words: AnswerTable | None = None) -> None:
        """Serve a package as version 7 of a model."""
        loaded = Loaded(7, package, runtime, Schema(package.signature))
        lane = Lane(loaded, words or AnswerTable(), self.recorder, self.metrics.of(name), uuid7_batches())
        self.plane.exchange({**self.plane.services, name: Service(lane)})

    def serve_tiny(self, name: str = MODEL) -> "Doorway":
        package = msgspec.structs.replace(make_package(), model=name)
        self.serve(name, package, OnnxRuntime(make_onnx(-4.0), package.signature))
        return self

    def ask(self, path: str, body: object = None, *, method: str = "", **headers: str) -> Reply:
        """Ask once; a body that is no bytes goes as JSON."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        path, _, query = path.partition("?")
        scope = {
            "method": method or ("GET" if body is None else "POST"),
            "path": path,
            "query_string": query.encode(),
            "headers": given,
        }
        return asyncio.run(self._ask(scope, content))

    async def _ask(self, scope: Mapping[str, Any], content: bytes) -> Reply:
        sent: list[Mapping[str, Any]] = []

        async def receive() -> Mapping[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Mapping[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        assert int(headers["content-length"]) == len(sent[1]["body"])
        return Reply(sent[0]["status"], sent[1]["body"], headers)

    def recorded(self) -> Sequence[Decision]:
        """All decisions in the spool; nothing can be recorded after this."""
        self.recorder.close()
        folder = self._state / SPOOL_FOLDER / "0"
        reader = SpoolReader(folder, DECISIONS, Decision)
        return [record for frame in reader.frames({}, end_of(folder, DECISIONS)) for record in frame.records]


@contextmanager
def open_calls(doorway: Doorway, body_limit_bytes: int, limits: Limits) -> Iterator[int]:
    """Answer over gRPC in a loop of its own; yield the port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def wait(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE_S)

    async def start() -> tuple[GrpcServer, int]:
        server = GrpcServer(doorway.plane, body_limit_bytes, limits)
        return server, await server.start("127.0.0.1", 0)

    server, port = wait(start())
    try:
        yield port
    finally:
        wait(server.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        doorway.recorder.close()
