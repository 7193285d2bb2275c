"""Labels: what a value that somebody reports, or a table holds, means to a model. The only place that says so.

- A label of a classification is one of the model's classes, or unknown: None.
- A value of another type is converted where it can mean one class only: "1", 1.0 and 1; "true", "True" and true; and
  true, false for the classes 1, 0, if these are all the classes. "yes" is not converted to true, nor true to "yes".
- A label of a regression is a finite number, or a text that is one. A boolean is not a number.
"""

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from petla.models.signature import Signature

Label = bool | int | float | str

UNKNOWN = -1

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_ANY_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_WORDS = {"0": "false", "1": "true"}


def make_reader(signature: Signature) -> Callable[[object], Label | None]:
    """Return a function that gives a value as the model's own label, or None where it is none.

    Example:
        >>> signature = Signature(inputs=(), target="late", task="binary", classes=(False, True))
        >>> [make_reader(signature)(value) for value in (True, "True", 1, "0", "yes", None)]
        [True, True, True, False, None, None]
    """
    if not signature.classes:
        return _read_number
    find = _make_finder(signature.classes)

    def read(value: object) -> Label | None:
        position = find(value)
        return None if position == UNKNOWN else signature.classes[position]

    return read


def encode_labels(signature: Signature, values: Sequence[object]) -> NDArray[np.int64] | NDArray[np.float64]:
    """Return labels as numbers.

    Shapes:
        (n_values,): classification: int64 position among the classes, -1 where it is none; regression: float64, NaN
        where it is not a number.
    """
    if not signature.classes:
        numbers = (_read_number(value) for value in values)
        return np.array([math.nan if number is None else number for number in numbers], dtype=np.float64)
    return np.fromiter(map(_make_finder(signature.classes), values), np.int64, len(values))


def describe_unknown(signature: Signature, n_labels: int, example: object) -> str:
    """Say that labels cannot be used, such as `200 labels are not numbers, such as 'n/a'`."""
    count = "1 label is" if n_labels == 1 else f"{n_labels:,} labels are"
    if not signature.classes:
        return f"{count} not {'a number' if n_labels == 1 else 'numbers'}, such as {example!r}"
    known = ", ".join(map(repr, signature.classes[:5])) + (", ..." if len(signature.classes) > 5 else "")
    return f"{count} no class of the model ({known}), such as {example!r}"


def is_missing(value: object) -> bool:
    """Whether a value says nothing: null or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _make_finder(classes: Sequence[Label]) -> Callable[[object], int]:
    exact = {_exactly(value): position for position, value in enumerate(classes)}
    alike: dict[str, int] = {}
    for position, value in enumerate(classes):
        key = _canonical(value)
        # two classes that look alike, such as 1 and "1", are told apart by their type only
        alike[key] = UNKNOWN if key in alike else position
    for keys in (_WORDS, {word: number for number, word in _WORDS.items()}):
        if alike.keys() == keys.keys():
            alike |= {keys[key]: position for key, position in tuple(alike.items())}
            break

    def find(value: object) -> int:
        if is_missing(value) or not isinstance(value, bool | int | float | str | Decimal):
            return UNKNOWN
        position = exact.get(_exactly(value))
        return alike.get(_canonical(value), UNKNOWN) if position is None else position

    return find


def _exactly(value: object) -> tuple[bool, object]:
    # True == 1 for Python, but a class of a boolean is not one of a number
    return isinstance(value, bool), value


def _canonical(value: object) -> str:
    """Return the text that values which mean the same have in common."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        text = value.strip()
        if _NUMBER.fullmatch(text) is None:
            return text.lower() if text.lower() in _WORDS.values() else text
        value = float(text) if "." in text else int(text)
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        value = int(value)
    return str(value)


def _read_number(value: object) -> int | float | None:
    if isinstance(value, str):
        value = float(value) if _ANY_NUMBER.fullmatch(value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    if not math.isfinite(number):
        return None
    return value if type(value) is int else number
