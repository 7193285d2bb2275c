"""One worker process: `python -m petla.serving.worker --state DIR --worker N --fd FD`.

It inherits the listening socket, loads the newest snapshot, serves, and follows. SIGTERM or the death of its
supervisor lets it finish what it has, flush, and end with status 0.
"""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from types import FrameType

import msgspec
import uvicorn
import uvloop

from petla.core.errors import PetlaError
from petla.core.events import EventFormatter
from petla.core.project import ServingTable
from petla.serving.app import App
from petla.serving.doors.keys import Keys
from petla.serving.doors.protocol import Limits, WorkerProtocol, check_connections
from petla.serving.doors.wire.server import LimitedServer, raise_file_limit
from petla.serving.follower import Follower
from petla.serving.metrics import Metrics
from petla.serving.plane import Plane
from petla.serving.recorder import Keeping, Recorder
from petla.storage.certificates import open_certificate

logger = logging.getLogger(__name__)

_WATCH_S = 0.1
_CHECK_S = 1.0
_PULSE_S = 0.2
# Garbage is looked for less often than Python would: a request leaves no cycles behind.
_GC_THRESHOLD = (20_000, 20, 20)


def main(arguments: list[str] | None = None) -> int:
    """Run a worker until it is told to end; return its exit status."""
    options = _parse(arguments)
    handler = logging.StreamHandler()
    handler.setFormatter(EventFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    # NOTE: uvicorn raises the signals that it has handled once more when it is done; by then there is nothing left to
    # do.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    # a terminal that closes tells all its processes; the supervisor then tells the workers when to end
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    raise_file_limit()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_run(options))
    except PetlaError as error:
        logger.error("worker.failed", extra={"reason": str(error)})  # noqa: TRY400 - the message says it all
        sys.stderr.write(f"worker {options.worker}: {error}\n")
        return 3


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="petla.serving.worker", description="One worker of the data plane.")
    parser.add_argument("--state", type=Path, required=True, help="the state folder")
    parser.add_argument("--root", type=Path, default=Path(), help="the project's folder")
    parser.add_argument("--worker", required=True, help="its name among the workers")
    parser.add_argument("--fd", type=int, required=True, help="the inherited listening socket")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="the process whose death ends it")
    parser.add_argument("--pulse", type=int, help="the inherited pipe that takes its signs of life")
    parser.add_argument("--grpc", nargs=2, metavar=("HOST", "PORT"), help="where it answers over gRPC as well")
    parser.add_argument("--table", type=_read_table, default=ServingTable(), help="[serving] of petla.toml, as JSON")
    return parser.parse_args(arguments)


def _read_table(text: str) -> ServingTable:
    return msgspec.json.decode(text, type=ServingTable)


async def _run(options: argparse.Namespace) -> int:
    metrics = Metrics(options.worker, options.state)
    table = options.table
    keeping = Keeping(table.spool_limit_bytes // table.workers, table.spool_keep_hours * 3600, table.spool_full)
    recorder = Recorder(options.state, options.worker, table.durability, metrics, keeping)
    plane = Plane(recorder, metrics)
    plane.keys = Keys(options.state) if options.table.access == "keys" else None
    app = App(plane, table.body_limit_bytes, table)
    wait_s = options.table.longest_wait_ms / 1e3
    follower = Follower(options.state, plane, recorder, metrics, longest_wait_s=wait_s)
    try:
        # first, since the follower says that all is there
        async with _grpc_beside(plane, options):
            await follower.start()
            gc.collect()
            gc.freeze()
            gc.set_threshold(*_GC_THRESHOLD)
            return await _serve(app, plane, follower, options)
    finally:
        recorder.close()
        follower.close()


@contextlib.asynccontextmanager
async def _grpc_beside(plane: Plane, options: argparse.Namespace) -> AsyncIterator[None]:
    """Answer over gRPC, where that is asked for; only then its library is loaded."""
    if options.grpc is None:
        yield
        return
    from petla.serving.doors.standards.remote import GrpcServer

    host, port = options.grpc
    table = options.table
    limits = Limits(table.connections, table.client_timeout_s)
    server = GrpcServer(plane, table.body_limit_bytes, limits, open_certificate(options.root, table))
    await server.start(host, int(port))
    try:
        yield
    finally:
        await server.stop()


async def _serve(app: App, plane: Plane, follower: Follower, options: argparse.Namespace) -> int:
    table = options.table
    certificate = open_certificate(options.root, table)
    limits = Limits(table.connections, table.client_timeout_s)
    config = uvicorn.Config(
        app,
        http=partial(WorkerProtocol, limits, plane.metrics.of("")),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=table.grace_s,
        ssl_context_factory=None if certificate is None else lambda *_: certificate.context,
    )
    server = LimitedServer(config, *limits)
    works = [follower.follow(), _watch_parent(options.parent), _check_connections(server)]
    if options.pulse is not None:
        works.append(_give_pulse(options.pulse))
    looks = [part.look for part in (plane.keys, certificate) if part is not None]
    if looks:
        works.append(_look_again(looks))
    beside = [asyncio.create_task(work) for work in works]
    for task in beside:
        # A worker whose follower failed, or whose supervisor died, is of no use.
        task.add_done_callback(lambda _: setattr(server, "should_exit", True))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    await server.serve(sockets=[socket.socket(fileno=options.fd)])
    for task in beside:
        task.cancel()
    ended = await asyncio.gather(*beside, return_exceptions=True)
    failed = [error for error in ended if isinstance(error, Exception)]
    for error in failed:
        logger.error("worker.failed", exc_info=error)
    return 70 if failed else 0


async def _watch_parent(parent: int) -> None:
    """Return when the supervisor has died; the kernel tells nobody."""
    while os.getppid() == parent:  # noqa: ASYNC110
        await asyncio.sleep(_WATCH_S)


async def _give_pulse(pipe: int) -> None:
    """Let the supervisor know that requests are looked at, for ever."""
    os.set_blocking(pipe, False)
    while True:
        # it may have no time to read, or have died
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(pipe, b".")
        await asyncio.sleep(_PULSE_S)


async def _look_again(looks: list[Callable[[], None]]) -> None:
    """Take up keys and certificates that were exchanged, for ever."""
    while True:
        await asyncio.sleep(_WATCH_S)
        for look in looks:
            look()


async def _check_connections(server: uvicorn.Server) -> None:
    """End connections whose client is too slow, for ever."""
    now_s = asyncio.get_running_loop().time
    while True:
        await asyncio.sleep(_CHECK_S)
        check_connections(server.server_state.connections, now_s())


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
