"""The simulated payments, and the steps of the pipeline as the plain functions that they are."""

from datetime import timedelta

import numpy as np
import pipeline
import polars as pl
import pytest
import simulate


@pytest.fixture(scope="module")
def payments() -> pl.DataFrame:
    return simulate.add_features(simulate.make_transactions(days=50, customers=300, seed=3))


def test_payments_are_the_same_for_a_seed(payments: pl.DataFrame) -> None:
    again = simulate.add_features(simulate.make_transactions(days=50, customers=300, seed=3))

    assert again.equals(payments)


def test_large_payments_are_fraud_and_most_are_none(payments: pl.DataFrame) -> None:
    assert payments.filter(pl.col("amount") > simulate.LARGE)["is_fraud"].all()
    assert 0.001 < payments["is_fraud"].mean() < 0.2


def test_habits_of_a_card_count_no_later_payment(payments: pl.DataFrame) -> None:
    row = payments.row(payments.height // 2, named=True)
    of_card = payments.filter(pl.col("card_id") == row["card_id"], pl.col("at") <= row["at"])
    recent = of_card.filter(pl.col("at") > row["at"] - timedelta(days=7))

    assert row["card_payments_7d"] == recent.height
    assert row["card_mean_7d"] == pytest.approx(recent["amount"].mean(), abs=0.01)


def test_fraud_at_a_terminal_counts_a_week_later(payments: pl.DataFrame) -> None:
    row = payments.filter(pl.col("terminal_fraud_7d") > 0).row(0, named=True)
    known_until = row["at"] - timedelta(days=simulate.LABEL_DELAY_DAYS)
    known = payments.filter(
        pl.col("terminal_id") == row["terminal_id"],
        pl.col("at").is_between(known_until - timedelta(days=7), known_until, closed="right"),
    )

    assert row["terminal_payments_7d"] == known.height
    assert row["terminal_fraud_7d"] == pytest.approx(known["is_fraud"].mean(), abs=1e-4)


def test_windows_are_full_when_training_begins(payments: pl.DataFrame) -> None:
    days = 50 + simulate.STREAM_DAYS
    trained_on, streamed = simulate.split(payments, days)

    n_days = (trained_on["at"].min() - payments["at"].min()).total_seconds() / 86_400
    assert n_days >= max(simulate.WINDOWS_DAYS) + simulate.LABEL_DELAY_DAYS - 1
    assert not trained_on.is_empty()
    assert streamed.is_empty()


def test_training_ends_a_week_before_validation_begins(payments: pl.DataFrame) -> None:
    parts = [step(payments) for step in (pipeline.training, pipeline.validation, pipeline.holdout)]

    last_days = payments.filter(pl.col("at") >= payments["at"].max().date() - timedelta(days=20))
    assert sum(map(len, parts)) < payments.height
    assert sum(map(len, parts[1:])) < last_days.height
    assert not {*pipeline.NOT_INPUTS} & {*parts[0].columns}


def test_cheapest_threshold_costs_no_more_than_any_other() -> None:
    random = np.random.default_rng(0)
    is_fraud = random.random(2_000) < 0.05
    score = np.clip(0.3 * is_fraud + random.normal(0.2, 0.15, 2_000), 0, 1)
    amount = random.uniform(1, 300, 2_000)

    chosen = pipeline.choose_threshold(score, is_fraud, amount, 10.0)

    cost = pipeline.cost_of(score >= chosen, is_fraud, amount, 10.0)
    assert cost <= min(pipeline.cost_of(score >= each, is_fraud, amount, 10.0) for each in (0.1, 0.3, 0.5, 0.9))
    assert pipeline.choose_threshold(score, is_fraud, amount, 1_000.0) > chosen


def test_model_costs_less_than_none(payments: pl.DataFrame) -> None:
    training = pipeline.training(payments)

    measured = pipeline.costs(
        pipeline.model(training, trees=30), pipeline.validation(payments), pipeline.holdout(payments)
    )

    assert measured["cost_per_1000"] < measured["cost_per_1000_without_model"]
    assert measured["auc"] > 0.7
