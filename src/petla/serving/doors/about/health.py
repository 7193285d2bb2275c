"""Whether it runs, whether it is ready, and what it counts."""

from petla.core.errors import UnavailableError
from petla.serving.doors.door import Answer, Visit, answer_json
from petla.serving.doors.responses import PLAIN
from petla.serving.plane import Plane

_OK = b'{"status":"ok"}'


async def say_alive(_plane: Plane, _visit: Visit) -> Answer:
    """Answer `GET /healthz`: the process runs."""
    return answer_json(_OK)


async def say_ready(plane: Plane, _visit: Visit) -> Answer:
    """Answer `GET /readyz`: everything that is deployed is loaded.

    Raises:
        UnavailableError: it is not; with the reason.
    """
    require_ready(plane)
    return answer_json(_OK)


async def show_metrics(plane: Plane, _visit: Visit) -> Answer:
    """Answer `GET /metrics`, for Prometheus."""
    page = plane.metrics.render()
    return 200, page, [PLAIN, (b"content-length", b"%d" % len(page))]


def require_ready(plane: Plane) -> None:
    """Accept only a plane on which everything that is deployed is loaded.

    Raises:
        UnavailableError: it is not; with the reason.
    """
    if plane.not_ready:
        raise UnavailableError(f"not ready: {plane.not_ready}")
