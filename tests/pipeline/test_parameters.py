"""Parameters: what `--set` can give a step, and what the step gets."""

from pathlib import Path

import pytest

from petla.core.errors import InvalidError
from petla.pipeline.plan import RunRequest
from petla.pipeline.runs import load_output
from petla.pipeline.steps.arguments import write_value
from tests.pipeline.projects import changed, keys_of, open_project, run

CODE = """
from typing import Optional
NOTHING = None

def training(x{argument}):
    return repr(x)

def holdout():
    return 1

def model(training):
    return 1
"""


@pytest.mark.parametrize(
    ("argument", "text", "got"),
    [
        (": int | None = None", None, "None"),
        (": int | None = None", "7", "7"),
        (": None | int = 7", "none", "None"),
        (": Optional[float] = NOTHING", "0.5", "0.5"),
        (": 'str | None' = 'a'", "None", "None"),
        (": bool | None = None", "true", "True"),
        ("=[1, 2]", None, "[1, 2]"),
        ("=[1, 2]", "3,4", "[3, 4]"),
        ("=[1, 2]", "[3, 4]", "[3, 4]"),
        ("=(100,)", None, "(100,)"),
        ("=(100,)", "64, 32", "(64, 32)"),
        (": tuple[int, ...] = ()", "5", "(5,)"),
        (": list[str] | None = None", '["a,b", "c"]', "['a,b', 'c']"),
        (": list[bool] = []", "true,false", "[True, False]"),
        ("=[1, 0.5]", "2", "[2.0]"),
        (": list[int] = []", "", "[]"),
    ],
)
def test_step_gets_what_was_set(tmp_path: Path, argument: str, text: str | None, got: str) -> None:
    ws = open_project(tmp_path, CODE.format(argument=argument))
    request = RunRequest(parameters={} if text is None else {"x": text})

    result, _ = run(ws, request)

    assert load_output(ws, result, "training") == got
    # as a rebuilding writes it
    again = RunRequest(parameters={"x": write_value(result.parameters["x"])})
    assert changed(keys_of(ws, request), keys_of(ws, again)) == set()


@pytest.mark.parametrize(
    ("argument", "text", "said"),
    [
        (": int | None = None", "many", "must be a whole number, or none"),
        ("=[1, 2]", "1,x", "must be values with commas between them, each a whole number"),
        ("=[0.5]", "[nan]", "each a number"),
        ("=None", "1", "annotate it, such as 'depth: int | None = None'"),
        ("={}", "1", "cannot be set"),
    ],
)
def test_value_of_another_type_is_refused(tmp_path: Path, argument: str, text: str, said: str) -> None:
    ws = open_project(tmp_path, CODE.format(argument=argument))

    with pytest.raises(InvalidError) as caught:
        run(ws, RunRequest(parameters={"x": text}))

    assert said in str(caught.value)
