"""The signature: which fields a model takes and what it answers."""

import base64
from typing import Any

import msgspec

from petla.core.project import Task
from petla.data.profile.columns import Kind

# A value of one field, as JSON carries it: a picture as base64 text, a tensor as a list, nested as its shape says.
Value = float | int | bool | str | list[Any] | None
# one row, in the order of the signature's inputs
Row = tuple[Value, ...]


class InputField(msgspec.Struct, frozen=True):
    """One field of a request."""

    name: str
    kind: Kind
    # whether null is allowed: training saw missing values
    is_nullable: bool
    # the type that training stored: of numbers and of a tensor's numbers NumPy's name, of timestamps that of
    # `TimestampType`. Empty: not known, as in packages of earlier releases.
    dtype: str = ""
    # of one row's tensor
    shape: tuple[int, ...] = ()


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """What a model takes and answers."""

    inputs: tuple[InputField, ...]
    target: str
    task: Task
    # in the order of the scores' columns; empty for a regression
    classes: tuple[bool | int | float | str, ...] = ()


def decode_picture(text: str) -> bytes:
    """Return the bytes of a picture from base64 text, which may be a `data:` address.

    Raises:
        ValueError: it is no base64.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    return base64.b64decode(text, validate=True)
