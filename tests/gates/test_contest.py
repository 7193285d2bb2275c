"""Worse and tied candidates are refused; a better one passes."""

import numpy as np
import pytest

from petla.core.project import GateTable, Metric
from petla.gates.contest import Contender, check_champion, check_minimum, pass_without_champion
from petla.models.metrics import Outcome

TRUTH = np.random.default_rng(0).integers(0, 2, 1_000)


def contend(name: str, accuracy: float, *, seed: int = 1) -> Contender:
    """A version that is right in this share of the rows."""
    is_right = np.random.default_rng(seed).random(len(TRUTH)) < accuracy
    decided = np.where(is_right, TRUTH, 1 - TRUTH)
    return Contender(name, Outcome(truth=TRUTH, decided=decided, scores=np.column_stack([1 - decided, decided]) * 1.0))


def contend_regression(name: str, noise: float) -> Contender:
    truth = np.arange(500.0)
    scores = truth + np.random.default_rng(int(noise)).normal(0, noise, 500)
    return Contender(name, Outcome(truth=truth, decided=scores, scores=scores))


def test_better_candidate_passes_with_all_figures() -> None:
    check = check_champion("accuracy", GateTable(), contend("delay:2", 0.9), contend("delay:1", 0.7, seed=2))

    assert check.passed
    assert "of the champion delay:1 on the same 1,000 rows: better by" in check.message
    assert check.figures.keys() >= {"champion", "candidate", "difference", "low", "high", "rows"}
    assert 0 < check.figures["low"] < check.figures["difference"] < check.figures["high"]


def test_worse_candidate_is_refused() -> None:
    check = check_champion("accuracy", GateTable(), contend("delay:2", 0.7), contend("delay:1", 0.9, seed=2))

    assert not check.passed
    assert check.message.endswith("it is shown to be worse")


def test_identical_candidate_is_a_tie_and_refused() -> None:
    same = contend("delay:2", 0.8)

    check = check_champion("accuracy", GateTable(), same, same)

    assert not check.passed
    assert "no difference" in check.message
    assert check.message.endswith("that is a tie: it is not shown to be better")


def test_gain_that_may_be_chance_is_a_tie_and_refused() -> None:
    candidate, champion = contend("delay:2", 0.805, seed=4), contend("delay:1", 0.80, seed=5)

    check = check_champion("accuracy", GateTable(), candidate, champion)

    assert check.figures["low"] < 0 < check.figures["high"]
    assert not check.passed


def test_margin_lets_a_tie_pass() -> None:
    same = contend("delay:2", 0.8)

    check = check_champion("accuracy", GateTable(margin=0.01), same, same)

    assert check.passed
    assert "not to be worse by more than the margin of 0.01" in check.message


def test_margin_does_not_let_pass_what_may_be_worse_by_more() -> None:
    check = check_champion("accuracy", GateTable(margin=0.01), contend("delay:2", 0.8), contend("delay:1", 0.8, seed=9))

    assert not check.passed


@pytest.mark.parametrize(("metric", "candidate", "passed"), [("rmse", 1.0, True), ("mae", 5.0, False)])
def test_smaller_error_is_better(metric: Metric, candidate: float, *, passed: bool) -> None:
    champion = contend_regression("price:1", 3.0)

    check = check_champion(metric, GateTable(), contend_regression("price:2", candidate), champion)

    assert check.passed is passed


@pytest.mark.parametrize(("minimum", "passed"), [(0.7, True), (0.95, False), (None, True)])
def test_minimum_is_held_against_the_holdout(minimum: float | None, *, passed: bool) -> None:
    check = check_minimum("accuracy", GateTable(minimum=minimum), contend("delay:2", 0.9))

    assert check.passed is passed
    assert check.figures["value"] == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize(("minimum", "passed"), [(2.0, True), (0.1, False)])
def test_minimum_of_an_error_is_the_largest_that_passes(minimum: float, *, passed: bool) -> None:
    check = check_minimum("rmse", GateTable(minimum=minimum), contend_regression("price:1", 1.0))

    assert check.passed is passed
    assert "at most" in check.message


def test_metric_that_the_rows_cannot_give_is_refused() -> None:
    ones = Outcome(truth=np.ones(9, np.int64), decided=np.ones(9, np.int64), scores=np.ones((9, 2)))
    contender = Contender("delay:1", ones)

    checks = [
        check_minimum("auc", GateTable(), contender),
        check_champion("auc", GateTable(), contender, contender),
    ]

    assert not any(check.passed for check in checks)
    assert all("not enough data" in check.message for check in checks)


def test_first_version_has_nobody_to_beat() -> None:
    check = pass_without_champion("accuracy", contend("delay:1", 0.8))

    assert check.passed
    assert "no champion" in check.message
