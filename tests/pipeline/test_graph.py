"""The graph: which functions are steps, and what is said about one that cannot be."""

from pathlib import Path

import pytest

from petla.core.errors import InvalidError, NotFoundError, UserCodeError
from petla.pipeline.plan import RunRequest, make_plan
from petla.pipeline.steps.graph import build_graph
from petla.pipeline.steps.source import SourceTree
from tests.pipeline.projects import PIPELINE, PROJECT, STEPS, keys_of, open_project, write

HELPERS = """
def shift(frame, by):
    return frame


def main():
    pass


def plot(model, colour):
    pass


def show(rows):
    return rows


def training():
    return shift(show([1]), by=2)


def holdout():
    return [1]


def model(training):
    return training


def report(model, digits: int = 2):
    return {"digits": digits}
"""


def test_public_functions_whose_arguments_are_known_are_steps(tmp_path: Path) -> None:
    assert sorted(keys_of(open_project(tmp_path))) == sorted(STEPS)


def test_helpers_are_no_steps(tmp_path: Path) -> None:
    ws = open_project(tmp_path, HELPERS)

    assert sorted(keys_of(ws)) == ["holdout", "model", "report", "training"]


def test_argument_is_step_dataset_or_parameter(tmp_path: Path) -> None:
    ws = open_project(tmp_path, "def training(rows, n=1): ...\ndef holdout(rows): ...\ndef model(training): ...")
    tree = SourceTree(tmp_path, "pipeline.py")

    steps = {step.name: step for step in build_graph(tree.main, ws.get_model()[1], ws.project.data)}

    assert [(each.name, each.origin) for each in steps["training"].inputs] == [("rows", "data"), ("n", "parameter")]
    assert steps["model"].needs == ("training",)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            PIPELINE.replace("def raw(", "def raw(evaluation, "),
            "model needs itself: model -> training -> raw -> evaluation -> model",
        ),
        (PIPELINE.replace("def training(raw)", "def training(rwa)"), "training(rwa) is unknown"),
        (PIPELINE.replace("def training(raw)", "def training(rwa)"), "did you mean 'raw'?"),
        (PIPELINE + "\ndef model(holdout):\n    return 1\n", "model is defined 2 times, in lines 17 and 24"),
        (
            PIPELINE.replace("weight: float", "holdout: float"),
            "model(holdout) has a default, so it is a parameter, but",
        ),
        (PIPELINE.replace("def raw(", "def rows(").replace("(raw", "(rows"), "rows is both a step and a dataset"),
        (PIPELINE.replace("def model", "async def model"), "model is 'async def'"),
    ],
    ids=["cycle", "unknown", "suggestion", "two of one name", "default", "like a dataset", "async"],
)
def test_graph_that_cannot_be_is_refused(tmp_path: Path, code: str, said: str) -> None:
    ws = open_project(tmp_path, code)

    with pytest.raises(InvalidError) as caught:
        make_plan(ws, "delay", RunRequest())

    assert said in caught.value.message
    assert caught.value.faults


def test_all_faults_of_a_graph_are_named_at_once(tmp_path: Path) -> None:
    ws = open_project(tmp_path, "def training(a): ...\ndef holdout(b): ...\ndef model(training): ...")

    with pytest.raises(InvalidError) as caught:
        make_plan(ws, "delay", RunRequest())

    assert sorted(fault.field for fault in caught.value.faults) == ["holdout(b)", "training(a)"]


def test_syntax_error_shows_file_and_line(tmp_path: Path) -> None:
    ws = open_project(tmp_path, PIPELINE.replace("return raw.head(3)", "return raw.head(3"))

    with pytest.raises(UserCodeError, match=r"pipeline.py, line 10") as caught:
        make_plan(ws, "delay", RunRequest())

    assert "return raw.head(3" in caught.value.traceback


def test_missing_module_and_missing_step_are_named(tmp_path: Path) -> None:
    ws = open_project(tmp_path, PIPELINE.replace("def holdout", "def hold_out"))

    with pytest.raises(NotFoundError, match=r"no public function 'holdout'.*did you mean 'hold_out'"):
        make_plan(ws, "delay", RunRequest())
    (tmp_path / "pipeline.py").unlink()
    with pytest.raises(NotFoundError, match=r"pipeline.py does not exist"):
        make_plan(ws, "delay", RunRequest())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"wieght": "1"}, "wieght is no parameter of a step (did you mean 'weight'?)"),
        ({"weight": "heavy"}, "weight is 'heavy', but must be a number, as its default 0.5"),
        ({"weight": "nan"}, "weight is 'nan'"),
        ({"n": "1.5"}, "n is '1.5', but must be a whole number"),
        ({"columns": "a"}, "columns cannot be set"),
    ],
)
def test_wrong_set_is_refused(tmp_path: Path, given: dict[str, str], said: str) -> None:
    ws = open_project(tmp_path, PIPELINE.replace("def holdout(raw)", "def holdout(raw, columns=())"))

    with pytest.raises(InvalidError) as caught:
        make_plan(ws, "delay", RunRequest(parameters=given))

    assert said in caught.value.message


def test_parameter_has_one_default(tmp_path: Path) -> None:
    ws = open_project(tmp_path, PIPELINE.replace("def holdout(raw)", "def holdout(raw, weight=1.0)"))

    with pytest.raises(InvalidError, match=r"weight has the default 0\.5 in model\(\) and 1\.0 in holdout\(\)"):
        make_plan(ws, "delay", RunRequest())
    assert make_plan(ws, "delay", RunRequest(parameters={"weight": "2"})).parameters["weight"] == 2.0


def test_default_may_be_a_constant_and_truth_values_are_words(tmp_path: Path) -> None:
    code = PIPELINE.replace("def raw(n: int = 4)", "N = 4\n\ndef raw(n=N, quick=False)")
    ws = open_project(tmp_path, code)

    assert make_plan(ws, "delay", RunRequest()).parameters["n"] == 4
    assert make_plan(ws, "delay", RunRequest(parameters={"quick": "True"})).parameters["quick"] is True


def test_unknown_step_dataset_and_model_are_named(tmp_path: Path) -> None:
    ws = open_project(tmp_path)

    with pytest.raises(NotFoundError, match="did you mean 'training'"):
        make_plan(ws, "delay", RunRequest(only_step="trainin"))
    with pytest.raises(NotFoundError, match="did you mean 'rows'"):
        make_plan(ws, "delay", RunRequest(datasets={"row": "0"}))
    with pytest.raises(NotFoundError, match="did you mean 'delay'"):
        make_plan(ws, "dely", RunRequest())


def test_pipeline_may_lie_in_a_package(tmp_path: Path) -> None:
    project = PROJECT.replace('target = "late"', 'target = "late"\npipeline = "src/flights/pipeline.py"')
    ws = open_project(tmp_path, project=project)
    write(tmp_path / "src" / "flights" / "__init__.py", "")
    write(tmp_path / "src" / "flights" / "pipeline.py", PIPELINE)

    assert sorted(keys_of(ws)) == sorted(STEPS)
