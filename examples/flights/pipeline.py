"""Will this flight arrive more than 15 minutes late? Plain functions, from the data to a model.

A parameter named like another function takes that function's output, `flights` takes the data, and
a parameter with a default can be set for a run. Nothing here knows what calls it.
"""

import numpy as np
import pandas as pd
import polars as pl
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

TARGET = "late"
TEXTS = ["carrier", "origin", "destination"]
NUMBERS = [
    "departure_minute",
    "distance_miles",
    "temperature_f",
    "humidity_percent",
    "wind_from_degrees",
    "wind_speed_knots",
    "precipitation_hundredths_in",
    "pressure_hpa",
    "visibility_miles",
]


def clean(flights: pl.DataFrame) -> pl.DataFrame:
    """Keeps the flights whose outcome is known, with the columns that the model takes.

    Numbers become float32 here, as in the served model, so that training sees what serving sees.
    """
    return flights.drop_nulls(TARGET).select(
        pl.col(TEXTS).cast(pl.String),
        pl.col(NUMBERS).cast(pl.Float32),
        pl.col(TARGET).cast(pl.Boolean),
    )


def training(clean: pl.DataFrame, holdout_share: float = 0.2) -> pd.DataFrame:
    """Returns the earlier flights, which the model learns from."""
    return clean.head(clean.height - _holdout_rows(clean, holdout_share)).to_pandas()


def holdout(clean: pl.DataFrame, holdout_share: float = 0.2) -> pd.DataFrame:
    """Returns the latest flights, because a model is used on days after those it has seen."""
    return clean.tail(_holdout_rows(clean, holdout_share)).to_pandas()


def model(training: pd.DataFrame, trees: int = 100, leaves: int = 15, learning_rate: float = 0.05) -> Pipeline:
    """Fits boosted trees on the raw columns; missing weather and unseen airports are allowed.

    Small trees with large leaves: flights of one day share its weather, so 60,000 rows are only
    some 65 independent days.
    """
    numbered = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, dtype=np.float32)
    columns = ColumnTransformer([("texts", numbered, TEXTS), ("numbers", "passthrough", NUMBERS)])
    boosted = HistGradientBoostingClassifier(
        max_iter=trees,
        max_leaf_nodes=leaves,
        learning_rate=learning_rate,
        min_samples_leaf=200,
        l2_regularization=10.0,
        # Stopping early would need a random part of days that are in the training rows as well.
        early_stopping=False,
        random_state=0,
    )
    fitted = Pipeline([("columns", columns), ("trees", boosted)])
    return fitted.fit(training[TEXTS + NUMBERS], training[TARGET])


def evaluate(model: Pipeline, holdout: pd.DataFrame) -> dict[str, float]:
    """Measures the model on the held-out flights, beside the guess that no flight is late."""
    late = holdout[TARGET].to_numpy(dtype=bool)
    probability = model.predict_proba(holdout[TEXTS + NUMBERS])[:, 1]
    return {
        "accuracy": float(accuracy_score(late, probability > 0.5)),
        "accuracy_of_never_late": float(1 - late.mean()),
        "auc": float(roc_auc_score(late, probability)),
        "log_loss": float(log_loss(late, probability)),
    }


def _holdout_rows(clean: pl.DataFrame, share: float) -> int:
    if not 0 < share < 1:
        raise ValueError(f"holdout_share is {share}; it must lie between 0 and 1")
    return round(clean.height * share)
