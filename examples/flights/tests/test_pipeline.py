"""The steps of the pipeline, each called as the plain function that it is."""

import numpy as np
import pandas as pd
import pipeline
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sklearn.pipeline import Pipeline

COLUMNS = [*pipeline.TEXTS, *pipeline.NUMBERS, pipeline.TARGET]


def make_flights(rows: int = 4000, seed: int = 7) -> pl.DataFrame:
    """Makes flights of which the evening ones and those in rain are late more often."""
    random = np.random.default_rng(seed)
    minute = random.integers(300, 1430, rows)
    rain = random.choice([0, 0, 0, 5, 20], rows)
    late = random.random(rows) < 0.05 + 0.35 * (minute > 1000) + 0.4 * (rain > 0)
    weather = {name: random.integers(0, 60, rows).astype(float) for name in pipeline.NUMBERS[2:]}
    return pl.DataFrame(
        {
            "carrier": random.choice(["AA", "B6", "UA"], rows),
            "origin": random.choice(["EWR", "JFK", "LGA"], rows),
            "destination": random.choice(["ATL", "BOS", "LAX", "ORD"], rows),
            "departure_minute": minute,
            "distance_miles": random.integers(100, 2500, rows),
            **weather,
            "precipitation_hundredths_in": rain,
            "late": late,
        }
    )


@pytest.fixture(scope="module")
def flights() -> pl.DataFrame:
    return make_flights()


@pytest.fixture(scope="module")
def training(flights: pl.DataFrame) -> pd.DataFrame:
    return pipeline.training(pipeline.clean(flights))


@pytest.fixture(scope="module")
def holdout(flights: pl.DataFrame) -> pd.DataFrame:
    return pipeline.holdout(pipeline.clean(flights))


@pytest.fixture(scope="module")
def model(training: pd.DataFrame) -> Pipeline:
    return pipeline.model(training)


def test_clean_keeps_the_columns_of_the_model_and_the_target(flights: pl.DataFrame) -> None:
    cleaned = pipeline.clean(flights.with_columns(scheduled=pl.lit("2013-01-01")))

    assert cleaned.columns == COLUMNS
    assert {cleaned.schema[name] for name in pipeline.NUMBERS} == {pl.Float32()}


def test_clean_drops_flights_of_unknown_outcome(flights: pl.DataFrame) -> None:
    known = pl.int_range(pl.len()) % 10 != 0
    partly = flights.with_columns(late=pl.when(known).then("late"))

    assert_frame_equal(pipeline.clean(partly), pipeline.clean(flights.filter(known)))


def test_clean_keeps_missing_weather_missing(flights: pl.DataFrame) -> None:
    dark = flights.with_columns(visibility_miles=pl.lit(None, pl.Float64))

    assert pipeline.clean(dark)["visibility_miles"].null_count() == flights.height


def test_training_and_holdout_are_all_rows_once_and_in_order(flights: pl.DataFrame) -> None:
    cleaned = pipeline.clean(flights)
    earlier, later = pipeline.training(cleaned, 0.25), pipeline.holdout(cleaned, 0.25)

    assert (len(earlier), len(later)) == (3000, 1000)
    assert pd.concat([earlier, later], ignore_index=True).equals(cleaned.to_pandas())


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_holdout_refuses_a_share_that_leaves_one_side_empty(flights: pl.DataFrame, share: float) -> None:
    with pytest.raises(ValueError, match="holdout_share"):
        pipeline.holdout(pipeline.clean(flights), share)


def test_model_ranks_late_flights_first(model: Pipeline, holdout: pd.DataFrame) -> None:
    measured = pipeline.evaluate(model, holdout)

    assert measured["auc"] > 0.7
    assert measured["accuracy"] > measured["accuracy_of_never_late"]


def test_model_learns_nothing_from_shuffled_outcomes(training: pd.DataFrame, holdout: pd.DataFrame) -> None:
    shuffled = training.assign(late=np.random.default_rng(1).permutation(training["late"]))

    assert abs(pipeline.evaluate(pipeline.model(shuffled), holdout)["auc"] - 0.5) < 0.08


def test_model_answers_unseen_airports_and_missing_weather(model: Pipeline, holdout: pd.DataFrame) -> None:
    odd = holdout.assign(destination="XXX", carrier="??", temperature_f=np.float32("nan"))

    probability = model.predict_proba(odd)
    assert np.isfinite(probability).all()
    assert np.allclose(probability.sum(axis=1), 1)


def test_model_is_the_same_when_trained_again(model: Pipeline, training: pd.DataFrame, holdout: pd.DataFrame) -> None:
    again = pipeline.model(training)

    assert np.array_equal(again.predict_proba(holdout), model.predict_proba(holdout))
