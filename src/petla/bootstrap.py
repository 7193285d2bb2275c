"""The composition root: the one place that reads the settings and puts the parts together."""

import gc
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from petla.cli.app import run_cli
from petla.cli.output import say
from petla.cli.parts import Parts
from petla.core.errors import NotFoundError
from petla.core.settings import decode_settings
from petla.storage.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from types import FrameType

    import uvicorn

    from petla.serving.supervisor import Supervisor

logger = logging.getLogger(__name__)

# values that are made before Python looks for cycles among them; looking after each 700 takes a tenth of adding files
_VALUES_AT_ONCE = 50_000


def main() -> int:
    """Run the command line with the process's arguments; return its exit status."""
    gc.set_threshold(_VALUES_AT_ONCE)
    parts = Parts(open_workspace=open_here, serve=serve, make_link=make_link)
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


def serve(workspace: Workspace) -> None:
    """Run serving workers, controller, pages and API until SIGTERM or Ctrl-C; then stop all of them cleanly.

    Raises:
        BusyError: another `petla up` of this project is at work.
        UnavailableError: a port is taken or the state folder cannot be written.
    """
    from petla.serving.supervisor import Supervisor
    from petla.storage.files import lock

    signal.signal(signal.SIGTERM, _leave)
    with lock(workspace.state / "up.lock", purpose="petla up"):
        supervisor = Supervisor(workspace)
        # The workers start first: they load while the control plane imports.
        supervisor.start()
        stop = threading.Event()
        try:
            _run_control_plane(workspace, supervisor, stop)
        finally:
            stop.set()
            supervisor.stop()
            _ship_the_rest(workspace)


def make_link(workspace: Workspace) -> str:
    """Return a one-time link to the pages of this project's running control plane.

    Raises:
        UnavailableError: no control plane is running.
    """
    from petla.api import sessions

    return sessions.make_link(workspace, sessions.running_address(workspace))


def _run_control_plane(workspace: Workspace, supervisor: "Supervisor", stop: threading.Event) -> None:
    import uvicorn

    from petla.api import sessions
    from petla.api.app import bind, make_app
    from petla.deployments.deploy import republish
    from petla.loop.controller import Controller
    from petla.web.routes import make_error_page, make_routes

    republish(workspace)
    listener, base_url = bind(workspace)
    error_page = make_error_page(workspace)
    app = make_app(workspace, base_url=base_url, extra_routes=make_routes(workspace), error_page=error_page)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on"))
    _stop_on_signal(server)
    controller = threading.Thread(target=Controller(workspace).run, args=(stop,), name="controller")
    controller.start()
    try:
        serving = supervisor.wait_ready()
        say(f"pages    {sessions.make_link(workspace, base_url)}")
        say(f"serving  {serving}")
        server.run(sockets=[listener])
    finally:
        stop.set()
        controller.join()
        listener.close()


def _leave(_number: int, _frame: "FrameType | None") -> None:
    """Stop while still starting: whatever runs already is stopped on the way out."""
    raise SystemExit(0)


def _stop_on_signal(server: "uvicorn.Server") -> None:
    def ask_to_stop(_number: int, _frame: "FrameType | None") -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)


def _ship_the_rest(workspace: Workspace) -> None:
    from petla.decisions.shipper import ship
    from petla.monitoring.counting import make_counter

    ship(workspace, [make_counter(workspace)])
