"""What a step's function asks for, read from its signature."""

import ast
import math

import msgspec

from petla.core.errors import Fault
from petla.pipeline.outputs.frames import KIND_OF_ANNOTATION, FrameKind
from petla.pipeline.result import Parameter
from petla.pipeline.steps.source import AnyFunction, ModuleSource

_SCALARS: dict[str, type[bool | int | float | str]] = {"bool": bool, "int": int, "float": float, "str": str}
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
_TRUTH = {"true": True, "false": False}


class Argument(msgspec.Struct, frozen=True, kw_only=True):
    """One argument of a step's function."""

    name: str
    has_default: bool = False
    # the default where it is a number, a text or a truth value written out; None: it is something else
    default: Parameter | None = None
    # the name of the type that `--set` values are read as; empty: that of the default
    scalar: str = ""
    frame: FrameKind | None = None
    is_positional: bool = False


def list_arguments(function: AnyFunction, module: ModuleSource) -> tuple[Argument, ...]:
    """Return the arguments that have to be given, `*args` and `**kwargs` left out."""
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    blanks: list[ast.expr | None] = [None] * (len(positional) - len(given.defaults))
    defaults = [*blanks, *given.defaults, *given.kw_defaults]
    return tuple(
        Argument(
            name=argument.arg,
            has_default=default is not None,
            default=_read_default(default, module),
            scalar=_find_scalar(argument.annotation),
            frame=_find_frame(argument.annotation, module),
            is_positional=argument in given.posonlyargs,
        )
        for argument, default in zip([*positional, *given.kwonlyargs], defaults, strict=True)
    )


def read_value(argument: Argument, text: str) -> tuple[Parameter, Fault | None]:
    """Read the text of a `--set` as the type that the argument wants."""
    kind = _SCALARS[argument.scalar or type(argument.default).__name__]
    try:
        value = _TRUTH[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        value = math.nan
    if isinstance(value, float) and not math.isfinite(value):
        message = f"is {text!r}, but must be {_WORDS[kind]}, as its default {argument.default!r}"
        return text, Fault(argument.name, message)
    return value, None


def _read_default(node: ast.expr | None, module: ModuleSource) -> Parameter | None:
    if isinstance(node, ast.Name):
        found = module.definitions.get(node.id, ())
        if len(found) != 1 or not isinstance(found[0], ast.Assign | ast.AnnAssign):
            return None
        node = found[0].value
    try:
        value = ast.literal_eval(node) if node is not None else None
    except (ValueError, TypeError):
        return None
    return value if isinstance(value, bool | int | float | str) else None


def _find_scalar(annotation: ast.expr | None) -> str:
    return annotation.id if isinstance(annotation, ast.Name) and annotation.id in _SCALARS else ""


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
