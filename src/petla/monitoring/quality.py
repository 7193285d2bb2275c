"""Quality of one window of labelled decisions."""

from collections import Counter as Tally
from collections.abc import Sequence
from statistics import fmean

from petla.core.project import LOWER_IS_BETTER, METRICS_OF_TASK
from petla.decisions.record import Labelled
from petla.models.metrics import measure_decisions
from petla.models.signature import Signature

BASE_RATE = "base_rate"


def measure_quality(signature: Signature, rows: Sequence[Labelled]) -> dict[str, float]:
    """Return every metric of the task that these decisions have, and the base rate of the truth.

    Log loss of a multiclass model is left out: a decision holds the probability of the decided class only. So are
    truths of a regression that are no numbers: whoever reports labels may be wrong, and the monitor goes on.
    """
    if signature.task == "regression":
        rows = [row for row in rows if isinstance(row.truth, int | float) and not isinstance(row.truth, bool)]
    if not rows:
        return {}
    truths = [row.truth for row in rows]
    labels = [row.label for row in rows]
    scores = [row.score for row in rows]
    metrics: dict[str, float] = {}
    for metric in METRICS_OF_TASK[signature.task]:
        value = measure_decisions(metric, signature, truths=truths, labels=labels, scores=scores)
        if value is not None:
            metrics[metric] = value
    return metrics | {BASE_RATE: _mean_truth(signature, truths)}


def is_worse(metric: str, value: float, limit: float) -> bool:
    """Whether a figure is on the wrong side of its limit.

    Example:
        >>> is_worse("accuracy", 0.70, 0.72), is_worse("log_loss", 0.70, 0.72)
        (True, False)
    """
    return value > limit if metric in LOWER_IS_BETTER else value < limit


def _mean_truth(signature: Signature, truths: Sequence[object]) -> float:
    if signature.task == "regression":
        return fmean(truth for truth in truths if isinstance(truth, int | float))
    if signature.task == "binary":
        return sum(truth == signature.classes[-1] for truth in truths) / len(truths)
    return Tally(truths).most_common(1)[0][1] / len(truths)
