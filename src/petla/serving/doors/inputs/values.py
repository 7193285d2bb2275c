"""What a field's values must be: a type for msgspec, and the same in words."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from petla.data.profile.columns import Kind
from petla.models.conversion.timestamps import Form, TimestampType, normalize_timestamp, parse_type
from petla.models.signature import InputField

# 64 bits: what the spool can hold
INT64 = -(2**63), 2**63 - 1

# below this a floating point number is exactly the whole number that was written
EXACT_FLOAT = 2.0**53

_TYPES: dict[Kind, Any] = {
    Kind.BOOLEAN: bool,
    Kind.CATEGORY: str,
    Kind.TEXT: str,
    Kind.TIMESTAMP: str,
    Kind.IMAGE: str,
}
_WORDS = {
    Kind.BOOLEAN: "true or false",
    Kind.CATEGORY: "a text",
    Kind.TEXT: "a text",
    Kind.IMAGE: "a picture as base64 text",
}


def type_of(field: InputField) -> Any:  # noqa: ANN401 - a type for msgspec
    """Return the type of a field's values as JSON carries them; `reader_of` gives what is left to do."""
    kind: Any
    match field.kind:
        case Kind.TENSOR:
            kind = _tensor_of(field)
        case Kind.INTEGER:
            kind = Annotated[int, _bounds(range_of(field.dtype or "int64") or INT64)]
        case Kind.NUMBER:
            limit = largest_of(field)
            kind = float if limit is None else Annotated[float, _bounds((-limit, limit))]
        case _:
            kind = _TYPES[field.kind]
    return kind | None if field.is_nullable else kind


def reader_of(field: InputField) -> Callable[[str], str] | None:
    """Return what checks a decoded value of a field and writes it in the canonical form; None: nothing is left to do.

    It raises ValueError.
    """
    if field.kind is not Kind.TIMESTAMP:
        return None
    return partial(normalize_timestamp, kind=parse_type(field.dtype))


def describe(field: InputField) -> str:
    """Say what a field's values must be."""
    match field.kind:
        case Kind.TENSOR:
            words = _describe_tensor(field)
        case Kind.INTEGER:
            words = _describe_integer(field)
        case Kind.NUMBER:
            limit = largest_of(field)
            words = "a number" if limit is None else f"a number from {-limit:g} to {limit:g}"
        case Kind.TIMESTAMP:
            words = _describe_timestamp(parse_type(field.dtype))
        case _:
            words = _WORDS[field.kind]
    return words + (" or null" if field.is_nullable else "")


def largest_of(field: InputField) -> float | None:
    """Return the largest number that a field's 16 or 32 bits hold; None: it has 64 bits."""
    return float(np.finfo(field.dtype).max) if field.dtype in ("float16", "float32") else None


def range_of(dtype: str) -> tuple[int, int] | None:
    """Return the least and the largest whole number of a type, in 64 bits with a sign; None: it has others."""
    if not np.issubdtype(np.dtype(dtype), np.integer):
        return None
    limits = np.iinfo(dtype)
    return int(limits.min), min(int(limits.max), INT64[1])


def _bounds(limits: tuple[float, float]) -> Meta:
    return Meta(ge=limits[0], le=limits[1])


def _describe_integer(field: InputField) -> str:
    limits = range_of(field.dtype or "int64") or INT64
    return "a whole number" if limits == INT64 else f"a whole number from {limits[0]} to {limits[1]}"


def _describe_timestamp(kind: TimestampType | None) -> str:
    if kind is not None and kind.form is not Form.DATETIME:
        return "a date such as 2013-07-01" if kind.form is Form.DATE else "a time of day such as 12:00:00"
    span = " from 1677-09-22 to 2262-04-11" if kind is not None and kind.unit == "ns" else ""
    return f"a timestamp in ISO 8601{span}, such as 2013-07-01T12:00:00Z"


def _tensor_of(field: InputField) -> Any:  # noqa: ANN401
    limits = range_of(field.dtype)
    number = bool if field.dtype == "bool" else float
    kind: Any = number if limits is None else Annotated[int, Meta(ge=limits[0], le=limits[1])]
    for size in reversed(field.shape):
        kind = Annotated[list[kind], Meta(min_length=size, max_length=size)]
    return kind


def _describe_tensor(field: InputField) -> str:
    limits = range_of(field.dtype)
    numbers = "numbers" if limits is None else f"whole numbers from {limits[0]} to {limits[1]}"
    shape = " lists of ".join(map(str, field.shape))
    return f"a list of {shape} {'times true or false' if field.dtype == 'bool' else numbers}"
