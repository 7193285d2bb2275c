"""Comparison of two models on the same rows: by how much one is better, and how sure that is.

Every metric here is a function of sums over rows, so a resample is a vector of weights (how often each row was
drawn) and the sums of a thousand resamples are one matrix product. AUC sums over the rows in order of their score.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from petla.core.project import LOWER_IS_BETTER, Metric
from petla.models.metrics import Outcome, list_losses, measure

Floats = NDArray[np.float64]
# resampled weights (n_resamples, n_rows) -> metric (n_resamples,); NaN where the resample cannot give it
Resampled = Callable[[NDArray[np.int32]], Floats]
# sums (n_resamples, n_columns) and the number of rows -> metric (n_resamples,)
Combine = Callable[[Floats, int], Floats]

# drawn at a time: bounds the memory to some tens of megabytes
_DRAWS_AT_ONCE = 1 << 20
# resamples that must give the metric before their quantiles are believed
_USABLE_SHARE = 0.9


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """How much better the candidate is; above 0 = better, whichever way the metric points."""

    difference: float
    low: float
    high: float
    # rows that both were measured on
    n: int


def paired_bootstrap(
    metric: Metric,
    candidate: Outcome,
    champion: Outcome,
    *,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = 1_000,
) -> Interval | None:
    """Return the percentile interval of the difference between two models on the same rows.

    Rows are drawn with replacement, the same ones for both models, so what makes a row hard for both cancels out.

    Returns:
        None where the rows cannot give the metric, or nine in ten resamples cannot.

    Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13 (percentile interval).
    """
    n_rows = len(candidate.truth)
    if n_rows != len(champion.truth):
        raise ValueError(f"the models were measured on {n_rows} and {len(champion.truth)} rows; they must be the same")
    value, reference = measure(metric, candidate), measure(metric, champion)
    if value is None or reference is None:
        return None
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    first, second = _resampled(metric, candidate), _resampled(metric, champion)
    drawn = _draw(n_rows, resamples, np.random.default_rng(seed))
    differences = sign * np.concatenate([first(weights) - second(weights) for weights in drawn])
    usable = differences[np.isfinite(differences)]
    if len(usable) < _USABLE_SHARE * resamples:
        return None
    low, high = np.quantile(usable, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(difference=sign * (value - reference), low=float(low), high=float(high), n=n_rows)


def _draw(n_rows: int, resamples: int, random: np.random.Generator) -> Iterator[NDArray[np.int32]]:
    at_once = max(1, _DRAWS_AT_ONCE // n_rows)
    for begin in range(0, resamples, at_once):
        count = min(at_once, resamples - begin)
        rows = random.integers(0, n_rows, size=(count, n_rows), dtype=np.int64)
        rows += np.arange(count, dtype=np.int64)[:, None] * n_rows
        yield np.bincount(rows.ravel(), minlength=count * n_rows).astype(np.int32).reshape(count, n_rows)


def _resampled(metric: Metric, outcome: Outcome) -> Resampled:
    if metric == "auc":
        return _resampled_auc(outcome)
    columns, combine = _sums(metric, outcome)
    table = np.column_stack(columns).astype(np.float64)

    def evaluate(weights: NDArray[np.int32]) -> Floats:
        return combine(weights.astype(np.float64) @ table, weights.shape[1])

    return evaluate


def _sums(metric: Metric, outcome: Outcome) -> tuple[list[NDArray[Any]], Combine]:
    """Return what is summed over the rows, and the metric from those sums."""
    if metric in ("mae", "rmse", "r2"):
        return _sums_of_numbers(metric, outcome)
    is_positive, is_decided = outcome.truth == 1, outcome.decided == 1
    match metric:
        case "precision":
            return [is_positive & is_decided, is_decided], lambda sums, _: _divide(sums[:, 0], sums[:, 1])
        case "recall":
            return [is_positive & is_decided, is_positive], lambda sums, _: _divide(sums[:, 0], sums[:, 1])
        case "f1":
            columns = [is_positive & is_decided, is_positive, is_decided]
            return columns, lambda sums, _: _divide(2 * sums[:, 0], sums[:, 1] + sums[:, 2])
        case "log_loss":
            return [list_losses(outcome)], _mean
        case _:
            return [outcome.truth == outcome.decided], _mean


def _sums_of_numbers(metric: Metric, outcome: Outcome) -> tuple[list[NDArray[Any]], Combine]:
    errors = outcome.truth - outcome.scores
    match metric:
        case "rmse":
            return [errors**2], lambda sums, n: np.sqrt(sums[:, 0] / n)
        case "r2":
            # about the mean of all rows, so that the sums stay small and their difference exact
            centred = outcome.truth - outcome.truth.mean()
            columns = [errors**2, centred**2, centred]
            return columns, lambda sums, n: 1 - _divide(sums[:, 0], sums[:, 1] - sums[:, 2] ** 2 / n)
        case _:
            return [np.abs(errors)], _mean


def _mean(sums: Floats, n_rows: int) -> Floats:
    return sums[:, 0] / n_rows


def _resampled_auc(outcome: Outcome) -> Resampled:
    known = np.flatnonzero(outcome.truth >= 0)
    order = known[np.argsort(outcome.scores[known, 1], kind="stable")]
    score, is_positive = outcome.scores[order, 1], outcome.truth[order] == 1
    negatives, positives = order[~is_positive], order[is_positive]
    # how many negatives lie below each positive's score, and how many at or below it
    below = np.searchsorted(score[~is_positive], score[is_positive], side="left")
    up_to = np.searchsorted(score[~is_positive], score[is_positive], side="right")

    def evaluate(weights: NDArray[np.int32]) -> Floats:
        sums = np.zeros((len(weights), len(negatives) + 1))
        np.cumsum(weights[:, negatives], axis=1, out=sums[:, 1:])
        weight = weights[:, positives].astype(np.float64)
        wins = np.einsum("ij,ij->i", weight, sums[:, below] + sums[:, up_to]) / 2
        return _divide(wins, weight.sum(axis=1) * sums[:, -1])

    return evaluate


def _divide(part: Floats, whole: Floats) -> Floats:
    result = np.full(len(part), np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result
