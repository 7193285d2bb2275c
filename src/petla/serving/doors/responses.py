"""The bytes that leave: headers, and errors in the one shape."""

import math

import msgspec

from petla.core.errors import (
    ConflictError,
    DeadlineError,
    Fault,
    ForbiddenError,
    InvalidError,
    LimitedError,
    MalformedError,
    NotFoundError,
    PetlaError,
    UnavailableError,
    UnknownEncodingError,
    UnknownHostError,
    UnknownKeyError,
    UserCodeError,
)

Headers = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
PLAIN = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
RETRY_AFTER = (b"retry-after", b"1")
# what bodies of requests may be compressed with
ACCEPT_ENCODING = (b"accept-encoding", b"gzip, deflate")
ASK_FOR_KEY = (b"www-authenticate", b"Bearer")
# what answered in the place of the version that was asked
SERVED_BY = b"x-petla-served-by"

# the nearest family decides
_STATUSES: tuple[tuple[type[PetlaError], int], ...] = (
    (MalformedError, 400),
    (UnknownEncodingError, 415),
    (InvalidError, 422),
    (NotFoundError, 404),
    (UnknownKeyError, 401),
    (UnknownHostError, 421),
    (ForbiddenError, 403),
    (ConflictError, 409),
    (LimitedError, 429),
    (DeadlineError, 504),
    (UnavailableError, 503),
    (UserCodeError, 503),
)
_CACHED_LENGTHS = 4_096


class Problem(msgspec.Struct, frozen=True):
    """What an error says."""

    code: str
    message: str
    field: str = ""
    hint: str = ""


class Refusal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every answer that is no success."""

    error: Problem
    # each of them, when several things are wrong
    faults: tuple[Fault, ...] = ()


_json_headers: list[Headers] = [[JSON, (b"content-length", b"%d" % n)] for n in range(_CACHED_LENGTHS)]


def headers_for(length: int) -> Headers:
    """Return the headers of a JSON body; they are shared, so nobody may change them."""
    return _json_headers[length] if length < _CACHED_LENGTHS else [JSON, (b"content-length", b"%d" % length)]


def mark_served(headers: Headers, served_by: str) -> Headers:
    """Return headers that also say what answered in the place of the version that was asked, if anything did."""
    return [*headers, (SERVED_BY, served_by.encode("latin-1", "replace"))] if served_by else headers


def status_of(error: PetlaError) -> int:
    """Return the HTTP status of an error's family."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def headers_of(error: PetlaError, length: int) -> Headers:
    """Return the headers of the answer to a request that failed.

    Args:
        error: why.
        length: of the body.
    """
    headers, status = headers_for(length), status_of(error)
    if isinstance(error, LimitedError):
        return [*headers, (b"retry-after", b"%d" % math.ceil(error.retry_after_s))]
    if status == 503:
        return [*headers, RETRY_AFTER]
    if status == 415:
        return [*headers, ACCEPT_ENCODING]
    return [*headers, ASK_FOR_KEY] if status == 401 else headers


def encode_problem(code: str, message: str, *, field: str = "", hint: str = "") -> bytes:
    """Return the body for what only HTTP knows, such as a wrong method."""
    return msgspec.json.encode(Refusal(error=Problem(code, message, field, hint)))
