"""Metrics give what scikit-learn gives, and say so where the rows cannot give them."""

import msgspec
import numpy as np
import pytest
from sklearn import metrics as reference

from petla.core.project import METRICS_OF_TASK, Metric
from petla.models.metrics import make_outcome, measure, measure_all, measure_decisions
from petla.models.signature import Signature

BINARY = Signature(inputs=(), target="late", task="binary", classes=(False, True))
MULTICLASS = Signature(inputs=(), target="late", task="multiclass", classes=("a", "b", "c"))
REGRESSION = Signature(inputs=(), target="late", task="regression")

RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.random(500) < 0.3
# rounded, so that many scores are tied
POSITIVE = np.round(np.clip(0.3 * TRUTH + RANDOM.normal(0.35, 0.2, 500), 0, 1), 1)
SCORES = np.column_stack([1 - POSITIVE, POSITIVE])
DECIDED = POSITIVE >= 0.5

EXPECTED: dict[Metric, float] = {
    "accuracy": reference.accuracy_score(TRUTH, DECIDED),
    "auc": reference.roc_auc_score(TRUTH, POSITIVE),
    "f1": reference.f1_score(TRUTH, DECIDED),
    "precision": reference.precision_score(TRUTH, DECIDED),
    "recall": reference.recall_score(TRUTH, DECIDED),
    "log_loss": reference.log_loss(TRUTH, POSITIVE),
}


@pytest.mark.parametrize("metric", METRICS_OF_TASK["binary"])
def test_binary_metric_is_that_of_scikit_learn(metric: Metric) -> None:
    outcome = make_outcome(BINARY, TRUTH.tolist(), SCORES)

    assert measure(metric, outcome) == pytest.approx(EXPECTED[metric], abs=1e-12)


@pytest.mark.parametrize("metric", METRICS_OF_TASK["binary"])
def test_metric_of_decisions_is_that_of_their_scores(metric: Metric) -> None:
    value = measure_decisions(metric, BINARY, truths=TRUTH.tolist(), labels=DECIDED.tolist(), scores=POSITIVE.tolist())

    assert value == pytest.approx(EXPECTED[metric], abs=1e-12)


def test_multiclass_metrics_are_those_of_scikit_learn() -> None:
    truth = RANDOM.choice(["a", "b", "c"], 300)
    scores = RANDOM.dirichlet([1, 1, 1], 300)
    decided = np.array(["a", "b", "c"])[scores.argmax(axis=1)]

    found = measure_all(MULTICLASS, make_outcome(MULTICLASS, truth.tolist(), scores))

    assert found["accuracy"] == pytest.approx(reference.accuracy_score(truth, decided))
    assert found["log_loss"] == pytest.approx(reference.log_loss(truth, scores, labels=["a", "b", "c"]))


def test_regression_metrics_are_those_of_scikit_learn() -> None:
    truth = RANDOM.normal(50, 10, 300)
    scores = truth + RANDOM.normal(0, 3, 300)

    found = measure_all(REGRESSION, make_outcome(REGRESSION, truth.tolist(), scores))

    assert found["mae"] == pytest.approx(reference.mean_absolute_error(truth, scores))
    assert found["rmse"] == pytest.approx(reference.root_mean_squared_error(truth, scores))
    assert found["r2"] == pytest.approx(reference.r2_score(truth, scores))


def test_threshold_decides() -> None:
    outcome = make_outcome(BINARY, TRUTH.tolist(), SCORES, threshold=0.3)

    assert measure("recall", outcome) == pytest.approx(reference.recall_score(TRUTH, POSITIVE >= 0.3))


@pytest.mark.parametrize(
    ("metric", "truth", "positive"),
    [
        ("auc", [True, True], [0.2, 0.9]),
        ("precision", [True, False], [0.2, 0.3]),
        ("recall", [False, False], [0.2, 0.9]),
        ("f1", [False, False], [0.2, 0.3]),
        ("accuracy", [], []),
    ],
)
def test_too_few_rows_are_not_enough_data(metric: Metric, truth: list[bool], positive: list[float]) -> None:
    scores = np.array([[1 - value, value] for value in positive]).reshape(-1, 2)

    assert measure(metric, make_outcome(BINARY, truth, scores)) is None


def test_constant_truth_has_no_r2() -> None:
    assert measure("r2", make_outcome(REGRESSION, [1.0, 1.0], np.array([1.0, 2.0]))) is None


def test_log_loss_of_multiclass_decisions_is_not_to_be_had() -> None:
    assert measure_decisions("log_loss", MULTICLASS, truths=["a"], labels=["a"], scores=[0.9]) is None


def test_unknown_class_counts_as_wrong() -> None:
    outcome = make_outcome(MULTICLASS, ["z", "a"], np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1]]))

    assert measure("accuracy", outcome) == 0.5


def test_row_without_a_truth_is_no_wrong_answer() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])

    found = measure_all(BINARY, make_outcome(BINARY, [False, None, float("nan"), True], scores))

    assert found["accuracy"] == 1.0
    assert found == measure_all(BINARY, make_outcome(BINARY, [False, True], scores[[0, 3]]))


@pytest.mark.parametrize("metric", METRICS_OF_TASK["regression"])
@pytest.mark.parametrize(
    ("truth", "scores"), [([1e300, -1e300], [0.0, 0.0]), ([1.0, 2.0], [float("nan"), 2.0]), ([1, 2], [float("inf"), 2])]
)
def test_figure_is_finite_or_absent(metric: Metric, truth: list[float], scores: list[float]) -> None:
    value = measure(metric, make_outcome(REGRESSION, truth, np.array(scores)))

    assert value is None or np.isfinite(value)
    assert msgspec.json.decode(msgspec.json.encode(value)) == value


def test_labels_that_are_no_class_are_left_out_of_the_figures_of_decisions() -> None:
    truths, labels = ["true", "false", 1, "maybe", None], [True, False, False, True, True]

    found = measure_decisions("accuracy", BINARY, truths=truths, labels=labels, scores=[0.9, 0.1, 0.2, 0.9, 0.9])

    assert found == pytest.approx(2 / 3)
