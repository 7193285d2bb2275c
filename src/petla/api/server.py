"""The control plane's HTTP server, with the limits for slow, large and broken clients that the workers have."""

import asyncio
from functools import partial

import uvicorn
from litestar import Litestar

from petla.serving.doors.protocol import LimitedProtocol, Limits, check_connections
from petla.serving.doors.wire.server import LimitedServer
from petla.serving.metrics import ModelMetrics
from petla.storage.certificates import Certificate

# People and few programs come here. Twice as many connections fit into the 1,024 files that a process may usually open.
LIMITS = Limits(connections=256, client_timeout_s=30.0)
# for requests under way when it is told to stop
_GRACE_S = 5


def make_server(app: Litestar, certificate: Certificate | None = None, limits: Limits = LIMITS) -> uvicorn.Server:
    """Return the server of the control plane.

    Args:
        app: answers; it bounds the size of bodies itself.
        certificate: encrypts; None: it does not.
        limits: what connections may do.
    """

    async def check() -> None:
        check_connections(server.server_state.connections, asyncio.get_running_loop().time())

    config = uvicorn.Config(
        app,
        # nobody reads what it counts
        http=partial(LimitedProtocol, limits, ModelMetrics()),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        ssl_context_factory=None if certificate is None else lambda *_: certificate.context,
        # whenever uvicorn looks, which is once a second
        callback_notify=check,
        timeout_notify=0,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = LimitedServer(config, limits.connections, limits.client_timeout_s)
    return server
