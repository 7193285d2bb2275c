"""What a body must be: the fast decoder and the slow look say the same, and every fault is named."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petla.core.errors import InvalidError, MalformedError
from petla.data.profile.columns import Kind
from petla.models.signature import InputField, Row, Signature
from petla.serving.doors.feedback import decode_feedback
from petla.serving.doors.schema import FAULT_LIMIT, Schema

KINDS = {
    "temp": Kind.NUMBER,
    "count": Kind.INTEGER,
    "is_open": Kind.BOOLEAN,
    "city name": Kind.CATEGORY,
    "at": Kind.TIMESTAMP,
}
FIELDS = tuple(InputField(name, kind, is_nullable=name == "count") for name, kind in KINDS.items())
SCHEMA = Schema(Signature(inputs=FIELDS, target="y", task="regression"))
GOOD: dict[str, Any] = {"temp": 1.5, "count": 3, "is_open": True, "city name": "Łódź", "at": "2013-07-01"}
ROW: Row = (1.5, 3, True, "Łódź", "2013-07-01")


def decode(body: object) -> tuple[list[Row], bool]:
    return SCHEMA.decode(body if isinstance(body, bytes) else json.dumps(body).encode())


def faults_of(body: object) -> dict[str, str]:
    with pytest.raises(InvalidError) as caught:
        decode(body)
    return {fault.field: f"{fault.message} {fault.hint}".strip() for fault in caught.value.faults}


def test_object_gives_one_row_in_the_order_of_the_signature() -> None:
    assert decode(dict(reversed(GOOD.items()))) == ([ROW], False)


def test_list_gives_rows() -> None:
    assert decode([GOOD, GOOD]) == ([ROW, ROW], True)
    assert decode(b" \n[" + json.dumps(GOOD).encode() + b"]") == ([ROW], True)


@pytest.mark.parametrize("name", ['said "no"', "back\\slash", "new\nline", "id", "f0", "", "Łódź"])
def test_any_column_name_works(name: str) -> None:
    field = InputField(name, Kind.NUMBER, is_nullable=False)
    schema = Schema(Signature(inputs=(field,), target="y", task="regression"))

    assert schema.decode(json.dumps([{name: 1}]).encode()) == ([(1.0,)], True)
    with pytest.raises(InvalidError, match="is an unknown field"):
        schema.decode(b'{"other": 1}')


@pytest.mark.parametrize(
    ("field", "value", "accepted"),
    [("temp", 2, 2.0), ("temp", -(10**30), -1e30), ("count", 3.0, 3), ("count", None, None), ("city name", "", "")],
)
def test_value_of_a_near_kind_is_accepted(field: str, value: object, accepted: object) -> None:
    (row,), _ = decode(GOOD | {field: value})

    assert row[list(KINDS).index(field)] == accepted
    assert type(row[list(KINDS).index(field)]) is type(accepted)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("temp", True, "is true, but must be a number"),
        ("temp", "1.5", 'is "1.5", but must be a number'),
        ("temp", None, "is null, but must be a number"),
        ("temp", [1.5], "is a list, but must be a number"),
        ("count", 3.5, "is 3.5, but must be a whole number or null"),
        ("count", 2**63, "is 9223372036854775808, but must be a whole number or null"),
        ("count", False, "is false, but must be a whole number or null"),
        ("is_open", 1, "is 1, but must be true or false"),
        ("city name", 7, "is 7, but must be a text"),
        ("at", 7, "is 7, but must be a timestamp in ISO 8601, such as 2013-07-01T12:00:00Z"),
    ],
)
def test_value_of_another_kind_is_named(field: str, value: object, message: str) -> None:
    assert faults_of(GOOD | {field: value}) == {field: message}


def test_every_fault_is_named_at_once() -> None:
    body = {"tmp": 1, "count": "x", "is_open": True, "city name": "a", "at": "2026-03-01"}

    assert faults_of(body) == {
        "tmp": "is an unknown field did you mean 'temp'?",
        "temp": "is missing; it must be a number",
        "count": 'is "x", but must be a whole number or null',
    }


def test_fault_in_a_list_has_the_index_of_its_row() -> None:
    assert faults_of([GOOD, 3, GOOD | {"temp": "x"}]) == {
        "[1]": "is 3, but must be an object",
        "[2].temp": 'is "x", but must be a number',
    }


def test_missing_field_that_may_be_null_says_so() -> None:
    body = {name: value for name, value in GOOD.items() if name != "count"}

    expected = "is missing; it must be a whole number or null send null where it is not known"
    assert faults_of(body) == {"count": expected}


def test_number_of_faults_is_limited() -> None:
    assert len(faults_of([{}] * 1_000)) <= FAULT_LIMIT
    assert len(faults_of({f"x{i}": 1 for i in range(10_000)})) == FAULT_LIMIT


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty"),
        (b"  ", "the body is empty"),
        (b"{", "the body is not JSON"),
        (b"{'temp': 1}", "the body is not JSON"),
        (b"hello", "the body is not JSON"),
        (b'{"temp": NaN}', "temp is NaN, which JSON does not have"),
        (b'[{"temp": 1}, {"temp": -Infinity}]', r"\[1\].temp is -Infinity, which JSON does not have"),
        (b'{"temp": 1e999}', "temp is a number out of range"),
        (b'{"temp": ' + b"9" * 10_000 + b"}", "the body is not JSON"),
        (b"[" * 100_000, "the body is nested too deeply"),
        (b'{"temp": ' + b"[" * 100_000, "the body is nested too deeply"),
        (b'{"city name": "\xff"}', "the body is not UTF-8"),
        (b'{"city name": "\\ud800"}', "the body is not JSON"),
        (b"\x00\x01\x02", "the body is not JSON"),
    ],
)
def test_body_that_is_no_json_is_malformed(body: bytes, message: str) -> None:
    with pytest.raises(MalformedError, match=message):
        decode(body)


@pytest.mark.parametrize("body", [b"[]", b"{}", b"3", b'"text"', b"null", b"true", b"[[]]", b"[3]"])
def test_json_of_another_form_is_invalid(body: bytes) -> None:
    with pytest.raises(InvalidError) as caught:
        decode(body)

    assert not isinstance(caught.value, MalformedError)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_any_bytes_are_rows_or_one_of_our_errors(body: bytes) -> None:
    with pytest.raises(InvalidError):
        decode(body)


VALUES: st.SearchStrategy[object] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.just([]),
)


def rows_or_none(body: bytes) -> list[Row] | None:
    try:
        return decode(body)[0]
    except InvalidError:
        return None


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*KINDS, "other"]), VALUES))
def test_fast_and_slow_look_say_the_same(fields: dict[str, object]) -> None:
    body = json.dumps(GOOD | fields).encode()

    # Space in front sends a body down the slow way.
    assert rows_or_none(body) == rows_or_none(b" " + body)


@pytest.mark.parametrize(
    ("truth", "message", "hint"),
    [
        (b"NaN", "truth is NaN, which JSON does not have", "send a label once it is known"),
        (b"null", "truth is null, but must be", ""),
        (b"{}", "truth is {}, but must be", ""),
    ],
)
def test_label_that_is_none_is_refused_in_words_of_json(truth: bytes, message: str, hint: str) -> None:
    with pytest.raises((InvalidError, MalformedError)) as refused:
        decode_feedback(b'{"id": "x", "truth": %b}' % truth, 1)

    assert refused.value.message.startswith(message)
    assert refused.value.hint == hint
