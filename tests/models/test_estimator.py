"""What an estimator says of itself is taken over into the package, or refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder, StandardScaler

from petla.core.errors import InvalidError
from petla.core.project import AnswerTable, ModelTable
from petla.models.package import load_package
from petla.models.packaging import Trained
from petla.models.runtime.decide import decide
from petla.models.runtime.running import open_runtime
from petla.storage.workspace import Workspace
from tests.models.examples import open_workspace, package


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path)


def make_reports() -> pd.DataFrame:
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"x": random.normal(0, 10, 300).round(1)})
    return rows.assign(late=rows["x"] + random.normal(0, 3, 300) > 2)


def fit_numbers(estimator: Any) -> Trained:  # noqa: ANN401 - any estimator
    rows = make_reports()[["x", "late"]]
    return Trained(estimator=estimator.fit(rows[["x"]], rows["late"]), training=rows, holdout=rows)


@pytest.mark.parametrize(
    "estimator",
    [
        FixedThresholdClassifier(LogisticRegression(), threshold=0.9),
        FixedThresholdClassifier(LogisticRegression(), threshold=0.9, pos_label=False),
        TunedThresholdClassifierCV(LogisticRegression(), scoring="recall", thresholds=[0.2, 0.3]),
        make_pipeline(StandardScaler(), FixedThresholdClassifier(LogisticRegression(), threshold=0.9)),
    ],
    ids=["fixed", "of the other class", "tuned", "in a pipeline"],
)
def test_threshold_of_the_estimator_is_taken_over(ws: Workspace, estimator: Any) -> None:  # noqa: ANN401
    trained = fit_numbers(estimator)

    packaged = package(ws, trained)

    runtime = open_runtime(load_package(ws.objects, ws.keys, packaged.digest), ws.objects)
    labels, _ = decide(packaged.package, runtime.score([(x,) for x in trained.holdout["x"]]))
    runtime.close()
    assert labels == trained.estimator.predict(trained.holdout[["x"]]).tolist()
    own_accuracy = trained.estimator.score(trained.holdout[["x"]], trained.holdout["late"])
    assert packaged.metrics["accuracy"] == pytest.approx(own_accuracy)


def test_two_thresholds_are_refused(ws: Workspace) -> None:
    trained = fit_numbers(FixedThresholdClassifier(LogisticRegression(), threshold=0.9))

    with pytest.raises(InvalidError, match=r"answer.threshold = 0.3, and the estimator decides at 0.9"):
        package(ws, trained, ModelTable(target="late", answer=AnswerTable(threshold=0.3)))


def test_threshold_that_nobody_stated_is_refused_until_it_is(ws: Workspace) -> None:
    class Cautious(LogisticRegression):  # type: ignore[misc]
        def predict(self, X: Any) -> Any:  # noqa: ANN401, N803 - scikit-learn's name
            return self.classes_[(self.predict_proba(X)[:, 1] >= 0.8).astype(int)]

    trained = fit_numbers(Cautious())

    with pytest.raises(InvalidError, match=r"`predict` decides .* otherwise than a threshold of 0.5") as refused:
        package(ws, trained)

    stated = AnswerTable(threshold=0.8)
    assert 0.7 < float(str(refused.value.hint).split("threshold = ")[1].split()[0]) < 0.9
    assert package(ws, trained, ModelTable(target="late", answer=stated)).package.answer == stated


def test_decisions_that_no_threshold_gives_are_told(ws: Workspace) -> None:
    class Contrary(LogisticRegression):  # type: ignore[misc]
        def predict(self, X: Any) -> Any:  # noqa: ANN401, N803
            is_likely = self.predict_proba(X)[:, 1] >= 0.5
            return self.classes_[(is_likely ^ (np.asarray(X)[:, 0].round() % 2 == 1)).astype(int)]

    packaged = package(ws, fit_numbers(Contrary()))

    assert "gives another class than its probabilities for" in packaged.package.parity.remark


def test_ties_are_no_difference(ws: Workspace) -> None:
    rows = pd.DataFrame({"x": [0.0, 1.0] * 100, "late": [False, True, True, False] * 50})

    packaged = package(
        ws, Trained(estimator=DummyClassifier().fit(rows[["x"]], rows["late"]), training=rows, holdout=rows)
    )

    assert packaged.package.parity.remark == ""


def test_codes_of_the_target_are_refused(ws: Workspace) -> None:
    rows = make_reports()[["x", "late"]].assign(late=lambda rows: np.where(rows["late"], "yes", "no"))
    estimator = LogisticRegression().fit(rows[["x"]], LabelEncoder().fit_transform(rows["late"]))

    with pytest.raises(InvalidError, match=r"knows the classes 0, 1; none of the values of 'late' \('no', 'yes'\)"):
        package(ws, Trained(estimator=estimator, training=rows, holdout=rows))


class Booster:
    """What xgboost's own interface and statsmodels return: it predicts, and knows no classes."""

    def predict(self, table: pd.DataFrame) -> list[float]:
        return [0.5] * len(table)


@pytest.mark.parametrize(
    ("estimator", "message", "hint"),
    [
        (Booster(), "a Booster, which has no classes", "wrap it in a class with `classes_`"),
        ({}, "a dict, which has no classes", "return a fitted estimator"),
        (LogisticRegression(), "a LogisticRegression that is not fitted", "must return a fitted estimator"),
        (
            make_pipeline(StandardScaler(), LogisticRegression()),
            "a Pipeline that is not fitted",
            "must return a fitted estimator",
        ),
    ],
)
def test_model_that_cannot_answer_is_told_what_to_return(
    ws: Workspace, estimator: object, message: str, hint: str
) -> None:
    rows = make_reports()

    with pytest.raises(InvalidError, match=message) as refused:
        package(ws, Trained(estimator=estimator, training=rows, holdout=rows))
    assert hint in str(refused.value.hint)


def test_several_targets_are_refused(ws: Workspace) -> None:
    rows = make_reports()
    estimator = MultiOutputClassifier(LogisticRegression())
    estimator.fit(rows[["x"]], pd.DataFrame({"a": rows["late"], "b": rows["x"] > 0}))

    with pytest.raises(InvalidError, match="predicts 2 targets at once"):
        package(ws, Trained(estimator=estimator, training=rows, holdout=rows))


def test_columns_without_names_are_refused(ws: Workspace) -> None:
    rows = pd.DataFrame(np.eye(20)).assign(late=[True, False] * 10)
    estimator = LogisticRegression().fit(rows.drop(columns="late").to_numpy(), rows["late"])

    with pytest.raises(InvalidError, match="names are no strings: 0, 1, 2"):
        package(ws, Trained(estimator=estimator, training=rows, holdout=rows))
