"""Why a row got its score: how far each of its values moves it away from what a typical value would give.

One value at a time is replaced by the typical one of the training rows, and all these rows are scored: n + 1 rows for n
inputs. Effects are those of single values: what two values do only together shows in both, so they do not add up to the
score.

Source: Zeiler and Fergus (2014), Visualizing and Understanding Convolutional Networks (occlusion); for single features
of tables Robnik-Sikonja and Kononenko (2008), Explaining Classifications For Individual Instances.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from petla.core.errors import ModelFailedError
from petla.data.profile.columns import ColumnProfile, Kind
from petla.models.package import Package
from petla.models.runtime.running import Runtime
from petla.models.signature import Row, Value

# of one run: more would keep the interpreter, and with it all other requests, for longer than some milliseconds
_RUN_VALUES = 50_000

# of one row, in the order of the signature's inputs; None: nothing is typical, so the effect is not known
Effects = tuple[float | None, ...]


def find_typical(package: Package) -> Row:
    """Return the typical value of each input: the median, or what is most frequent.

    None stands where nothing is typical, such as for points in time.
    """
    return tuple(_typical_of(package.profile.find(field.name)) for field in package.signature.inputs)


def explain(package: Package, runtime: Runtime, rows: Sequence[Row], typical: Row) -> list[Effects]:
    """Return for each row the effect of each input on the recorded score, in the order of the signature's inputs.

    Args:
        package: what is scored.
        runtime: scores it.
        rows: values in the order of the signature's inputs.
        typical: from `find_typical`.

    Raises:
        ModelFailedError: the model gives no number for one of these rows.
        UnavailableError, UserCodeError: as `Runtime.score`.
    """
    places = [place for place, value in enumerate(typical) if value is not None]
    variants = (variant for row in rows for variant in _vary(row, typical, places))
    run_rows = max(1, _RUN_VALUES // len(typical))
    runs = [runtime.score(run) for run in iter(lambda: list(islice(variants, run_rows)), [])]
    scores = np.concatenate(runs).reshape(len(rows), len(places) + 1, -1)
    if not np.isfinite(scores).all():
        raise ModelFailedError("the model gives no number where a value is replaced by a typical one")
    known = (dict(zip(places, _effects(package, of_row).tolist(), strict=True)) for of_row in scores)
    return [tuple(map(effects.get, range(len(typical)))) for effects in known]


def _vary(row: Row, typical: Row, places: Sequence[int]) -> Iterator[Row]:
    """Yield the row as it is, then with each of these places replaced."""
    yield row
    for place in places:
        yield (*row[:place], typical[place], *row[place + 1 :])


def _effects(package: Package, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the differences of one row; (n_replaced + 1, n_classes) in, (n_replaced,) out."""
    match package.signature.task:
        case "binary":
            column = 1
        case "multiclass":
            column = int(scores[0].argmax())
        case "regression":
            column = 0
    effects: NDArray[np.float64] = scores[0, column] - scores[1:, column]
    return effects


def _typical_of(column: ColumnProfile | None) -> Value:
    if column is None:
        return None
    if column.kind.is_numeric:
        median = column.median
        return median if median is None or column.kind is not Kind.INTEGER else round(median)
    if column.kind is Kind.TIMESTAMP or not column.categories:
        return None
    most = column.categories[int(np.argmax(column.counts[: len(column.categories)]))]
    return most == "true" if column.kind is Kind.BOOLEAN else most
