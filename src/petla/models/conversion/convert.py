"""From a scikit-learn estimator to ONNX with two inputs, numbers and strings (needs the extra `train`).

The converter wants one input per column. Feeding 25 columns costs 31 microseconds a row, feeding two costs 17
(100 trees, 20 numbers, 5 strings): so the graph gets two inputs, split inside; where it would put all of them
together again, neither happens.
"""

import contextlib
import logging
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from petla.core.errors import UserCodeError
from petla.data.profile.columns import Kind
from petla.models.conversion.doubles import compute_in_double
from petla.models.conversion.encoders import list_converters, list_shapes
from petla.models.conversion.votes import sum_votes
from petla.models.runtime.layout import (
    LEFT_OUT_KINDS,
    NULL,
    NULL_KEY,
    NUMBERS,
    SCORES,
    STRINGS,
    TEXT_KINDS,
    split_inputs,
)
from petla.models.signature import Signature
from petla.pipeline.execution.user_code import guarded

if TYPE_CHECKING:
    import onnx

_REASON_LENGTH = 300
_NO_CONVERTER = re.compile(
    r"Unable to find a (?:shape calculator|converter) for (?:type|model type) '<class '[\w.]*?(\w+)'>'"
)
# the converter would draw one, and the same model would have other bytes each time
_NAME = "petla"
_LOCALE = "C.UTF-8"
# scikit-learn's two usual patterns as they are converted, and what finds the same words beyond ASCII
_TOKEN_PATTERNS = {
    rb"[a-zA-Z0-9_]+": rb"[\p{L}\p{N}_][\p{L}\p{N}_]+",
    rb"(?u)\b\w+\b": rb"[\p{L}\p{N}_]+",
}
# ten times the rounding of float32
_TRIFLE = 1e-6
# a name that no column has
_ALL_NUMBERS = "petla_all_numbers"

logger = logging.getLogger(__name__)


class Conversion(msgspec.Struct, frozen=True):
    """ONNX models to choose from, the most faithful first; or why there is none."""

    contents: tuple[bytes, ...]
    reason: str = ""


def convert(estimator: object, signature: Signature) -> Conversion:
    """Convert an estimator to an ONNX model.

    Returns:
        A model with the inputs `numbers` float32 or float64 (n_rows, n_numbers) and `strings` (n_rows, n_strings),
        each only if it has columns, in the order of the signature; and the output `scores` (n_rows, n_classes), or
        (n_rows, 1) for a regression. Or the reason why it cannot be expressed so.
    """
    if not any(split_inputs(signature)):
        return Conversion((), "none of its inputs is a number or a string, and ONNX takes nothing else")
    if len(signature.inputs) > 1 and any(field.kind is Kind.TENSOR for field in signature.inputs):
        return Conversion((), "it takes arrays beside other inputs")
    try:
        import skl2onnx  # noqa: F401
    except ImportError:
        return Conversion((), "the converter is not installed; it comes with the extra 'train'")
    forms = [(estimator, False)]
    careful = compute_in_double(estimator)
    if careful is not None:
        forms.insert(0, (careful, True))
    contents: list[bytes] = []
    reason = ""
    for form, is_double in forms:
        try:
            with guarded("conversion", Path.cwd(), field="model"):
                contents += _list_contents(form, signature, is_double=is_double)
        except UserCodeError as error:
            logger.info("conversion.failed", extra={"estimator": type(form).__name__}, exc_info=True)
            reason = f"it does not convert to ONNX: {_explain(error)}"
    return Conversion(tuple(contents), "" if contents else reason)


def _explain(error: UserCodeError) -> str:
    message = " ".join(str(error.__cause__ or error.message).split())
    unknown = _NO_CONVERTER.search(message)
    return f"no converter for {unknown[1]} is installed" if unknown else message[:_REASON_LENGTH]


def _list_contents(estimator: object, signature: Signature, *, is_double: bool) -> list[bytes]:
    from onnx import helper

    model = _convert_any(estimator, signature, is_double=is_double)
    _keep_scores(model.graph)
    _merge_inputs(model.graph, signature, is_double=is_double)
    _read_all_letters(model.graph)
    helper.set_model_props(model, {NULL_KEY: NULL})
    as_converted = model.SerializeToString()
    summed = [model.SerializeToString()] if sum_votes(model.graph) else []
    return [*summed, as_converted, *_raise_thresholds(model)]


def _convert_any(estimator: object, signature: Signature, *, is_double: bool) -> "onnx.ModelProto":
    """Convert with one input for all numbers; with one for each column where there are strings or columns are named."""
    numbers, _ = split_inputs(signature)
    is_whole = len(numbers) == len(signature.inputs)
    width = sum(math.prod(signature.inputs[i].shape) for i in numbers)
    if is_whole:
        # a column transformer that picks by name does not find its columns in one input
        with contextlib.suppress(UserCodeError), guarded("conversion", Path.cwd(), field="model"):
            return _convert_with(estimator, [(_ALL_NUMBERS, _number_type(is_double=is_double)([None, width]))])
    return _convert_with(estimator, _list_column_types(signature, _number_type(is_double=is_double)))


def _number_type(*, is_double: bool) -> Any:  # noqa: ANN401 - a class of the converter's
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    return DoubleTensorType if is_double else FloatTensorType


def _list_column_types(signature: Signature, number_type: Any) -> list[tuple[str, Any]]:  # noqa: ANN401
    from skl2onnx.common.data_types import StringTensorType

    # what no graph takes is declared as strings, so that it is found by name, and refused where it is used
    return [
        (
            field.name,
            StringTensorType([None, 1]) if field.kind in TEXT_KINDS | LEFT_OUT_KINDS else number_type([None, 1]),
        )
        for field in signature.inputs
    ]


def _convert_with(estimator: object, types: list[tuple[str, Any]]) -> "onnx.ModelProto":
    import warnings

    from skl2onnx import convert_sklearn
    from sklearn.base import is_classifier

    options = {"zipmap": False} if is_classifier(estimator) else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: onnx.ModelProto = convert_sklearn(
            estimator,
            _NAME,
            initial_types=types,
            options=options,
            custom_conversion_functions=list_converters(),
            custom_shape_calculators=list_shapes(),
        )
    return model


def _merge_inputs(graph: "onnx.GraphProto", signature: Signature, *, is_double: bool) -> None:
    """Replace one input per column by one for all numbers and one for all strings."""
    from onnx import TensorProto, helper

    if [each.name for each in graph.input] == [_ALL_NUMBERS]:
        _rename(graph, {_ALL_NUMBERS: NUMBERS})
        graph.input[0].name = NUMBERS
        return
    # in the signature's order, but with names of the converter's own; it makes none with a space
    _rename(graph, {each.name: f"column {i}" for i, each in enumerate(graph.input)})
    del graph.input[:]
    _require_left_out(graph, signature)
    kinds = ((NUMBERS, TensorProto.DOUBLE if is_double else TensorProto.FLOAT), (STRINGS, TensorProto.STRING))
    for (name, kind), positions in zip(kinds, split_inputs(signature), strict=True):
        if positions:
            columns = [f"column {i}" for i in positions]
            graph.input.append(helper.make_tensor_value_info(name, kind, [None, len(columns)]))
            _feed_columns(graph, name, columns)


def _require_left_out(graph: "onnx.GraphProto", signature: Signature) -> None:
    used = {name for node in graph.node for name in node.input}
    for i, field in enumerate(signature.inputs):
        if field.kind in LEFT_OUT_KINDS and f"column {i}" in used:
            raise NotImplementedError(f"it uses the column {field.name!r} of the kind {field.kind}, which ONNX lacks")


def _read_all_letters(graph: "onnx.GraphProto") -> None:
    """Take words of all alphabets, lowered in a locale that every machine with glibc has.

    Without a name ONNX Runtime wants the locale en_US, which few container images have.
    """
    from onnx import helper

    for node in graph.node:
        if node.op_type == "StringNormalizer" and not any(each.name == "locale" for each in node.attribute):
            node.attribute.append(helper.make_attribute("locale", _LOCALE))
        for attribute in node.attribute:
            if node.op_type == "Tokenizer" and attribute.name == "tokenexp":
                attribute.s = _TOKEN_PATTERNS.get(attribute.s, attribute.s)


def _feed_columns(graph: "onnx.GraphProto", merged: str, columns: list[str]) -> None:
    import numpy as np
    from onnx import helper, numpy_helper

    for node in list(graph.node):
        is_merging = node.op_type == "Concat" and [a.i for a in node.attribute if a.name == "axis"] in ([1], [-1])
        if is_merging and list(node.input) == columns:
            graph.node.remove(node)
            _rename(graph, {node.output[0]: merged})
    if any(name in columns for node in graph.node for name in node.input):
        # the sizes are an input since opset 13; the attribute num_outputs came only with 18
        sizes = f"{merged} sizes"
        graph.initializer.append(numpy_helper.from_array(np.ones(len(columns), dtype=np.int64), sizes))
        graph.node.insert(0, helper.make_node("Split", [merged, sizes], columns, axis=1))


def _keep_scores(graph: "onnx.GraphProto") -> None:
    """Drop the decided label, which the answer's threshold decides anew, and what leads to it; name what is left."""
    while len(graph.output) > 1:
        del graph.output[0]
    _rename(graph, {graph.output[0].name: SCORES})
    graph.output[0].name = SCORES
    needed = {SCORES}
    for node in reversed(list(graph.node)):
        if needed.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            needed.update(node.input)


def _raise_thresholds(model: "onnx.ModelProto") -> Iterator[bytes]:
    """Yield the same trees with every threshold raised by a trifle.

    Thresholds of histogram boosting are values that occur in the data, and an equal value goes left. Scaled in float32
    it may come out a trifle larger and would go right: of 20,000 rows 243 did, and none with raised thresholds.
    """
    thresholds = [
        attribute
        for node in model.graph.node
        if node.op_type.startswith("TreeEnsemble")
        for attribute in node.attribute
        if attribute.name == "nodes_values"
    ]
    for attribute in thresholds:
        raised = [value + _TRIFLE * max(abs(value), 1.0) for value in attribute.floats]
        del attribute.floats[:]
        attribute.floats.extend(raised)
    if thresholds:
        yield model.SerializeToString()


def _rename(graph: "onnx.GraphProto", names: dict[str, str]) -> None:
    for node in graph.node:
        for values in _list_values(node):
            for i, name in enumerate(values):
                if name in names:
                    values[i] = names[name]


def _list_values(node: "onnx.NodeProto") -> Iterator[Any]:
    yield node.input
    yield node.output
