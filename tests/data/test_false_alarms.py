"""Clean data pass: random parts of the same table, and the months of a real year."""

from itertools import permutations
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from petla.core.project import CheckTable
from petla.data.checks import DataFinding, check_profile
from petla.data.profile.columns import Profile
from petla.data.profile.profiles import profile_frame

LIMITS = CheckTable()
FLIGHTS = Path(__file__).parents[2] / "examples" / "flights" / "flights_2013.parquet"


def make_flights(rng: np.random.Generator, n_rows: int) -> pl.DataFrame:
    """Columns of all the shapes that have fooled a check of this kind: tails, gaps, zeros, rare values."""
    carriers = np.array([0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.03, 0.015, 0.005])
    return pl.DataFrame(
        {
            "month": rng.integers(1, 4, n_rows),
            "carrier": rng.choice(list("ABCDEFGHIJ"), n_rows, p=carriers),
            "destination": [f"D{min(number, 3000)}" for number in rng.zipf(1.8, n_rows)],
            "distance": rng.choice([184, 200, 502, 762, 1005, 1400, 2475, 4963], n_rows),
            "delay": rng.lognormal(2, 1.5, n_rows) - 15,
            "temperature": rng.normal(37, 10, n_rows),
            "rain": np.where(rng.random(n_rows) < 0.95, 0.0, rng.lognormal(0, 1, n_rows)),
            "quarter_far": np.where(rng.random(n_rows) < 0.75, 0.0, rng.uniform(0, 1000, n_rows)),
            "two_modes": np.where(rng.random(n_rows) < 0.25, 1000.0, 0.0) + rng.normal(size=n_rows),
            "wild": rng.standard_cauchy(n_rows),
            "gust": np.where(rng.random(n_rows) < 0.3, np.nan, rng.weibull(2, n_rows)),
            "is_rare": rng.random(n_rows) < 0.002,
            "year": np.full(n_rows, 2013),
            "tail": [f"N{number}" for number in rng.integers(0, 4000, n_rows)],
        }
    )


@pytest.mark.parametrize(
    ("n_fresh", "n_reference", "repeats"),
    [(100, 100, 60), (1_000, 100, 40), (100, 1_000, 40), (1_000, 1_000, 40), (20_000, 2_000, 8)],
)
def test_random_splits_of_made_data_pass(n_fresh: int, n_reference: int, repeats: int) -> None:
    rng = np.random.default_rng(n_fresh + n_reference)

    found = [
        finding
        for _ in range(repeats)
        for finding in check_profile(
            profile_frame(make_flights(rng, n_fresh)), profile_frame(make_flights(rng, n_reference)), LIMITS
        )
    ]

    assert [finding.message for finding in found if finding.severity == "block"] == []
    # Cauchy's quantiles are the wildest there are: a warning in a hundred pairs of tables is chance.
    assert len(found) <= 0.02 * repeats + 1


@pytest.fixture(scope="module")
def flights() -> pl.DataFrame:
    return pl.read_parquet(FLIGHTS)


@pytest.mark.parametrize("n_rows", [100, 1_000, 30_000])
def test_random_splits_of_real_flights_pass(flights: pl.DataFrame, n_rows: int) -> None:
    rng = np.random.default_rng(n_rows)
    found: list[DataFinding] = []
    for _ in range(30_000 // n_rows if n_rows > 1_000 else 30):
        rows = rng.permutation(flights.height)[: 2 * n_rows]
        fresh, reference = profile_frame(flights[rows[:n_rows]]), profile_frame(flights[rows[n_rows:]])
        found += check_profile(fresh, reference, LIMITS)

    assert [finding.message for finding in found] == []


def test_no_month_of_real_flights_is_blocked_after_another(flights: pl.DataFrame) -> None:
    months = [_profile_of(flights, month, month) for month in range(1, 13)]

    found = [finding for a, b in permutations(months, 2) for finding in check_profile(a, b, LIMITS)]

    assert [finding.message for finding in found if finding.severity == "block"] == []


def test_a_season_warns_and_does_not_block(flights: pl.DataFrame) -> None:
    found = check_profile(_profile_of(flights, 5, 7), _profile_of(flights, 1, 3), LIMITS)

    assert [(f.column, f.rule, f.severity) for f in found] == [("temperature_f", "shift", "warn")]


@pytest.mark.parametrize("n_rows", [500, 20_000])
@pytest.mark.parametrize(
    ("column", "factor", "offset"),
    [
        ("temperature_f", 5 / 9, -160 / 9),
        ("distance_miles", 1609.344, 0),
        ("distance_miles", 100, 0),
        ("departure_minute", 1 / 60, 0),
        ("pressure_hpa", 100, 0),
        ("wind_speed_knots", 1000, 0),
    ],
)
def test_converted_real_columns_are_blocked(
    flights: pl.DataFrame, column: str, factor: float, offset: float, n_rows: int
) -> None:
    rows = np.random.default_rng(0).permutation(flights.height)[: 2 * n_rows]
    converted = flights[rows[:n_rows]].with_columns(pl.col(column) * factor + offset)

    found = check_profile(profile_frame(converted), profile_frame(flights[rows[n_rows:]]), LIMITS)

    assert [(f.column, f.rule, f.severity) for f in found] == [(column, "scale", "block")]


def _profile_of(flights: pl.DataFrame, first: int, last: int) -> Profile:
    return profile_frame(flights.filter(pl.col("scheduled").dt.month().is_between(first, last)))
