"""Quality of one window of labelled decisions."""

import math
from collections import Counter as Tally
from collections.abc import Sequence

import msgspec
import numpy as np

from petla.core.project import LOWER_IS_BETTER, METRICS_OF_TASK, Metric
from petla.decisions.record import Labelled, Truth
from petla.models.metrics import measure_decisions
from petla.models.runtime.labels import describe_unknown, make_reader
from petla.models.signature import Signature

BASE_RATE = "base_rate"
# with a larger share of labels that cannot be used, the others say nothing of the whole
MOST_UNUSABLE = 0.5

_WHY: dict[Metric, str] = {
    "auc": "not enough data: one class only",
    "precision": "not enough data: nothing was decided positive",
    "recall": "not enough data: no label is positive",
    "f1": "not enough data: no label is positive, and nothing was decided so",
    "r2": "not enough data: all labels are the same number",
}


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """What labels say of the decisions that they are about."""

    metrics: dict[str, float]
    # metric of the task -> why there is no figure
    absent: dict[str, str]
    # labels that are no class of the model, or no number
    unusable: int


def measure_quality(signature: Signature, rows: Sequence[Labelled]) -> Quality:
    """Return every metric of the task that these decisions have, and the base rate of the truth.

    Labels that cannot be used are left out: whoever reports them may be wrong, and the monitor goes on. Where they are
    most of all labels, there are no figures.
    """
    read = make_reader(signature)
    truths = [read(row.truth) for row in rows]
    names = METRICS_OF_TASK[signature.task]
    known = [(row, truth) for row, truth in zip(rows, truths, strict=True) if truth is not None]
    unknown = [row.truth for row, truth in zip(rows, truths, strict=True) if truth is None]
    if unknown and len(unknown) > MOST_UNUSABLE * len(rows):
        reason = describe_unknown(signature, len(unknown), unknown[0])
        return Quality(metrics={}, absent=dict.fromkeys(names, reason), unusable=len(unknown))
    if not known:
        return Quality(metrics={}, absent=dict.fromkeys(names, "not enough data: no labels"), unusable=0)
    figures = {name: _measure(name, signature, known) for name in names}
    metrics: dict[str, float] = {name: value for name, value in figures.items() if value is not None}
    absent: dict[str, str] = {
        name: _explain(name, signature, known) for name, value in figures.items() if value is None
    }
    return Quality(metrics=metrics | _measure_truth(signature, known), absent=absent, unusable=len(unknown))


def is_worse(metric: str, value: float, limit: float) -> bool:
    """Whether a figure is on the wrong side of its limit.

    Example:
        >>> is_worse("accuracy", 0.70, 0.72), is_worse("log_loss", 0.70, 0.72)
        (True, False)
    """
    return value > limit if metric in LOWER_IS_BETTER else value < limit


def _measure(metric: Metric, signature: Signature, known: Sequence[tuple[Labelled, Truth]]) -> float | None:
    return measure_decisions(
        metric,
        signature,
        truths=[truth for _, truth in known],
        labels=[row.label for row, _ in known],
        scores=[row.score for row, _ in known],
    )


def _explain(metric: Metric, signature: Signature, known: Sequence[tuple[Labelled, Truth]]) -> str:
    """Say why labels do not give a figure."""
    if signature.task == "multiclass" and metric == "log_loss":
        return "a decision holds the probability of its own class only"
    if signature.task == "regression" and len({truth for _, truth in known}) > 1:
        return "the figure is not a finite number"
    return _WHY.get(metric, "the figure is not a finite number")


def _measure_truth(signature: Signature, known: Sequence[tuple[Labelled, Truth]]) -> dict[str, float]:
    truths = [truth for _, truth in known]
    if signature.task == "regression":
        with np.errstate(over="ignore"):
            rate = float(np.mean(np.asarray(truths, dtype=np.float64)))
    elif signature.task == "binary":
        rate = sum(truth == signature.classes[-1] for truth in truths) / len(truths)
    else:
        rate = Tally(truths).most_common(1)[0][1] / len(truths)
    return {BASE_RATE: rate} if math.isfinite(rate) else {}
