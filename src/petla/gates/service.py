"""Gates on service: how fast the packaged model answers one row, and whether it answers what production will send."""

import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray

from petla.core.errors import PetlaError
from petla.core.timestamps import Form, normalize_timestamp, parse_type
from petla.data.profile.columns import Kind
from petla.gates.verdict import Check
from petla.models.runtime.running import Runtime
from petla.models.signature import InputField, Row, Signature, Value

_TIMED_ROWS = 500
_WARM_ROWS = 50
# faults named in one message
_SHOWN_FAULTS = 5
# how far probabilities may be from 0, 1 and a sum of 1
_SLACK = 1e-3

_BLACK = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
_CLEAR = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
_NUMBERS = (0.0, -1.0, 1e30, -1e30, 1e-30)
_INTEGERS = (0, -1, 2**53, -(2**53))
# as clients write them; the endpoint converts each to the column's type
_TIMESTAMPS = {
    Form.DATE: ("1900-01-01", "2199-12-31"),
    Form.TIME: ("00:00:00", "12:30", "23:59:59.999999"),
    Form.DATETIME: (
        "1900-01-01T00:00:00",
        "2013-07-01T12:00:00Z",
        "2013-07-01T12:00:00.123456789+05:30",
        "2013-07-01",
        "2199-12-31T23:59:59",
    ),
}
_EXTREMES: dict[Kind, tuple[Value, ...]] = {
    Kind.BOOLEAN: (False, True),
    Kind.CATEGORY: ("", "never seen before", "żółć", "x" * 10_000),
    Kind.TEXT: ("", "never seen before", "żółć", "x" * 10_000),
    # a black pixel, and a transparent one
    Kind.IMAGE: (_BLACK, _CLEAR),
}


def check_latency(runtime: Runtime, rows: Sequence[Row], limit_ms: float) -> Check:
    """Time single rows, one after the other, after warming up."""
    for row in islice(cycle(rows), _WARM_ROWS):
        runtime.score([row])
    took_ms = []
    for row in islice(cycle(rows), _TIMED_ROWS):
        begun = time.perf_counter_ns()
        runtime.score([row])
        took_ms.append((time.perf_counter_ns() - begun) / 1e6)
    p50, p99 = (float(value) for value in np.percentile(took_ms, [50, 99]))
    return Check(
        name="latency",
        passed=p99 <= limit_ms,
        message=f"99 of 100 single rows take at most {p99:.3g} ms, half of them {p50:.3g} ms; "
        f"at most {limit_ms:g} ms is demanded",
        figures={"p50_ms": p50, "p99_ms": p99, "limit_ms": limit_ms, "rows": float(_TIMED_ROWS)},
    )


def check_dirty_rows(runtime: Runtime, signature: Signature, rows: Sequence[Row]) -> Check:
    """Send rows with missing, unseen and extreme values; each must get finite scores in range.

    Args:
        runtime: runs the packaged model.
        signature: says what may be sent.
        rows: of the holdout; the first without missing values is what the dirty rows are made from.
    """
    sample = next((row for row in rows if None not in row), rows[0])
    faults, n_rows = [], 0
    for what, row in list_dirty_rows(signature, sample):
        n_rows += 1
        fault = _find_fault(runtime, signature, row)
        if fault:
            faults.append(f"{what}: {fault}")
    figures = {"rows": float(n_rows), "failed": float(len(faults))}
    if not faults:
        message = f"all {n_rows} rows with missing, unseen and extreme values are answered"
        return Check(name="dirty rows", passed=True, message=message, figures=figures)
    more = f" and {len(faults) - _SHOWN_FAULTS} more" if len(faults) > _SHOWN_FAULTS else ""
    message = f"{len(faults)} of {n_rows} dirty rows are not answered: {'; '.join(faults[:_SHOWN_FAULTS])}{more}"
    return Check(name="dirty rows", passed=False, message=message, figures=figures)


def list_dirty_rows(signature: Signature, sample: Row) -> Iterator[tuple[str, Row]]:
    """Yield rows that a signature allows and no training row looks like, each with what is wrong with it."""
    fields = signature.inputs
    for i, field in enumerate(fields):
        for value in (*((None,) if field.is_nullable else ()), *_list_extremes(field)):
            yield f"{field.name} = {_show(value)}", (*sample[:i], value, *sample[i + 1 :])
    yield (
        "every nullable field null",
        tuple(None if field.is_nullable else value for field, value in zip(fields, sample, strict=True)),
    )
    for which in (0, -1):
        yield "every field extreme at once", tuple(_list_extremes(field)[which] for field in fields)


def _list_extremes(field: InputField) -> tuple[Value, ...]:
    match field.kind:
        case Kind.TENSOR:
            kind = np.dtype(field.dtype)
            most = np.iinfo(kind).max if kind.kind in "iu" else 1
            return tuple(np.full(field.shape, value, dtype=kind).tolist() for value in (0, most))
        case Kind.INTEGER:
            limits = np.iinfo(field.dtype or "int64")
            return _clip(_INTEGERS, int(limits.min), int(limits.max))
        case Kind.NUMBER:
            largest = float(np.finfo(field.dtype or "float64").max)
            return _clip(_NUMBERS, -largest, largest)
        case Kind.TIMESTAMP:
            stored = parse_type(field.dtype)
            form = Form.DATETIME if stored is None else stored.form
            return tuple(normalize_timestamp(text, stored) for text in _TIMESTAMPS[form])
        case _:
            return _EXTREMES[field.kind]


def _clip(values: Sequence[float], least: float, most: float) -> tuple[float, ...]:
    """Return values that a column's type holds, its limits in the place of those beyond them."""
    return tuple(dict.fromkeys(min(max(value, least), most) for value in values))


def _find_fault(runtime: Runtime, signature: Signature, row: Row) -> str:
    try:
        scores = runtime.score([row])
    except PetlaError as error:
        return error.message
    return _find_range_fault(signature, scores)


def _find_range_fault(signature: Signature, scores: NDArray[np.float64]) -> str:
    if not np.isfinite(scores).all():
        return "the score is no finite number"
    if signature.task == "regression":
        return ""
    if scores.min() < -_SLACK or scores.max() > 1 + _SLACK or abs(scores.sum() - 1) > _SLACK:
        return f"the probabilities {', '.join(f'{value:.3g}' for value in scores[0])} are none"
    return ""


def _show(value: Value) -> str:
    if value is None:
        return "null"
    text = repr(value)
    return text if len(text) <= 30 else f"a text of {len(str(value)):,} characters"
