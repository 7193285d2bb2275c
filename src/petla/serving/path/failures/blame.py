"""Who is to blame for a request without an answer: one of its values, one of its rows, or the model as a whole."""

from collections.abc import Sequence

from petla.core.errors import InvalidError, ModelFailedError, PetlaError
from petla.models.signature import Row, Signature, Value

_LARGEST_FLOAT32 = 3.4028234663852886e38
_NO_NUMBER = "see that its values are like those of the training data"


def blame_values(signature: Signature, rows: Sequence[Row]) -> PetlaError:
    """Say why a request has no finite score: a number that no 32-bit float holds, else the model itself."""
    fields = signature.inputs
    named = (field.name for row in rows for field, value in zip(fields, row, strict=True) if _is_too_large(value))
    for name in named:
        return InvalidError(f"{name} is larger than the model can take", hint="send at most 3.4e38", field=name)
    return ModelFailedError("the model gave no number for this input", hint=_NO_NUMBER)


def blame_row(error: PetlaError, index: int | None) -> ModelFailedError:
    """Return the failure of a version, with the row that is to blame where that is known."""
    place = f"[{index}]" if index is not None else ""
    at = f" at row {place}" if place else ""
    return ModelFailedError(f"the model failed{at}: {error.message}", hint=error.hint, field=place)


def _is_too_large(value: Value) -> bool:
    return isinstance(value, int | float) and abs(value) > _LARGEST_FLOAT32
