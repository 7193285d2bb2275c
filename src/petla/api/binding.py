"""Where the control plane is served: its socket, and the address that people open.

Apart from the application, since `petla up` keeps the socket open while the process that answers is started anew.
"""

import socket

from petla.core.project import require_protection
from petla.deployments.listening import listen
from petla.storage.certificates import open_certificate
from petla.storage.workspace import Workspace

_BACKLOG = 128


def bind(ws: Workspace) -> socket.socket:
    """Open the control plane's socket.

    Raises:
        InvalidError: it would stand open to others, or its certificate cannot be used.
        UnavailableError: the port is taken, or the host is not this machine's.
    """
    table = ws.project.control
    require_protection(table)
    open_certificate(ws.root, table)
    port = table.port if ws.settings.control_port is None else ws.settings.control_port
    return listen(table.host, port, section="control", backlog=_BACKLOG)


def address_of(ws: Workspace, listener: socket.socket) -> str:
    """Return the address that people open."""
    table = ws.project.control
    if table.url:
        return table.url.rstrip("/")
    host = f"[{table.host}]" if ":" in table.host else table.host
    return f"{'https' if table.certificate else 'http'}://{host}:{listener.getsockname()[1]}"
