"""How much may be explained: a row costs as many more rows as the model has inputs, so a request has few of them."""

from petla.core.errors import InvalidError
from petla.data.profile.columns import Kind
from petla.models.signature import Signature

# of one request
MOST_ROWS = 100
# of one request, rows times inputs; the work grows with the inputs once more
MOST_VALUES = 10_000
MOST_INPUTS = 1_000

_FIELD = "explain"
_HINT = "ask without 'explain'"


def measure_explained(signature: Signature, n_rows: int) -> int:
    """Return how many rows are scored where so many are explained.

    Raises:
        InvalidError: the model cannot be explained, or not for so many rows at once.
    """
    inputs = signature.inputs
    for field in inputs:
        if field.kind in (Kind.IMAGE, Kind.TENSOR):
            message = f"answers about {field.name} cannot be explained: no picture or array is a typical one"
            raise InvalidError(message, hint=_HINT, field=_FIELD)
    if len(inputs) > MOST_INPUTS:
        message = f"the model has {len(inputs)} inputs, and answers of more than {MOST_INPUTS} cannot be explained"
        raise InvalidError(message, hint=_HINT, field=_FIELD)
    limit = min(MOST_ROWS, MOST_VALUES // len(inputs))
    if n_rows > limit:
        message = f"the request has {n_rows} rows, but at most {limit} of this model are explained at once"
        raise InvalidError(message, hint=f"send at most {limit}, or {_HINT}", field=_FIELD)
    return n_rows * (len(inputs) + 1)
