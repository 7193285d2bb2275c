"""What is wrong with the tables is said before a training, with step and column, and what is no model after it."""

from pathlib import Path

import pytest

from petla.core.errors import InvalidError, PetlaError
from petla.gates.training import train
from petla.models.registry import list_versions
from petla.pipeline.plan import RunRequest
from tests.gates.examples import PIPELINE, PROJECT, Silence, open_project

FIT = 'return LogisticRegression(C=strength, max_iter=1000).fit(training[["hour", "wind"]], training["late"])'

PIPED = "return p.make_pipeline(LogisticRegression())"
OF_TWO = "return t.DecisionTreeClassifier().fit(training[['hour']], training[['late'] * 2].to_numpy())"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('frame["bin"] = pd.cut(frame["hour"], 4)', "column 'bin' holds intervals"),
        ('frame["p"] = pd.period_range("2020-01", periods=n_rows, freq="D")', "column 'p' holds periods"),
        ('frame["m"] = pd.Series([1, "a"] * (n_rows // 2), dtype=object)', "column 'm' of type object"),
        ('frame["z"] = 1j', "column 'z' of type complex128"),
        ('frame["d"] = pd.to_timedelta(1, "s")', "d (Duration"),
        ('frame["s"] = [{"a": 1}] * n_rows', "s (Struct"),
        ('frame["*"] = 1', "column '*' has a name"),
        ('frame.insert(0, "wind", 1, allow_duplicates=True)', "two columns are named 'wind'"),
        ("frame[0] = 1", "column names are not strings, such as 0"),
        ('frame = frame.drop(columns="late")', "no column 'late'"),
        ("frame = frame.head(0)", "without rows"),
        ("return [1, 2]", "returned a list, which is no table"),
    ],
)
def test_table_that_no_model_can_have_is_refused_before_the_training(tmp_path: Path, line: str, said: str) -> None:
    helper = f"def _spoil(frame):\n    n_rows = len(frame)\n    {line}\n    return frame\n\n\ndef training(rows"
    code = PIPELINE.replace("def training(rows", helper).replace(
        "return rows.head(300)", "return _spoil(rows.head(300))"
    )
    ws, progress = open_project(tmp_path, code=code), Silence()

    with pytest.raises(InvalidError) as caught:
        train(ws, "delay", RunRequest(), progress)

    assert said in str(caught.value)
    assert "training" in str(caught.value)
    assert "model" not in progress.executed


@pytest.mark.parametrize(
    ("task", "tail", "said"),
    [
        ("binary", 'rows.tail(300).drop(columns="wind")', "no column 'wind'"),
        ("binary", 'rows.tail(300).assign(wind="strong")', "column 'wind' is String, but Float64 in step training"),
        ("binary", 'rows.tail(300).assign(wind=pd.Timestamp("2020"))', "column 'wind' is Datetime"),
        ("regression", "rows.tail(300).assign(late=[None, *[1.0] * 299])", "missing or not finite in 1 of 300 rows"),
        ("regression", 'rows.tail(300).assign(late=float("inf"))', "missing or not finite in 300 of 300 rows"),
        ("regression", 'rows.tail(300).assign(late="yes")', "a regression predicts numbers"),
    ],
)
def test_holdout_that_cannot_be_measured_is_refused_before_the_training(
    tmp_path: Path, task: str, tail: str, said: str
) -> None:
    project = PROJECT.replace('target = "late"', f'target = "late"\ntask = "{task}"').split("[models.delay.gates]")[0]
    ws, progress = open_project(tmp_path, project=project, code=PIPELINE.replace("rows.tail(300)", tail)), Silence()

    with pytest.raises(InvalidError) as caught:
        train(ws, "delay", RunRequest(), progress)

    assert said in str(caught.value)
    assert "the table of step holdout" in str(caught.value)
    assert "model" not in progress.executed


def test_model_from_the_cache_does_not_hide_a_bad_table(tmp_path: Path) -> None:
    code = PIPELINE.replace("return rows.tail(300)", 'return rows.tail(300).assign(wind="strong")')
    ws = open_project(tmp_path, code=code)
    from petla.pipeline.runs import run_pipeline

    run_pipeline(ws, "delay", RunRequest(), Silence())

    with pytest.raises(InvalidError, match="column 'wind' is String"):
        train(ws, "delay", RunRequest(), Silence())


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ('return {"model": 1}', "step model must return a fitted estimator, got a dict"),
        ("return LogisticRegression(), 1", "got a tuple"),
        ("return LogisticRegression", "got the class LogisticRegression"),
        ("return LogisticRegression()", "step model returned a LogisticRegression that is not fitted"),
        (f"import sklearn.pipeline as p; {PIPED}", "step model returned a Pipeline that is not fitted"),
        (f"import sklearn.tree as t; {OF_TWO}", "a DecisionTreeClassifier of 2 targets"),
    ],
)
def test_what_is_no_fitted_estimator_is_named(tmp_path: Path, returned: str, said: str) -> None:
    code = PIPELINE.replace(FIT, returned)
    assert code != PIPELINE
    ws = open_project(tmp_path, code=code.partition("def evaluation")[0])

    with pytest.raises(PetlaError) as caught:
        train(ws, "delay", RunRequest(), Silence())

    assert said in caught.value.message
    assert caught.value.hint
    assert list_versions(ws, "delay") == []


@pytest.mark.filterwarnings("ignore:pandas.DataFrame with sparse columns")
def test_sparse_columns_can_be_trained_on(tmp_path: Path) -> None:
    more = 'frame["day"] = (frame["hour"] > 12).astype(pd.SparseDtype(bool, False))\n    return frame\n'
    code = PIPELINE.replace("    return frame\n", f"    {more}").replace(
        '[["hour", "wind"]]', '[["hour", "wind", "day"]]'
    )

    assert train(open_project(tmp_path, code=code), "delay", RunRequest(), Silence()).version == 1
