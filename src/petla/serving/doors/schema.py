"""What a request's body must be: a decoder made from the signature, and every fault of a body that it refuses.

The decoder checks and converts in one step, without a look at each field in Python. Only a body that it refuses is
looked at again, slowly, to name all that is wrong; what turns out to be right after all (3.0 for a whole number) is
accepted.
"""

import contextlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from petla.core.errors import Fault, InvalidError, MalformedError
from petla.core.names import suggest
from petla.data.profile.columns import Kind
from petla.models.signature import InputField, Row, Signature, Value
from petla.serving.doors.inputs.values import EXACT_FLOAT, describe, reader_of, type_of

# more faults than this are not listed
FAULT_LIMIT = 100

_LONGEST_NAME = 64
# of what is looked through for a number that JSON does not have
_DEEPEST = 16
_ESCAPED = re.compile(r'["\\\x00-\x1f]')


class Schema:
    """Decodes and checks the bodies of one model.

    Args:
        signature: the fields, their kinds, and where null is allowed.
        beside: a field that may be there as well, and is passed over; empty: none.
    """

    def __init__(self, signature: Signature, *, beside: str = "") -> None:
        self._beside = beside
        self._fields = {field.name: field for field in signature.inputs}
        # Its rows are small, and nothing in them is looked into after decoding: the fast door takes it.
        self.is_flat = not any(field.kind in (Kind.TENSOR, Kind.IMAGE) for field in signature.inputs)
        # position in a row -> name
        self.pictures = {i: field.name for i, field in enumerate(signature.inputs) if field.kind is Kind.IMAGE}
        self.tensors = {i: field.name for i, field in enumerate(signature.inputs) if field.kind is Kind.TENSOR}
        # positions of what is read once more after decoding, such as timestamps
        self._readers = [(i, read) for i, field in enumerate(signature.inputs) if (read := reader_of(field))]
        # msgspec takes no names that JSON would have to escape; such models are decoded slowly.
        self._is_plain = not any(_ESCAPED.search(name) for name in (*self._fields, beside))
        if not self._is_plain:
            return
        names = [f"f{i}" for i in range(len(signature.inputs))]
        fields: list[tuple[Any, ...]] = list(zip(names, map(type_of, signature.inputs), strict=True))
        record = msgspec.defstruct(
            "Record",
            [*fields, ("beside", Any, None)] if beside else fields,
            rename=dict(zip(names, self._fields, strict=True)) | ({"beside": beside} if beside else {}),
            forbid_unknown_fields=True,
            gc=False,
        )
        self._record = record
        self._decode_one = msgspec.json.Decoder(record).decode
        self._records = list[record]  # type: ignore[valid-type]
        self._decode_many = msgspec.json.Decoder(self._records).decode

    def decode(self, body: bytes) -> tuple[list[Row], bool]:
        """Return the rows of a body, and whether it is a list.

        Raises:
            MalformedError: it is no JSON.
            InvalidError: it is JSON, but not what the signature says; with every fault, up to a hundred.
        """
        if not self._is_plain or self._beside:
            return self._decode_beside(body)
        try:
            if body[:1] == b"{":
                return self._read([msgspec.structs.astuple(self._decode_one(body))]), False
            if body[:1] == b"[" and (records := self._decode_many(body)):
                return self._read(list(map(msgspec.structs.astuple, records))), True
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        return self._decode_slowly(body)

    def take_records(self, records: Sequence[Any], *, is_many: bool = True) -> list[Row]:
        """Return the rows of objects that came in another form than the body of a prediction.

        Args:
            records: the objects.
            is_many: whether faults name the place in the list.

        Raises:
            InvalidError: they are not what the signature says; with every fault, up to a hundred.
        """
        if self._is_plain:
            with contextlib.suppress(msgspec.ValidationError):
                return self._read(list(map(msgspec.structs.astuple, msgspec.convert(records, self._records))))
        return self._check_all(records, is_many=is_many)

    def take_columns(self, columns: Mapping[str, Sequence[Any]], n_rows: int) -> list[Row]:
        """Return the rows of columns; a column that may be null everywhere may be missing.

        Raises:
            InvalidError: they are not what the signature says; with every fault, up to a hundred.
        """
        faults = [_unknown(name[:_LONGEST_NAME], name, self._fields) for name in columns if name not in self._fields]
        taken: list[Sequence[Any]] = []
        for name, field in self._fields.items():
            if name in columns:
                taken.append(_take_column(field, columns[name], faults))
            elif field.is_nullable:
                taken.append([None] * n_rows)
            else:
                faults.append(Fault(name, f"is missing; it must be {describe(field)}"))
        if faults:
            raise refuse(faults[:FAULT_LIMIT])
        return list(zip(*taken, strict=True))

    def take_table(self, head: Sequence[str], columns: Sequence[Sequence[Any]]) -> list[Row]:
        """Return the rows of a table; faults are named by row, and of two columns of one name the last one counts.

        Raises:
            InvalidError: they are not what the signature says; with every fault, up to a hundred.
        """
        named = dict(zip(head, columns, strict=True))
        if named.keys() == self._fields.keys():
            with contextlib.suppress(msgspec.ValidationError):
                typed = ((named[name], list[type_of(field)]) for name, field in self._fields.items())  # type: ignore[misc]
                return self._read(list(zip(*(msgspec.convert(values, kind) for values, kind in typed), strict=True)))
        return self.take_records([dict(zip(named, row, strict=True)) for row in zip(*named.values(), strict=True)])

    def _decode_beside(self, body: bytes) -> tuple[list[Row], bool]:
        if self._is_plain:
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                if body[:1] == b"{":
                    return self._read([msgspec.structs.astuple(self._decode_one(body))[:-1]]), False
                if body[:1] == b"[" and (records := self._decode_many(body)):
                    return self._read([msgspec.structs.astuple(record)[:-1] for record in records]), True
        return self._decode_slowly(body)

    def _read(self, rows: list[Row]) -> list[Row]:
        """Return decoded rows with their timestamps in the canonical form.

        Raises:
            ValidationError: one is not a timestamp of its column's type.
        """
        return [self._read_row(row) for row in rows] if self._readers else rows

    def _read_row(self, row: Row) -> Row:
        values: list[Any] = list(row)
        for place, read in self._readers:
            values[place] = _convert(read, values[place])
        return tuple(values)

    def _decode_slowly(self, body: bytes) -> tuple[list[Row], bool]:
        content = read_json(body)
        is_many = isinstance(content, list)
        if not content or not isinstance(content, list | dict):
            what = "an empty list" if is_many else "an empty object" if content == {} else show(content)
            raise InvalidError(
                f"the body is {what}",
                hint=f"send an object with the fields {', '.join(self._fields)}, or a list of such objects",
            )
        return self._check_all(content if isinstance(content, list) else [content], is_many=is_many), is_many

    def _check_all(self, records: Sequence[Any], *, is_many: bool) -> list[Row]:
        faults: list[Fault] = []
        rows = []
        for index, record in enumerate(records):
            rows.append(self._take_one(record) or self._check(record, f"[{index}]" if is_many else "", faults))
            if len(faults) >= FAULT_LIMIT:
                break
        if faults:
            raise refuse(faults[:FAULT_LIMIT])
        return rows

    def _take_one(self, record: Any) -> Row | None:  # noqa: ANN401
        """Return the row of a record without a fault, or None where it has to be looked at."""
        if self._is_plain and not self._beside:
            with contextlib.suppress(msgspec.ValidationError):
                return self._read_row(msgspec.structs.astuple(msgspec.convert(record, self._record)))
        return None

    def _check(self, record: Any, place: str, faults: list[Fault]) -> Row:  # noqa: ANN401
        if not isinstance(record, dict):
            faults.append(Fault(place, f"is {show(record)}, but must be an object"))
            return ()
        prefix = f"{place}." if place else ""
        for name in record:
            if name not in self._fields and name != self._beside:
                faults.append(_unknown(prefix + name[:_LONGEST_NAME], name, self._fields))
                if len(faults) >= FAULT_LIMIT:
                    return ()
        return tuple(self._check_value(record, field, prefix, faults) for field in self._fields.values())

    def _check_value(self, record: dict[str, Any], field: InputField, prefix: str, faults: list[Fault]) -> Value:
        if field.name not in record:
            hint = "send null where it is not known" if field.is_nullable else ""
            faults.append(Fault(prefix + field.name, f"is missing; it must be {describe(field)}", hint))
            return None
        return _check_value(field, record[field.name], prefix + field.name, faults)


def _check_value(field: InputField, value: Any, place: str, faults: list[Fault]) -> Value:  # noqa: ANN401 - any JSON value
    is_whole = field.kind is Kind.INTEGER and isinstance(value, float) and value.is_integer()
    if is_whole and abs(value) < EXACT_FLOAT:
        value = int(value)
    try:
        checked: Value = _convert(reader_of(field), msgspec.convert(value, type_of(field)))
    except msgspec.ValidationError:
        faults.append(Fault(place, f"is {show(value)}, but must be {describe(field)}"))
        return None
    return checked


def _convert(read: Callable[[str], str] | None, value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if read is None or value is None:
        return value
    try:
        return read(value)
    except ValueError as error:
        raise msgspec.ValidationError(str(error)) from error


def _take_column(field: InputField, values: Sequence[Any], faults: list[Fault]) -> Sequence[Any]:
    with contextlib.suppress(msgspec.ValidationError):
        taken: list[Any] = msgspec.convert(values, list[type_of(field)])  # type: ignore[misc]
        read = reader_of(field)
        return taken if read is None else [_convert(read, value) for value in taken]
    checked = []
    for index, value in enumerate(values):
        checked.append(_check_value(field, value, f"{field.name}[{index}]", faults))
        if len(faults) >= FAULT_LIMIT:
            break
    return checked


def _unknown(place: str, name: str, fields: Mapping[str, InputField]) -> Fault:
    return Fault(place, "is an unknown field", suggest(name, fields) if len(name) <= _LONGEST_NAME else "")


def read_json(body: bytes, *, unknown: str = "send null where a value is not known") -> Any:  # noqa: ANN401
    """Read a body as JSON.

    Args:
        body: the bytes.
        unknown: what to do instead of sending NaN.

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
            raise MalformedError(f"{place or 'the body'} is {reason}", hint=unknown, field=place) from error
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


class _Literal(str):
    """NaN or Infinity, which Python's own reader takes for JSON."""

    __slots__ = ()


def _find_odd_number(body: bytes) -> tuple[str, str]:
    """Return the place of the first number that JSON does not have or that is too large, and what it is; else empty."""
    try:
        content = json.loads(body, parse_constant=_Literal)
    except (ValueError, RecursionError):
        return "", ""
    return _look_for_odd(content, _DEEPEST) or ("", "")


def _look_for_odd(content: Any, depth: int) -> tuple[str, str] | None:  # noqa: ANN401 - any JSON value
    if not isinstance(content, dict | list):
        reason = _name_odd(content)
        return ("", reason) if reason else None
    if not depth:
        return None
    for name, value in content.items() if isinstance(content, dict) else enumerate(content):
        if found := _look_for_odd(value, depth - 1):
            place, reason = found
            shown = f"[{name}]" if isinstance(name, int) else name[:_LONGEST_NAME]
            return shown + ("." if place and place[0] != "[" else "") + place, reason
    return None


def _name_odd(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, _Literal):
        return f"{value}, which JSON does not have"
    return "a number out of range" if isinstance(value, float) and not math.isfinite(value) else ""
