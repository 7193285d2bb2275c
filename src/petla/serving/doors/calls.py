"""What surrounds a request, from its headers: the client's name for it, the trace it belongs to, and how long it waits.

- `x-request-id`: up to 128 printable characters of ASCII; kept with the decisions and sent back.
- `traceparent`: as W3C Trace Context has it; the trace's id is kept with the decisions, the header is sent back. One
  that is not right is ignored, as the standard wants.
- `x-request-timeout-ms`: after so many milliseconds the client no longer waits; what has not begun by then never does.
- `x-petla-subject`: whom all rows are about, for bodies that have no room for it.
- `x-petla-explain`: whether its client wants to know why; the query's `explain` says the same.

Source: W3C Trace Context, Recommendation of 2021-11-23, section 3.2.
"""

import re
from collections.abc import Mapping

from petla.core.errors import MalformedError
from petla.decisions.record import LONGEST_SUBJECT
from petla.serving.doors.responses import Headers
from petla.serving.path.request import Call

REQUEST_ID = b"x-request-id"
TRACEPARENT = b"traceparent"
TIMEOUT = b"x-request-timeout-ms"
SUBJECT = b"x-petla-subject"
EXPLAIN = b"x-petla-explain"
LONGEST_TIMEOUT_MS = 86_400_000

_SAID = frozenset({REQUEST_ID, TRACEPARENT, TIMEOUT, SUBJECT, EXPLAIN})
_ANSWERS = {b"1": True, b"true": True, b"0": False, b"false": False}
_REQUEST_ID = re.compile(rb"[\x20-\x7e]{1,128}")
# version, trace, span, flags; later versions may have more behind it
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def make_call(headers: Mapping[bytes, bytes], at_ns: int) -> Call:
    """Read what surrounds a request.

    Args:
        headers: lower-case names and values.
        at_ns: when it arrived.

    Raises:
        MalformedError: the time that it gives is no number of milliseconds, its subject is no text or too long, or it
            does not say whether it wants to know why.
    """
    if _SAID.isdisjoint(headers):
        return Call(at_ns)
    timeout = headers.get(TIMEOUT)
    return Call(
        at_ns,
        _find_request_id(headers).decode("ascii"),
        find_trace_id(headers.get(TRACEPARENT, b"")),
        0 if timeout is None else at_ns + _read_timeout_ms(timeout) * 1_000_000,
        name_subject(headers.get(SUBJECT, b"")),
        _read_answer("x-petla-explain", headers.get(EXPLAIN, b"0")),
    )


def add_query(call: Call, query: bytes) -> Call:
    """Return what surrounds a request whose address asks something: `explain=1`. Everything else is passed over.

    Raises:
        MalformedError: it does not say whether it wants to know why.

    Example:
        >>> add_query(Call(0), b"explain=1").is_explained
        True
    """
    said = [part for part in query.split(b"&") if part.partition(b"=")[0] == b"explain"]
    return call._replace(is_explained=_read_answer("explain", said[-1][len(b"explain=") :])) if said else call


def echo(headers: Mapping[bytes, bytes]) -> Headers:
    """Return the headers that go back as they came."""
    if _SAID.isdisjoint(headers):
        return []
    name, trace = _find_request_id(headers), headers.get(TRACEPARENT, b"")
    found = [(REQUEST_ID, name)] if name else []
    return [*found, (TRACEPARENT, trace)] if find_trace_id(trace) else found


def find_trace_id(traceparent: bytes) -> str:
    """Return the trace of a `traceparent`, 32 hexadecimal digits; empty: it is not right.

    Example:
        >>> find_trace_id(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        '4bf92f3577b34da6a3ce929d0e0e4736'
    """
    found = _TRACEPARENT.fullmatch(traceparent)
    # the version that we know has nothing behind its flags
    if found is None or (found[2] is not None and traceparent.startswith(b"00")):
        return ""
    return found[1].decode("ascii")


def _find_request_id(headers: Mapping[bytes, bytes]) -> bytes:
    name = headers.get(REQUEST_ID, b"")
    return name if _REQUEST_ID.fullmatch(name) else b""


def _read_timeout_ms(value: bytes) -> int:
    if not value.isdigit() or len(value) > 8 or not 0 < int(value) <= LONGEST_TIMEOUT_MS:
        shown = value[:20].decode("latin-1")
        raise MalformedError(
            f"x-request-timeout-ms is {shown!r}, but must be a whole number from 1 to {LONGEST_TIMEOUT_MS}",
            hint="send milliseconds",
            field="x-request-timeout-ms",
        )
    return int(value)


def _read_answer(field: str, value: bytes) -> bool:
    answer = _ANSWERS.get(value.lower())
    if answer is None:
        shown = value[:20].decode("latin-1")
        raise MalformedError(f"{field} is {shown!r}, but must be 1 or 0", hint=f"send {field}=1", field=field)
    return answer


def name_subject(value: bytes) -> str:
    """Return a subject that came in a header.

    Raises:
        MalformedError: it is too long, or no UTF-8.
    """
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(
            "x-petla-subject is not UTF-8", hint="encode it as UTF-8", field="x-petla-subject"
        ) from error
    if len(text) > LONGEST_SUBJECT:
        raise MalformedError(
            f"x-petla-subject has {len(text)} characters",
            hint=f"send at most {LONGEST_SUBJECT}",
            field="x-petla-subject",
        )
    return text
