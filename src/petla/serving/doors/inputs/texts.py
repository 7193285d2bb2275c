"""Values that arrive as text, in a CSV or a form: read by the kind of their field."""

import contextlib
import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from petla.core.errors import InvalidError, MalformedError
from petla.data.profile.columns import Kind
from petla.models.signature import InputField, Signature

_UNREADABLE = (ValueError, msgspec.DecodeError, RecursionError)
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def read_text(field: InputField | None, text: str) -> Any:  # noqa: ANN401 - a JSON value
    """Return a text as a value of its field; what cannot be read stays a text, which the schema then refuses.

    An empty text is null, where the field may be null.
    """
    if field is None or (not text and field.is_nullable):
        return None if field is not None else text
    try:
        return _READERS.get(field.kind, str)(text)
    except _UNREADABLE:
        return text


def read_csv(body: bytes, signature: Signature) -> tuple[list[str], list[Sequence[Any]]]:
    """Return the head of a CSV, whose first line names its columns, and the columns.

    Raises:
        MalformedError: it is no CSV in UTF-8.
        InvalidError: it has no rows, or one of another length than its head.
    """
    fields = {field.name: field for field in signature.inputs}
    try:
        text = body.decode("utf-8-sig")
        lines = _read_lines(text)
        if lines and any(name[:1] == " " and name not in fields for name in lines[0]):
            lines = _read_lines(text, skipinitialspace=True)
    except UnicodeDecodeError as error:
        raise MalformedError(f"the body is not UTF-8: byte {error.start}", hint="encode it as UTF-8") from error
    except csv.Error as error:
        raise MalformedError(
            f"the body is no CSV: {error}", hint="send a head and rows, separated by commas"
        ) from error
    if len(lines) < 2:
        raise InvalidError("the CSV has no rows", hint=f"send the head {','.join(fields)} and a line for each row")
    head = lines[0]
    for number, line in enumerate(lines[1:], 1):
        if len(line) != len(head):
            raise InvalidError(
                f"row {number} of the CSV has {len(line)} values, its head {len(head)}", field=f"[{number - 1}]"
            )
    columns = zip(*lines[1:], strict=True)
    return head, [_read_column(fields.get(name), texts) for name, texts in zip(head, columns, strict=True)]


def _read_lines(text: str, **dialect: Any) -> list[list[str]]:  # noqa: ANN401 - csv's own options
    return [line for line in csv.reader(io.StringIO(text, newline=""), strict=True, **dialect) if line]


def _read_column(field: InputField | None, texts: Sequence[str]) -> Sequence[Any]:
    """Return each text as `read_text` does; in one go where all of them can be read."""
    if field is None:
        return texts
    read = _READERS.get(field.kind, str)
    # Of whole numbers `int` alone reads the same, faster; but for digits that underscores group.
    readers = (int, read) if field.kind is Kind.INTEGER and "_" not in "".join(texts) else (read,)
    for reader in readers:
        with contextlib.suppress(*_UNREADABLE):
            if field.is_nullable and "" in texts:
                return [reader(text) if text else None for text in texts]
            return list(map(reader, texts))
    return [read_text(field, text) for text in texts]


def _read_whole(text: str) -> int | float:
    if text.strip().lstrip("+-").isdigit():
        return int(text)
    number = float(text)
    return int(number) if number.is_integer() else number


def _read_boolean(text: str) -> bool | str:
    return _BOOLEANS.get(text.strip().lower(), text)


# of what is no text itself
_READERS: dict[Kind, Callable[[str], Any]] = {
    Kind.NUMBER: float,
    Kind.INTEGER: _read_whole,
    Kind.BOOLEAN: _read_boolean,
    Kind.TENSOR: msgspec.json.decode,
}
