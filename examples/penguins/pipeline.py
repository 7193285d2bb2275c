"""Which species is this penguin? Plain functions, from the data to a model.

A parameter named like another function takes that function's output, `penguins` takes the data, and a parameter with a
default can be set for a run: `petla run --set strength=0.5`.
"""

import pandas as pd
import polars as pl
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

TARGET = "species"
NUMBERS = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
TEXTS = ["island"]


def clean(penguins: pl.DataFrame) -> pl.DataFrame:
    """Keep the rows whose species is known, with the columns that the model takes."""
    return penguins.drop_nulls(TARGET).select(*TEXTS, pl.col(NUMBERS).cast(pl.Float32), TARGET)


def training(clean: pl.DataFrame, holdout_share: float = 0.25) -> pd.DataFrame:
    """Return the rows to learn from."""
    return clean.head(clean.height - int(clean.height * holdout_share)).to_pandas()


def holdout(clean: pl.DataFrame, holdout_share: float = 0.25) -> pd.DataFrame:
    """Return the rows that training never sees."""
    return clean.tail(int(clean.height * holdout_share)).to_pandas()


def model(training: pd.DataFrame, strength: float = 1.0) -> Pipeline:
    """Fit a logistic regression; missing measurements are filled with the median."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    texts = OneHotEncoder(handle_unknown="ignore")
    columns = ColumnTransformer([("numbers", numbers, NUMBERS), ("texts", texts, TEXTS)])
    fitted = Pipeline([("columns", columns), ("regression", LogisticRegression(C=strength, max_iter=1000))])
    return fitted.fit(training[TEXTS + NUMBERS], training[TARGET])


def evaluate(model: Pipeline, holdout: pd.DataFrame) -> dict[str, float]:
    """Measure the share of penguins that are recognised."""
    return {"accuracy": float(model.score(holdout[TEXTS + NUMBERS], holdout[TARGET]))}
