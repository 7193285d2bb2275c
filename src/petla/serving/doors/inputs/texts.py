"""Values that arrive as text, in a CSV or a form: read by the kind of their field."""

import contextlib
import csv
import io
from typing import Any

import msgspec

from petla.core.errors import InvalidError, MalformedError
from petla.data.profile.columns import Kind
from petla.models.signature import InputField, Signature

_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def read_text(field: InputField | None, text: str) -> Any:  # noqa: ANN401 - a JSON value
    """Return a text as a value of its field; what cannot be read stays a text, which the schema then refuses.

    An empty text is null, where the field may be null.
    """
    if field is None or (not text and field.is_nullable):
        return None if field is not None else text
    with contextlib.suppress(ValueError, msgspec.DecodeError):
        match field.kind:
            case Kind.NUMBER:
                return float(text)
            case Kind.INTEGER:
                return int(text) if text.strip().lstrip("+-").isdigit() else float(text)
            case Kind.BOOLEAN:
                return _BOOLEANS.get(text.strip().lower(), text)
            case Kind.TENSOR:
                return msgspec.json.decode(text)
            case _:
                return text
    return text


def read_csv(body: bytes, signature: Signature) -> list[dict[str, Any]]:
    """Return the rows of a CSV whose first line names its columns.

    Raises:
        MalformedError: it is no CSV in UTF-8.
        InvalidError: it has no rows, or one of another length than its head.
    """
    fields = {field.name: field for field in signature.inputs}
    try:
        lines = [line for line in csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True) if line]
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
    return [
        {name: read_text(fields.get(name), text) for name, text in zip(head, line, strict=True)} for line in lines[1:]
    ]
