"""How a row's values are laid out for ONNX: all numbers in one input, all strings in another."""

import math

from petla.data.profile.columns import Kind
from petla.models.signature import Row, Signature, Value

# names in the graph
NUMBERS = "numbers"
STRINGS = "strings"
SCORES = "scores"
# what a null string is sent as: two characters of Unicode's private use area, which no data has
NULL = "\ue000\uf8ff"
# metadata of a graph that takes `NULL`; one without it takes nulls as empty strings
NULL_KEY = "petla.null"

_LARGEST = 2**63 - 1

TEXT_KINDS = frozenset({Kind.CATEGORY, Kind.TEXT})
# no graph takes these; a model that does not use them converts all the same
LEFT_OUT_KINDS = frozenset({Kind.TIMESTAMP, Kind.IMAGE})


def split_inputs(signature: Signature) -> tuple[list[int], list[int]]:
    """Return the positions of the inputs that ONNX sees as numbers, and of those that it sees as strings."""
    fields = enumerate(signature.inputs)
    kinds = {i: field.kind for i, field in fields if field.kind not in LEFT_OUT_KINDS}
    strings = [i for i, kind in kinds.items() if kind in TEXT_KINDS]
    return [i for i in kinds if i not in strings], strings


def bound_row(row: Row) -> Row:
    """Turn whole numbers of more than 64 bits, which neither arrays nor frames hold, into the nearest float."""
    return tuple(_to_float(value) if type(value) is int and abs(value) > _LARGEST else value for value in row)


def _to_float(value: int) -> Value:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
