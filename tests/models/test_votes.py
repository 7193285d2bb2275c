"""Boosted trees as a sum and a sigmoid: the same answers as of the classifier that the converter made."""

from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier

from petla.models.conversion.convert import convert
from petla.models.package import load_package
from petla.models.runtime.onnx_session import OnnxRuntime
from petla.models.signature import Row, Signature
from petla.storage.workspace import Workspace
from tests.models.examples import make_rows, open_workspace, package, train

# of float32
LAST_DIGITS = 3e-7
BOOSTED = {
    "boosting": GradientBoostingClassifier(n_estimators=30, random_state=0),
    "histogram boosting": HistGradientBoostingClassifier(max_iter=20),
}


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path)


@pytest.mark.parametrize("final", BOOSTED.values(), ids=BOOSTED)
def test_sum_gives_the_same_probabilities_as_the_votes(ws: Workspace, final: BaseEstimator) -> None:
    estimator, signature = fit(ws, final)

    summed, as_converted, *_ = convert(estimator, signature).contents

    assert [trees_of(each) for each in (summed, as_converted)] == [
        ["TreeEnsembleRegressor"],
        ["TreeEnsembleClassifier"],
    ]
    rows = rows_of(make_rows(3_000, seed=7), signature)
    found, expected = (OnnxRuntime(content, signature).score(rows) for content in (summed, as_converted))
    assert len(np.unique(expected)) > 50
    np.testing.assert_allclose(found, expected, rtol=0, atol=LAST_DIGITS)


def test_forest_whose_votes_are_no_sum_stays_as_it_is(ws: Workspace) -> None:
    estimator, signature = fit(ws, RandomForestClassifier(5, random_state=0))

    assert {name for content in convert(estimator, signature).contents for name in trees_of(content)} == {
        "TreeEnsembleClassifier"
    }


def fit(ws: Workspace, final: BaseEstimator) -> tuple[object, Signature]:
    trained = train(final)
    signature = load_package(ws.objects, ws.keys, package(ws, trained).digest).signature
    return trained.estimator, signature


def rows_of(frame: pd.DataFrame, signature: Signature) -> list[Row]:
    return pl.from_pandas(frame).select([field.name for field in signature.inputs]).rows()


def trees_of(content: bytes) -> list[str]:
    nodes = onnx.load_from_string(content).graph.node
    return [node.op_type for node in nodes if node.op_type.startswith("TreeEnsemble")]
