"""Rows with missing, unseen and extreme values: what production will send and no training row looks like."""

from collections.abc import Iterator, Sequence

import numpy as np

from petla.data.profile.columns import Kind
from petla.models.conversion.timestamps import Form, normalize_timestamp, parse_type
from petla.models.signature import InputField, Row, Signature, Value

_BLACK = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
_CLEAR = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
_NUMBERS = (0.0, -1.0, 1e30, -1e30, 1e-30)
_INTEGERS = (0, -1, 2**53, -(2**53))
# as clients write them; the endpoint converts each to the column's type
_TIMESTAMPS = {
    Form.DATE: ("1900-01-01", "2199-12-31"),
    Form.TIME: ("00:00:00", "12:30", "23:59:59.999999"),
    Form.DATETIME: (
        "1900-01-01T00:00:00",
        "2013-07-01T12:00:00Z",
        "2013-07-01T12:00:00.123456789+05:30",
        "2013-07-01",
        "2199-12-31T23:59:59",
    ),
}
_EXTREMES: dict[Kind, tuple[Value, ...]] = {
    Kind.BOOLEAN: (False, True),
    Kind.CATEGORY: ("", "never seen before", "żółć", "x" * 10_000),
    Kind.TEXT: ("", "never seen before", "żółć", "x" * 10_000),
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
    match field.kind:
        case Kind.TENSOR:
            kind = np.dtype(field.dtype)
            most = np.iinfo(kind).max if kind.kind in "iu" else 1
            return tuple(np.full(field.shape, value, dtype=kind).tolist() for value in (0, most))
        case Kind.INTEGER:
            limits = np.iinfo(field.dtype or "int64")
            return _clip(_INTEGERS, int(limits.min), int(limits.max))
        case Kind.NUMBER:
            largest = float(np.finfo(field.dtype or "float64").max)
            return _clip(_NUMBERS, -largest, largest)
        case Kind.TIMESTAMP:
            stored = parse_type(field.dtype)
            form = Form.DATETIME if stored is None else stored.form
            return tuple(normalize_timestamp(text, stored) for text in _TIMESTAMPS[form])
        case _:
            return _EXTREMES[field.kind]


def _clip(values: Sequence[float], least: float, most: float) -> tuple[float, ...]:
    """Return values that a column's type holds, its limits in the place of those beyond them."""
    return tuple(dict.fromkeys(min(max(value, least), most) for value in values))


def _show(value: Value) -> str:
    if value is None:
        return "null"
    text = repr(value)
    return text if len(text) <= 30 else f"a text of {len(str(value)):,} characters"
