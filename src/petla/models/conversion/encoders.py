"""Converters for imputers and encoders that treat missing values as scikit-learn does (needs the extra `train`).

ONNX has no missing strings: a null arrives as the sentinel `NULL`, a missing number as NaN. The converters that come
with skl2onnx refuse missing strings, know infrequent categories of separate columns only, and cast numbers to integers.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petla.models.runtime.layout import NULL

_ML = "ai.onnx.ml"
# a position that no category has
_UNKNOWN = -1


def list_converters() -> dict[type, Callable[[Any, Any, Any], None]]:
    """Return a converter for each of the classes that need one of our own."""
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    return {SimpleImputer: _convert_imputer, OneHotEncoder: _convert_one_hot, OrdinalEncoder: _convert_ordinal}


def list_shapes() -> dict[type, Callable[[Any], None]]:
    """Return what calculates the type and width of each one's output."""
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    return {SimpleImputer: _shape_imputer, OneHotEncoder: _shape_encoder, OrdinalEncoder: _shape_encoder}


class _Builder:
    """Adds nodes to a graph, each with names of its own."""

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401 - the converter's own types
        self._scope, self._operator, self._container = scope, operator, container

    def add(self, op: str, *inputs: str, domain: str = "", output: str = "", **attributes: Any) -> str:  # noqa: ANN401
        output = output or self._scope.get_unique_variable_name(f"petla_{op}")
        version = {"op_version": 2} if op == "LabelEncoder" else {}
        name = self._scope.get_unique_operator_name(op)
        self._container.add_node(op, list(inputs), [output], op_domain=domain, name=name, **version, **attributes)
        return output

    def constant(self, values: Any) -> str:  # noqa: ANN401 - whatever an array is made of
        from onnx import TensorProto, helper

        array = np.asarray(values)
        is_text = array.dtype.kind in "UO"
        kind = TensorProto.STRING if is_text else helper.np_dtype_to_tensor_dtype(array.dtype)
        flat = [text.encode() for text in array.ravel()] if is_text else array.ravel().tolist()
        name: str = self._scope.get_unique_variable_name("petla_constant")
        self._container.add_initializer(name, kind, list(array.shape), flat)
        return name

    def merge_inputs(self) -> str:
        """Return all inputs side by side."""
        names = [each.full_name for each in self._operator.inputs]
        return names[0] if len(names) == 1 else self.add("Concat", *names, axis=1)

    def list_columns(self) -> Iterator[tuple[str, bool]]:
        """Yield each column (n_rows, 1), and whether it holds strings; numbers come as float32."""
        for each in self._operator.inputs:
            is_text, width = _is_text(each), each.type.shape[1]
            for i in range(width):
                name = each.full_name if width == 1 else self.add("Gather", each.full_name, self.constant([i]), axis=1)
                yield name if is_text else self.add("Cast", name, to=1), is_text

    def finish(self, name: str, width: int) -> None:
        """Give the operator its output."""
        self.add("Reshape", name, self.constant([-1, width]), output=self._operator.outputs[0].full_name)


def _convert_imputer(scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401
    imputer, graph = operator.raw_operator, _Builder(scope, operator, container)
    if len({type(each.type) for each in operator.inputs}) > 1:
        raise NotImplementedError("SimpleImputer of strings and numbers together; use one for each")
    if any(map(_is_null, imputer.statistics_)):
        raise NotImplementedError("SimpleImputer drops a column without values")
    values = graph.merge_inputs()
    if _is_text(operator.inputs[0]):
        key = NULL if _is_null(imputer.missing_values) else str(imputer.missing_values)
        flag = graph.add("LabelEncoder", values, domain=_ML, keys_strings=[key], values_int64s=[1], default_int64=0)
        is_missing = graph.add("Cast", flag, to=9)
        known: NDArray[Any] = np.array([[str(value) for value in imputer.statistics_]], dtype=object)
    else:
        kind = _number_type(operator.inputs[0])
        known = np.array([imputer.statistics_.astype(np.float64)], dtype=kind)
        is_nan = _is_null(imputer.missing_values)
        mark = [] if is_nan else [graph.constant(np.array([imputer.missing_values], dtype=kind))]
        is_missing = graph.add("IsNaN" if is_nan else "Equal", values, *mark)
    filled = graph.add("Where", is_missing, graph.constant(known), values)
    if imputer.add_indicator:
        seen = graph.add("Gather", is_missing, graph.constant(imputer.indicator_.features_.astype(np.int64)), axis=1)
        flags = graph.add("Cast", seen, to=11 if known.dtype == np.float64 else 1)
        filled = graph.add("Concat", filled, flags, axis=1)
    graph.finish(filled, _imputed_width(imputer))


def _convert_one_hot(scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401
    encoder, graph = operator.raw_operator, _Builder(scope, operator, container)
    columns, width = [], 0
    for i, (column, is_text) in enumerate(graph.list_columns()):
        known = encoder.categories_[i]
        flags = _mark_category(graph, column, known, is_text, is_strict=encoder.handle_unknown == "error")
        weights, base = _merge_categories(encoder, i)
        if not np.array_equal(weights, np.eye(len(known))) or base.any():
            flags = graph.add("Add", graph.add("MatMul", flags, graph.constant(weights)), graph.constant(base))
        columns.append(flags)
        width += weights.shape[1]
    graph.finish(graph.add("Concat", *columns, axis=-1), width)


def _convert_ordinal(scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401
    encoder, graph = operator.raw_operator, _Builder(scope, operator, container)
    columns = []
    is_strict = encoder.handle_unknown == "error"
    for i, (column, is_text) in enumerate(graph.list_columns()):
        known = encoder.categories_[i]
        place = _find_category(graph, column, known, is_text)
        default = 0.0 if is_strict else float(encoder.unknown_value)
        code = graph.add(
            *("LabelEncoder", place),
            domain=_ML,
            keys_int64s=list(range(len(known))),
            values_floats=_list_codes(encoder, i),
            default_float=default,
        )
        if is_strict:
            # 1 for a known category; for another one the runtime raises, as the encoder does
            flags = _mark_category(graph, column, known, is_text, is_strict=True)
            code = graph.add("Mul", code, graph.add("ReduceSum", flags, graph.constant([-1]), keepdims=0))
        columns.append(code)
    graph.finish(graph.add("Concat", *columns, axis=1), len(columns))


def _mark_category(graph: _Builder, column: str, known: NDArray[Any], is_text: bool, *, is_strict: bool) -> str:
    """Return 1 at a value's category, and 0 elsewhere; (n_rows, 1, n_categories)."""
    if is_text:
        texts = _list_texts(known)
        return graph.add("OneHotEncoder", column, domain=_ML, cats_strings=texts, zeros=int(not is_strict))
    place, places = _find_category(graph, column, known, is_text), list(range(len(known)))
    return graph.add("OneHotEncoder", place, domain=_ML, cats_int64s=places, zeros=int(not is_strict))


def _find_category(graph: _Builder, column: str, known: NDArray[Any], is_text: bool) -> str:
    """Return the position of a value's category; (n_rows, 1) int64."""
    places = list(range(len(known)))
    if is_text:
        return graph.add(
            *("LabelEncoder", column),
            domain=_ML,
            keys_strings=_list_texts(known),
            values_int64s=places,
            default_int64=_UNKNOWN,
        )
    if any(isinstance(value, str) for value in known):
        raise NotImplementedError("an encoder of numbers has categories that are strings")
    present = [place for place in places if not _is_null(known[place])]
    keys = np.array([float(known[place]) for place in present])
    if not np.array_equal(keys, keys.astype(np.float32)):
        raise NotImplementedError("an encoder has numbers as categories that float32 cannot tell apart")
    found = graph.add(
        *("LabelEncoder", column),
        domain=_ML,
        keys_floats=keys.tolist(),
        values_int64s=present,
        default_int64=_UNKNOWN,
    )
    # NOTE: a LabelEncoder does not find NaN
    missing = next((place for place in places if place not in present), _UNKNOWN)
    return graph.add("Where", graph.add("IsNaN", column), graph.constant(np.array([[missing]])), found)


def _list_texts(known: NDArray[Any]) -> list[str]:
    texts = [NULL if _is_null(value) else str(value) for value in known]
    if texts.count(NULL) > 1:
        raise NotImplementedError("an encoder tells None from NaN, and a request has one null for both")
    return texts


def _merge_categories(encoder: Any, i: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # noqa: ANN401
    """Return the columns of the output as a linear map of the flags of all categories: weights, and what is added."""
    mapping = _group_of_category(encoder, i, len(encoder.categories_[i]))
    width = int(mapping.max()) + 1
    weights, base = np.eye(width, dtype=np.float32)[mapping], np.zeros(width, dtype=np.float32)
    has_infrequent = len(set(mapping.tolist())) < len(mapping) or _has_infrequent(encoder, i)
    if has_infrequent and encoder.handle_unknown in ("infrequent_if_exist", "warn"):
        base[-1] = 1
        weights[:, -1] -= 1
    dropped = None if encoder.drop_idx_ is None else getattr(encoder, "_drop_idx_after_grouping")[i]  # noqa: B009
    kept = [column for column in range(width) if column != dropped]
    return weights[:, kept], base[kept]


def _list_codes(encoder: Any, i: int) -> list[float]:  # noqa: ANN401
    """Return the code of each category of an `OrdinalEncoder`."""
    missing = [_is_null(value) for value in encoder.categories_[i]]
    codes = iter(_group_of_category(encoder, i, len(missing) - sum(missing)).tolist())
    return [float(encoder.encoded_missing_value) if is_missing else float(next(codes)) for is_missing in missing]


def _group_of_category(encoder: Any, i: int, n_categories: int) -> NDArray[np.int64]:  # noqa: ANN401
    """Return the position of each category after infrequent ones were put together."""
    mapping = getattr(encoder, "_default_to_infrequent_mappings")[i] if _is_grouping(encoder) else None  # noqa: B009
    return np.arange(n_categories) if mapping is None else np.asarray(mapping, dtype=np.int64)


def _has_infrequent(encoder: Any, i: int) -> bool:  # noqa: ANN401
    return _is_grouping(encoder) and encoder.infrequent_categories_[i] is not None


def _is_grouping(encoder: Any) -> bool:  # noqa: ANN401
    return bool(getattr(encoder, "_infrequent_enabled", False))


def _shape_imputer(operator: Any) -> None:  # noqa: ANN401
    first = operator.inputs[0].type
    width = _imputed_width(operator.raw_operator)
    operator.outputs[0].type = type(first)([operator.inputs[0].get_first_dimension(), width])


def _imputed_width(imputer: Any) -> int:  # noqa: ANN401
    indicated: Sequence[int] = imputer.indicator_.features_ if imputer.add_indicator else ()
    return len(imputer.statistics_) + len(indicated)


def _shape_encoder(operator: Any) -> None:  # noqa: ANN401
    from skl2onnx.common.data_types import FloatTensorType

    width = len(operator.raw_operator.get_feature_names_out())
    operator.outputs[0].type = FloatTensorType([operator.inputs[0].get_first_dimension(), width])


def _number_type(variable: Any) -> type[np.floating[Any]]:  # noqa: ANN401
    from skl2onnx.common.data_types import DoubleTensorType

    return np.float64 if isinstance(variable.type, DoubleTensorType) else np.float32


def _is_text(variable: Any) -> bool:  # noqa: ANN401
    from skl2onnx.common.data_types import StringTensorType

    return isinstance(variable.type, StringTensorType)


def _is_null(value: object) -> bool:
    """Whether a value is None, NaN or pandas' NA."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)  # noqa: PLR0124 - NaN
