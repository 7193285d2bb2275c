"""The signature: which fields a model takes and what it answers."""

import msgspec

from petla.core.project import Task
from petla.data.profile.columns import Kind

# a value of one field, as JSON carries it
Value = float | int | bool | str | None
# one row, in the order of the signature's inputs
Row = tuple[Value, ...]


class InputField(msgspec.Struct, frozen=True):
    """One field of a request."""

    name: str
    kind: Kind
    # whether null is allowed: training saw missing values
    is_nullable: bool


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """What a model takes and answers."""

    inputs: tuple[InputField, ...]
    target: str
    task: Task
    # in the order of the scores' columns; empty for a regression
    classes: tuple[bool | int | float | str, ...] = ()
