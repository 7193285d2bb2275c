"""Which decisions are meant, as people write it: names and values in the same words everywhere."""

import re
from collections.abc import Callable, Mapping

import msgspec

from petla.core.clock import read_moment, to_text
from petla.core.errors import Fault, InvalidError
from petla.core.ids import parse_model_ref
from petla.core.names import suggest
from petla.decisions.record import Place, Wanted

_TRUE, _FALSE = ("yes", "true", "1"), ("no", "false", "0")
# whole numbers that an INTEGER column holds in every database
_NUMBER = re.compile(r"[0-9]{1,9}")
# what writing a place gives: a stored moment and a number
_PLACE = re.compile(r"([0-9T:.-]{26}Z)~([0-9]{1,18})")

FIELDS = tuple(field.name for field in msgspec.structs.fields(Wanted))


def decode_wanted(values: Mapping[str, str]) -> Wanted:
    """Read which decisions are meant.

    Args:
        values: names of `Wanted` and what is wanted of each: `model` may name a version too, moments are as people
            write them, `labelled` is yes or no, `older_than` and `newer_than` are places as `Place` writes itself.

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
    if name not in FIELDS:
        raise InvalidError("is nothing that decisions are chosen by", hint=suggest(name, FIELDS))
    if "\0" in value:
        raise InvalidError(f"{value!r} has a NUL, which no decision has", hint="leave it out")
    if name == "model":
        ref = parse_model_ref(value)
        return {"model": ref.name} | ({"version": ref.version} if ref.version is not None else {})
    return {name: _READERS.get(name, str)(value)}


def _read_version(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise InvalidError(f"{text!r} is no number of a version", hint="write a whole number such as 3")
    return int(text)


def _read_answer(text: str) -> bool:
    if text not in _TRUE + _FALSE:
        raise InvalidError(f"{text!r} is neither yes nor no", hint="write labelled=yes or labelled=no")
    return text in _TRUE


def _read_place(text: str) -> Place:
    found = _PLACE.fullmatch(text)
    if found is None:
        hint = "write the decision's 'at' and 'seq', such as 2026-03-01T12:00:00.000000Z~17"
        raise InvalidError(f"{text!r} is no place in the log", hint=hint)
    return Place(found[1], int(found[2]))


def _read_stored(text: str) -> str:
    return to_text(read_moment(text))


# of what is not a text as it is written
_READERS: dict[str, Callable[[str], object]] = {
    "version": _read_version,
    "since": _read_stored,
    "until": _read_stored,
    "labelled": _read_answer,
    "older_than": _read_place,
    "newer_than": _read_place,
}
