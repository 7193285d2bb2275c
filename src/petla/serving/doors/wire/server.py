"""uvicorn's server with connections that count from accept on, also those that are encrypted.

asyncio calls `connection_made` of an encrypted connection after its handshake. A client that never begins one would be
counted nowhere, and hold a file for as long as the handshake may take. Here the connection is taken before that.
"""

import asyncio
import contextlib
import resource
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

import uvicorn

if TYPE_CHECKING:
    import ssl

# where the process has no files left, those that are open need time to end
_PAUSE_S = 0.1


class Encrypted(Protocol):
    """The protocol of a connection, as the server knows it before its handshake is done."""

    # what stands for the connection among those that are open
    handshake: "Handshake | None"


class Handshake:
    """A connection that is encrypted as soon as its client has done its part; it counts as one."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def begin(self, work: asyncio.Task[None]) -> None:
        """Note what shakes hands."""
        self._task = work

    def check(self, now_s: float) -> None:
        """Do nothing: a handshake has a limit of its own."""

    def shutdown(self) -> None:
        """End it: nothing was asked yet."""
        if self._task is not None:
            self._task.cancel()


class LimitedServer(uvicorn.Server):
    """A server whose connections count from accept on.

    Args:
        config: as for uvicorn.
        connections: how many may be open; from twice as many on they are cut.
        handshake_s: how long a client may take for its handshake.
    """

    def __init__(self, config: uvicorn.Config, connections: int, handshake_s: float) -> None:
        super().__init__(config)
        self._most = 2 * connections
        self._handshake_s = handshake_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        context = self.config.ssl
        if context is None:
            await super().startup(sockets)
            return
        await super().startup([])
        for each in sockets or []:
            each.listen(self.config.backlog)
        acceptors = [_Acceptor(each, self._take(context)) for each in sockets or []]
        self.servers = cast("list[asyncio.base_events.Server]", acceptors)

    def _take(self, context: "ssl.SSLContext") -> Callable[[socket.socket], None]:
        open_ones = cast("set[object]", self.server_state.connections)

        async def shake(handshake: Handshake, connection: socket.socket) -> None:
            def make() -> asyncio.Protocol:
                protocol = self._make_protocol()
                cast("Encrypted", protocol).handshake = handshake
                return protocol

            loop = asyncio.get_running_loop()
            try:
                # what comes of a client that breaks off or sends no TLS interests nobody
                with contextlib.suppress(OSError, asyncio.CancelledError):
                    await loop.connect_accepted_socket(
                        make, connection, ssl=context, ssl_handshake_timeout=self._handshake_s
                    )
            finally:
                open_ones.discard(handshake)

        def take(connection: socket.socket) -> None:
            if len(open_ones) >= self._most:
                connection.close()
                return
            handshake = Handshake()
            open_ones.add(handshake)
            task = asyncio.get_running_loop().create_task(shake(handshake, connection))
            handshake.begin(task)

        return take

    def _make_protocol(self) -> asyncio.Protocol:
        make = cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class)
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


class _Acceptor:
    """Accepts the connections of a listening socket; uvicorn knows it as a server of asyncio."""

    def __init__(self, listener: socket.socket, take: Callable[[socket.socket], None]) -> None:
        listener.setblocking(False)
        self._task = asyncio.get_running_loop().create_task(self._accept(listener, take))

    def close(self) -> None:
        """Accept no more."""
        self._task.cancel()

    async def wait_closed(self) -> None:
        """Wait until nothing is accepted any more."""
        await asyncio.gather(self._task, return_exceptions=True)

    async def _accept(self, listener: socket.socket, take: Callable[[socket.socket], None]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError:
                await asyncio.sleep(_PAUSE_S)
                continue
            take(connection)


def raise_file_limit() -> None:
    """Let this process have as many connections as the machine allows; 1,024 is the usual limit of a shell."""
    _, highest = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, highest))
