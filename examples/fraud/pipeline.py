"""Is this card payment fraud? Plain functions, from the payments to a model and to what its mistakes cost.

A parameter named like another function takes that function's output, `transactions` takes the data, and a parameter
with a default can be set for a run.
"""

from datetime import timedelta

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score, roc_auc_score

TARGET = "is_fraud"
# whom a payment is about and where it was; neither is what the model looks at
NOT_INPUTS = ["at", "card_id", "terminal_id"]
# a bank knows what was fraud a week later: the model of a day has not seen the week before it
DELAY_DAYS = 7
WEEK_DAYS = 7


def training(transactions: pl.DataFrame) -> pd.DataFrame:
    """Returns the payments whose outcome was known when the validation week began."""
    return _between(transactions, None, 2 * WEEK_DAYS + DELAY_DAYS)


def validation(transactions: pl.DataFrame) -> pd.DataFrame:
    """Returns the last week but one, on which the threshold is chosen."""
    return _between(transactions, 2 * WEEK_DAYS, WEEK_DAYS)


def holdout(transactions: pl.DataFrame) -> pd.DataFrame:
    """Returns the last week, which neither the model nor the threshold has seen."""
    return _between(transactions, WEEK_DAYS, 0)


def model(training: pd.DataFrame, trees: int = 150, leaves: int = 31) -> HistGradientBoostingClassifier:
    """Fits boosted trees."""
    boosted = HistGradientBoostingClassifier(
        max_iter=trees, max_leaf_nodes=leaves, learning_rate=0.08, early_stopping=False, random_state=0
    )
    return boosted.fit(training.drop(columns=TARGET), training[TARGET])


def costs(
    model: HistGradientBoostingClassifier,
    validation: pd.DataFrame,
    holdout: pd.DataFrame,
    false_block_cost: float = 10.0,
) -> dict[str, float]:
    """Measures what the model costs: a missed fraud its amount, a payment that is blocked by mistake a fixed sum.

    The threshold is the cheapest one of the validation week; the figures are those of the holdout week.
    """
    threshold = choose_threshold(*_score(model, validation), false_block_cost)
    score, is_fraud, amount = _score(model, holdout)
    cost = cost_of(score >= threshold, is_fraud, amount, false_block_cost)
    thousands = len(holdout) / 1000
    return {
        "auc": float(roc_auc_score(is_fraud, score)),
        "average_precision": float(average_precision_score(is_fraud, score)),
        "threshold": threshold,
        "cost_per_1000": cost / thousands,
        "cost_per_1000_at_one_half": cost_of(score >= 0.5, is_fraud, amount, false_block_cost) / thousands,
        "cost_per_1000_without_model": float(amount[is_fraud].sum()) / thousands,
        "blocked_per_1000": float((score >= threshold).sum()) / thousands,
        "fraud_caught": float((score >= threshold)[is_fraud].mean()),
    }


def choose_threshold(
    score: NDArray[np.float64], is_fraud: NDArray[np.bool_], amount: NDArray[np.float64], false_block_cost: float
) -> float:
    """Returns the threshold of the least cost, in steps of a thousandth."""
    candidates = np.arange(1, 1000) / 1000
    each = [cost_of(score >= candidate, is_fraud, amount, false_block_cost) for candidate in candidates]
    return float(candidates[int(np.argmin(each))])


def cost_of(
    is_blocked: NDArray[np.bool_], is_fraud: NDArray[np.bool_], amount: NDArray[np.float64], false_block_cost: float
) -> float:
    """Returns what decisions cost: the amounts of the frauds that went through, and a sum for each false block."""
    return float(amount[is_fraud & ~is_blocked].sum() + false_block_cost * (is_blocked & ~is_fraud).sum())


def _score(
    model: HistGradientBoostingClassifier, rows: pd.DataFrame
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    probability: NDArray[np.float64] = model.predict_proba(rows.drop(columns=TARGET))[:, 1]
    return probability, rows[TARGET].to_numpy(dtype=bool), rows["amount"].to_numpy(dtype=float)


def _between(transactions: pl.DataFrame, first: int | None, last: int) -> pd.DataFrame:
    """Returns the payments from so many days before the end to so many, without what is no input."""
    end = transactions["at"].dt.truncate("1d").max() + timedelta(days=1)  # type: ignore[operator] # a table has rows
    rows = transactions.filter(pl.col("at") < end - timedelta(days=last))
    if first is not None:
        rows = rows.filter(pl.col("at") >= end - timedelta(days=first))
    if rows.is_empty():
        raise ValueError("there are fewer than three weeks of payments; simulate more days")
    return rows.drop(NOT_INPUTS).to_pandas()
