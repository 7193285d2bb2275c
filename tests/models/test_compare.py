"""The interval of a difference: ties, gains, losses, and how often it holds the truth."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from petla.core.project import METRICS_OF_TASK, Metric
from petla.models.compare import paired_bootstrap
from petla.models.metrics import Outcome, measure

ALL_METRICS = [(task, metric) for task, metrics in METRICS_OF_TASK.items() for metric in metrics]
N_ROWS = 1_000


def make_outcome_of(task: str, noise: float, *, seed: int = 0, n_rows: int = N_ROWS) -> Outcome:
    """The same rows scored with more or less noise."""
    rows = np.random.default_rng(seed)
    own = np.random.default_rng(seed + int(noise * 1_000) + 1)
    if task == "regression":
        truth = rows.normal(0, 1, n_rows)
        scores = truth + own.normal(0, noise, n_rows)
        return Outcome(truth=truth, decided=scores, scores=scores)
    n_classes = 2 if task == "binary" else 3
    classes = rows.integers(0, n_classes, n_rows)
    logits = 2.0 * np.eye(n_classes)[classes] + own.normal(0, noise, (n_rows, n_classes))
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Outcome(truth=classes, decided=scores.argmax(axis=1), scores=scores)


@pytest.mark.parametrize(("task", "metric"), ALL_METRICS)
def test_identical_models_are_a_tie(task: str, metric: Metric) -> None:
    outcome = make_outcome_of(task, 1.0)

    interval = paired_bootstrap(metric, outcome, outcome)

    assert interval is not None
    assert (interval.difference, interval.low, interval.high, interval.n) == (0, 0, 0, N_ROWS)


@pytest.mark.parametrize(("task", "metric"), ALL_METRICS)
def test_clearly_better_model_is_above_zero_whichever_way_the_metric_points(task: str, metric: Metric) -> None:
    good, bad = make_outcome_of(task, 1.0), make_outcome_of(task, 3.0)

    better, worse = paired_bootstrap(metric, good, bad), paired_bootstrap(metric, bad, good)

    assert better is not None
    assert worse is not None
    assert 0 < better.low < better.difference < better.high
    assert worse.low < worse.difference < worse.high < 0


@pytest.mark.parametrize(("task", "metric"), ALL_METRICS)
def test_same_seed_gives_same_interval(task: str, metric: Metric) -> None:
    good, bad = make_outcome_of(task, 1.0), make_outcome_of(task, 2.0)

    assert paired_bootstrap(metric, good, bad, seed=3) == paired_bootstrap(metric, good, bad, seed=3)


@pytest.mark.parametrize(("task", "metric"), ALL_METRICS)
def test_resampled_metric_is_the_metric_of_the_resampled_rows(task: str, metric: Metric) -> None:
    good, bad = make_outcome_of(task, 1.0, n_rows=60), make_outcome_of(task, 3.0, n_rows=60)
    random = np.random.default_rng(5)
    differences = []
    for _ in range(400):
        rows = random.integers(0, 60, 60)
        differences.append(_difference(metric, _take(good, rows), _take(bad, rows)))
    expected = np.quantile(differences, [0.025, 0.975])

    interval = paired_bootstrap(metric, good, bad, seed=5, resamples=400)

    # the same rows are drawn, so the same quantiles come out, reached by plain resampling
    assert interval is not None
    assert [interval.low, interval.high] == pytest.approx(expected.tolist(), abs=1e-9)


def _take(outcome: Outcome, rows: NDArray[np.int64]) -> Outcome:
    return Outcome(truth=outcome.truth[rows], decided=outcome.decided[rows], scores=outcome.scores[rows])


def _difference(metric: Metric, first: Outcome, second: Outcome) -> float:
    one, other = measure(metric, first), measure(metric, second)
    assert one is not None
    assert other is not None
    return (other - one) if metric in ("log_loss", "mae", "rmse") else (one - other)


def test_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    """Of 200 samples some 190 intervals of 95% hold the truth; fewer than 180 has a chance of 1 in 1,000."""
    random = np.random.default_rng(1)
    held = 0
    for seed in range(200):
        truth = np.ones(400, dtype=np.int64)
        first, second = (random.random(400) < 0.80).astype(np.int64), (random.random(400) < 0.75).astype(np.int64)
        outcomes = [Outcome(truth=truth, decided=each, scores=np.zeros((400, 2))) for each in (first, second)]
        interval = paired_bootstrap("accuracy", *outcomes, seed=seed, resamples=400)
        assert interval is not None
        held += interval.low <= 0.05 <= interval.high

    assert held >= 180


def test_ties_of_scores_count_one_half() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 300)
    coarse, flat = np.round(0.3 * truth + random.random(300) * 0.7, 1), np.full(300, 0.5)
    outcomes = [
        Outcome(truth=truth, decided=truth, scores=np.column_stack([1 - each, each])) for each in (coarse, flat)
    ]

    interval = paired_bootstrap("auc", *outcomes)

    assert interval is not None
    assert interval.difference == pytest.approx(roc_auc_score(truth, coarse) - 0.5)


def test_one_class_is_not_enough_data() -> None:
    outcome = Outcome(truth=np.ones(50, dtype=np.int64), decided=np.ones(50, dtype=np.int64), scores=np.ones((50, 2)))

    assert paired_bootstrap("auc", outcome, outcome) is None


def test_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="1000 and 60 rows"):
        paired_bootstrap("mae", make_outcome_of("regression", 1.0), make_outcome_of("regression", 1.0, n_rows=60))
