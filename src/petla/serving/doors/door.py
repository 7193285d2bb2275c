"""A door: a path or the beginning of one, what may be asked there, and how what is refused is written."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from petla.core.errors import Fault, InvalidError, PetlaError
from petla.serving.doors.responses import (
    Headers,
    Problem,
    Refusal,
    headers_for,
    headers_of,
    status_of,
)
from petla.serving.metrics import ModelMetrics
from petla.serving.path.request import Call
from petla.serving.plane import Plane

# status, body, headers
Answer = tuple[int, bytes, Headers]
# How a refusal is written: status of our own doors, what is wrong, each fault -> status and body of this one.
Form = Callable[[int, Problem, Sequence[Fault]], tuple[int, bytes]]

_LONGEST_SHOWN = 60


class Visit:
    """One request at a door.

    Args:
        method: in capitals.
        path: as it was sent.
        headers: lower-case names.
        call: what surrounds it.
        metrics: where it is counted; a door that finds out which model is meant puts that one's here.
    """

    __slots__ = ("body", "call", "headers", "method", "metrics", "path")

    def __init__(
        self, method: str, path: str, headers: Mapping[bytes, bytes], call: Call, metrics: ModelMetrics
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.call = call
        self.metrics = metrics
        self.body = b""


def write_own(status: int, problem: Problem, faults: Sequence[Fault]) -> tuple[int, bytes]:
    """Write a refusal in the one shape of our own doors."""
    return status, msgspec.json.encode(Refusal(error=problem, faults=tuple(faults) if len(faults) > 1 else ()))


class Door(NamedTuple):
    """What answers at a path."""

    methods: tuple[str, ...]
    answer: Callable[[Plane, Visit], Awaitable[Answer]]
    form: Form = write_own


def join_faults(problem: Problem, faults: Sequence[Fault]) -> str:
    """Write a refusal as one text, for protocols that have no more than that."""
    message = "; ".join([problem.message, *(f"{fault.field} {fault.message}".strip() for fault in faults[1:])])
    return f"{message}; next: {problem.hint}" if problem.hint else message


def answer_json(body: bytes, status: int = 200) -> Answer:
    """Answer with JSON."""
    return status, body, headers_for(len(body))


def answer_text(body: bytes) -> Answer:
    """Answer with plain text."""
    return 200, body, [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]


def refuse_error(form: Form, error: PetlaError) -> Answer:
    """Answer with an error, in a door's form."""
    faults: Sequence[Fault] = error.faults if isinstance(error, InvalidError) else ()
    status, body = form(status_of(error), Problem(error.code, error.message, error.field, error.hint), faults)
    return status, body, headers_of(error, len(body))


def refuse_method(form: Form, visit: Visit, allowed: Sequence[str]) -> Answer:
    """Answer that a path does not take a method."""
    shown = f"{visit.path[:_LONGEST_SHOWN]} takes no {visit.method}"
    status, body = form(405, Problem("wrong_method", shown, hint=f"use {' or '.join(allowed)}"), ())
    return status, body, [*headers_for(len(body)), (b"allow", ", ".join(allowed).encode())]
