"""Tensors of the Open Inference Protocol, and their raw bytes.

Raw bytes are little-endian and row by row. A text or another string of bytes is its length in four bytes, then itself.

Source: KServe, Open Inference Protocol, "Binary Tensor Data Extension" and "Tensor Data Types".
"""

import math
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from petla.core.errors import InvalidError

BYTES = "BYTES"
BOOL = "BOOL"
INT64 = "INT64"
FP64 = "FP64"
# datatype -> how NumPy reads its raw bytes
NUMBERS = {
    BOOL: "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    INT64: "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    FP64: "<f8",
}
_DATATYPES = {np.dtype(code): name for name, code in NUMBERS.items()}
_LENGTH = struct.Struct("<I")
_LONGEST_SHOWN = 60
# Fields of more dimensions are not known to anybody; the values are those of a body of some MiB.
MOST_DIMENSIONS = 8
MOST_VALUES = 2**31


class Tensor(NamedTuple):
    """A named array, its values one after the other."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    # bool, int, float, or for BYTES bytes or str
    values: Sequence[Any]


def make_tensor(name: str, datatype: str, shape: Sequence[int], values: Sequence[Any]) -> Tensor:
    """Put an array together.

    Raises:
        InvalidError: the datatype is none, or the shape holds another number of values.
    """
    count = count_of(name, datatype, shape)
    if len(values) != count:
        raise InvalidError(
            f"{_show(name)} has {len(values)} values, but its shape {list(shape)} holds {count}",
            field=name[:_LONGEST_SHOWN],
        )
    return Tensor(name, datatype, tuple(shape), values)


def count_of(name: str, datatype: str, shape: Sequence[int]) -> int:
    """Return how many values a shape holds.

    Raises:
        InvalidError: the datatype is none, or the shape is; nothing is multiplied that is not bounded.
    """
    if datatype != BYTES and datatype not in NUMBERS:
        raise InvalidError(
            f"{_show(name)} has the datatype {datatype[:_LONGEST_SHOWN]!r}, which is not known",
            hint=f"use one of {', '.join([*NUMBERS, BYTES])}",
            field=name[:_LONGEST_SHOWN],
        )
    if len(shape) > MOST_DIMENSIONS:
        raise InvalidError(
            f"{_show(name)} has a shape of {len(shape)} dimensions",
            hint=f"send at most {MOST_DIMENSIONS}, the first for the rows",
            field=name[:_LONGEST_SHOWN],
        )
    if not shape or min(shape) < 0:
        shown = list(shape) if all(abs(size) <= MOST_VALUES for size in shape) else "of such sizes"
        raise InvalidError(f"{_show(name)} has the shape {shown}, which is none", field=name[:_LONGEST_SHOWN])
    count = math.prod(shape) if max(shape) <= MOST_VALUES else MOST_VALUES + 1
    if count > MOST_VALUES:
        raise InvalidError(
            f"{_show(name)} has a shape of more than {MOST_VALUES} values",
            hint="send the rows in several requests",
            field=name[:_LONGEST_SHOWN],
        )
    return count


def decode_raw(name: str, datatype: str, shape: Sequence[int], content: bytes) -> Tensor:
    """Read a tensor's raw bytes.

    Raises:
        InvalidError: there are more or fewer than its shape needs.
    """
    count = count_of(name, datatype, shape)
    if datatype == BYTES:
        return make_tensor(name, datatype, shape, _split(name, content))
    dtype = np.dtype(NUMBERS[datatype])
    if len(content) != count * dtype.itemsize:
        raise InvalidError(
            f"{_show(name)} has {len(content)} raw bytes, but {list(shape)} of {datatype} needs "
            f"{count * dtype.itemsize}",
            field=name[:_LONGEST_SHOWN],
        )
    return Tensor(name, datatype, tuple(shape), np.frombuffer(content, dtype=dtype).tolist())


def encode_raw(datatype: str, values: Sequence[Any]) -> bytes:
    """Write values as raw bytes."""
    if datatype != BYTES:
        return np.array(values, dtype=NUMBERS[datatype]).tobytes()
    parts = [value.encode() if isinstance(value, str) else value for value in values]
    return b"".join(piece for part in parts for piece in (_LENGTH.pack(len(part)), part))


def datatype_of(dtype: str) -> str:
    """Return the datatype of NumPy's name for it."""
    return _DATATYPES[np.dtype(dtype).newbyteorder("<")]


def _split(name: str, content: bytes) -> list[bytes]:
    parts, start = [], 0
    while start < len(content):
        body = start + _LENGTH.size
        end = body + _LENGTH.unpack_from(content, start)[0] if body <= len(content) else body
        if end > len(content):
            raise InvalidError(
                f"the raw bytes of {_show(name)} end within a value",
                hint="write each text as its length in four bytes, then its bytes",
                field=name[:_LONGEST_SHOWN],
            )
        parts.append(content[body:end])
        start = end
    return parts


def _show(name: str) -> str:
    return f"input {name[:_LONGEST_SHOWN]!r}"
