"""A package in ONNX, scored in this process."""

import struct
from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petla.core.errors import CorruptError, UserCodeError
from petla.data.profile.columns import Kind
from petla.models.runtime.layout import NULL_KEY, NUMBERS, SCORES, STRINGS, bound_row, split_inputs
from petla.models.signature import Row, Signature, Value

_FATAL_ONLY = 4
_HINT = "correct the pipeline so that its model takes every row that its signature allows, then 'petla run'"


class OnnxRuntime:
    """Scores rows with ONNX Runtime.

    Args:
        content: the model, made by `convert`.
        signature: gives the order of the values.
        threads: for one call.

    Raises:
        CorruptError: it is no ONNX model.
    """

    is_fast = True

    def __init__(self, content: bytes, signature: Signature, *, threads: int = 1) -> None:
        session = _open_session(content, threads)
        self._errors = _list_errors()
        self._run: Callable[..., list[NDArray[Any]]] = session.run
        # what stands before trees is computed in 64 bits; see `convert`
        is_double = any(each.name == NUMBERS and each.type == "tensor(double)" for each in session.get_inputs())
        self._number_type = np.float64 if is_double else np.float32
        self._null: str = session.get_modelmeta().custom_metadata_map.get(NULL_KEY, "")
        numbers, strings = split_inputs(signature)
        self._numbers = _picker(numbers)
        self._strings = _picker(strings)
        # the only input: its numbers become one axis
        self._is_tensor = any(field.kind is Kind.TENSOR for field in signature.inputs)
        self._is_regression = signature.task == "regression"

    def score(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """Score rows; see `Runtime.score`."""
        feed: dict[str, NDArray[Any]] = {}
        if self._numbers is not None:
            feed[NUMBERS] = _to_numbers(list(map(self._numbers, rows)), self._number_type)
            if self._is_tensor:
                feed[NUMBERS] = feed[NUMBERS].reshape(len(rows), -1)
        if self._strings is not None:
            feed[STRINGS] = _to_strings(list(map(self._strings, rows)), self._null)
        try:
            scores: NDArray[np.float64] = self._run([SCORES], feed)[0].astype(np.float64)
        except self._errors as error:
            raise UserCodeError(f"the model failed in ONNX Runtime: {error}", hint=_HINT, field="model") from error
        return scores[:, 0] if self._is_regression else scores

    def close(self) -> None:
        """Nothing to give back: memory goes with the object."""


def _open_session(content: bytes, threads: int) -> Any:  # noqa: ANN401 - the library has no types
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except _list_errors() as error:
        raise CorruptError(
            f"ONNX Runtime cannot read the model: {error}", hint="make it again with 'petla run'"
        ) from error


def _list_errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as ort

    return (
        ort.Fail,
        ort.InvalidArgument,
        ort.InvalidGraph,
        ort.InvalidProtobuf,
        ort.NotImplemented,
        ort.RuntimeException,
    )


def _picker(positions: list[int]) -> Callable[[Row], tuple[Value, ...]] | None:
    if not positions:
        return None
    first, behind = positions[0], positions[-1] + 1
    if positions == list(range(first, behind)):
        return itemgetter(slice(first, behind))
    return itemgetter(*positions)


def _to_numbers(values: list[tuple[Value, ...]], kind: type[np.floating[Any]]) -> NDArray[Any]:
    """Return numbers as ONNX takes them; None becomes NaN. What float32 cannot hold is infinite."""
    try:
        # twice as fast as numpy, which takes whatever it is
        packed = struct.pack(f"{len(values) * len(values[0])}d", *chain.from_iterable(values))
    except (struct.error, OverflowError):
        return _take_each(values, kind)
    numbers: NDArray[Any] = np.frombuffer(packed).reshape(len(values), -1)
    if kind is np.float64:
        return numbers
    with np.errstate(over="ignore"):
        return numbers.astype(kind)


def _take_each(values: list[tuple[Value, ...]], kind: type[np.floating[Any]]) -> NDArray[Any]:
    """Return what is not only numbers: None among them, tensors, and whole numbers that not even float64 can hold."""
    with np.errstate(over="ignore"):
        try:
            return np.array(values, dtype=kind)
        except OverflowError:
            return np.array([bound_row(row) for row in values], dtype=kind)


def _to_strings(values: list[tuple[Value, ...]], null: str) -> NDArray[np.object_]:
    flat: list[Value] = list(chain.from_iterable(values))
    if None in flat:
        flat = [null if value is None else value for value in flat]
    return np.array(flat, dtype=object).reshape(len(values), -1)
