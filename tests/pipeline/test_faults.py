"""Faults: code that fails, processes that die, bytes that are damaged."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from petla.core.errors import BusyError, CorruptError, PetlaError, UnavailableError, UserCodeError
from petla.pipeline.plan import RunRequest, make_plan
from petla.pipeline.result import RunState
from petla.pipeline.runs import list_runs, load_output
from petla.storage.workspace import Workspace
from tests.contracts.damage import flip, lose
from tests.pipeline.projects import PIPELINE, PROJECT, open_project, run, write

# runs the project in a process of its own
PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from petla.core.settings import Settings
from petla.storage.workspace import open_workspace
from tests.pipeline.projects import run
result, seen = run(open_workspace(Path({folder!r}), Settings(actor="ada")))
print(*seen.executed)
"""
ROOT = Path(__file__).resolve().parents[2]

FITTED = """
class Fitted:
    def __init__(self, mean):
        self.mean = mean

def training():
    return [1, 2, 3]

def holdout():
    return [4]

def model(training):
    return Fitted(sum(training) / len(training))

def evaluation(model, holdout):
    return {"error": holdout[0] - model.mean}
"""


def start(folder: Path) -> "subprocess.Popen[str]":
    program = PROGRAM.format(root=str(ROOT), folder=str(folder))
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


def test_failing_step_shows_the_own_frames_only(tmp_path: Path) -> None:
    ws = open_project(tmp_path, PIPELINE.replace("return raw.head(3)", "return raw.select('huor')"))

    with pytest.raises(UserCodeError, match="step training failed: polars") as caught:
        run(ws)

    assert "line 10, in training" in caught.value.traceback
    assert "return raw.select('huor')" in caught.value.traceback
    assert "site-packages" not in caught.value.traceback
    assert "petla/pipeline" not in caught.value.traceback
    assert list_runs(ws)[0].state is RunState.FAILED
    assert "step training failed" in list_runs(ws)[0].error


def test_finished_steps_of_a_failed_run_are_kept(tmp_path: Path) -> None:
    ws = open_project(tmp_path, PIPELINE.replace("return raw.head(3)", "raise ValueError('no')"))
    with pytest.raises(UserCodeError):
        run(ws)
    write(tmp_path / "pipeline.py", PIPELINE)

    _, seen = run(ws)

    assert "raw" in seen.cached


@pytest.mark.parametrize(
    ("old", "fresh", "said"),
    [
        ("return raw.head(3)", "raw.head(3)", "step training returned nothing"),
        (
            "return raw.head(3)",
            "return (row for row in [1])",
            "keeping what step training returned, a generator, failed",
        ),
        ("return raw.head(3)", "import sys; sys.exit(3)", "step training failed: SystemExit: 3"),
        ("return raw.head(3)", r"raise ValueError('\ud800')", r"step training failed: ValueError: \ud800"),
        ("def raw(", "import flihgts\n\ndef raw(", "importing pipeline.py failed: ModuleNotFoundError"),
    ],
    ids=["None", "generator", "exit", "unwritable", "import"],
)
def test_misbehaving_code_is_named(tmp_path: Path, old: str, fresh: str, said: str) -> None:
    ws = open_project(tmp_path, PIPELINE.replace(old, fresh))

    with pytest.raises(UserCodeError) as caught:
        run(ws)

    assert said in caught.value.message
    assert "petla/pipeline" not in caught.value.traceback


def test_missing_training_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # stands for an environment without it
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    ws = open_project(tmp_path, PIPELINE.replace("def raw(", "import skl2onnx\n\ndef raw(", 1))

    with pytest.raises(UserCodeError) as caught:
        run(ws)

    assert caught.value.hint == "install what training needs with: pip install 'petla[train]'"


def test_run_killed_in_the_middle_goes_on_where_it_was(tmp_path: Path) -> None:
    kill = f"import os\n    if not os.path.exists({str(tmp_path / 'alive')!r}):\n        os.kill(os.getpid(), 9)"
    code = PIPELINE.replace('return {"error"', f'{kill}\n    return {{"error"')
    ws = open_project(tmp_path, code)
    first = start(tmp_path)
    first.communicate(timeout=60)
    assert first.returncode == -signal.SIGKILL
    assert list_runs(ws)[0].state is RunState.RUNNING
    (tmp_path / "alive").touch()

    second = start(tmp_path)
    output, _ = second.communicate(timeout=60)

    assert (second.returncode, output.split()) == (0, ["evaluation"])
    assert [each.state for each in list_runs(ws)] == [RunState.DONE, RunState.INTERRUPTED]
    assert ws.ledger.verify() == 4
    assert "run.interrupted" in [entry.action for entry in ws.ledger.list_entries()]


def test_own_class_made_by_another_process_can_be_used(tmp_path: Path) -> None:
    ws = open_project(tmp_path, FITTED)
    assert start(tmp_path).communicate(timeout=60)[0].split() == ["training", "holdout", "model", "evaluation"]
    write(tmp_path / "pipeline.py", FITTED.replace("model.mean}", "model.mean * 2}"))

    result, seen = run(ws)

    assert seen.executed == ["evaluation"]
    assert result.metrics == {"error": 0.0}


def test_second_run_at_once_says_who_holds_it(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    ws = open_project(
        tmp_path, PIPELINE.replace("return raw.head(3)", f"open({str(gate)!r}).read()\n    return raw.head(3)")
    )
    first = start(tmp_path)
    # Opening for writing waits until the step has opened it for reading.
    with gate.open("w"), pytest.raises(BusyError, match=rf"petla run delay \(pid {first.pid}\)"):
        run(ws)

    output, _ = first.communicate(timeout=60)

    assert first.returncode == 0
    assert "training" in output.split()


@pytest.mark.parametrize("step", ["training", "model"])
def test_damaged_output_is_set_aside_and_made_again(tmp_path: Path, step: str) -> None:
    ws = open_project(tmp_path, FITTED)
    run(ws)
    damaged = object_of(ws, step)
    flip(ws.objects, damaged)

    result, seen = run(ws)

    assert seen.executed == [step]
    assert [damaged in warning and step in warning for warning in result.warnings] == [True]
    assert load_output(ws, result, step) is not None
    assert run(ws)[0].warnings == ()


def test_damaged_output_that_is_read_later_is_made_again_by_the_next_run(tmp_path: Path) -> None:
    ws = open_project(tmp_path, FITTED)
    result, _ = run(ws)
    flip(ws.objects, object_of(ws, "model"))

    with pytest.raises(CorruptError, match="damaged entry lies in"):
        load_output(ws, result, "model")

    assert run(ws)[1].executed == ["model"]
    assert load_output(ws, result, "model") is not None


def test_lost_output_is_made_again_with_what_it_needs(tmp_path: Path) -> None:
    ws = open_project(tmp_path, FITTED)
    run(ws)
    training, model = object_of(ws, "training"), object_of(ws, "model")
    flip(ws.objects, training)
    lose(ws.objects, model)

    result, seen = run(ws)

    assert seen.executed == ["training", "model"]
    assert len(result.warnings) == 2


def test_altered_record_of_a_pickle_is_not_loaded(tmp_path: Path) -> None:
    ws = open_project(tmp_path, FITTED)
    result, _ = run(ws)
    key = next(step.key for step in result.steps if step.name == "model")
    record = ws.state / "cache" / "steps" / f"{key}.json"
    foreign = ws.objects.put_bytes(b"cos\nsystem\n(S'touch /tmp/owned'\ntR.")
    own = object_of(ws, "model")
    record.write_text(record.read_text().replace(own, foreign))

    again, seen = run(ws)

    assert seen.executed == ["model"]
    assert "not signed" in again.warnings[0]
    own = object_of(ws, "model")
    record.write_text(record.read_text().replace(own, foreign))
    with pytest.raises(CorruptError, match="not signed by this project's key"):
        load_output(ws, result, "model")
    assert record.with_suffix(".refused").is_file()


def test_full_disk_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ws = open_project(tmp_path)

    def full(descriptor: int) -> None:
        del descriptor
        raise OSError(28, "No space left on device")

    run(ws, RunRequest(only_step="raw"))
    # A full disk cannot be had in a test without root; fsync is where it shows.
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnavailableError, match="disk is full"):
        run(ws)
    monkeypatch.undo()

    assert run(ws)[1].cached == ["raw"]


def test_two_projects_in_one_process_do_not_see_each_other(tmp_path: Path) -> None:
    code = "from part import VALUE\ndef training():\n    return VALUE\n"
    code += "def holdout():\n    return 1\ndef model(training):\n    return training\n"
    before = set(sys.modules), list(sys.path)
    for name in ("a", "b"):
        write(tmp_path / name / "part.py", f"VALUE = {name!r}\n")
        ws = open_project(tmp_path / name, code)
        result, _ = run(ws)
        assert load_output(ws, result, "model") == name

    assert "part" not in sys.modules
    assert {each for each in set(sys.modules) - before[0] if each.startswith(("part", "_petla"))} == set()
    assert sys.path == before[1]


def test_code_saved_within_a_second_is_seen(tmp_path: Path) -> None:
    code = "import part\ndef training():\n    return part.value()\ndef holdout():\n    return 1\n"
    ws = open_project(tmp_path, code + "def model(training):\n    return training\n")
    for value in (1, 2, 3):
        write(tmp_path / "part.py", f"def value():\n    return {value}\n")
        os.utime(tmp_path / "part.py", (1, 1))

        assert load_output(ws, run(ws)[0], "model") == value


def test_package_pipeline_with_relative_import_runs(tmp_path: Path) -> None:
    project = PROJECT.replace('target = "late"', 'target = "late"\npipeline = "src/flights/pipeline.py"')
    ws = open_project(tmp_path, project=project)
    write(tmp_path / "src" / "flights" / "__init__.py", "")
    write(tmp_path / "src" / "flights" / "part.py", "def value():\n    return 5\n")
    code = "from .part import value\n" + FITTED.replace("return [4]", "return [value()]")
    write(tmp_path / "src" / "flights" / "pipeline.py", code)

    assert run(ws)[0].metrics == {"error": 3.0}


def object_of(ws: Workspace, step: str) -> str:
    planned = next(each for each in make_plan(ws, "delay", RunRequest()).steps if each.name == step)
    assert planned.record is not None
    return planned.record.output


def test_every_error_says_what_to_do_next(tmp_path: Path) -> None:
    for code in (PIPELINE.replace("(raw)", "(rwa)"), PIPELINE.replace("return raw.head(3)", "raise ValueError")):
        with pytest.raises(PetlaError) as caught:
            run(open_project(tmp_path, code))
        assert caught.value.hint
