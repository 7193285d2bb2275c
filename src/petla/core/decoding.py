"""Decoding of nested tables into frozen structs, with every fault found at once.

msgspec stops at the first fault. A person who corrects a file wants all of them, each with its place, its value, what
is allowed, and the name that was probably meant.
"""

import math
import reprlib
import types
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec

from petla.core.errors import Fault
from petla.core.names import suggest

T = TypeVar("T", bound=msgspec.Struct)


def decode_table(kind: type[T], raw: Any, place: str = "") -> tuple[T | None, list[Fault]]:  # noqa: ANN401
    """Decode a table into a struct.

    Args:
        kind: the frozen struct to make.
        raw: what the file holds at this place.
        place: the key path so far, such as `models.delay`.

    Returns:
        The value, or None where a fault was found; and the faults.
    """
    if not isinstance(raw, dict):
        return None, [Fault(place, f"is {_show(raw)}, but must be a table")]
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    faults = [Fault(_join(place, key), "is an unknown key", suggest(key, fields)) for key in raw if key not in fields]
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name not in raw:
            if field.required:
                faults.append(Fault(_join(place, name), f"is missing; it must be {describe_allowed(field.type)}"))
            continue
        values[field.name], found = _decode(field.type, raw[name], _join(place, name))
        faults.extend(found)
    if faults:
        return None, faults
    try:
        return kind(**values), []
    except ValueError as error:
        return None, [Fault(place, str(error))]


def describe_allowed(kind: Any) -> str:  # noqa: ANN401 - any type annotation
    """Say in words what a type allows.

    Example:
        >>> from typing import Annotated
        >>> describe_allowed(bool | None), describe_allowed(Annotated[int, msgspec.Meta(ge=-(2**63))])
        ('true or false', 'a whole number')
    """
    return _describe(msgspec.inspect.type_info(kind))


def _decode(kind: Any, raw: Any, place: str) -> tuple[Any, list[Fault]]:  # noqa: ANN401
    struct = _struct_of(kind)
    if struct is not None:
        return decode_table(struct, raw, place)
    if get_origin(kind) is dict and _struct_of(get_args(kind)[1]) is not None:
        return _decode_each(get_args(kind)[1], raw, place)
    if get_origin(kind) is tuple and _struct_of(get_args(kind)[0]) is not None:
        return _decode_list(get_args(kind)[0], raw, place)
    try:
        value = msgspec.convert(raw, kind, strict=True)
    except (msgspec.ValidationError, OverflowError):
        value = math.nan
    # NOTE: nan passes every bound, and no key has a use for it or for inf.
    if isinstance(value, float) and not math.isfinite(value):
        hint = _near(raw, msgspec.inspect.type_info(kind))
        return None, [Fault(place, f"is {_show(raw)}, but must be {describe_allowed(kind)}", hint)]
    return value, []


def _decode_each(kind: Any, raw: Any, place: str) -> tuple[Any, list[Fault]]:  # noqa: ANN401
    if not isinstance(raw, dict):
        return None, [Fault(place, f"is {_show(raw)}, but must be a table of tables")]
    values, faults = {}, []
    for key, item in raw.items():
        values[key], found = _decode(kind, item, _join(place, key))
        faults.extend(found)
    return values, faults


def _decode_list(kind: Any, raw: Any, place: str) -> tuple[Any, list[Fault]]:  # noqa: ANN401
    if not isinstance(raw, list):
        return None, [Fault(place, f"is {_show(raw)}, but must be a list of tables")]
    decoded = [_decode(kind, item, _join(place, str(number))) for number, item in enumerate(raw, start=1)]
    return tuple(value for value, _ in decoded), [fault for _, found in decoded for fault in found]


def _struct_of(kind: Any) -> type[msgspec.Struct] | None:  # noqa: ANN401
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    if get_origin(kind) in (types.UnionType, Union):
        return next((s for s in map(_struct_of, get_args(kind)) if s is not None), None)
    return None


def _near(raw: Any, info: msgspec.inspect.Type) -> str:  # noqa: ANN401
    inspect = msgspec.inspect
    match info:
        case inspect.LiteralType() if isinstance(raw, str) and raw not in info.values:
            return suggest(raw, map(str, info.values))
        case inspect.UnionType():
            return next((hint for kind in info.types if (hint := _near(raw, kind))), "")
        case inspect.VarTupleType() if isinstance(raw, list):
            return next((hint for item in raw if (hint := _near(item, info.item_type))), "")
        case _:
            return ""


def _describe(info: msgspec.inspect.Type) -> str:
    inspect = msgspec.inspect
    match info:
        case inspect.VarTupleType():
            return f"a list, each item {_describe(info.item_type)}"
        case inspect.DictType() | inspect.StructType():
            return "a table"
        case inspect.UnionType():
            return " or ".join(_describe(kind) for kind in info.types if not isinstance(kind, inspect.NoneType))
        case _:
            return _describe_scalar(info)


def _shape(info: msgspec.inspect.StrType) -> str:
    longest = f", of at most {info.max_length} characters" if info.max_length else ""
    return longest + (f", that matches {info.pattern}" if info.pattern else "")


def _describe_scalar(info: msgspec.inspect.Type) -> str:
    inspect = msgspec.inspect
    match info:
        case inspect.IntType():
            return "a whole number" + _range(info)
        case inspect.FloatType():
            return "a number" + _range(info)
        case inspect.StrType():
            return "a text" + (" that is not empty" if info.min_length else "") + _shape(info)
        case inspect.BoolType():
            return "true or false"
        case inspect.DateType():
            return "a day such as 2026-12-31"
        case inspect.LiteralType():
            return "one of " + ", ".join(repr(value) for value in info.values)
        case _:
            raise TypeError(f"no key of a file has the type {info!r}")


def _range(info: msgspec.inspect.IntType | msgspec.inspect.FloatType) -> str:
    bounds = [("at least", info.ge), ("above", info.gt), ("at most", info.le), ("below", info.lt)]
    # what 64 bits hold is no bound that anybody set
    shown = " and ".join(f"{word} {value}" for word, value in bounds if value is not None and abs(value) < 1 << 62)
    return f" {shown}" if shown else ""


class _Repr(reprlib.Repr):
    """Shows what is no text and no number as JSON and TOML write it."""

    def repr_bool(self, value: bool, _level: int) -> str:
        return str(value).lower()

    def repr_NoneType(self, _value: None, _level: int) -> str:  # noqa: N802 - the name that reprlib looks for
        return "null"


def _show(raw: Any) -> str:  # noqa: ANN401
    shown = _Repr()
    shown.maxstring = shown.maxother = shown.maxlong = 60
    try:
        return shown.repr(raw)
    except ValueError:
        # Python writes no integer of more than 4300 digits.
        return "a number of thousands of digits"


def _join(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key
