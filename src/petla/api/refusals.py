"""What the API's document says of errors: the one shape, for every status that an operation can answer with."""

from collections.abc import Iterator
from http import HTTPStatus

from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.plugins import ReceiveRoutePlugin
from litestar.routes import BaseRoute

from petla.api.problems import ProblemBody

MEANINGS = {
    HTTPStatus.BAD_REQUEST: "The request cannot be read, or a parameter has a wrong value; `faults` lists all of them.",
    HTTPStatus.UNAUTHORIZED: "There is no session and no token, or it has ended.",
    HTTPStatus.FORBIDDEN: "The change comes from elsewhere than our own page, or this person may not decide.",
    HTTPStatus.NOT_FOUND: "There is no such thing.",
    HTTPStatus.CONFLICT: "The state does not allow it, such as an answer that was given already.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is larger than 1 MiB.",
    HTTPStatus.MISDIRECTED_REQUEST: "The Host header names another server.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The input is understood and wrong, such as a refusal without a reason.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "A fault of Pętla's own; the log of 'petla up' has the details.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Disk, database or workers are away; try again after `Retry-After` seconds.",
}


class Refusals(ReceiveRoutePlugin):
    """Puts our errors into the document, where its library would put its own."""

    def receive_route(self, route: BaseRoute) -> None:
        """Note what each operation of an address can answer with."""
        for handler in getattr(route, "route_handlers", ()):
            handler.responses = {
                status.value: ResponseSpec(ProblemBody, generate_examples=False, description=MEANINGS[status])
                for status in _list_statuses(route, handler)
            }


def _list_statuses(route: BaseRoute, handler: HTTPRouteHandler) -> Iterator[HTTPStatus]:
    yield HTTPStatus.MISDIRECTED_REQUEST
    yield HTTPStatus.INTERNAL_SERVER_ERROR
    if handler.opt.get("is_public"):
        return
    yield HTTPStatus.UNAUTHORIZED
    yield HTTPStatus.SERVICE_UNAVAILABLE
    parameters = handler.parsed_fn_signature.parameters.keys() - {"ws", "request"}
    if parameters:
        yield HTTPStatus.BAD_REQUEST
        yield HTTPStatus.UNPROCESSABLE_ENTITY
    if route.path_parameters:
        yield HTTPStatus.NOT_FOUND
    if "POST" in handler.http_methods:
        yield HTTPStatus.FORBIDDEN
        yield HTTPStatus.CONFLICT
    if "data" in parameters:
        yield HTTPStatus.REQUEST_ENTITY_TOO_LARGE
