"""Runs: what is executed, what comes from the cache, what is remembered."""

from pathlib import Path

import polars as pl
import pytest

from petla.core.errors import InvalidError, NotFoundError
from petla.pipeline.plan import RunRequest, decode_request, encode_request
from petla.pipeline.result import RunState
from petla.pipeline.runs import get_run, list_runs, load_frame, load_output
from tests.pipeline.projects import PIPELINE, STEPS, open_project, run, write


def test_run_executes_steps_in_order_and_hands_out_their_outputs(tmp_path: Path) -> None:
    ws = open_project(tmp_path)

    result, seen = run(ws)

    assert sorted(seen.executed) == sorted(STEPS)
    assert seen.executed.index("raw") < seen.executed.index("training") < seen.executed.index("model")
    assert seen.started == [(name, n, 5) for n, name in enumerate(seen.executed, 1)]
    assert load_output(ws, result, "model") == {"mean": 0.5}
    assert load_frame(ws, result, "holdout").equals(pl.DataFrame({"hour": [3], "late": [False]}))
    assert result.metrics == {"mean": 0.5, "error": 2.5}
    assert result.parameters == {"n": 4, "weight": 0.5}


def test_second_run_executes_nothing(tmp_path: Path) -> None:
    ws = open_project(tmp_path)
    first, _ = run(ws)

    second, seen = run(ws)

    assert seen.executed == []
    assert sorted(seen.cached) == sorted(STEPS)
    assert second.plan_key == first.plan_key
    assert second.metrics == first.metrics


def test_change_of_one_step_executes_it_and_what_follows(tmp_path: Path) -> None:
    ws = open_project(tmp_path)
    run(ws)
    write(tmp_path / "pipeline.py", PIPELINE.replace("raw.tail(1)", "raw.tail(2)"))

    _, seen = run(ws)

    assert seen.executed == ["holdout", "evaluation"]


def test_set_parameter_executes_what_depends_on_it(tmp_path: Path) -> None:
    ws = open_project(tmp_path)
    run(ws)

    result, seen = run(ws, RunRequest(parameters={"weight": "2"}))

    assert seen.executed == ["model", "evaluation"]
    assert result.parameters["weight"] == 2.0
    assert load_output(ws, result, "model") == {"mean": 2.0}


def test_only_step_runs_it_and_what_it_needs(tmp_path: Path) -> None:
    ws = open_project(tmp_path)

    result, seen = run(ws, RunRequest(only_step="training"))

    assert seen.executed == ["raw", "training"]
    with pytest.raises(NotFoundError, match="no step 'model'"):
        load_output(ws, result, "model")


def test_run_is_remembered_with_who_and_what(tmp_path: Path) -> None:
    ws = open_project(tmp_path)
    result, _ = run(ws, RunRequest(cause="retraining:7", commit="c0ffee"))

    remembered = get_run(ws, result.run_id)

    assert remembered.state is RunState.DONE
    assert (remembered.cause, remembered.commit, remembered.started_by) == ("retraining:7", "c0ffee", "ada")
    assert [step.name for step in remembered.steps] == [step.name for step in result.steps]
    assert remembered.metrics == result.metrics
    assert list_runs(ws, "delay") == [remembered]
    assert list_runs(ws, "other") == []
    assert [entry.action for entry in ws.ledger.list_entries()] == ["run.started", "run.finished"]
    with pytest.raises(NotFoundError, match="no run 99"):
        get_run(ws, 99)


def test_request_comes_back_from_json() -> None:
    request = RunRequest(parameters={"n": "3"}, source=Path("tree"), commit="c0ffee", reference={"rows": "0"})

    assert decode_request(encode_request("delay", request)) == ("delay", request)
    with pytest.raises(InvalidError, match="no request for a run"):
        decode_request(b'{"model": 1}')


def test_step_cannot_change_what_another_sees(tmp_path: Path) -> None:
    ws = open_project(
        tmp_path,
        """
        def settings():
            return {"rows": [1, 2]}

        def training(settings):
            settings["rows"].append(3)
            return settings

        def holdout(settings):
            return settings

        def model(training):
            return len(training["rows"])
        """,
    )

    result, _ = run(ws)

    assert load_output(ws, result, "model") == 3
    assert load_output(ws, result, "holdout") == {"rows": [1, 2]}


def test_prints_of_steps_stay_off_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ws = open_project(tmp_path, PIPELINE.replace("return raw.head(3)", "print('hello')\n    return raw.head(3)"))

    run(ws)

    captured = capsys.readouterr()
    assert captured.out == ""
    assert "hello" in captured.err
