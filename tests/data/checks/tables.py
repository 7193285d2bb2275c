"""Real tables for the tests of this folder: flights from New York, and penguins."""

from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from petla.core.project import CheckTable
from petla.data.checks import DataFinding, check_profile
from petla.data.profile.profiles import profile_frame

EXAMPLES = Path(__file__).parents[3] / "examples"
LIMITS = CheckTable()


@cache
def load_flights() -> pl.DataFrame:
    return pl.read_parquet(EXAMPLES / "flights" / "flights_2013.parquet")


@cache
def load_penguins() -> pl.DataFrame:
    return pl.read_csv(EXAMPLES / "penguins" / "data" / "penguins.csv", null_values=["NA"])


@cache
def draw_flights(n_rows: int = 2_000, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two parts of the same flights, each in the order of time."""
    rows = np.random.default_rng(seed).permutation(load_flights().height)[: 2 * n_rows]
    return load_flights()[np.sort(rows[:n_rows])], load_flights()[np.sort(rows[n_rows:])]


def compare(fresh: pl.DataFrame, reference: pl.DataFrame, limits: CheckTable = LIMITS) -> list[DataFinding]:
    return list(check_profile(profile_frame(fresh), profile_frame(reference), limits))
