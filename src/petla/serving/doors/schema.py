"""What a request's body must be: a decoder made from the signature, and every fault of a body that it refuses.

The decoder checks and converts in one step, without a look at each field in Python. Only a body that it refuses is
looked at again, slowly, to name all that is wrong; what turns out to be right after all (3.0 for a whole number) is
accepted.
"""

import json
import math
import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from petla.core.errors import Fault, InvalidError, MalformedError
from petla.core.names import suggest
from petla.data.profile.columns import Kind
from petla.models.signature import InputField, Row, Signature, Value

# more faults than this are not listed
FAULT_LIMIT = 100

_LONGEST_NAME = 64
_ESCAPED = re.compile(r'["\\\x00-\x1f]')
# 64 bits: what the spool can hold
_Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_TYPES: dict[Kind, Any] = {
    Kind.NUMBER: float,
    Kind.INTEGER: _Integer,
    Kind.BOOLEAN: bool,
    Kind.CATEGORY: str,
    Kind.TEXT: str,
    Kind.TIMESTAMP: str,
}
_WORDS = {
    Kind.NUMBER: "a number",
    Kind.INTEGER: "a whole number",
    Kind.BOOLEAN: "true or false",
    Kind.CATEGORY: "a text",
    Kind.TEXT: "a text",
    Kind.TIMESTAMP: "a text with a moment, such as 2013-07-01T12:00:00Z",
}


class Schema:
    """Decodes and checks the bodies of one model.

    Args:
        signature: the fields, their kinds, and where null is allowed.
    """

    def __init__(self, signature: Signature) -> None:
        self._fields = {field.name: field for field in signature.inputs}
        # msgspec takes no names that JSON would have to escape; such models are decoded slowly.
        self._is_plain = not any(_ESCAPED.search(name) for name in self._fields)
        if not self._is_plain:
            return
        names = [f"f{i}" for i in range(len(signature.inputs))]
        record = msgspec.defstruct(
            "Record",
            list(zip(names, map(_type_of, signature.inputs), strict=True)),
            rename=dict(zip(names, self._fields, strict=True)),
            forbid_unknown_fields=True,
            gc=False,
        )
        self._decode_one = msgspec.json.Decoder(record).decode
        self._decode_many = msgspec.json.Decoder(list[record]).decode  # type: ignore[valid-type]

    def decode(self, body: bytes) -> tuple[list[Row], bool]:
        """Return the rows of a body, and whether it is a list.

        Raises:
            MalformedError: it is no JSON.
            InvalidError: it is JSON, but not what the signature says; with every fault, up to a hundred.
        """
        if not self._is_plain:
            return self._decode_slowly(body)
        try:
            if body[:1] == b"{":
                return [msgspec.structs.astuple(self._decode_one(body))], False
            if body[:1] == b"[" and (records := self._decode_many(body)):
                return [msgspec.structs.astuple(record) for record in records], True
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        return self._decode_slowly(body)

    def _decode_slowly(self, body: bytes) -> tuple[list[Row], bool]:
        content = read_json(body)
        is_many = isinstance(content, list)
        if not content or not isinstance(content, list | dict):
            what = "an empty list" if is_many else "an empty object" if content == {} else show(content)
            raise InvalidError(
                f"the body is {what}",
                hint=f"send an object with the fields {', '.join(self._fields)}, or a list of such objects",
            )
        faults: list[Fault] = []
        rows = []
        for index, record in enumerate(content if is_many else [content]):
            rows.append(self._check(record, f"[{index}]" if is_many else "", faults))
            if len(faults) >= FAULT_LIMIT:
                break
        if faults:
            raise refuse(faults[:FAULT_LIMIT])
        return rows, is_many

    def _check(self, record: Any, place: str, faults: list[Fault]) -> Row:  # noqa: ANN401
        if not isinstance(record, dict):
            faults.append(Fault(place, f"is {show(record)}, but must be an object"))
            return ()
        prefix = f"{place}." if place else ""
        for name in record:
            if name not in self._fields:
                hint = suggest(name, self._fields) if len(name) <= _LONGEST_NAME else ""
                faults.append(Fault(prefix + name[:_LONGEST_NAME], "is an unknown field", hint))
                if len(faults) >= FAULT_LIMIT:
                    return ()
        return tuple(self._check_value(record, field, prefix, faults) for field in self._fields.values())

    def _check_value(self, record: dict[str, Any], field: InputField, prefix: str, faults: list[Fault]) -> Value:
        allowed = _WORDS[field.kind] + (" or null" if field.is_nullable else "")
        if field.name not in record:
            hint = "send null where it is not known" if field.is_nullable else ""
            faults.append(Fault(prefix + field.name, f"is missing; it must be {allowed}", hint))
            return None
        value = record[field.name]
        if field.kind is Kind.INTEGER and isinstance(value, float) and value.is_integer():
            value = int(value)
        try:
            checked: Value = msgspec.convert(value, _type_of(field))
        except msgspec.ValidationError:
            faults.append(Fault(prefix + field.name, f"is {show(value)}, but must be {allowed}"))
            return None
        return checked


def read_json(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Read a body as JSON.

    Raises:
        MalformedError: it is none; the message says where and why.
    """
    if not body.strip():
        raise MalformedError("the body is empty", hint="send JSON")
    try:
        return msgspec.json.decode(body)
    except RecursionError as error:
        raise MalformedError("the body is nested too deeply", hint="send flat JSON") from error
    except UnicodeDecodeError as error:
        raise MalformedError(f"the body is not UTF-8: byte {error.start}", hint="encode it as UTF-8") from error
    except msgspec.DecodeError as error:
        place, reason = _find_odd_number(body)
        if reason:
            hint = "send null where a value is not known"
            raise MalformedError(f"{place or 'the body'} is {reason}", hint=hint, field=place) from error
        raise MalformedError(f"the body is not JSON: {error}", hint="send an object or a list of objects") from error


def refuse(faults: list[Fault]) -> InvalidError:
    """Return the error that carries faults."""
    first = faults[0]
    if len(faults) == 1:
        return InvalidError(f"{first.field or 'the body'} {first.message}", hint=first.hint, faults=faults)
    count = f"{FAULT_LIMIT} or more" if len(faults) >= FAULT_LIMIT else str(len(faults))
    return InvalidError(
        f"the request has {count} faults; the first: {first.field} {first.message}", hint=first.hint, faults=faults
    )


def show(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Write a value for a message, cut short."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:57] + "..."


def _type_of(field: InputField) -> Any:  # noqa: ANN401 - a type for msgspec
    kind = _TYPES[field.kind]
    return kind | None if field.is_nullable else kind


class _Literal(str):
    """NaN or Infinity, which Python's own reader takes for JSON."""

    __slots__ = ()


def _find_odd_number(body: bytes) -> tuple[str, str]:
    """Return the place of the first number that JSON does not have or that is too large, and what it is; else empty."""
    try:
        content = json.loads(body, parse_constant=_Literal)
    except (ValueError, RecursionError):
        return "", ""
    is_many = isinstance(content, list)
    for index, record in enumerate(content if is_many else [content]):
        place = f"[{index}]" if is_many else ""
        values = record if isinstance(record, dict) else {"": record}
        for name, value in values.items():
            if reason := _name_odd(value):
                return ".".join(part for part in (place, name) if part), reason
    return "", ""


def _name_odd(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, _Literal):
        return f"{value}, which JSON does not have"
    return "a number out of range" if isinstance(value, float) and not math.isfinite(value) else ""
