"""Pipelines of imputers and encoders become ONNX and answer missing, unseen and rare values as the original does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder

from petla.core.errors import PetlaError
from petla.models.package import load_package
from petla.models.packaging import Packaged, Trained
from petla.models.runtime.running import open_runtime
from petla.models.signature import Row
from petla.storage.workspace import Workspace
from tests.models.examples import open_workspace, package

STEPS: dict[str, Callable[[], Any]] = {
    "most frequent, one-hot": lambda: make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
    ),
    "constant, one-hot": lambda: make_pipeline(
        SimpleImputer(strategy="constant", fill_value="missing"), OneHotEncoder(handle_unknown="ignore")
    ),
    "most frequent, ordinal": lambda: make_pipeline(
        SimpleImputer(strategy="most_frequent"), OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    ),
    "one-hot": lambda: OneHotEncoder(handle_unknown="ignore"),
    "one-hot, strict": OneHotEncoder,
    "one-hot, infrequent": lambda: OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=40),
    "one-hot, warn, infrequent": lambda: OneHotEncoder(handle_unknown="warn", max_categories=3),
    "one-hot, infrequent ignored": lambda: OneHotEncoder(handle_unknown="ignore", min_frequency=40),
    "one-hot, infrequent, first dropped": lambda: OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=40, drop="first"
    ),
    "one-hot, if binary": lambda: OneHotEncoder(handle_unknown="ignore", drop="if_binary"),
    "one-hot of integers": lambda: OneHotEncoder(handle_unknown="ignore", dtype=np.int64),
    "ordinal, strict": lambda: OrdinalEncoder(encoded_missing_value=-2),
    "ordinal": lambda: OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
    "ordinal, infrequent": lambda: OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=99, encoded_missing_value=-2, max_categories=3
    ),
}
FINALS: dict[str, Callable[[], Any]] = {
    "logistic": lambda: LogisticRegression(max_iter=5000),
    "forest": lambda: RandomForestClassifier(20, random_state=0),
}
CITIES = ["Gdańsk", "Kraków", "Łódź", "Warszawa", ""]


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path)


def make_places(dtype: str, n_rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Rows with two columns of strings, some missing and some rare, and a number."""
    random = np.random.default_rng(seed)
    city = random.choice(CITIES, n_rows, p=[0.3, 0.3, 0.08, 0.3, 0.02])
    frame = pd.DataFrame(
        {
            "city": pd.Series(city, dtype=dtype),
            "plan": pd.Series(random.choice(["free", "paid"], n_rows), dtype=dtype),
            "age": random.normal(40, 10, n_rows).round(1),
        }
    )
    risk = (frame["city"] == "Kraków").to_numpy() + (frame["plan"] == "paid").to_numpy() + frame["age"] / 40
    frame["late"] = (risk + random.normal(0, 0.5, n_rows) > 2).astype(bool)
    frame.loc[random.random(n_rows) < 0.1, "city"] = None if dtype == "string" else np.nan
    return frame


def fit(encoder: Any, final: Any, frame: pd.DataFrame, names: list[str]) -> Any:  # noqa: ANN401 - any estimator
    columns = ColumnTransformer([("texts", encoder, names)], remainder="passthrough")
    return make_pipeline(columns, final).fit(frame.drop(columns="late"), frame["late"])


def score_rows(ws: Workspace, packaged: Packaged, rows: list[Row]) -> np.ndarray:
    loaded = load_package(ws.objects, ws.keys, packaged.digest)
    runtime = open_runtime(loaded, ws.objects)
    try:
        return runtime.score(rows)
    finally:
        runtime.close()


def require_same(ws: Workspace, packaged: Packaged, estimator: Any, frame: Any) -> None:  # noqa: ANN401
    """Each row gets the original's scores, or an error where the original raises one."""
    assert packaged.package.kind == "onnx", packaged.package.parity.reason
    for i in range(len(frame)):
        row = frame[i : i + 1]
        rows = (row if isinstance(row, pl.DataFrame) else pl.from_pandas(row)).rows()
        try:
            expected = estimator.predict_proba(row)
        except ValueError:
            with pytest.raises(PetlaError, match="ONNX Runtime"):
                score_rows(ws, packaged, rows)
        else:
            np.testing.assert_allclose(score_rows(ws, packaged, rows), expected, atol=1e-5, err_msg=str(rows))


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("final", FINALS.values(), ids=FINALS)
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("dtype", ["str", "category"])
def test_strings_with_missing_values(
    ws: Workspace, step: Callable[[], Any], final: Callable[[], Any], dtype: str
) -> None:
    frame = make_places(dtype)
    estimator = fit(step(), final(), frame, ["city", "plan"])

    packaged = package(ws, Trained(estimator=estimator, training=frame, holdout=make_places(dtype, 200, seed=1)))

    cities = [*CITIES, "never seen", np.nan]
    other = pd.DataFrame({"city": pd.Series(cities, dtype="str"), "plan": "paid", "age": 40.5})
    require_same(ws, packaged, estimator, other)


@pytest.mark.parametrize("library", ["object", "polars"])
def test_strings_of_other_libraries(ws: Workspace, library: str) -> None:
    is_object = library == "object"
    frame, holdout = (make_places("object" if is_object else "str", n, seed=n) for n in (400, 200))
    training, held = (frame, holdout) if is_object else (pl.from_pandas(frame), pl.from_pandas(holdout))
    imputer = SimpleImputer(missing_values=np.nan if is_object else None, strategy="most_frequent")
    columns = make_column_transformer((make_pipeline(imputer, OneHotEncoder()), ["city", "plan"]))
    estimator = make_pipeline(columns, LogisticRegression())
    estimator.fit(training[["city", "plan", "age"]], frame["late"])

    packaged = package(ws, Trained(estimator=estimator, training=training, holdout=held))

    require_same(ws, packaged, estimator, held[["city", "plan", "age"]])


def test_nullable_strings(ws: Workspace) -> None:
    frame, holdout = make_places("string"), make_places("string", 200, seed=1)
    encoder = make_pipeline(
        SimpleImputer(missing_values=pd.NA, strategy="constant", fill_value="none"), OneHotEncoder()
    )
    estimator = fit(encoder, FINALS["logistic"](), frame, ["city", "plan"])

    packaged = package(ws, Trained(estimator=estimator, training=frame, holdout=holdout))

    require_same(ws, packaged, estimator, holdout.drop(columns="late"))


@pytest.mark.parametrize("dtype", ["float64", "Float64", "Int64", "boolean", "object"])
@pytest.mark.parametrize(
    "encoder",
    [
        OneHotEncoder(handle_unknown="ignore"),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-3),
        make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")),
        SimpleImputer(strategy="most_frequent", add_indicator=True),
    ],
    ids=["one-hot", "ordinal", "imputed", "indicated"],
)
def test_numbers_and_booleans_with_missing_values(ws: Workspace, encoder: Any, dtype: Any) -> None:  # noqa: ANN401
    def make(n_rows: int, seed: int) -> pd.DataFrame:
        random = np.random.default_rng(seed)
        flags = random.integers(0, 2, n_rows)
        values = pd.Series(flags == 1 if dtype in ("boolean", "object") else flags).astype(dtype)
        values[random.random(n_rows) < 0.1] = np.nan if dtype in ("float64", "object") else pd.NA
        late = (flags + random.normal(0, 0.5, n_rows)) > 0.5
        return pd.DataFrame({"flag": values, "age": random.normal(40, 10, n_rows), "late": late})

    frame, holdout = make(400, 0), make(200, 1)
    estimator = fit(encoder, FINALS["logistic"](), frame, ["flag"])

    packaged = package(ws, Trained(estimator=estimator, training=frame, holdout=holdout))

    require_same(ws, packaged, estimator, holdout.drop(columns="late")[:20])


def test_number_that_is_no_category_is_not_taken_for_a_near_one(ws: Workspace) -> None:
    frame = pd.DataFrame({"rate": [1.0, 1.5, 2.0, 2.5] * 50, "late": [True, False, False, True] * 50})
    estimator = fit(OneHotEncoder(handle_unknown="ignore"), FINALS["logistic"](), frame, ["rate"])

    packaged = package(ws, Trained(estimator=estimator, training=frame, holdout=frame))

    require_same(ws, packaged, estimator, pd.DataFrame({"rate": [1.0, 1.2, 1.5, 1.9, 2.0, 3.0]}))


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_timestamp_that_the_model_does_not_use_does_not_forbid_onnx(ws: Workspace, kind: str) -> None:
    frame = make_places("str")
    frame.insert(0, "seen_at", pd.date_range("2026-01-01", periods=len(frame), freq="h"))
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["city"]), ("passthrough", ["age"]))
    table = frame if kind == "pandas" else pl.from_pandas(frame)
    names = ["seen_at", "city", "plan", "age"]
    estimator = make_pipeline(columns, LogisticRegression(max_iter=5000)).fit(table[names], frame["late"])

    packaged = package(ws, Trained(estimator=estimator, training=table, holdout=table))

    assert packaged.package.kind == "onnx", packaged.package.parity.reason
    rows: list[Row] = [("2026-01-01T00:00:00", "Kraków", "paid", 40.5), (None, None, "paid", 40.5)]
    other: Any = pd.DataFrame({"seen_at": pd.NaT, "city": ["Kraków", np.nan], "plan": "paid", "age": 40.5})
    other = other if kind == "pandas" else pl.from_pandas(other)
    np.testing.assert_allclose(score_rows(ws, packaged, rows), estimator.predict_proba(other), atol=1e-5)


def test_timestamp_that_the_model_uses_is_named(ws: Workspace) -> None:
    frame = make_places("str")
    frame["seen_at"] = pd.date_range("2026-01-01", periods=len(frame), freq="h")
    hours = FunctionTransformer(lambda rows: rows.apply(lambda column: column.dt.hour))
    columns = make_column_transformer((hours, ["seen_at"]), ("passthrough", ["age"]))
    estimator = make_pipeline(columns, LogisticRegression(max_iter=5000)).fit(frame.drop(columns="late"), frame["late"])

    packaged = package(ws, Trained(estimator=estimator, training=frame, holdout=frame))

    assert packaged.package.kind == "python"


@pytest.mark.parametrize(
    "vectorizer",
    [CountVectorizer(ngram_range=(1, 2)), TfidfVectorizer(), TfidfVectorizer(token_pattern=r"(?u)\b\w+\b")],
    ids=["count", "tfidf", "short words"],
)
def test_words_need_no_locale_of_one_language(ws: Workspace, vectorizer: Any) -> None:  # noqa: ANN401
    words = [
        f"{word} x{i}" for i, word in enumerate(["Good ŻÓŁĆ", "bad, slow's", "good slow a", "BAD _a naïve żółć"] * 50)
    ]
    frame = pd.DataFrame({"text": words, "late": [True, False] * 100})
    columns = make_column_transformer((vectorizer, "text"))
    estimator = make_pipeline(columns, LogisticRegression()).fit(frame[["text"]], frame["late"])

    packaged = package(ws, Trained(estimator=estimator, training=frame, holdout=frame))

    require_same(ws, packaged, estimator, pd.DataFrame({"text": ["Żółć good", "slow SLOW", "unknown"]}))


@pytest.mark.parametrize("step", ["most frequent, one-hot", "one-hot", "ordinal"])
@pytest.mark.parametrize("kind", ["polars", "arrow"])
def test_model_fitted_on_pandas_nulls_gets_them_whatever_the_tables_are(ws: Workspace, step: str, kind: str) -> None:
    frame, holdout = make_places("str"), make_places("str", 200, seed=1)
    estimator = fit(STEPS[step](), FINALS["logistic"](), frame, ["city", "plan"])
    tables = [
        pl.from_pandas(each) if kind == "polars" else pl.from_pandas(each).to_arrow() for each in (frame, holdout)
    ]

    packaged = package(ws, Trained(estimator=estimator, training=tables[0], holdout=tables[1]))

    require_same(ws, packaged, estimator, holdout.drop(columns="late")[:50])
