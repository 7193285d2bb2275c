"""Metrics, in numpy: what is true against what was scored and decided.

A figure that the rows cannot give is None, "not enough data", never 0: no rows at all; AUC of one class; precision
where nothing was decided positive; recall where nothing is positive; R2 of a constant truth. So is a figure that is not
a finite number. A row without a truth is in no figure; a truth of a holdout that is a class which the model does not
know is a wrong answer.
"""

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from petla.core.project import METRICS_OF_TASK, Metric
from petla.models.runtime.labels import encode_labels, is_missing
from petla.models.signature import Signature

# keeps the logarithm of a probability finite, as scikit-learn does
_TINY = float(np.finfo(np.float64).eps)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Rows with their truth, what was decided, and the scores.

    Shapes:
        truth, decided (n_rows,): classification: int64 position among the classes, -1 a class the model does not know;
        regression: float64 numbers. scores: classification (n_rows, n_classes) float64; regression (n_rows,).
    """

    truth: NDArray[np.int64] | NDArray[np.float64]
    decided: NDArray[np.int64] | NDArray[np.float64]
    scores: NDArray[np.float64]


def make_outcome(
    signature: Signature, truth: Sequence[object], scores: NDArray[np.float64], *, threshold: float = 0.5
) -> Outcome:
    """Put true values beside a runtime's scores, deciding by the threshold (binary) or by the largest score.

    Rows whose truth is missing are left out.
    """
    known = np.array([not is_missing(value) for value in truth], dtype=bool)
    truth, scores = [value for value in truth if not is_missing(value)], scores[known]
    match signature.task:
        case "regression":
            decided: NDArray[np.int64] | NDArray[np.float64] = scores
        case "binary":
            decided = (scores[:, 1] >= threshold).astype(np.int64)
        case "multiclass":
            decided = scores.argmax(axis=1)
    return Outcome(truth=encode_labels(signature, truth), decided=decided, scores=scores)


def measure(metric: Metric, outcome: Outcome) -> float | None:
    """Return one metric, or None where the rows cannot give it, or where it is not a finite number."""
    if len(outcome.truth) == 0:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        value = _MEASURES[metric](outcome)
    return float(value) if value is not None and math.isfinite(value) else None


def measure_all(signature: Signature, outcome: Outcome) -> dict[str, float]:
    """Return every metric of the task that the rows can give."""
    found = {metric: measure(metric, outcome) for metric in METRICS_OF_TASK[signature.task]}
    return {metric: value for metric, value in found.items() if value is not None}


def measure_decisions(
    metric: Metric, signature: Signature, *, truths: Sequence[object], labels: Sequence[object], scores: Sequence[float]
) -> float | None:
    """Return one metric of recorded decisions, each with the one score that `decide` gives.

    Truths that are no label of the model are left out: they say nothing of the answer. Log loss of a multiclass model
    needs the probabilities of all classes, which a decision does not hold: None.
    """
    if signature.task == "multiclass" and metric == "log_loss":
        return None
    truth = encode_labels(signature, truths)
    is_known = truth >= 0 if signature.classes else np.isfinite(truth)
    score = np.asarray(scores, dtype=np.float64)[is_known]
    outcome = Outcome(
        truth=truth[is_known],
        decided=encode_labels(signature, labels)[is_known],
        scores=np.column_stack([1.0 - score, score]) if signature.task == "binary" else score,
    )
    return measure(metric, outcome)


def list_losses(outcome: Outcome) -> NDArray[np.float64]:
    """Return each row's log loss; a class that the model does not know counts as one that it gave no probability."""
    truth = outcome.truth.astype(np.int64)
    chosen = outcome.scores[np.arange(len(truth)), truth]
    losses: NDArray[np.float64] = -np.log(np.clip(np.where(truth < 0, 0.0, chosen), _TINY, 1 - _TINY))
    return losses


def _accuracy(outcome: Outcome) -> float:
    return float(np.mean(outcome.truth == outcome.decided))


def _auc(outcome: Outcome) -> float | None:
    """Probability that a positive row scores above a negative one, ties counting one half.

    Source: Hanley and McNeil (1982), The meaning and use of the area under a ROC curve, Radiology 143.
    """
    known = outcome.truth >= 0
    is_positive = outcome.truth[known] == 1
    n_positive = int(is_positive.sum())
    n_negative = len(is_positive) - n_positive
    if not n_positive or not n_negative:
        return None
    _, group, sizes = np.unique(outcome.scores[known, 1], return_inverse=True, return_counts=True)
    # mean rank of each group of equal scores, from 1
    rank = np.cumsum(sizes) - (sizes - 1) / 2
    return float((rank[group][is_positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def _f1(outcome: Outcome) -> float | None:
    hits, decided, positive = _count_positive(outcome)
    return _share(2 * hits, decided + positive)


def _precision(outcome: Outcome) -> float | None:
    hits, decided, _ = _count_positive(outcome)
    return _share(hits, decided)


def _recall(outcome: Outcome) -> float | None:
    hits, _, positive = _count_positive(outcome)
    return _share(hits, positive)


def _log_loss(outcome: Outcome) -> float:
    return float(np.mean(list_losses(outcome)))


def _mae(outcome: Outcome) -> float:
    return float(np.mean(np.abs(outcome.truth - outcome.scores)))


def _rmse(outcome: Outcome) -> float:
    return float(np.sqrt(np.mean((outcome.truth - outcome.scores) ** 2)))


def _r2(outcome: Outcome) -> float | None:
    spread = float(np.sum((outcome.truth - outcome.truth.mean()) ** 2))
    return None if spread == 0 else 1 - float(np.sum((outcome.truth - outcome.scores) ** 2)) / spread


def _count_positive(outcome: Outcome) -> tuple[int, int, int]:
    """Count the rows that are positive and decided so, decided positive, and positive."""
    decided, positive = outcome.decided == 1, outcome.truth == 1
    return int((decided & positive).sum()), int(decided.sum()), int(positive.sum())


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


_MEASURES: dict[Metric, Callable[[Outcome], float | None]] = {
    "accuracy": _accuracy,
    "auc": _auc,
    "f1": _f1,
    "precision": _precision,
    "recall": _recall,
    "log_loss": _log_loss,
    "mae": _mae,
    "rmse": _rmse,
    "r2": _r2,
}
