"""What a field's values must be: a type for msgspec, and the same in words."""

from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from petla.data.profile.columns import Kind
from petla.models.signature import InputField

# 64 bits: what the spool can hold
INT64 = -(2**63), 2**63 - 1

_Integer = Annotated[int, Meta(ge=INT64[0], le=INT64[1])]
_TYPES: dict[Kind, Any] = {
    Kind.NUMBER: float,
    Kind.INTEGER: _Integer,
    Kind.BOOLEAN: bool,
    Kind.CATEGORY: str,
    Kind.TEXT: str,
    Kind.TIMESTAMP: str,
    Kind.IMAGE: str,
}
_WORDS = {
    Kind.NUMBER: "a number",
    Kind.INTEGER: "a whole number",
    Kind.BOOLEAN: "true or false",
    Kind.CATEGORY: "a text",
    Kind.TEXT: "a text",
    Kind.TIMESTAMP: "a text with a moment, such as 2013-07-01T12:00:00Z",
    Kind.IMAGE: "a picture as base64 text",
}


def type_of(field: InputField) -> Any:  # noqa: ANN401 - a type for msgspec
    """Return the type of a field's values."""
    kind = _tensor_of(field) if field.kind is Kind.TENSOR else _TYPES[field.kind]
    return kind | None if field.is_nullable else kind


def describe(field: InputField) -> str:
    """Say what a field's values must be."""
    words = _describe_tensor(field) if field.kind is Kind.TENSOR else _WORDS[field.kind]
    return words + (" or null" if field.is_nullable else "")


def range_of(dtype: str) -> tuple[int, int] | None:
    """Return the least and the largest whole number of a type, in 64 bits with a sign; None: it has others."""
    if not np.issubdtype(np.dtype(dtype), np.integer):
        return None
    limits = np.iinfo(dtype)
    return int(limits.min), min(int(limits.max), INT64[1])


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
