"""The listening socket of a plane."""

import errno
import socket
import time

from petla.core.errors import UnavailableError

# processes of a `petla up` that was killed hold its sockets for up to so long
_PATIENCE_S = 2.0
_POLL_S = 0.05


def listen(host: str, port: int, *, section: str, backlog: int) -> socket.socket:
    """Open a listening socket that is inherited by the processes that answer.

    Args:
        host: an address or a name of this machine.
        port: 0 takes any that is free.
        section: table of the project file that names them.
        backlog: connections that may wait.

    Raises:
        UnavailableError: the port is taken, or the host is not this machine's.
    """
    deadline_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            return _open(family, address[:2], backlog)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline_s:
                time.sleep(_POLL_S)
                continue
            raise UnavailableError(
                f"cannot listen on {host}:{port}: {error.strerror or error}",
                hint=f"stop what listens there, or set {section}.port or PETLA_{section.upper()}_PORT",
                field=f"{section}.port",
            ) from error


def _open(family: int, address: tuple[object, ...], backlog: int) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # NOTE: inherited by accepted connections; without it an answer of two writes waits 40 ms for the client's word.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.bind(address)
        listening.listen(backlog)
    except OSError:
        listening.close()
        raise
    return listening
