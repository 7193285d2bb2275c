"""Between tensors and a model's rows: one input per field, or one matrix of all numbers; one output per word.

- A field is an input of the shape [n] or [n, 1]; a tensor field one of [n, ...its shape]; pictures and texts are BYTES.
- A model of numbers and booleans also takes one input of the shape [n, fields], whatever its name, in the signature's
  order; 0 and 1 in it are booleans where the field is one.
- No value: null in JSON, NaN in floating point; for BYTES the text that the input's parameter `null` names. An input
  that is left out is null in every row. Each only where the signature allows null.
"""

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from petla.core.errors import InvalidError
from petla.core.project import AnswerTable
from petla.data.profile.columns import Kind
from petla.models.signature import InputField, Row, Signature
from petla.serving.doors.schema import Schema
from petla.serving.doors.standards.tensors import BOOL, BYTES, FP64, INT64, Tensor, datatype_of
from petla.serving.path.request import Answered

ID = "id"
_FLAT_KINDS = frozenset({Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN})
_DATATYPES = {Kind.NUMBER: FP64, Kind.INTEGER: INT64, Kind.BOOLEAN: BOOL}


class TextWay(NamedTuple):
    """How the texts of an input are read."""

    # what stands for null; None: nothing does
    null: str | None = None
    is_base64: bool = False

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> "TextWay":
        """Return what an input's parameters say: `null`, and `content_type` as MLServer has it."""
        null = parameters.get("null")
        return cls(null if null is None else str(null), parameters.get("content_type") == "base64")


class Described(NamedTuple):
    """An input or output in a model's metadata; -1 in its shape is any number of rows."""

    name: str
    datatype: str
    shape: tuple[int, ...]


def describe_inputs(signature: Signature) -> list[Described]:
    """Return the inputs as metadata."""
    return [
        Described(
            field.name,
            datatype_of(field.dtype) if field.kind is Kind.TENSOR else _DATATYPES.get(field.kind, BYTES),
            (-1, *field.shape),
        )
        for field in signature.inputs
    ]


def describe_outputs(signature: Signature, words: AnswerTable) -> list[Described]:
    """Return the outputs as metadata: the decision's id, the label, and for a classification its probability."""
    found = [Described(ID, BYTES, (-1,)), Described(words.label or signature.target, label_datatype(signature), (-1,))]
    return found if signature.task == "regression" else [*found, Described(words.probability, FP64, (-1,))]


def label_datatype(signature: Signature) -> str:
    """Return the datatype of the labels."""
    classes = signature.classes
    if not classes:
        return FP64
    if all(isinstance(value, bool) for value in classes):
        return BOOL
    if all(type(value) is int for value in classes):
        return INT64
    return BYTES if any(isinstance(value, str) for value in classes) else FP64


def to_rows(signature: Signature, schema: Schema, tensors: Sequence[Tensor], ways: Mapping[str, TextWay]) -> list[Row]:
    """Turn the inputs of a request into rows.

    Args:
        signature: whose fields they are.
        schema: checks them.
        tensors: the inputs.
        ways: how the texts of an input are read.

    Raises:
        InvalidError: shapes do not fit, or values are not what the signature says.
    """
    if not tensors or not tensors[0].shape[0]:
        raise InvalidError("the request has no rows", hint=f"send the inputs {', '.join(_names(signature))}")
    n_rows = tensors[0].shape[0]
    fields = {field.name: field for field in signature.inputs}
    if _is_matrix(tensors, fields):
        return schema.take_columns(_cut(tensors[0], signature), n_rows)
    columns: dict[str, Sequence[Any]] = {}
    for tensor in tensors:
        if tensor.name in columns:
            raise InvalidError(f"input {tensor.name[:60]!r} is there twice", field=tensor.name[:60])
        field = fields.get(tensor.name)
        if field is None:
            # named with all other faults
            columns[tensor.name] = ()
            continue
        element = field.shape
        if tensor.shape != (n_rows, *element) and (element or tensor.shape != (n_rows, 1)):
            wanted = [n_rows, *element]
            raise InvalidError(
                f"input {tensor.name[:60]!r} has the shape {list(tensor.shape)}, but must have {wanted}",
                hint="every input has one value, or one array, for each row",
                field=tensor.name[:60],
            )
        values = _list_values(tensor, field, ways.get(tensor.name, TextWay()))
        columns[tensor.name] = _nest(values, element)
    return schema.take_columns(columns, n_rows)


def to_outputs(answered: Answered, words: AnswerTable) -> list[Tensor]:
    """Turn what was decided into the outputs of `describe_outputs`."""
    signature = answered.package.signature
    shape = (len(answered.ids),)
    datatype = label_datatype(signature)
    labels = [str(label) for label in answered.labels] if datatype == BYTES else list(answered.labels)
    found = [
        Tensor(ID, BYTES, shape, list(answered.ids)),
        Tensor(words.label or signature.target, datatype, shape, labels),
    ]
    if signature.task != "regression":
        found.append(Tensor(words.probability, FP64, shape, list(answered.scores)))
    return found


def describe_marks(answered: Answered) -> dict[str, str]:
    """Return the parameters that say what is unusual about an answer; flags of all rows, with commas between."""
    flags = dict.fromkeys(flag for found in answered.flags for flag in found)
    marks = {"served_by": answered.stand_in, "flags": ",".join(flags)}
    return {name: value for name, value in marks.items() if value}


def choose_outputs(
    wanted: Sequence[str], signature: Signature, words: AnswerTable
) -> Callable[[list[Tensor]], list[Tensor]]:
    """Return what picks the wanted outputs, in that order; all of them where none is named.

    Raises:
        InvalidError: there is no such output.
    """
    known = [each.name for each in describe_outputs(signature, words)]
    for name in wanted:
        if name not in known:
            raise InvalidError(f"there is no output {name[:60]!r}", hint=f"it has {', '.join(known)}", field=name[:60])
    if len(wanted) > len(set(wanted)):
        raise InvalidError("an output is wanted twice", hint="name each output once")
    return lambda outputs: [outputs[known.index(name)] for name in wanted] if wanted else outputs


def _names(signature: Signature) -> list[str]:
    return [field.name for field in signature.inputs]


def _is_matrix(tensors: Sequence[Tensor], fields: Mapping[str, InputField]) -> bool:
    return (
        len(tensors) == 1
        and tensors[0].name not in fields
        and tensors[0].shape[1:] == (len(fields),)
        and all(field.kind in _FLAT_KINDS for field in fields.values())
    )


def _cut(tensor: Tensor, signature: Signature) -> dict[str, Sequence[Any]]:
    width = len(signature.inputs)
    values = _known(tensor)
    columns = {field.name: values[i::width] for i, field in enumerate(signature.inputs)}
    if tensor.datatype != BOOL:
        for field in signature.inputs:
            if field.kind is Kind.BOOLEAN:
                columns[field.name] = [bool(value) if value in (0, 1) else value for value in columns[field.name]]
    return columns


def _list_values(tensor: Tensor, field: InputField, way: TextWay) -> Sequence[Any]:
    if tensor.datatype != BYTES:
        return _known(tensor)
    # base64 is what a picture is passed on as
    is_picture = field.kind is Kind.IMAGE
    is_raw = is_picture and not way.is_base64
    texts = [_to_text(tensor.name, value, is_picture=is_raw) for value in tensor.values]
    if way.null is not None:
        texts = [None if text == way.null else text for text in texts]
    if way.is_base64 and not is_picture:
        return [_decode_base64(tensor.name, text) if isinstance(text, str) else text for text in texts]
    return texts


def _known(tensor: Tensor) -> Sequence[Any]:
    """Return numbers with null in the place of NaN."""
    if not tensor.datatype.startswith("FP"):
        return tensor.values
    if any(isinstance(value, float) and math.isinf(value) for value in tensor.values):
        raise InvalidError(
            f"input {tensor.name[:60]!r} has an infinite value", hint="send finite numbers", field=tensor.name[:60]
        )
    # NaN alone is not equal to itself
    return [None if value != value else value for value in tensor.values]  # noqa: PLR0124


def _to_text(name: str, value: Any, *, is_picture: bool) -> Any:  # noqa: ANN401 - JSON may hold anything here
    if not isinstance(value, bytes):
        return value
    if is_picture:
        return base64.b64encode(value).decode()
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise InvalidError(f"input {name[:60]!r} has a text that is not UTF-8", field=name[:60]) from error


def _decode_base64(name: str, text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError as error:
        raise InvalidError(
            f"input {name[:60]!r} has a text that is not base64 of UTF-8",
            hint="encode it, or leave out the parameter content_type",
            field=name[:60],
        ) from error


def _nest(values: Sequence[Any], shape: Sequence[int]) -> Sequence[Any]:
    """Group values as a shape says, the last axis first."""
    for size in reversed(shape):
        values = [values[i : i + size] for i in range(0, len(values), size)]
    return values
