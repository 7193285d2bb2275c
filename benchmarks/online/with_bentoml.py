"""The model behind BentoML with adaptive batching: `bentoml serve with_bentoml:Fraud`, the model's path in MODEL."""

import os
from typing import Any

import bentoml
import joblib
import pandas as pd


@bentoml.service(workers=1)
class Fraud:
    """Takes lists of objects; BentoML joins those of several requests."""

    def __init__(self) -> None:
        self.model = joblib.load(os.environ["MODEL"])

    @bentoml.api(batchable=True)
    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Score all rows in one call of the model."""
        scores = self.model.predict_proba(pd.DataFrame(rows))[:, 1].tolist()
        return [{"is_fraud": score >= 0.5, "probability": score} for score in scores]
