"""From scores to decisions."""

import numpy as np
from numpy.typing import NDArray

from petla.models.package import Package
from petla.models.signature import Signature


def decide(package: Package, scores: NDArray[np.float64]) -> tuple[list[bool | int | float | str], NDArray[np.float64]]:
    """Turn a runtime's scores into labels and the one score that is recorded.

    Args:
        package: gives classes and threshold.
        scores: as `Runtime.score` returns them.

    Returns:
        Binary: class, by the answer's threshold, and probability of the positive class (the second one). Multiclass:
        the class with the largest probability, and that probability. Regression: the number, twice.
    """
    signature = package.signature
    score = record_scores(signature, scores)
    match signature.task:
        case "regression":
            return score.tolist(), score
        case "binary":
            negative, positive = signature.classes
            threshold = package.answer.threshold
            return [positive if value >= threshold else negative for value in score.tolist()], score
        case "multiclass":
            return [signature.classes[i] for i in scores.argmax(axis=1).tolist()], score


def record_scores(signature: Signature, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the one score of each row that is recorded; (n_rows,)."""
    match signature.task:
        case "regression":
            return scores
        case "binary":
            return scores[:, 1]
        case "multiclass":
            best: NDArray[np.float64] = scores.max(axis=1)
            return best
