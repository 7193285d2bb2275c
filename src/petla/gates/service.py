"""Gates on service: how fast the packaged model answers one row, and whether it answers what production will send."""

import time
from collections.abc import Sequence
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray

from petla.core.errors import PetlaError
from petla.gates.verdict import Check
from petla.models.conversion.dirty_rows import list_dirty_rows
from petla.models.runtime.running import Runtime
from petla.models.signature import Row, Signature

_TIMED_ROWS = 500
_WARM_ROWS = 50
# faults named in one message
_SHOWN_FAULTS = 5
# how far probabilities may be from 0, 1 and a sum of 1
_SLACK = 1e-3


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
    faults, n_rows = [], 0
    for what, row in list_dirty_rows(signature, rows):
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
