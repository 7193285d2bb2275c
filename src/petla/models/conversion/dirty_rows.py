"""Rows with missing, unseen and extreme values: what production will send and no training row looks like."""

from collections.abc import Iterator, Sequence

import numpy as np

from petla.data.profile.columns import Kind
from petla.models.signature import InputField, Row, Signature, Value

_BLACK = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
_CLEAR = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
_EXTREMES: dict[Kind, tuple[Value, ...]] = {
    Kind.NUMBER: (0.0, -1.0, 1e30, -1e30, 1e-30),
    Kind.INTEGER: (0, -1, 2**53, -(2**53)),
    Kind.BOOLEAN: (False, True),
    Kind.CATEGORY: ("", "never seen before", "żółć", "x" * 10_000),
    Kind.TEXT: ("", "never seen before", "żółć", "x" * 10_000),
    Kind.TIMESTAMP: ("1900-01-01T00:00:00", "2199-12-31T23:59:59"),
    # a black pixel, and a transparent one
    Kind.IMAGE: (_BLACK, _CLEAR),
}


def list_dirty_rows(signature: Signature, rows: Sequence[Row]) -> Iterator[tuple[str, Row]]:
    """Yield rows that a signature allows and no training row looks like, each with what is wrong with it.

    Args:
        signature: says what may be sent.
        rows: of the holdout; the first without missing values is what the dirty rows are made from.
    """
    fields = signature.inputs
    sample = next((row for row in rows if None not in row), rows[0])
    for i, field in enumerate(fields):
        for value in (*((None,) if field.is_nullable else ()), *_list_extremes(field)):
            yield f"{field.name} = {_show(value)}", (*sample[:i], value, *sample[i + 1 :])
    yield (
        "every nullable field null",
        tuple(None if field.is_nullable else value for field, value in zip(fields, sample, strict=True)),
    )
    for which in (0, -1):
        yield "every field extreme at once", tuple(_list_extremes(field)[which] for field in fields)


def _list_extremes(field: InputField) -> tuple[Value, ...]:
    if field.kind is not Kind.TENSOR:
        return _EXTREMES[field.kind]
    kind = np.dtype(field.dtype)
    largest = np.iinfo(kind).max if kind.kind in "iu" else 1
    return tuple(np.full(field.shape, value, dtype=kind).tolist() for value in (0, largest))


def _show(value: Value) -> str:
    if value is None:
        return "null"
    text = repr(value)
    return text if len(text) <= 30 else f"a text of {len(str(value)):,} characters"
