"""What surrounds a request: its name, its trace and its deadline, taken from its headers and sent back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petla.core.errors import MalformedError
from petla.serving.doors.calls import (
    LONGEST_TIMEOUT_MS,
    REQUEST_ID,
    TIMEOUT,
    TRACEPARENT,
    echo,
    find_trace_id,
    make_call,
)
from petla.serving.path.request import Call

TRACE, SPAN = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"
PARENT = b"00-%b-%b-01" % (TRACE, SPAN)


def test_request_that_says_nothing_costs_nothing() -> None:
    assert make_call({b"host": b"x"}, 5) == Call(5)
    assert echo({b"host": b"x"}) == []


def test_name_trace_and_deadline_are_taken_and_sent_back() -> None:
    headers = {REQUEST_ID: b"order-17", TRACEPARENT: PARENT, TIMEOUT: b"250"}

    assert make_call(headers, 1_000) == Call(1_000, "order-17", TRACE.decode(), 250_001_000)
    assert echo(headers) == [(REQUEST_ID, b"order-17"), (TRACEPARENT, PARENT)]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00",
        PARENT[:-1],
        PARENT + b"-more",
        PARENT + b"0",
        PARENT.upper(),
        b"ff" + PARENT[2:],
        b"00-%b-%b-01" % (b"0" * 32, SPAN),
        b"00-%b-%b-01" % (TRACE, b"0" * 16),
        PARENT.replace(b"-", b"_"),
    ],
)
def test_trace_that_is_not_right_is_ignored(value: bytes) -> None:
    assert find_trace_id(value) == ""
    assert echo({TRACEPARENT: value}) == []


def test_later_version_of_the_standard_may_say_more() -> None:
    assert find_trace_id(b"01" + PARENT[2:] + b"-more") == TRACE.decode()
    assert find_trace_id(b"01" + PARENT[2:] + b".more") == ""


@pytest.mark.parametrize("value", [b"", b"\x01", b"a\tb", "ż".encode(), b"x" * 129])
def test_name_that_cannot_be_kept_is_ignored(value: bytes) -> None:
    assert make_call({REQUEST_ID: value}, 1).request_id == ""
    assert echo({REQUEST_ID: value}) == []


@pytest.mark.parametrize(
    "value", [b"", b"0", b"-1", b"1.5", b"soon", b"%d" % (LONGEST_TIMEOUT_MS + 1), b"9" * 5_000, b"\xb2"]
)
def test_time_that_is_no_number_of_milliseconds_is_refused(value: bytes) -> None:
    with pytest.raises(MalformedError) as refused:
        make_call({TIMEOUT: value}, 1)

    assert refused.value.field == "x-request-timeout-ms"


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from([REQUEST_ID, TRACEPARENT, TIMEOUT]), st.binary(max_size=200)))
def test_whatever_is_sent_is_taken_or_refused(headers: dict[bytes, bytes]) -> None:
    try:
        call = make_call(headers, 1)
    except MalformedError:
        return
    assert len(call.request_id) <= 128
    assert len(call.trace_id) in (0, 32)
    assert all(value.isascii() for _, value in echo(headers))
