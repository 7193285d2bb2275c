"""How an error looks from outside: the families as HTTP statuses, and the one JSON shape."""

from http import HTTPStatus

import msgspec
from litestar.exceptions import HTTPException

from petla.core.errors import (
    ConflictError,
    Fault,
    ForbiddenError,
    GateFailedError,
    InvalidError,
    NotFoundError,
    PetlaError,
    UnavailableError,
    UserCodeError,
)

# By ancestors: the first family that fits.
STATUSES: dict[type[PetlaError], HTTPStatus] = {
    NotFoundError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    InvalidError: HTTPStatus.UNPROCESSABLE_ENTITY,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    GateFailedError: HTTPStatus.CONFLICT,
    UserCodeError: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    PetlaError: HTTPStatus.INTERNAL_SERVER_ERROR,
}

_HINTS = {
    HTTPStatus.UNAUTHORIZED: "run 'petla link' in the project's folder and open the link that it prints",
    HTTPStatus.FORBIDDEN: "open the page again and repeat what you did",
    HTTPStatus.NOT_FOUND: "the pages start at /; the API is described at /schema",
}
# Litestar's own words, with 500, for a client that went away while its body was read; nobody reads the answer
_GONE = "client disconnected prematurely"
_MESSAGES = {
    HTTPStatus.NOT_FOUND: "there is nothing at this address",
    HTTPStatus.METHOD_NOT_ALLOWED: "this address does not take that method",
}


class Problem(msgspec.Struct, frozen=True):
    """What went wrong and what to do next."""

    code: str
    message: str
    field: str = ""
    hint: str = ""


class ProblemBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every error of the API."""

    error: Problem
    faults: tuple[Fault, ...] = ()


def status_of(error: Exception) -> HTTPStatus:
    """Return the status of an error's family; anything unforeseen is 500."""
    if isinstance(error, HTTPException):
        return HTTPStatus.BAD_REQUEST if error.detail == _GONE else HTTPStatus(error.status_code)
    families = (family for family in STATUSES if isinstance(error, family))
    return STATUSES[next(families)] if isinstance(error, PetlaError) else HTTPStatus.INTERNAL_SERVER_ERROR


def describe(error: Exception) -> ProblemBody:
    """Return the body of an error; one that we did not foresee says nothing about its inside."""
    if isinstance(error, PetlaError):
        faults = error.faults if isinstance(error, InvalidError) else ()
        return ProblemBody(Problem(error.code, error.message, error.field, error.hint), faults)
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return _describe_refusal(error)
    message = "something went wrong inside Pętla"
    return ProblemBody(Problem("internal", message, hint="see the log of 'petla up'; it has the details"))


def _describe_refusal(error: HTTPException) -> ProblemBody:
    status = HTTPStatus(error.status_code)
    extra = error.extra if isinstance(error.extra, list) else []
    faults = tuple(
        Fault(str(each.get("key", "")), str(each.get("message", ""))) for each in extra if isinstance(each, dict)
    )
    # Litestar repeats the phrase of the status where it has nothing to say.
    detail = "" if error.detail == status.phrase else error.detail
    message = f"{faults[0].field}: {faults[0].message}" if faults else detail or _MESSAGES.get(status, status.phrase)
    field = faults[0].field if faults else ""
    return ProblemBody(Problem(status.name.lower(), message, field, _HINTS.get(status, "")), faults)
