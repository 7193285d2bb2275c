"""Tests of the steps: they are plain functions, so they are called as they are."""

import polars as pl
import pytest

import pipeline


@pytest.fixture
def penguins() -> pl.DataFrame:
    """Return the data as it lies in the project."""
    return pl.read_csv("data/penguins.csv")


def test_clean_keeps_only_known_species(penguins: pl.DataFrame) -> None:
    unknown = penguins.head(3).with_columns(species=pl.lit(None, dtype=pl.String))

    assert pipeline.clean(pl.concat([penguins, unknown])).height == penguins.height


def test_training_and_holdout_share_no_row(penguins: pl.DataFrame) -> None:
    clean = pipeline.clean(penguins)

    assert len(pipeline.training(clean)) + len(pipeline.holdout(clean)) == clean.height


def test_model_recognises_most_penguins(penguins: pl.DataFrame) -> None:
    clean = pipeline.clean(penguins)
    model = pipeline.model(pipeline.training(clean))

    assert pipeline.evaluate(model, pipeline.holdout(clean))["accuracy"] > 0.9
