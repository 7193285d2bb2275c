"""The composition root: the one place that reads the settings and puts the parts together."""

import contextlib
import gc
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from petla.cli.app import run_cli
from petla.cli.output import note, say
from petla.cli.parts import Parts
from petla.core.errors import BusyError, NotFoundError, PetlaError, UnavailableError, is_outage
from petla.core.project import PROJECT_FILE
from petla.core.settings import decode_settings
from petla.storage.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from types import FrameType

    import uvicorn

    from petla.loop.lease import Lease
    from petla.serving.supervisor import Supervisor
    from petla.storage.certificates import Certificate

_POLL_S = 0.01
_WATCH_S = 0.05
# a file that did not change for so long is whole
_SETTLED_S = 0.5
# The control plane ships what the workers wrote, and ends a training, before it ends; after this it is killed.
_PATIENCE_S = 60.0
# what is left then is shipped when it starts again
_LAST_SHIPMENT_S = 20.0

# values that are made before Python looks for cycles among them; looking after each 700 takes a tenth of adding files
_VALUES_AT_ONCE = 50_000


def main() -> int:
    """Run the command line with the process's arguments; return its exit status."""
    gc.set_threshold(_VALUES_AT_ONCE)
    parts = Parts(open_workspace=open_here, serve=serve, run_control=run_control, make_link=make_link)
    return run_cli(sys.argv[1:], parts)


def open_here() -> Workspace:
    """Open the project that the current folder lies in, be it DVC's, with the settings of the environment."""
    settings = decode_settings(os.environ)
    try:
        return open_workspace(Path.cwd(), settings)
    except NotFoundError:
        from petla.data.dvc.implied import find_implied

        found = find_implied(Path.cwd())
        if found is None:
            raise
        return Workspace(*found, settings)


def serve(workspace: Workspace) -> int:
    """Run the serving workers and, in a process of its own, the control plane, until SIGTERM, SIGHUP or Ctrl-C.

    Returns:
        The exit status: 0, or that of a control plane that could not be started and has said why.

    Raises:
        BusyError: another `petla up` of this project is at work.
        InvalidError: a plane would stand open to others.
        UnavailableError: a port is taken or the state folder cannot be written.
    """
    from petla.serving.reaping import reap_orphans
    from petla.serving.supervisor import Supervisor
    from petla.storage.files import lock

    reap_orphans()
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(lock(workspace.state / "up.lock", purpose="petla up"))
        except BusyError as error:
            raise _name_running(workspace, error) from error
        for number in _list_stops():
            if number != signal.SIGINT:
                signal.signal(number, _leave)
        supervisor = Supervisor(workspace)
        # The workers start first: they load while the control plane imports.
        supervisor.start()
        try:
            return _watch_control_plane(workspace, supervisor)
        finally:
            supervisor.stop()


def _name_running(workspace: Workspace, error: BusyError) -> BusyError:
    """Return the error of a second `petla up`: where the first one is, if it has come so far."""
    from petla.api.sessions import running_address
    from petla.deployments.server import find_server

    server = find_server(workspace.state)
    try:
        pages = running_address(workspace)
    except UnavailableError:
        return BusyError(f"{error.message}, and its pages are not there yet", hint="'petla status' says how far it is")
    serving = f"serving on {server.url}, " if server is not None else ""
    return BusyError(
        f"{error.message}: {serving}pages on {pages}", hint="open its pages with 'petla link', or stop it first"
    )


def _watch_control_plane(workspace: Workspace, supervisor: "Supervisor") -> int:
    """Keep the control plane running until a signal comes; return the exit status."""
    from petla.api.binding import bind
    from petla.api.sessions import forget_address, is_announced
    from petla.serving.children import PYTHON, Child

    # before the control plane reads it: a change while it starts is one too
    file = _ProjectFile(workspace)
    forget_address(workspace)
    with bind(workspace) as listener:
        command = [*PYTHON, "-m", "petla", "control", "--parent", str(os.getpid())]
        control = Child("control plane", command, listener.fileno(), is_apart=True)
        try:
            while not is_announced(workspace):
                status = control.status
                # one that was killed has said nothing, and is started again
                if status is not None and status >= 0:
                    return status or 1
                control.restart_if_dead()
                time.sleep(_POLL_S)
            say(f"serving  {supervisor.wait_ready()}")
            if supervisor.grpc_address:
                say(f"grpc     {supervisor.grpc_address}")
            stop = _catch_signals()
            while not stop.wait(_WATCH_S):
                if file.has_changed():
                    say(f"{PROJECT_FILE} was changed: the control plane reads it again")
                    control.renew()
                control.restart_if_dead()
            return 0
        finally:
            # It ends last: it ships what the workers wrote at the very end.
            supervisor.stop()
            control.terminate()
            control.wait(time.monotonic() + _PATIENCE_S)


def run_control(workspace: Workspace, descriptor: int, parent: int) -> None:
    """Run pages, API and controller until SIGTERM or the end of the process that started it.

    Args:
        workspace: the project.
        descriptor: of the socket that they are served on.
        parent: the number of the process that is `petla up`.

    Raises:
        ConflictError: the database was made by a newer Pętla.
        UnavailableError: the database is away and nothing was ever published; or waiting for it does not help.
    """
    from petla.api import sessions
    from petla.api.app import make_app
    from petla.api.binding import address_of
    from petla.api.server import make_server
    from petla.decisions.reviews.webhook import Courier
    from petla.loop.controller import Controller
    from petla.serving.doors.wire.server import raise_file_limit
    from petla.storage.certificates import open_certificate
    from petla.web.routes import make_error_page, make_routes

    raise_file_limit()
    _publish_again(workspace)
    listener = socket.socket(fileno=descriptor)
    address, certificate = address_of(workspace, listener), open_certificate(workspace.root, workspace.project.control)
    error_page = make_error_page(workspace)
    app = make_app(workspace, base_url=address, extra_routes=make_routes(workspace), error_page=error_page)
    server, stop, controller = make_server(app, certificate), threading.Event(), Controller(workspace)
    courier = Courier(workspace, is_on_duty=lambda: controller.lease.is_held)
    _stop_on_signal(server)
    beside = [
        threading.Thread(target=controller.run, args=(stop,), name="controller"),
        threading.Thread(target=courier.run, args=(stop,), name="courier"),
    ]
    threading.Thread(target=_watch_parent, args=(parent, server, certificate), daemon=True).start()
    for thread in beside:
        thread.start()
    try:
        sessions.announce_address(workspace, address)
        say(f"pages    {sessions.make_link(workspace, address)}")
        server.run(sockets=[listener])
    finally:
        stop.set()
        for thread in beside:
            thread.join()
        _ship_the_rest(workspace, controller.lease)


def _publish_again(workspace: Workspace) -> None:
    """Let the workers have the newest snapshot. If the database is away, the controller does so when it is back.

    Raises:
        UnavailableError: nothing was ever published, or it is no outage.
    """
    from petla.deployments.deploy import republish
    from petla.deployments.snapshot import snapshot_path

    try:
        workspace.ledger.require_own()
        republish(workspace)
    except UnavailableError as error:
        if not is_outage(error) or not snapshot_path(workspace.state).exists():
            raise
        note(f"petla: {error.message}")
        note("waiting: workers serve what was published last; all else is tried again every few seconds")
        note(
            "next: see that the database is there; if its address is wrong, correct PETLA_DATABASE, or storage.database"
            " of petla.toml, and start 'petla up' again"
        )


def make_link(workspace: Workspace) -> str:
    """Return a one-time link to the pages of this project's running control plane.

    Raises:
        UnavailableError: no control plane is running.
    """
    from petla.api import sessions

    return sessions.make_link(workspace, sessions.running_address(workspace))


def _watch_parent(parent: int, server: "uvicorn.Server", certificate: "Certificate | None") -> None:
    """End the server when `petla up` has died; the kernel tells nobody."""
    while os.getppid() == parent:
        if certificate is not None:
            certificate.look()
        time.sleep(_WATCH_S)
    server.should_exit = True


def _leave(number: int, _frame: "FrameType | None") -> None:
    """Stop while still starting: whatever runs already is stopped on the way out."""
    if number == signal.SIGHUP:
        _leave_terminal()
    raise SystemExit(0)


def _stop_on_signal(server: "uvicorn.Server") -> None:
    """Let a signal that asks to stop end the server and nothing else, so that what comes after it is still done.

    NOTE: uvicorn raises the signals that it has handled once more when it is done; by default that would be the end.
    """

    def ask_to_stop(_number: int, _frame: "FrameType | None") -> None:
        server.should_exit = True

    for number in _list_stops():
        signal.signal(number, ask_to_stop)


class _ProjectFile:
    """The project file of a running `petla up`.

    What the control plane goes by may change at any time; what the workers were started with may not.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._path = workspace.root / PROJECT_FILE
        self._project = workspace.project
        self._judged = self._seen = self._look()
        self._seen_at = 0.0

    def has_changed(self) -> bool:
        """Whether the control plane should read it again; says what does not count."""
        found, now = self._look(), time.monotonic()
        if found != self._seen:
            self._seen, self._seen_at = found, now
        # an editor may be in the middle of writing it
        if found == self._judged or now - self._seen_at < _SETTLED_S:
            return False
        self._judged = found
        try:
            project = open_workspace(self._workspace.root, self._workspace.settings).project
        except PetlaError as error:
            say(f"{PROJECT_FILE} cannot be used, what was read before counts on: {error}")
            return False
        for table in ("project", "serving", "control", "storage"):
            if getattr(project, table) != getattr(self._workspace.project, table):
                say(f"[{table}] of {PROJECT_FILE} was changed: the file counts once 'petla up' is started again")
                return False
        is_changed = project != self._project
        self._project = project
        return is_changed

    def _look(self) -> tuple[int, ...]:
        """Return what changes when the file does."""
        try:
            status = self._path.stat()
        except OSError:
            return ()
        return status.st_mtime_ns, status.st_size, status.st_ino


def _catch_signals() -> threading.Event:
    """Return what is set when a signal asks to stop."""
    stop = threading.Event()

    def ask_to_stop(number: int, _frame: "FrameType | None") -> None:
        if number == signal.SIGHUP:
            _leave_terminal()
        stop.set()

    for number in _list_stops():
        signal.signal(number, ask_to_stop)
    return stop


def _list_stops() -> list[signal.Signals]:
    """Return the signals that ask to stop; a closing terminal's is none where `nohup` says so."""
    stops = [signal.SIGTERM, signal.SIGINT]
    return stops if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [*stops, signal.SIGHUP]


def _leave_terminal() -> None:
    """Write nothing more to a terminal that is closed: it would fail."""
    for stream in (1, 2):
        if os.isatty(stream):
            with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a descriptor is meant
                os.dup2(nowhere.fileno(), stream)


def _ship_the_rest(workspace: Workspace, lease: "Lease") -> None:
    """Ship what the workers wrote last, unless another control plane does so; then give the lease back."""
    from petla.decisions.shipper import after, ship
    from petla.loop.controller import make_counters
    from petla.monitoring.rollouts.counting import make_shadow_counter

    counters, shadow_counters = make_counters(workspace), [make_shadow_counter(workspace)]
    try:
        if lease.hold():
            ship(workspace, counters, shadow_counters, is_over=after(_LAST_SHIPMENT_S))
    except PetlaError as error:
        note(f"petla: {error.message}")
        note("what the workers wrote is kept in the spool, and shipped after the next 'petla up'")
    finally:
        lease.release()
