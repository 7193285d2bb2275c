"""From a plan to a verdict, and what happens when it is interrupted or repeated."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from petla.core.errors import BusyError, CorruptError, UnavailableError
from petla.gates.judge import judge
from petla.gates.memory import Remembered, remember
from petla.gates.training import TrainResult, train
from petla.gates.verdict import find_verdict
from petla.models.registry import get_version, list_versions
from petla.models.states import State
from petla.pipeline.plan import RunRequest
from petla.pipeline.runs import load_frame
from petla.storage.files import lock
from petla.storage.workspace import Workspace
from tests.contracts.damage import flip
from tests.gates.examples import PIPELINE, PROJECT, Silence, crown, open_project, publish


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return open_project(tmp_path)


def train_once(ws: Workspace, request: RunRequest | None = None) -> TrainResult:
    return train(ws, "delay", request or RunRequest(), Silence())


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainResult]:
    """A project after its first training, to be copied, and what came of that."""
    ws = open_project(tmp_path_factory.mktemp("trained"))
    result = train_once(ws)
    ws.engine.dispose()
    return ws.root, result


@pytest.fixture
def result(first: tuple[Path, TrainResult], tmp_path: Path) -> TrainResult:
    """What came of the first training of `ws`, which is there already."""
    shutil.copytree(first[0], tmp_path, dirs_exist_ok=True)
    return first[1]


def learn(ws: Workspace, target: str) -> None:
    """Have the pipeline fit another target."""
    code = PIPELINE.replace('training["late"])', f"{target})")
    (ws.root / "pipeline.py").write_text(code, encoding="utf-8")


def test_first_version_passes_its_gates(result: TrainResult, ws: Workspace) -> None:
    assert (result.version, result.state, result.is_unchanged) == (1, State.TESTING, False)
    assert [check.name for check in result.verdict.checks] == [
        "holdout",
        "minimum",
        "champion",
        "latency",
        "dirty rows",
    ]
    assert result.verdict.passed
    version = get_version(ws, "delay", 1)
    assert version.state is State.TESTING
    assert find_verdict(version) == result.verdict


def test_certificate_is_complete(ws: Workspace) -> None:
    result = train_once(ws, RunRequest(parameters={"strength": "0.5"}, cause="retraining:7", commit="c0ffee"))

    certificate = get_version(ws, "delay", result.version).certificate
    assert (certificate.who, certificate.cause, certificate.commit) == ("ada", "retraining:7", "c0ffee")
    assert certificate.when
    assert certificate.parameters == {"n_rows": 600, "strength": 0.5}
    assert certificate.environment["numpy"]
    assert certificate.python == ".".join(map(str, sys.version_info[:3]))
    assert certificate.metrics["auc"] > 0.8
    assert certificate.reported.keys() == {"weight"}
    assert (certificate.training_rows, certificate.holdout_rows, certificate.kind) == (300, 300, "onnx")
    assert certificate.parity.largest_difference is not None
    assert len(certificate.package) == 64
    assert len(certificate.seal) == 128


@pytest.mark.usefixtures("result")
def test_verdict_is_in_the_ledger_with_its_figures(ws: Workspace) -> None:
    entry = ws.ledger.list_entries()[-1]
    assert (entry.action, entry.subject) == ("model.judged", "delay:1")
    assert entry.details["checks"]["minimum"]["figures"]["minimum"] == 0.6
    assert ws.ledger.verify() == len(ws.ledger.list_entries())


def test_version_below_the_minimum_is_rejected(tmp_path: Path) -> None:
    ws = open_project(tmp_path, project=PROJECT.replace("0.6", "0.999"))

    result = train_once(ws)

    assert result.state is State.REJECTED
    assert [check.name for check in result.verdict.checks if not check.passed] == ["minimum"]
    assert "at least 0.999 is demanded" in ws.ledger.list_entries()[-1].reason


def test_unchanged_plan_gives_the_same_verdict_without_a_run(result: TrainResult, ws: Workspace) -> None:
    again = train_once(ws)

    assert again.is_unchanged
    assert again.verdict == result.verdict
    assert again.run.run_id == result.run.run_id


@pytest.mark.usefixtures("result")
def test_live_version_stays_unchanged(ws: Workspace) -> None:
    publish(ws, live=1)

    again = train_once(ws)

    assert again.is_unchanged
    assert again.state is State.PRODUCTION


@pytest.mark.usefixtures("result")
def test_another_champion_is_another_contest(ws: Workspace) -> None:
    crown(ws, 1)
    publish(ws, live=1)
    second = train_once(ws, RunRequest(parameters={"strength": "2.0"}))
    publish(ws, live=9)

    third = train_once(ws, RunRequest(parameters={"strength": "2.0"}))

    assert second.verdict.champion == 1
    assert not third.is_unchanged
    assert third.version == second.version + 1


@pytest.mark.usefixtures("result")
def test_same_model_again_is_a_tie_with_the_champion_and_refused(ws: Workspace) -> None:
    crown(ws, 1)

    # more iterations allowed, the same model found
    code = PIPELINE.replace("max_iter=1000", "max_iter=2000")
    (ws.root / "pipeline.py").write_text(code, encoding="utf-8")
    result = train_once(ws)

    assert result.state is State.REJECTED
    assert "tie" in next(check.message for check in result.verdict.checks if check.name == "champion")


def test_worse_model_is_refused_and_better_one_passes(ws: Workspace) -> None:
    # the first champion learnt what the hour says and nothing of the wind
    learn(ws, 'training["hour"] > 18')
    train_once(ws)
    crown(ws, 1)

    learn(ws, 'training["late"]')
    better = train_once(ws)
    learn(ws, '~training["late"]')
    worse = train_once(ws)

    figures = next(check.figures for check in worse.verdict.checks if check.name == "champion")
    assert (better.state, worse.state) == (State.TESTING, State.REJECTED)
    assert figures["high"] < 0


@pytest.mark.usefixtures("result")
def test_champion_that_cannot_score_the_rows_is_no_reason_to_pass(ws: Workspace) -> None:
    crown(ws, 1)
    code = PIPELINE.replace("return frame", 'return frame.rename(columns={"wind": "gust"})').replace(
        '["hour", "wind"]', '["hour", "gust"]'
    )
    (ws.root / "pipeline.py").write_text(code, encoding="utf-8")

    result = train_once(ws)

    assert result.state is State.REJECTED
    assert "no column 'wind'" in next(check.message for check in result.verdict.checks if not check.passed)


@pytest.mark.parametrize("part", ["packaging.package_model", "registry.register"])
def test_crash_before_registration_is_taken_up(ws: Workspace, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    def crash(*_: object) -> None:
        raise UnavailableError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(f"petla.models.{part}", crash)
        with pytest.raises(UnavailableError):
            train_once(ws)

    progress = Silence()
    result = train(ws, "delay", RunRequest(), progress)

    assert (result.run.run_id, result.version, progress.executed) == (1, 1, [])


def test_crash_between_registration_and_verdict_is_taken_up(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise UnavailableError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("petla.gates.judge.judge", crash)
        with pytest.raises(UnavailableError):
            train_once(ws)
    assert get_version(ws, "delay", 1).state is State.CANDIDATE

    result = train_once(ws)

    assert (result.version, result.state) == (1, State.TESTING)
    assert len(list_versions(ws, "delay")) == 1


def test_crash_after_the_verdict_is_taken_up(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    written = iter([True, False])

    def fail_second(path: Path, remembered: Remembered) -> None:
        if not next(written):
            raise UnavailableError("the disk is full")
        remember(path, remembered)

    with monkeypatch.context() as patch:
        patch.setattr("petla.gates.training.remember", fail_second)
        with pytest.raises(UnavailableError):
            train_once(ws)

    result = train_once(ws)

    assert (result.version, result.state) == (1, State.TESTING)
    assert len(list_versions(ws, "delay")) == 1


def test_outputs_that_are_gone_are_made_again(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise UnavailableError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("petla.models.registry.register", crash)
        with pytest.raises(UnavailableError):
            train_once(ws)
    for path in (ws.state / "cache").rglob("*"):
        if path.is_file() and "results" not in path.parts:
            path.unlink()

    progress = Silence()
    result = train(ws, "delay", RunRequest(), progress)

    assert result.state is State.TESTING
    assert "model" in progress.executed


def test_run_of_one_step_is_no_training(ws: Workspace) -> None:
    with pytest.raises(ValueError, match="makes no model"):
        train_once(ws, RunRequest(only_step="rows"))


def test_two_trainings_at_once_say_who_holds_it(ws: Workspace) -> None:
    with (
        lock(ws.state / "training.lock", purpose="petla run delay"),
        pytest.raises(BusyError, match="petla run delay"),
    ):
        train_once(ws)


def test_altered_package_is_not_judged(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise UnavailableError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("petla.gates.judge.judge", crash)
        with pytest.raises(UnavailableError):
            train_once(ws)
    version = get_version(ws, "delay", 1)
    flip(ws.objects, version.package)

    with pytest.raises(CorruptError, match="damaged"):
        train_once(ws)
    assert get_version(ws, "delay", 1).state is State.CANDIDATE


def test_judged_version_is_not_judged_again(result: TrainResult, ws: Workspace) -> None:
    training, holdout = (load_frame(ws, result.run, step) for step in ("training", "holdout"))
    with pytest.raises(Exception, match="delay:1 is testing and cannot become testing"):
        judge(ws, get_version(ws, "delay", 1), training, holdout)


@pytest.mark.usefixtures("result")
def test_unchanged_plan_loads_no_heavy_library(ws: Workspace) -> None:
    program = f"""
import sys
from pathlib import Path
from petla.core.settings import Settings
from petla.gates.memory import Remembered, remember
from petla.gates.training import TrainResult, train
from petla.pipeline.plan import RunRequest
from petla.storage.workspace import open_workspace

result = train(open_workspace(Path({str(ws.root)!r}), Settings()), "delay", RunRequest(), None)
heavy = {{"numpy", "pandas", "polars", "pyarrow", "sklearn", "sqlalchemy", "onnxruntime"}} & set(sys.modules)
print(result.is_unchanged, sorted(heavy))
"""

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.stdout.strip() == "True []", done.stderr
