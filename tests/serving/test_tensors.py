"""The raw bytes of tensors: what is written is read again, and what is damaged is refused."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petla.core.errors import InvalidError
from petla.serving.doors.standards.tensors import BYTES, NUMBERS, decode_raw, encode_raw, make_tensor


@st.composite
def number_tensors(draw: st.DrawFn) -> tuple[str, list[int], list[Any]]:
    datatype = draw(st.sampled_from(sorted(NUMBERS)))
    shape = draw(st.lists(st.integers(0, 4), min_size=1, max_size=3))
    dtype = np.dtype(NUMBERS[datatype])
    size = int(np.prod(shape)) * dtype.itemsize
    content = draw(st.binary(min_size=size, max_size=size))
    if datatype == "BOOL":
        content = bytes(byte & 1 for byte in content)
    return datatype, shape, np.frombuffer(content, dtype=dtype).tolist()


@given(number_tensors())
def test_numbers_survive_raw_bytes(tensor: tuple[str, list[int], list[Any]]) -> None:
    datatype, shape, values = tensor

    found = decode_raw("x", datatype, shape, encode_raw(datatype, values))

    np.testing.assert_array_equal(np.array(found.values, dtype=float), np.array(values, dtype=float))
    assert found.shape == tuple(shape)


@given(st.lists(st.binary(max_size=40)))
def test_bytes_survive_raw_bytes(values: list[bytes]) -> None:
    assert decode_raw("x", BYTES, [len(values)], encode_raw(BYTES, values)).values == values


@given(st.binary(max_size=60), st.lists(st.integers(-1, 5), max_size=3), st.sampled_from([*NUMBERS, BYTES, "FP8"]))
def test_garbage_is_read_or_refused(content: bytes, shape: list[int], datatype: str) -> None:
    try:
        found = decode_raw("x", datatype, shape, content)
    except InvalidError:
        return
    assert len(found.values) == np.prod(shape)


def test_raw_bytes_are_little_endian_with_lengths_of_four_bytes() -> None:
    assert encode_raw("INT32", [1, -2]) == b"\x01\0\0\0\xfe\xff\xff\xff"
    assert encode_raw(BYTES, ["ż", b"\0"]) == b"\x02\0\0\0\xc5\xbc\x01\0\0\0\0"


@pytest.mark.parametrize("content", [b"\x05\0\0\0ab", b"\x01\0", struct.pack("<I", 2**32 - 1) + b"x"])
def test_text_that_ends_too_early_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidError, match="end within a value"):
        decode_raw("word", BYTES, [1], content)


@pytest.mark.parametrize("datatype", ["FP64", BYTES])
@pytest.mark.parametrize(
    "shape",
    [[10**9, 10**9], [10**18], [2**62] * 300, [2**62] * 400_000, [1] * 400_000, [-1] * 9, [-(10**5_000)], [10**5_000]],
    ids=len,
)
def test_huge_shape_costs_nothing_and_is_refused_in_few_words(datatype: str, shape: list[int]) -> None:
    with pytest.raises(InvalidError) as raw:
        decode_raw("x" * 1_000_000, datatype, shape, b"")
    with pytest.raises(InvalidError) as typed:
        make_tensor("x" * 1_000_000, datatype, shape, [1.0])

    assert len(str(raw.value)) < 500
    assert len(str(typed.value)) < 500
    assert len(typed.value.field) < 500
