"""CSV is read column by column; rows and faults are as if each value were read by itself."""

import contextlib
import csv
import io
import math
from collections.abc import Callable
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from petla.core.errors import InvalidError
from petla.data.profile.columns import Kind
from petla.models.signature import InputField, Signature
from petla.serving.doors.inputs.texts import read_csv
from petla.serving.doors.schema import Schema

KINDS = (Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN, Kind.CATEGORY, Kind.TIMESTAMP)
WHOLE = ["", "0", "1", "-3", "+2", " 7 ", "3.0", "9223372036854775807", "\N{ARABIC-INDIC DIGIT THREE}"]
ODD = ["true", "FALSE", "yes", "2.5", "1_000", "--3", "nan", "-inf", "1e400", "1e30", "9" * 19, "9" * 5_000]
ODD += ["\N{SUPERSCRIPT TWO}", "pl", 'a "b",\nc', "null", "[1", "\0"]
BOOLEANS = {"true": True, "false": False, "1": True, "0": False}

_fields = st.lists(st.tuples(st.sampled_from(KINDS), st.booleans()), min_size=1, max_size=4)
# a column holds what is usual, and sometimes something else
_columns = st.lists(
    st.one_of(
        st.lists(st.sampled_from(WHOLE), min_size=6, max_size=6),
        st.lists(st.sampled_from(WHOLE + ODD), min_size=6, max_size=6),
    ),
    min_size=5,
    max_size=5,
)
_heads: st.SearchStrategy[list[str]] = st.one_of(
    st.just([]), st.lists(st.sampled_from(["f0", "f1", "f2", "f3", "other"]), min_size=1, max_size=5)
)


def read_by_itself(field: InputField | None, text: str) -> Any:  # noqa: ANN401 - a JSON value
    """The rule for one value."""
    if field is None:
        return text
    is_number = field.kind in (Kind.NUMBER, Kind.INTEGER)
    if field.is_nullable and (not text or (is_number and text.strip().lower() == "nan")):
        return None
    with contextlib.suppress(ValueError):
        match field.kind:
            case Kind.NUMBER:
                return float(text) if is_plain(text) else text
            case Kind.INTEGER:
                whole = text.strip().removesuffix(".0")
                if not is_plain(text):
                    return text
                return int(whole) if whole.lstrip("+-").isdigit() else float(text)
            case Kind.BOOLEAN:
                return BOOLEANS.get(text.strip().lower(), text)
    return text


def is_plain(text: str) -> bool:
    """Whether a text is a finite number in ASCII, without underscores."""
    return text.isascii() and "_" not in text and math.isfinite(float(text))


def outcome(take: Callable[[], Any]) -> str:
    try:
        return repr(take())
    except InvalidError as error:
        return repr((type(error), error.message, error.hint, error.field, error.faults))


@settings(max_examples=100, deadline=None)
@given(fields=_fields, columns=_columns, head=_heads, n_rows=st.integers(1, 6))
@example(fields=[(Kind.INTEGER, False)], columns=[["9_007_199_254_740_993"] * 6] * 5, head=[], n_rows=1)
@example(fields=[(Kind.INTEGER, True)], columns=[["3.0", ""] * 3] * 5, head=[], n_rows=6)
@example(fields=[(Kind.NUMBER, True)], columns=[["1"] * 6, ["2"] * 6] * 2, head=["f0", "f0"], n_rows=2)
def test_table_is_read_as_if_each_value_were_read_by_itself(
    fields: list[tuple[Kind, bool]], columns: list[list[str]], head: list[str], n_rows: int
) -> None:
    inputs = tuple(InputField(f"f{i}", kind, is_nullable) for i, (kind, is_nullable) in enumerate(fields))
    signature = Signature(inputs=inputs, target="y", task="binary", classes=(False, True))
    names = head or [field.name for field in inputs]
    rows = [list(row) for row in zip(*columns[: len(names)], strict=True)][:n_rows]
    known = {field.name: field for field in inputs}
    records = [
        {name: read_by_itself(known.get(name), text) for name, text in zip(names, row, strict=True)} for row in rows
    ]
    text = io.StringIO()
    csv.writer(text).writerows([names, *rows])
    # looks at every value by itself
    slow = Schema(signature)
    slow._is_plain = False

    taken = outcome(lambda: Schema(signature).take_table(*read_csv(text.getvalue().encode(), signature)))

    assert taken == outcome(lambda: slow.take_records(records))


def test_nested_text_of_an_array_stays_a_text_that_is_refused() -> None:
    field = InputField("x", Kind.TENSOR, is_nullable=False, dtype="float32", shape=(2,))
    signature = Signature(inputs=(field,), target="y", task="binary", classes=(False, True))
    bodies = [b'x\n"[1,2]"\n', b"x\n" + b"[" * 5_000 + b"\n"]

    taken = [outcome(lambda: Schema(signature).take_table(*read_csv(body, signature))) for body in bodies]  # noqa: B023

    assert taken[0] == "[([1.0, 2.0],)]"
    assert "but must be a list of 2 numbers" in taken[1]
