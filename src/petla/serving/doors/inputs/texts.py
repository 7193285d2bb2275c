"""Values that arrive as text, in a CSV or a form: read by the kind of their field, each by itself.

- A number is written with ASCII digits, `.` and perhaps an exponent. `nan` in any case is read as an empty cell. `inf`,
  `1_000` and a number that 64 bits do not hold are refused.
- A whole number may be written as `3.0` or `3e2`; it stays exact.
- A boolean is `true`, `false`, `1` or `0`, in any case.
- A timestamp is read as in JSON.
- An empty cell is null. It is refused where the field may not be null, except for a text, where it is an empty text.
"""

import contextlib
import csv
import io
import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from petla.core.errors import InvalidError, MalformedError
from petla.data.profile.columns import Kind
from petla.models.signature import InputField, Signature

_UNREADABLE = (ValueError, ArithmeticError, msgspec.DecodeError, RecursionError)
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*", re.ASCII)
# digits of the largest whole number of 64 bits
_WHOLE_DIGITS = 19
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def read_text(field: InputField | None, text: str) -> Any:  # noqa: ANN401 - a JSON value
    """Return a text as a value of its field; what cannot be read stays a text, which the schema then refuses.

    An empty text is null, where the field may be null.
    """
    if field is None:
        return text
    if field.is_nullable and _is_empty(field, text):
        return None
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
    plain = _PLAIN.get(field.kind)
    if plain is not None:
        joined = "".join(texts)
        with contextlib.suppress(*_UNREADABLE):
            # Python's own reader reads the same, faster; but for `1_0`, digits of other scripts, `nan` and `inf`.
            if joined.isascii() and not _STRANGE.search(joined):
                values = [plain(text) if text or not field.is_nullable else None for text in texts]
                if math.inf not in values and -math.inf not in values:
                    return values
    return [read_text(field, text) for text in texts]


def _is_empty(field: InputField, text: str) -> bool:
    return not text or (field.kind.is_numeric and text.strip().lower() == "nan")


def _read_number(text: str) -> float:
    number = float(text) if _NUMBER.fullmatch(text) else math.inf
    if not math.isfinite(number):
        raise ValueError("it is no number of 64 bits")
    return number


def _read_whole(text: str) -> int | float:
    if not _NUMBER.fullmatch(text):
        raise ValueError("it is no number")
    number = Decimal(text.strip())
    is_whole = number.adjusted() < _WHOLE_DIGITS and number == number.to_integral_value()
    return int(number) if is_whole else _read_number(text)


def _read_boolean(text: str) -> bool | str:
    return _BOOLEANS.get(text.strip().lower(), text)


_PLAIN: dict[Kind, Callable[[str], Any]] = {Kind.NUMBER: float, Kind.INTEGER: int}
_STRANGE = re.compile(r"[_nN]")
# of what is no text itself
_READERS: dict[Kind, Callable[[str], Any]] = {
    Kind.NUMBER: _read_number,
    Kind.INTEGER: _read_whole,
    Kind.BOOLEAN: _read_boolean,
    Kind.TENSOR: msgspec.json.decode,
}
