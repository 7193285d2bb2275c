"""The committed Parquet file is what README.md says."""

from pathlib import Path

import pipeline
import polars as pl
import pytest

PATH = Path(__file__).parents[1] / "flights_2013.parquet"

pytestmark = pytest.mark.skipif(not PATH.exists(), reason=f"{PATH.name} is not beside the pipeline")


@pytest.fixture(scope="module")
def flights() -> pl.DataFrame:
    return pl.read_parquet(PATH)


def test_file_is_small_enough_for_git() -> None:
    assert PATH.stat().st_size < 6_000_000


def test_columns_are_time_inputs_and_target(flights: pl.DataFrame) -> None:
    assert flights.columns == ["scheduled", *pipeline.TEXTS, *pipeline.NUMBERS, pipeline.TARGET]


def test_rows_are_in_the_order_of_their_scheduled_time(flights: pl.DataFrame) -> None:
    assert flights["scheduled"].is_sorted()
    assert flights["scheduled"].dt.month().unique().to_list() == list(range(1, 13))


def test_outcome_and_schedule_are_never_missing(flights: pl.DataFrame) -> None:
    known = ["scheduled", *pipeline.TEXTS, "departure_minute", "distance_miles", "late"]

    assert flights.select(known).null_count().row(0) == (0,) * len(known)


def test_numbers_are_whole_sixteenths_so_json_carries_them_exactly(flights: pl.DataFrame) -> None:
    sixteenths = flights.select(pl.col(pipeline.NUMBERS).cast(pl.Float64) * 16)

    assert sixteenths.select((pl.all() == pl.all().round()).all()).row(0) == (True,) * 9


def test_departure_minute_is_the_local_clock(flights: pl.DataFrame) -> None:
    local = pl.col("scheduled").dt.hour().cast(pl.Int32) * 60 + pl.col("scheduled").dt.minute()

    assert flights.select((local == pl.col("departure_minute")).all()).item()
