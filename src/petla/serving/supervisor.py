"""The supervisor: opens the listening socket, starts the workers behind it, and starts those again that die.

The socket is opened once and inherited, so a connection that arrives while a worker is being replaced waits for
another one.
"""

import contextlib
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

import msgspec

from petla.core.errors import UnavailableError
from petla.core.project import require_protection
from petla.deployments.server import Server, list_acknowledgements, server_lock, write_server
from petla.deployments.snapshot import acknowledgements_folder, read_snapshot
from petla.storage.certificates import open_certificate
from petla.storage.files import lock

if TYPE_CHECKING:
    from petla.storage.workspace import Workspace

logger = logging.getLogger(__name__)

_WATCH_S = 0.05
_BACKLOG = 2_048
# a worker that dies sooner than this after its start waits before the next, twice as long each time
_HEALTHY_S = 5.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
# a worker needs less than 2 s to end; after this it is killed
_PATIENCE_S = 5.0
_POLL_S = 0.01


class Supervisor:
    """The listening socket and the workers behind it.

    Args:
        ws: gives the state folder, host, port, number of workers and their settings.
    """

    def __init__(self, ws: "Workspace") -> None:
        self._state = ws.state
        self._root = ws.root
        self._table = ws.project.serving
        table, settings = ws.project.serving, ws.settings
        self._port = table.port if settings.serving_port is None else settings.serving_port
        self._grpc_port = table.grpc_port if settings.grpc_port is None else settings.grpc_port
        self._n_workers = table.workers if settings.workers is None else settings.workers
        self._held = contextlib.ExitStack()
        self._socket: socket.socket | None = None
        self._workers: list[_Worker] = []
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def server(self) -> Server:
        """Where it listens."""
        if self._socket is None:
            raise ValueError("the server was not started")
        host, port, *_ = self._socket.getsockname()
        encrypted = bool(self._table.certificate)
        return Server(host=host, port=port, pid=os.getpid(), workers=self._n_workers, is_encrypted=encrypted)

    @property
    def statuses(self) -> list[int | None]:
        """The exit status of each worker; None while it runs."""
        return [worker.status for worker in self._workers]

    def start(self) -> None:
        """Open the socket and start the workers; returns at once.

        Raises:
            BusyError: another server runs for this state folder.
            InvalidError: it would stand open to others, or its certificate cannot be used.
            UnavailableError: a port is taken, or gRPC is on and not installed.
        """
        require_protection(self._table)
        open_certificate(self._root, self._table)
        # whoever looks whether a server runs holds the lock for a moment
        self._held.enter_context(lock(server_lock(self._state), purpose="the server", wait_s=1.0))
        try:
            self._socket = self._held.enter_context(_listen(self._table.host, self._port))
            if self._grpc_port:
                self._held.enter_context(_reserve(self._table.host, self._grpc_port))
            for path in acknowledgements_folder(self._state).glob("*"):
                path.unlink(missing_ok=True)
            write_server(self._state, self.server)
            self._workers = [_Worker(self._command(str(n)), self._socket.fileno()) for n in range(self._n_workers)]
        except BaseException:
            self._held.close()
            raise
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._watcher.start()

    def wait_ready(self, timeout_s: float = 30.0) -> str:
        """Wait until every worker has taken up the present snapshot, or has said why it cannot; return the address.

        Raises:
            UnavailableError: a worker was not there in time.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            snapshot = read_snapshot(self._state)
            number = snapshot.number if snapshot is not None else 0
            pids = {worker.pid for worker in self._workers}
            there = [each for each in list_acknowledgements(self._state) if each.pid in pids and each.seen >= number]
            if len(there) == self._n_workers:
                return self.server.url
            time.sleep(_POLL_S)
        raise UnavailableError(
            f"the server was not ready after {timeout_s:g} s", hint="see what its workers wrote to the terminal"
        )

    def stop(self) -> None:
        """Let the workers finish what they have, and end them; safe to call twice."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
        for worker in self._workers:
            worker.terminate()
        deadline = time.monotonic() + _PATIENCE_S
        for worker in self._workers:
            worker.wait(deadline)
        self._held.close()

    def _command(self, worker: str) -> list[str]:
        grpc = ["--grpc", self._table.host, str(self._grpc_port)] if self._grpc_port else []
        table = msgspec.structs.replace(self._table, workers=self._n_workers)
        return [
            *(sys.executable, "-m", "petla.serving.worker"),
            *grpc,
            *("--state", str(self._state), "--worker", worker, "--parent", str(os.getpid())),
            *("--root", str(self._root), "--table", msgspec.json.encode(table).decode()),
        ]

    def _watch(self) -> None:
        while not self._stopping.wait(_WATCH_S):
            for worker in self._workers:
                worker.restart_if_dead()


class _Worker:
    """One worker process and its successors."""

    def __init__(self, command: list[str], descriptor: int) -> None:
        self._command = [*command, "--fd", str(descriptor)]
        self._descriptor = descriptor
        self._pause_s = _FIRST_PAUSE_S
        self._died_at: float | None = None
        self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        return self._process.poll()

    def restart_if_dead(self) -> None:
        status = self.status
        if status is None:
            return
        now = time.monotonic()
        if self._died_at is None:
            self._died_at = now
            lived_s = now - self._started_at
            self._pause_s = _FIRST_PAUSE_S if lived_s > _HEALTHY_S else min(self._pause_s * 2, _LONGEST_PAUSE_S)
            logger.warning("worker.died", extra={"pid": self.pid, "status": status, "lived_s": round(lived_s, 1)})
        if now - self._died_at >= (0 if self._pause_s == _FIRST_PAUSE_S else self._pause_s):
            self._start()

    def terminate(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()

    def wait(self, deadline: float) -> None:
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            logger.warning("worker.killed", extra={"pid": self.pid})
            self._process.kill()
            self._process.wait()

    def _start(self) -> None:
        self._process = subprocess.Popen(self._command, pass_fds=(self._descriptor,), stdin=subprocess.DEVNULL)
        self._started_at = time.monotonic()
        self._died_at = None


def _reserve(host: str, port: int) -> socket.socket:
    """Hold the port that the workers share for gRPC without listening, so that nobody else takes it.

    Raises:
        UnavailableError: somebody has it, or gRPC is not installed.
    """
    if find_spec("grpc") is None:
        raise UnavailableError(
            "serving.grpc_port is set and gRPC is not installed",
            hint="pip install 'petla[grpc]', or set it to 0",
            field="serving.grpc_port",
        )
    reserved = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((host, port))
    except OSError as error:
        reserved.close()
        raise UnavailableError(
            f"cannot listen for gRPC on {host}:{port}: {error.strerror}",
            hint="stop what listens there, or set serving.grpc_port or PETLA_GRPC_PORT",
            field="serving.grpc_port",
        ) from error
    return reserved


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # NOTE: inherited by accepted connections; without it an answer of two writes waits 40 ms for the client's word.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise UnavailableError(
            f"cannot listen on {host}:{port}: {error.strerror}",
            hint="stop what listens there, or set serving.port or PETLA_SERVING_PORT",
            field="serving.port",
        ) from error
    return listening
