"""Which decisions are meant, as people write it: names and values in the same words everywhere."""

from collections.abc import Mapping

import msgspec

from petla.core.clock import read_moment, to_text
from petla.core.errors import Fault, InvalidError
from petla.core.ids import parse_model_ref
from petla.core.names import suggest
from petla.decisions.record import Wanted

_TRUE, _FALSE = ("yes", "true", "1"), ("no", "false", "0")
_FIELDS = tuple(field.name for field in msgspec.structs.fields(Wanted))


def decode_wanted(values: Mapping[str, str]) -> Wanted:
    """Read which decisions are meant.

    Args:
        values: names of `Wanted` and what is wanted of each: `model` may name a version too, moments are as people
            write them, `labelled` is yes or no.

    Raises:
        InvalidError: a name is unknown or a value cannot be read; with every fault.

    Example:
        >>> decode_wanted({"model": "fraud:3", "labelled": "no"}).version
        3
    """
    found: dict[str, object] = {}
    faults: list[Fault] = []
    for name, value in values.items():
        try:
            found |= _read(name, value)
        except InvalidError as error:
            faults.append(Fault(name, error.message, error.hint))
    if faults:
        said = "; ".join(f"{fault.field}: {fault.message}" for fault in faults)
        raise InvalidError(f"the decisions are not clear: {said}", hint=faults[0].hint, faults=faults)
    return msgspec.convert(found, Wanted)


def split_pairs(pairs: list[str]) -> dict[str, str]:
    """Read `name=value` texts.

    Raises:
        InvalidError: there is no equals sign in one.

    Example:
        >>> split_pairs(["arm=canary"])
        {'arm': 'canary'}
    """
    halves = [pair.partition("=") for pair in pairs]
    for name, equals, _ in halves:
        if not equals:
            raise InvalidError(f"{name!r} says no value", hint=f"write {name}=VALUE", field="where")
    return {name: value for name, _, value in halves}


def _read(name: str, value: str) -> dict[str, object]:
    if name not in _FIELDS:
        raise InvalidError("is nothing that decisions are chosen by", hint=suggest(name, _FIELDS))
    match name:
        case "model":
            ref = parse_model_ref(value)
            return {"model": ref.name} | ({"version": ref.version} if ref.version is not None else {})
        case "version" if not value.isdecimal():
            raise InvalidError(f"{value!r} is no number", hint="write a whole number such as 3")
        case "version":
            return {name: int(value)}
        case "since" | "until":
            return {name: to_text(read_moment(value))}
        case "labelled" if value not in _TRUE + _FALSE:
            raise InvalidError(f"{value!r} is neither yes nor no", hint="write labelled=yes or labelled=no")
        case "labelled":
            return {name: value in _TRUE}
        case _:
            return {name: value}
