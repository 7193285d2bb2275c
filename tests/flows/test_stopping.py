"""How `petla up` stops, what it leaves behind, and what it does not run; through the command alone."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.product import PROGRAM, Product, petla
from tests.flows.test_newcomer import PENGUIN

pytestmark = pytest.mark.slow

# names of the standard library that a project may use for itself
_UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
HIDING = ("signal", "queue", "select", "token", "argparse", "socket", "random", "types", "calendar", "code")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a starter project whose version 1 is live."""
    folder = tmp_path_factory.mktemp("stopping") / "penguins"
    assert petla(folder.parent, "init", "penguins").returncode == 0
    assert petla(folder, "data", "add", "data/penguins.csv").returncode == 0
    assert petla(folder, "run").returncode == 0
    assert petla(folder, "deploy", "species:1").returncode == 0
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(template, tmp_path / "penguins")


def list_workers(pid: int) -> list[int]:
    return [each for each in _children(pid) if b"petla.serving.worker" in Path(f"/proc/{each}/cmdline").read_bytes()]


def test_modules_of_the_folder_that_hide_standard_ones_are_not_run(project: Path) -> None:
    for name in HIDING:
        (project / f"{name}.py").write_text(f"open('{name}-ran', 'w')\nraise SystemError('{name} was run')\n")

    script = Path(sys.executable).with_name("petla")
    with Product(project, program=[str(script)]) as running:
        answer = running.post("/predict/species", PENGUIN)
        running.signal(signal.SIGTERM)
        assert running.wait() == 0

    assert answer["species"]
    assert not list(project.glob("*-ran"))


def test_pipeline_imports_its_own_modules(project: Path) -> None:
    (project / "signal.py").write_text("raise SystemError('it was run')\n")
    (project / "features.py").write_text("ROUNDS = 500\n")
    pipeline = project / "pipeline.py"
    pipeline.write_text("from features import ROUNDS\n" + pipeline.read_text().replace("\nimport ", "\nimport ", 1))

    assert "SystemError" not in (done := petla(project, "run")).stdout + done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signal_that_asks_to_stop_is_a_clean_end(project: Path, number: signal.Signals) -> None:
    with Product(project) as running:
        answered = running.post("/predict/species", PENGUIN)
        workers = list_workers(running.pid)
        control = running.find_control()
        # as a terminal that closes does it, which tells all at once
        for pid in workers:
            os.kill(pid, number)
        running.signal(number)
        assert running.wait() == 0

    assert not [pid for pid in (control, *workers) if Path(f"/proc/{pid}").exists()]
    assert answered["id"] in petla(project, "decisions", "list", "--json").stdout


def test_process_1_reaps_what_its_dead_children_left(project: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run([*_UNSHARE, "true"], check=False).returncode != 0:
        pytest.skip("no right to make a process 1")
    with Product(project, program=(*_UNSHARE, *PROGRAM)) as running:
        (first,) = _children(running.pid)
        (up,) = _children(first)
        (worker,) = list_workers(up)
        # it leaves a process behind that ends, as a worker leaves those of its models
        subprocess.run(["nsenter", "-t", str(first), "-p", "sh", "-c", "sleep 0.1 &"], check=True)
        os.kill(worker, signal.SIGKILL)
        running.wait_for(lambda: (list_workers(up) and list_workers(up) != [worker]) or None)
        running.wait_for(lambda: _children(first) == [up] or None)
        running.post("/predict/species", PENGUIN)
        os.kill(first, signal.SIGTERM)
        assert running.wait() == 0


def _children(pid: int) -> list[int]:
    """Return the processes that any thread of one has started."""
    listed = (path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    return [int(each) for pids in listed for each in pids]
