"""The supervisor: opens the listening socket, starts the workers behind it, and starts those again that die.

The socket is opened once and inherited, so a connection that arrives while a worker is being replaced waits for
another one.
"""

import contextlib
import os
import socket
import threading
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

import msgspec

from petla.core.errors import UnavailableError
from petla.core.project import require_protection
from petla.deployments.listening import listen
from petla.deployments.server import Server, list_acknowledgements, server_lock, write_server
from petla.deployments.snapshot import acknowledgements_folder, read_snapshot
from petla.serving.children import PYTHON, Child
from petla.storage.certificates import open_certificate
from petla.storage.files import lock

if TYPE_CHECKING:
    from petla.storage.workspace import Workspace

_WATCH_S = 0.05
_BACKLOG = 2_048
# beside the grace of its requests a worker needs less than 2 s to end; after this it is killed
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
        self._workers: list[Child] = []
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
    def grpc_address(self) -> str:
        """Where gRPC is answered; empty: nowhere."""
        return f"{self._table.host}:{self._grpc_port}" if self._grpc_port else ""

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
            self._socket = self._held.enter_context(
                listen(self._table.host, self._port, section="serving", backlog=_BACKLOG)
            )
            if self._grpc_port:
                self._held.enter_context(_reserve(self._table.host, self._grpc_port))
            for path in acknowledgements_folder(self._state).glob("*"):
                path.unlink(missing_ok=True)
            write_server(self._state, self.server)
            descriptor = self._socket.fileno()
            self._workers = [
                Child("worker", self._command(str(n)), descriptor, stuck_s=self._table.stuck_s)
                for n in range(self._n_workers)
            ]
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
        # Who connects from now on is refused at once, and not after the grace of the others.
        if self._socket is not None:
            self._socket.close()
        for worker in self._workers:
            worker.terminate()
        deadline_s = time.monotonic() + self._table.grace_s + _PATIENCE_S
        for worker in self._workers:
            worker.wait(deadline_s)
        self._held.close()

    def _command(self, worker: str) -> list[str]:
        grpc = ["--grpc", self._table.host, str(self._grpc_port)] if self._grpc_port else []
        table = msgspec.structs.replace(self._table, workers=self._n_workers)
        return [
            *(*PYTHON, "-m", "petla.serving.worker"),
            *grpc,
            *("--state", str(self._state), "--worker", worker, "--parent", str(os.getpid())),
            *("--root", str(self._root), "--table", msgspec.json.encode(table).decode()),
        ]

    def _watch(self) -> None:
        while not self._stopping.wait(_WATCH_S):
            for worker in self._workers:
                worker.kill_if_stuck()
                worker.restart_if_dead()


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
