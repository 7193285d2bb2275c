"""The control plane as one application: handlers, the door in front of them, and errors in one shape."""

import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, get
from litestar.exceptions import ClientException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.types import ControllerRouterHandler, Message, Scope

import petla
from petla.api.door import Door, secure
from petla.api.problems import Problem, describe, status_of
from petla.api.refusals import Refusals
from petla.api.routes import make_routes
from petla.storage.workspace import Workspace

logger = logging.getLogger(__name__)

# Draws an error for a person. Arguments: status, what went wrong, the theme cookie's value.
ErrorPage = Callable[[HTTPStatus, Problem, str], str]

ErrorAnswer = Callable[[Request[Any, Any, Any], Exception], Response[Any]]

_API_PATHS = ("/api/", "/schema", "/healthz")


class Asked(Request[Any, Any, Any]):
    """A request; what is wrong with its body is the client's fault, also where the decoder says it in an odd way."""

    async def json(self) -> Any:  # noqa: ANN401 - any JSON value
        """Return the body as JSON.

        Raises:
            ClientException: it is nested too deeply, or no UTF-8.
        """
        try:
            return await super().json()
        except RecursionError as error:
            raise ClientException(detail="the body is nested too deeply") from error
        except UnicodeDecodeError as error:
            raise ClientException(detail=f"the body is not UTF-8: byte {error.start}") from error


class Health(msgspec.Struct, frozen=True):
    """The answer to "are you there?"."""

    status: str


def make_app(
    ws: Workspace,
    *,
    base_url: str,
    extra_routes: Sequence[ControllerRouterHandler] = (),
    error_page: ErrorPage | None = None,
) -> Litestar:
    """Compose the control plane.

    Args:
        ws: the project it is for.
        base_url: where it is served; its host and port are the only ones that requests may name.
        extra_routes: the pages' handlers; the door guards them as it does the API.
        error_page: draws an error for a browser; None: errors are JSON everywhere.
    """
    door = Door(ws, base_url)
    return Litestar(
        route_handlers=[healthz, *make_routes(ws), *extra_routes],
        request_class=Asked,
        middleware=[door.wrap],
        guards=[door.require_session, door.require_own_form],
        before_send=[_send_secured],
        exception_handlers={Exception: _make_error_answer(error_page)},
        openapi_config=_describe_api(),
        plugins=[Refusals()],
        # The handler above logs; Litestar's own log would print whole requests beside it.
        logging_config=None,
        request_max_body_size=1024 * 1024,
    )


@get("/healthz", opt={"is_public": True}, sync_to_thread=False)
def healthz() -> Health:
    """Say that the control plane answers."""
    return Health("ok")


def _make_error_answer(error_page: ErrorPage | None) -> ErrorAnswer:
    def answer(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        status, body = status_of(error), describe(error)
        if status is HTTPStatus.INTERNAL_SERVER_ERROR:
            # exc_info takes the exception itself: this is called outside the block that caught it.
            fields = {"path": request.url.path, "method": request.method}
            logger.error("request.failed", exc_info=error, extra=fields)
        headers = dict(getattr(error, "headers", None) or {})
        if status is HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = "5"
        if error_page is None or not _is_for_person(request):
            return Response(body, status_code=status, headers=headers)
        page = error_page(status, body.error, request.cookies.get("petla_theme", ""))
        return Response(page, status_code=status, headers=headers, media_type="text/html; charset=utf-8")

    return answer


def _is_for_person(request: Request[Any, Any, Any]) -> bool:
    is_page = not request.scope["path"].startswith(_API_PATHS)
    return is_page and "text/html" in request.headers.get("accept", "")


async def _send_secured(message: Message, scope: Scope) -> None:
    secure(message, scope)


def _describe_api() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Pętla control plane",
        version=petla.__version__,
        description="Errors have one shape: an object `error` with code, message, field and hint.",
        path="/schema",
        use_handler_docstrings=True,
        # NOTE: the other plugins load their viewers from foreign hosts.
        render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
    )
