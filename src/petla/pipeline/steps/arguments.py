"""What a step's function asks for, read from its signature."""

import ast
import json
import math

import msgspec

from petla.core.errors import Fault
from petla.pipeline.outputs.frames import KIND_OF_ANNOTATION, FrameKind
from petla.pipeline.result import Parameter, Scalar
from petla.pipeline.steps.source import AnyFunction, ModuleSource

_SCALARS: dict[str, type[bool | int | float | str]] = {"bool": bool, "int": int, "float": float, "str": str}
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
_TRUTH = {"true": True, "false": False}
_NOTHING = {"none", "null"}
_LISTS = {"list": "list", "List": "list", "Sequence": "list", "tuple": "tuple", "Tuple": "tuple"}
_Default = Parameter | tuple[Scalar, ...]


class ValueType(msgspec.Struct, frozen=True, kw_only=True):
    """What `--set` reads the text of a parameter as."""

    # the name of the scalar, of a list that of its elements; empty: unknown
    scalar: str = ""
    # `list` or `tuple`; empty: one value
    collection: str = ""
    # whether it may be None
    is_optional: bool = False

    def __str__(self) -> str:
        words = _WORDS[_SCALARS[self.scalar]]
        some = f"values with commas between them, each {words}" if self.collection else words
        return f"{some}, or none" if self.is_optional else some


class Argument(msgspec.Struct, frozen=True, kw_only=True):
    """One argument of a step's function."""

    name: str
    has_default: bool = False
    # the default where it is a plain value written out: a number, a text, a truth value, None, or a list of them
    default: Parameter = None
    # what a `--set` is read as; None: it cannot be set
    value_type: ValueType | None = None
    frame: FrameKind | None = None
    is_positional: bool = False


def list_arguments(function: AnyFunction, module: ModuleSource) -> tuple[Argument, ...]:
    """Return the arguments that have to be given, `*args` and `**kwargs` left out."""
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    blanks: list[ast.expr | None] = [None] * (len(positional) - len(given.defaults))
    defaults = [*blanks, *given.defaults, *given.kw_defaults]
    return tuple(
        _make_argument(argument, default, module, is_positional=argument in given.posonlyargs)
        for argument, default in zip([*positional, *given.kwonlyargs], defaults, strict=True)
    )


def read_value(argument: Argument, text: str) -> tuple[Parameter, Fault | None]:
    """Read the text of a `--set` as the type that the argument wants."""
    wanted = argument.value_type or ValueType(scalar="str")
    if wanted.is_optional and text.lower() in _NOTHING:
        return None, None
    try:
        if wanted.collection:
            return [_read_scalar(each, wanted.scalar) for each in _split(text)], None
        return _read_scalar(text, wanted.scalar), None
    except (KeyError, ValueError):
        return text, Fault(argument.name, f"is {text!r}, but must be {wanted}, as its default {argument.default!r}")


def pass_value(argument: Argument, value: Parameter) -> object:
    """Return a parameter's value as its function takes it, for itself alone."""
    if not isinstance(value, list):
        return value
    return tuple(value) if argument.value_type is not None and argument.value_type.collection == "tuple" else [*value]


def write_value(value: Parameter) -> str:
    """Write a value as `read_value` reads it."""
    if isinstance(value, str):
        return value
    return "none" if value is None else json.dumps(value)


def _make_argument(
    argument: ast.arg, default: ast.expr | None, module: ModuleSource, *, is_positional: bool
) -> Argument:
    value, is_plain = _read_default(default, module)
    return Argument(
        name=argument.arg,
        has_default=default is not None,
        default=[*value] if isinstance(value, tuple) else value,
        value_type=_find_type(argument.annotation, value) if is_plain else None,
        frame=_find_frame(argument.annotation, module),
        is_positional=is_positional,
    )


def _read_scalar(text: str, name: str) -> Scalar:
    kind = _SCALARS[name]
    value = _TRUTH[text.lower()] if kind is bool else kind(text)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(text)
    return value


def _split(text: str) -> list[str]:
    """Split a list written as JSON, or with commas."""
    if not text.startswith("["):
        return [each.strip() for each in text.split(",")] if text.strip() else []
    values = json.loads(text)
    return [each if isinstance(each, str) else json.dumps(each) for each in values]


def _read_default(node: ast.expr | None, module: ModuleSource) -> tuple[_Default, bool]:
    """Return a default and whether it is a plain value."""
    if isinstance(node, ast.Name):
        found = module.definitions.get(node.id, ())
        if len(found) != 1 or not isinstance(found[0], ast.Assign | ast.AnnAssign):
            return None, False
        node = found[0].value
    try:
        value = ast.literal_eval(node) if node is not None else ...
    except (ValueError, TypeError):
        return None, False
    if isinstance(value, list | tuple):
        is_plain = all(isinstance(each, bool | int | float | str) for each in value)
        return (value, True) if is_plain else (None, False)
    return (value, True) if value is None or isinstance(value, bool | int | float | str) else (None, False)


def _find_type(annotation: ast.expr | None, default: _Default) -> ValueType | None:
    """Find what a `--set` is read as: what the annotation says, else what the default is."""
    found = _read_annotation(annotation)
    if isinstance(default, list | tuple):
        kinds = {type(each).__name__ for each in default}
        scalar = found.scalar or ("float" if kinds == {"int", "float"} else next(iter(kinds), ""))
        collection = found.collection or type(default).__name__
        is_clear = bool(found.scalar) or len(kinds) == 1 or scalar == "float"
        return msgspec.structs.replace(found, scalar=scalar, collection=collection) if is_clear else None
    if default is None:
        return msgspec.structs.replace(found, is_optional=True) if found.scalar else None
    if found.collection:
        return None
    return msgspec.structs.replace(found, scalar=found.scalar or type(default).__name__)


def _read_annotation(node: ast.expr | None) -> ValueType:
    match node:
        case ast.Constant(value=str() as quoted):
            try:
                return _read_annotation(ast.parse(quoted, mode="eval").body)
            except SyntaxError:
                return ValueType()
        case ast.Name(id=name) if name in _SCALARS:
            return ValueType(scalar=name)
        case ast.BinOp(op=ast.BitOr()):
            kept = [each for each in (node.left, node.right) if ast.unparse(each) != "None"]
            return (
                msgspec.structs.replace(_read_annotation(kept[0]), is_optional=True) if len(kept) == 1 else ValueType()
            )
        case ast.Subscript():
            return _read_subscript(node)
    return ValueType()


def _read_subscript(node: ast.Subscript) -> ValueType:
    outer = ast.unparse(node.value).rpartition(".")[2]
    first = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) and node.slice.elts else node.slice
    inner = _read_annotation(first)
    if outer == "Optional":
        return msgspec.structs.replace(inner, is_optional=True)
    if outer in _LISTS and not inner.collection:
        return ValueType(scalar=inner.scalar, collection=_LISTS[outer])
    return ValueType()


def _find_frame(annotation: ast.expr | None, module: ModuleSource) -> FrameKind | None:
    """Find the first kind of frame that an annotation names, also inside `X | None`, `Optional[X]` or quotes."""
    for node in ast.walk(annotation) if annotation is not None else ():
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                quoted = ast.parse(node.value, mode="eval").body
            except SyntaxError:
                continue
            if (kind := _find_frame(quoted, module)) is not None:
                return kind
        elif isinstance(node, ast.Name | ast.Attribute) and (found := _name_in_full(node, module)):
            return KIND_OF_ANNOTATION[found]
    return None


def _name_in_full(node: ast.Name | ast.Attribute, module: ModuleSource) -> str:
    """Return the full name of a kind of frame; empty: it is something else."""
    start, dot, rest = ast.unparse(node).partition(".")
    names = [each.full_name + dot + rest for each in module.imports.get(start, ())]
    return next((name for name in names if name in KIND_OF_ANNOTATION), "")
