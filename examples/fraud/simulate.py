"""Makes card transactions: who pays how much, where and when, and which payments are fraud.

    python simulate.py [--days 150] [--customers 2000] [--seed 7]

writes `data/transactions.parquet` (all but the last four weeks, what a bank has when it trains) and
`data/stream.parquet` (the last four weeks, what comes through the door afterwards).

Customers have a place, a usual amount and a usual number of payments a day, and pay at terminals near them. Fraud comes
in three ways: payments above 220; terminals that are compromised for four weeks; customers whose card data leak, of
whose payments a third is five times as large for two weeks.

Source: the simulator described in Le Borgne, Siblini, Lebichot and Bontempi (2022), Reproducible Machine Learning for
Credit Card Fraud Detection: Practical Handbook, chapter 3, written anew with arrays.
"""

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
STREAM_DAYS = 28
# a payment above this is fraud: the plain case
LARGE = 220.0
RADIUS = 5.0
TERMINALS_PER_CUSTOMER = 2
# a bank knows what was fraud only this long after the payment
LABEL_DELAY_DAYS = 7
WINDOWS_DAYS = (1, 7, 30)
# until then the longest window of a terminal is not full, and what was counted in it is like no later day
WARM_UP_DAYS = max(WINDOWS_DAYS) + LABEL_DELAY_DAYS
_ONE = pl.col("amount") * 0.0 + 1.0


def main() -> None:
    """Writes both files."""
    options = _parse()
    transactions = add_features(make_transactions(options.days, options.customers, options.seed))
    folder = Path(__file__).parent / "data"
    folder.mkdir(exist_ok=True)
    for name, rows in zip(("transactions", "stream"), split(transactions, options.days), strict=True):
        rows.write_parquet(folder / f"{name}.parquet")
        print(f"data/{name}.parquet: {rows.height:,} payments, {rows['is_fraud'].mean():.2%} fraud")


def split(transactions: pl.DataFrame, days: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Returns what is trained on, without the weeks that only fill the windows, and what is streamed."""
    begin, end = BEGIN + timedelta(days=WARM_UP_DAYS), BEGIN + timedelta(days=days - STREAM_DAYS)
    at = pl.col("at")
    return transactions.filter(at >= begin, at < end), transactions.filter(at >= end)


def make_transactions(days: int, customers: int, seed: int) -> pl.DataFrame:
    """Returns payments in the order of time: at, card_id, terminal_id, amount, is_fraud."""
    random = np.random.default_rng(seed)
    near = _find_terminals_near(random, customers)
    usual = random.uniform(5, 100, customers)
    per_day = np.where([len(each) > 0 for each in near], random.uniform(0, 4, customers), 0.0)
    counts = random.poisson(per_day[:, None], (customers, days))
    card, day = (np.repeat(each.ravel(), counts.ravel()) for each in np.indices(counts.shape))
    second = _draw_seconds(random, len(card))
    drawn = random.normal(usual[card], usual[card] / 2)
    amount = np.where(drawn < 0, random.uniform(0, 2 * usual[card]), drawn)
    terminal = _choose_terminals(random, near, card)
    amount, is_fraud = _add_fraud(random, card, terminal, day, amount, days)
    at = np.datetime64(BEGIN.replace(tzinfo=None), "us") + (day * 86_400 + second) * np.timedelta64(1_000_000, "us")
    return (
        pl.DataFrame(
            {
                "at": at,
                "card_id": [f"C{each:05}" for each in card],
                "terminal_id": [f"T{each:05}" for each in terminal],
                "amount": amount.round(2),
                "is_fraud": is_fraud,
            }
        )
        .with_columns(pl.col("at").dt.replace_time_zone("UTC"))
        .sort("at", "card_id", maintain_order=True)
    )


def add_features(transactions: pl.DataFrame) -> pl.DataFrame:
    """Returns the payments with what is known of each at its moment: hour and day, its card's habits, its terminal.

    What happened at the terminal counts only once it is known, a week later.
    """
    frame = transactions.with_columns(
        during_night=pl.col("at").dt.hour() <= 6,
        during_weekend=pl.col("at").dt.weekday() >= 6,
    )
    for days in WINDOWS_DAYS:
        of_card = pl.col("amount").rolling_mean_by("at", f"{days}d").over("card_id")
        n_of_card = _ONE.rolling_sum_by("at", f"{days}d").over("card_id")
        frame = frame.with_columns(
            **{f"card_mean_{days}d": of_card.round(2), f"card_payments_{days}d": n_of_card.cast(pl.Int64)}
        )
        known, n_known = _known_sum(pl.col("is_fraud").cast(pl.Float64), days), _known_sum(_ONE, days)
        frame = frame.with_columns(
            **{
                f"terminal_payments_{days}d": n_known.cast(pl.Int64),
                f"terminal_fraud_{days}d": (known / pl.max_horizontal(n_known, 1.0)).round(4),
            }
        )
    return frame


def _known_sum(values: pl.Expr, days: int) -> pl.Expr:
    """Returns the sum over a terminal's window that ends when the labels are known."""
    until_now = values.rolling_sum_by("at", f"{days + LABEL_DELAY_DAYS}d").over("terminal_id")
    unknown = values.rolling_sum_by("at", f"{LABEL_DELAY_DAYS}d").over("terminal_id")
    return (until_now - unknown).round(6)


def _find_terminals_near(random: np.random.Generator, customers: int) -> list[NDArray[np.int64]]:
    places = random.uniform(0, 100, (customers, 2))
    terminals = random.uniform(0, 100, (customers * TERMINALS_PER_CUSTOMER, 2))
    return [np.flatnonzero(((terminals - place) ** 2).sum(axis=1) < RADIUS**2) for place in places]


def _choose_terminals(
    random: np.random.Generator, near: list[NDArray[np.int64]], card: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Returns one of the terminals near each payment's customer."""
    sizes = np.array([len(each) for each in near])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    chosen = (random.random(len(card)) * sizes[card]).astype(np.int64)
    terminals: NDArray[np.int64] = np.concatenate(near)[starts[card] + chosen]
    return terminals


def _draw_seconds(random: np.random.Generator, size: int) -> NDArray[np.int64]:
    """Returns seconds of the day, most of them around noon."""
    seconds = random.normal(43_200, 20_000, size)
    while (outside := (seconds < 0) | (seconds >= 86_400)).any():
        seconds[outside] = random.normal(43_200, 20_000, int(outside.sum()))
    return seconds.astype(np.int64)


def _add_fraud(
    random: np.random.Generator,
    card: NDArray[np.int64],
    terminal: NDArray[np.int64],
    day: NDArray[np.int64],
    amount: NDArray[np.float64],
    days: int,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Returns the amounts, of which those of leaked cards are larger, and which payments are fraud."""
    is_fraud = amount > LARGE
    for start in range(days):
        compromised = random.integers(0, terminal.max() + 1, 2)
        is_fraud |= np.isin(terminal, compromised) & (day >= start) & (day < start + 28)
    for start in range(days):
        leaked = random.integers(0, card.max() + 1, 3)
        is_theirs = np.isin(card, leaked) & (day >= start) & (day < start + 14)
        is_used = is_theirs & (random.random(len(card)) < 1 / 3)
        amount = np.where(is_used & ~is_fraud, amount * 5, amount)
        is_fraud |= is_used
    return amount, is_fraud


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=150)
    parser.add_argument("--customers", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


if __name__ == "__main__":
    main()
