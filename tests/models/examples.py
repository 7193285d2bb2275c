"""Small real models, and rows to train and score them on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from petla.core.project import ModelTable, decode_project
from petla.core.settings import Settings
from petla.models.packaging import Packaged, Trained, package_model
from petla.storage.workspace import Workspace

PROJECT = """
[project]
name = "flights"

[models.delay]
target = "late"
"""
NUMBERS = ["distance", "hour", "wind"]
TEXTS = ["carrier", "origin"]


def open_workspace(folder: Path, project: str = PROJECT) -> Workspace:
    return Workspace(folder, decode_project(project), Settings(actor="ada"))


def make_rows(n_rows: int = 400, *, seed: int = 0, missing: bool = True) -> pd.DataFrame:
    """Rows whose target depends on hour, wind and carrier; wind lacks some values if wished."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "distance": random.normal(1000, 300, n_rows).round(1),
            "hour": random.integers(5, 23, n_rows),
            "wind": random.gamma(2.0, 5.0, n_rows).round(2),
            "is_holiday": random.random(n_rows) < 0.1,
            "carrier": random.choice(["AA", "B6", "UA"], n_rows),
            "origin": random.choice(["EWR", "JFK", "LGA"], n_rows),
        }
    )
    risk = 0.3 * (frame["hour"] - 14) + 0.1 * (frame["wind"] - 10) + (frame["carrier"] == "B6")
    frame["late"] = risk + random.normal(0, 1, n_rows) > 0.8
    if missing:
        frame.loc[random.random(n_rows) < 0.05, "wind"] = np.nan
    return frame


def make_pipeline_of(final: Any) -> Pipeline:  # noqa: ANN401 - any estimator
    """Imputed and scaled numbers, encoded texts, then an estimator."""
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = ColumnTransformer(
        [
            ("numbers", numbers, NUMBERS),
            ("texts", OneHotEncoder(handle_unknown="ignore"), TEXTS),
            ("flags", "passthrough", ["is_holiday"]),
        ]
    )
    return Pipeline([("columns", columns), ("model", final)])


def train(final: Any = None, target: Callable[[pd.DataFrame], Any] | None = None) -> Trained:  # noqa: ANN401
    """Train a pipeline on rows and hold out others; `target` makes another target column of the rows."""
    training, holdout = make_rows(400), make_rows(200, seed=1)
    if target is not None:
        training["late"], holdout["late"] = target(training), target(holdout)
    default = GradientBoostingClassifier(n_estimators=10, random_state=0)
    estimator = make_pipeline_of(default if final is None else final)
    return Trained(
        estimator=estimator.fit(training.drop(columns="late"), training["late"]), training=training, holdout=holdout
    )


def train_regression() -> Trained:
    return train(
        HistGradientBoostingRegressor(max_iter=3), target=lambda rows: rows["hour"] * 2.0 + rows["distance"] / 100
    )


def train_unconvertible() -> Trained:
    """A model with a function of its own in it, which no converter knows."""

    def widen(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(late_hour=rows["hour"] > 17)[["late_hour", "distance"]]

    training, holdout = make_rows(400), make_rows(200, seed=1)
    estimator = make_pipeline(FunctionTransformer(widen), StandardScaler(), LogisticRegression())
    return Trained(
        estimator=estimator.fit(training.drop(columns="late"), training["late"]), training=training, holdout=holdout
    )


def package(ws: Workspace, trained: Trained, table: ModelTable | None = None) -> Packaged:
    return package_model(ws, "delay", table or ws.project.models["delay"], trained)
