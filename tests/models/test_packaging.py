"""From an estimator to a package that gives the same answers."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC

from petla.core.errors import InvalidError, UserCodeError
from petla.core.project import GateTable, ModelTable
from petla.data.profile.columns import Kind
from petla.models.conversion.parity import TOLERANCE
from petla.models.package import load_package
from petla.models.packaging import Packaged, Trained
from petla.models.runtime.running import check_golden, open_runtime
from petla.storage.workspace import Workspace
from tests.models.examples import make_rows, open_workspace, package, train, train_regression, train_unconvertible

CONVERTIBLE = {
    "boosting": GradientBoostingClassifier(n_estimators=10),
    "histogram boosting": HistGradientBoostingClassifier(max_iter=3),
    "forest": RandomForestClassifier(10),
    "logistic": LogisticRegression(),
    "network": MLPClassifier((4,), solver="lbfgs", max_iter=2000, random_state=0),
}


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path)


def score_packaged(ws: Workspace, packaged: Packaged, frame: pd.DataFrame) -> np.ndarray:
    loaded = load_package(ws.objects, ws.keys, packaged.digest)
    columns = pl.from_pandas(frame).select([field.name for field in loaded.signature.inputs])
    runtime = open_runtime(loaded, ws.objects)
    try:
        return runtime.score(columns.rows())
    finally:
        runtime.close()


@pytest.mark.parametrize("final", CONVERTIBLE.values(), ids=CONVERTIBLE)
def test_converted_model_scores_as_the_original(ws: Workspace, final: object) -> None:
    trained = train(final)

    packaged = package(ws, trained)

    assert packaged.package.kind == "onnx"
    assert packaged.package.parity.reason == ""
    assert packaged.package.parity.largest_difference is not None
    assert packaged.package.parity.largest_difference < TOLERANCE
    # holdout, and the training rows that lack wind
    assert packaged.package.parity.rows == 200 + int(trained.training["wind"].isna().sum())
    other = make_rows(100, seed=7)
    expected = trained.estimator.predict_proba(other.drop(columns="late"))
    np.testing.assert_allclose(score_packaged(ws, packaged, other), expected, atol=TOLERANCE)


def test_model_with_a_function_of_its_own_is_packaged_as_python(ws: Workspace) -> None:
    trained = train_unconvertible()

    packaged = package(ws, trained)

    assert packaged.package.kind == "python"
    assert "does not convert" in packaged.package.parity.reason
    other = make_rows(50, seed=7)
    expected = trained.estimator.predict_proba(other.drop(columns="late"))
    np.testing.assert_allclose(score_packaged(ws, packaged, other), expected)


@pytest.mark.parametrize(
    "trees", [RandomForestClassifier(10, random_state=0), GradientBoostingClassifier(n_estimators=20, random_state=0)]
)
def test_trees_behind_a_scaler_are_converted_to_the_same_answers(ws: Workspace, trees: BaseEstimator) -> None:
    # of few distinct values many lie on thresholds, and scaled in float32 some rows would take the other branch
    random = np.random.default_rng(0)
    rows = pd.DataFrame({f"x{i}": random.normal(50, 20, 8_000).round(1) for i in range(6)})
    rows["late"] = rows["x0"] * rows["x1"] + random.normal(0, 500, len(rows)) > 2_500
    training, holdout = rows[:2_000], rows[2_000:]
    estimator = make_pipeline(StandardScaler(), trees).fit(training.drop(columns="late"), training["late"])

    packaged = package(ws, Trained(estimator=estimator, training=training, holdout=holdout))

    assert packaged.package.kind == "onnx"
    expected = estimator.predict_proba(holdout.drop(columns="late"))
    np.testing.assert_allclose(score_packaged(ws, packaged, holdout), expected, atol=1e-6)


def test_model_that_differs_after_conversion_is_packaged_as_python(ws: Workspace) -> None:
    # float32 cannot tell these numbers apart, float64 and so the original can
    rows = pd.DataFrame({"x": 16_777_216.0 + np.arange(200) % 3 - 1, "late": np.arange(200) % 3 == 1})
    estimator = HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=5).fit(rows[["x"]], rows["late"])

    packaged = package(ws, Trained(estimator=estimator, training=rows, holdout=rows))

    assert packaged.package.kind == "python"
    assert "differ by up to" in packaged.package.parity.reason
    assert packaged.package.parity.largest_difference is not None
    assert packaged.package.parity.largest_difference > TOLERANCE


def test_regression_is_packaged(ws: Workspace) -> None:
    trained = train_regression()

    packaged = package(ws, trained, ModelTable(target="late", task="regression"))

    assert packaged.package.kind == "onnx"
    assert packaged.package.signature.classes == ()
    expected = trained.estimator.predict(trained.holdout.drop(columns="late"))
    np.testing.assert_allclose(score_packaged(ws, packaged, trained.holdout), expected, rtol=1e-5)
    assert packaged.metrics.keys() == {"mae", "rmse", "r2"}


@pytest.mark.parametrize("classes", [["early", "late", "never"], [1, 2, 3]])
def test_multiclass_keeps_its_classes_as_python_values(ws: Workspace, classes: list[object]) -> None:
    def name_hours(rows: pd.DataFrame) -> list[object]:
        return [classes[0] if hour < 11 else classes[1] if hour < 17 else classes[2] for hour in rows["hour"]]

    packaged = package(ws, train(target=name_hours), ModelTable(target="late", task="multiclass"))

    assert packaged.package.kind == "onnx"
    assert packaged.package.signature.classes == tuple(classes)
    assert packaged.metrics["accuracy"] > 0.9


def test_binary_keeps_booleans_as_classes(ws: Workspace) -> None:
    assert package(ws, train()).package.signature.classes == (False, True)


def test_signature_has_the_training_columns_in_their_order(ws: Workspace) -> None:
    inputs = package(ws, train()).package.signature.inputs

    assert [field.name for field in inputs] == ["distance", "hour", "wind", "is_holiday", "carrier", "origin"]
    assert [field.kind for field in inputs] == [
        *(Kind.NUMBER, Kind.INTEGER, Kind.NUMBER, Kind.BOOLEAN, Kind.CATEGORY, Kind.CATEGORY)
    ]
    assert [field.name for field in inputs if field.is_nullable] == ["wind"]


@pytest.mark.parametrize("kind", ["polars", "arrow"])
def test_estimator_fitted_on_pandas_takes_rows_of_another_kind(ws: Workspace, kind: str) -> None:
    trained = train()
    tables = [pl.from_pandas(frame) for frame in (trained.training, trained.holdout)]
    training, holdout = tables if kind == "polars" else [table.to_arrow() for table in tables]

    packaged = package(ws, Trained(estimator=trained.estimator, training=training, holdout=holdout))

    assert packaged.package.kind == "onnx"


def test_numbers_only_estimator_without_column_names_converts(ws: Workspace) -> None:
    rows = make_rows(300, missing=False)[["distance", "hour", "wind", "late"]]
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows[["distance", "hour", "wind"]], rows.late)

    packaged = package(ws, Trained(estimator=estimator, training=rows, holdout=rows))

    assert packaged.package.kind == "onnx"


def test_columns_named_like_the_merged_inputs_convert(ws: Workspace) -> None:
    names = {"distance": "numbers", "hour": "strings", "wind": "scores"}
    rows = make_rows(300, missing=False)[[*names, "late"]].rename(columns=names)
    estimator = LogisticRegression(max_iter=1000).fit(rows[["numbers", "strings", "scores"]], rows["late"])

    packaged = package(ws, Trained(estimator=estimator, training=rows, holdout=rows))

    assert packaged.package.kind == "onnx"


def test_golden_rows_are_answered_the_same_after_loading(ws: Workspace) -> None:
    loaded = load_package(ws.objects, ws.keys, package(ws, train()).digest)

    check_golden(loaded, open_runtime(loaded, ws.objects))

    assert len(loaded.golden) == 16


def test_profiles_are_those_of_the_inputs_and_of_the_score(ws: Workspace) -> None:
    made = package(ws, train()).package

    assert [column.name for column in made.profile.columns] == [field.name for field in made.signature.inputs]
    assert made.profile.rows == 400
    assert made.score_profile.name == "score"
    assert made.score_profile.rows == 200


def test_holdout_may_have_more_columns_than_the_model_takes(ws: Workspace) -> None:
    trained = train()
    holdout = trained.holdout.assign(note="kept for the champion")

    packaged = package(ws, Trained(estimator=trained.estimator, training=trained.training, holdout=holdout))

    assert packaged.package.signature.inputs[-1].name == "origin"


def test_missing_target_is_named(ws: Workspace) -> None:
    trained = train()
    training = trained.training.drop(columns="late")

    with pytest.raises(InvalidError, match="no column 'late'"):
        package(ws, Trained(estimator=trained.estimator, training=training, holdout=trained.holdout))


def test_wrong_task_is_named(ws: Workspace) -> None:
    with pytest.raises(InvalidError, match="task is regression, but the trained Pipeline has the classes False, True"):
        package(ws, train(), ModelTable(target="late", task="regression"))


def test_classes_without_probabilities_are_refused(ws: Workspace) -> None:
    with pytest.raises(InvalidError, match="no probabilities"):
        package(ws, train(LinearSVC()))


def test_estimator_that_cannot_score_its_rows_says_why(ws: Workspace) -> None:
    rows = make_rows(300, missing=False)[["distance", "hour", "wind", "late"]]
    estimator = LogisticRegression(max_iter=1000).fit(rows[["distance", "hour", "wind"]], rows["late"])
    lacking = make_rows(300)[["distance", "hour", "wind", "late"]]

    with pytest.raises(UserCodeError, match="NaN"):
        package(ws, Trained(estimator=estimator, training=lacking, holdout=lacking))


def test_wrong_kind_of_model_is_named(ws: Workspace) -> None:
    rows = make_rows(100)

    with pytest.raises(InvalidError, match="a dict, which cannot predict"):
        package(ws, Trained(estimator={}, training=rows, holdout=rows), ModelTable(target="late", task="regression"))


def test_empty_holdout_is_named(ws: Workspace) -> None:
    trained = train(Ridge(), target=lambda rows: rows["hour"])

    with pytest.raises(InvalidError, match="without rows"):
        package(ws, Trained(estimator=trained.estimator, training=trained.training, holdout=trained.holdout[:0]))


def make_places() -> pd.DataFrame:
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"x": random.normal(0, 10, 300).round(1), "city": random.choice(["a", "b"], 300)})
    return rows.assign(late=rows["x"] + 5 * (rows["city"] == "a") + random.normal(0, 3, 300) > 2)


def test_form_that_answers_extreme_values_as_the_original_is_packaged(ws: Workspace) -> None:
    # in float32 1e30 squared is infinite, and the answer of the ONNX form no number
    rows = make_places()[["x", "late"]]

    packaged = package(ws, Trained(estimator=GaussianNB().fit(rows[["x"]], rows["late"]), training=rows, holdout=rows))

    assert packaged.package.kind == "python"
    assert packaged.package.parity.reason.startswith("where x = 1e+30, the original gives")
    assert "clip such values" in packaged.package.parity.advice


def test_dirty_rows_are_not_compared_where_their_gate_is_off(ws: Workspace) -> None:
    rows = make_places()[["x", "late"]]
    trained = Trained(estimator=GaussianNB().fit(rows[["x"]], rows["late"]), training=rows, holdout=rows)

    packaged = package(ws, trained, ModelTable(target="late", gates=GateTable(dirty_rows=False)))

    assert packaged.package.kind == "onnx"


@pytest.mark.parametrize("encoder", [OrdinalEncoder(), OneHotEncoder()])
def test_error_for_an_unseen_category_stays_one_in_onnx(ws: Workspace, encoder: BaseEstimator) -> None:
    rows = make_places()
    columns = make_column_transformer((encoder, ["city"]), ("passthrough", ["x"]))
    estimator = make_pipeline(columns, LogisticRegression()).fit(rows[["x", "city"]], rows["late"])

    packaged = package(ws, Trained(estimator=estimator, training=rows, holdout=rows))

    assert packaged.package.kind == "onnx"
    with pytest.raises(UserCodeError, match="the model failed in ONNX Runtime"):
        score_packaged(ws, packaged, pd.DataFrame({"x": [1.0], "city": ["never seen"]}))


def test_reason_of_onnx_runtime_is_kept(ws: Workspace) -> None:
    # two words make no token pattern that ONNX Runtime reads
    rows = pd.DataFrame(
        {"text": [f"good x{i}" if i % 2 else f"bad y{i}" for i in range(100)], "late": [False, True] * 50}
    )
    words = make_column_transformer((CountVectorizer(token_pattern=r"(?<=x)\d+|good|bad"), "text"))
    estimator = make_pipeline(words, LogisticRegression()).fit(rows[["text"]], rows["late"])

    packaged = package(ws, Trained(estimator=estimator, training=rows, holdout=rows))

    assert packaged.package.kind == "python"
    assert "converted to ONNX it does not run: ONNX Runtime cannot read the model" in packaged.package.parity.reason
    assert "rees convert" not in packaged.package.parity.advice


def test_advice_about_trees_is_given_for_trees_only(ws: Workspace) -> None:
    rows = pd.DataFrame({"x": 16_777_216.0 + np.arange(200) % 3 - 1, "late": np.arange(200) % 3 == 1})
    estimator = HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=5).fit(rows[["x"]], rows["late"])

    parity = package(ws, Trained(estimator=estimator, training=rows, holdout=rows)).package.parity

    assert "float32 keeps seven digits" in parity.advice


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_holdout_whose_target_is_not_finite_is_refused_with_its_rows(ws: Workspace, bad: float) -> None:
    trained = train(Ridge(), target=lambda rows: rows["hour"] * 1.0)
    holdout = trained.holdout.copy()
    holdout.loc[[3, 199], "late"] = bad
    table = ModelTable(target="late", task="regression")

    with pytest.raises(InvalidError, match=r"'late' is not a finite number in 2 of 200 rows \(rows 4, 200\)"):
        package(ws, Trained(estimator=trained.estimator, training=trained.training, holdout=holdout), table)


def test_holdout_that_lacks_a_class_is_refused_with_its_row(ws: Workspace) -> None:
    trained = train()
    holdout = trained.holdout.astype({"late": object})
    holdout.loc[7, "late"] = None

    with pytest.raises(InvalidError, match=r"'late' is missing in 1 of 200 rows \(row 8\)"):
        package(ws, Trained(estimator=trained.estimator, training=trained.training, holdout=holdout))


def test_model_of_encoded_classes_is_refused(ws: Workspace) -> None:
    trained = train(target=lambda rows: rows["late"].map({False: "no", True: "yes"}))
    names = [name for name in trained.training.columns if name != "late"]
    estimator = trained.estimator.fit(trained.training[names], trained.training["late"] == "yes")
    estimator.fit(trained.training[names], (trained.training["late"] == "yes").astype(int))

    with pytest.raises(
        InvalidError,
        match=r"the model knows the classes 0, 1; none of the values of 'late' \('no', 'yes'\) is one of them",
    ):
        package(ws, Trained(estimator=estimator, training=trained.training, holdout=trained.holdout))


def test_model_that_answers_no_number_for_a_row_is_refused(ws: Workspace) -> None:
    class Odd:
        def predict(self, rows: pd.DataFrame) -> np.ndarray:
            return np.where(rows["hour"] > 21, np.nan, rows["hour"])

    rows = make_rows(200, missing=False).drop(columns="late").assign(late=1.0)

    with pytest.raises(InvalidError, match="answer is not a finite number in"):
        package(ws, Trained(estimator=Odd(), training=rows, holdout=rows), ModelTable(target="late", task="regression"))
