"""Clean data pass all rules: parts of real tables, of any size and in any order."""

from collections.abc import Callable, Iterator

import numpy as np
import polars as pl
import pytest

from petla.data.checks import check_profile
from petla.data.profile.profiles import profile_frame
from petla.data.rules.declared.expectations import check_columns
from petla.data.rules.declared.proposals import propose
from tests.data.checks.tables import LIMITS, load_flights, load_penguins

Order = Callable[[np.ndarray], np.ndarray]
ORDERS: dict[str, Order] = {
    "as drawn": lambda rows: rows,
    "in time": np.sort,
    "backward": lambda rows: np.sort(rows)[::-1],
    "in blocks": lambda rows: np.concatenate(np.array_split(np.sort(rows), 4)[::-1]),
}


def widen(flights: pl.DataFrame) -> pl.DataFrame:
    """Columns of the kinds that the table does not have."""
    rng = np.random.default_rng(0)
    return flights.with_columns(
        id=pl.int_range(pl.len()),
        day=pl.col("scheduled").dt.date(),
        clock=pl.col("scheduled").dt.replace_time_zone(None),
        tail=pl.col("carrier") + (pl.int_range(pl.len()) % 4_000).cast(pl.String),
        delay=pl.Series(rng.lognormal(2, 1.5, flights.height) - 15),
    )


@pytest.fixture(scope="module")
def flights() -> pl.DataFrame:
    return widen(load_flights())


def draw(table: pl.DataFrame, sizes: tuple[int, int], order: Order, repeats: int) -> Iterator[list[pl.DataFrame]]:
    rng = np.random.default_rng(sum(sizes))
    n_fresh, n_reference = sizes
    for _ in range(repeats):
        rows = rng.choice(table.height, n_fresh + n_reference, replace=False, shuffle=True)
        yield [table[order(rows[:n_fresh])], table[np.sort(rows[n_fresh:])]]


@pytest.mark.parametrize(
    ("n_fresh", "n_reference", "repeats"), [(100, 100, 2), (100, 2_000, 1), (2_000, 100, 1), (3_000, 3_000, 1)]
)
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_parts_of_flights_in_any_order_and_size_pass(
    flights: pl.DataFrame, order: Order, n_fresh: int, n_reference: int, repeats: int
) -> None:
    for pair in draw(flights, (n_fresh, n_reference), order, repeats):
        fresh, reference = map(profile_frame, pair)

        assert check_profile(fresh, reference, LIMITS) == ()
        assert check_columns(fresh, propose(reference, LIMITS)) == []


@pytest.mark.parametrize("n_fresh", [150])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_parts_of_penguins_in_any_order_and_size_pass(order: Order, n_fresh: int) -> None:
    penguins = load_penguins()
    for pair in draw(penguins, (n_fresh, penguins.height - n_fresh), order, 2):
        fresh, reference = map(profile_frame, pair)

        assert check_profile(fresh, reference, LIMITS) == ()
        assert check_columns(fresh, propose(reference, LIMITS)) == []
