"""What nobody plans: kill -9 at any moment, a full disk, a damaged object, two at once; through the command alone."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from petla.data.content.manifest import read_manifest
from petla.storage.files import lock
from petla.storage.objects import ObjectStore
from tests.contracts.damage import flip
from tests.flows.product import Product, petla, started
from tests.flows.test_newcomer import PENGUIN

pytestmark = pytest.mark.slow

_N_ANSWERS = 300
_PATIENCE_S = 30.0
# says that it is under way, and ends when it is told to
_SLOW_STEP = """
    import pathlib, time
    pathlib.Path("under-way").touch()
    while not pathlib.Path("go-on").exists():
        time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a starter project: version 1 is live, version 2 passed its gates."""
    folder = tmp_path_factory.mktemp("faults") / "penguins"
    assert petla(folder.parent, "init", "penguins").returncode == 0
    assert petla(folder, "data", "add", "data/penguins.csv").returncode == 0
    assert petla(folder, "run").returncode == 0
    assert petla(folder, "deploy", "species:1").returncode == 0
    assert petla(folder, "run", "--set", "strength=0.5").returncode == 0
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    """Return a copy of the starter project."""
    return shutil.copytree(template, tmp_path / "penguins")


@pytest.fixture
def slow_project(project: Path) -> Path:
    """Return a project whose last step waits for a word."""
    code = (project / "pipeline.py").read_text()
    last = '    """Measure the share of penguins that are recognised."""\n'
    assert last in code
    (project / "pipeline.py").write_text(code.replace(last, last + _SLOW_STEP))
    return project


@pytest.fixture
def small_disk(project: Path) -> Iterator[Path]:
    """Return the state folder of a project, on a disk of 24 MiB."""
    state = project / ".petla"
    saved = state.rename(project.parent / "state")
    state.mkdir()
    if shutil.which("mount") is None or _do("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(state)) != 0:
        pytest.skip("nobody but root may mount a small disk")
    shutil.copytree(saved, state, dirs_exist_ok=True)
    yield state
    _do("umount", "--lazy", str(state))


def test_every_answer_is_logged_once_after_kill_9_under_load(project: Path) -> None:
    answered: list[str] = []
    with Product(project) as running:
        clients = [threading.Thread(target=_ask_until_it_dies, args=(running, answered)) for _ in range(4)]
        for client in clients:
            client.start()
        running.wait_for(lambda: len(answered) >= _N_ANSWERS or None)
        running.signal(signal.SIGKILL)
        for client in clients:
            client.join()
    with Product(project) as again:
        answered.append(again.post("/predict/species", PENGUIN)["id"])

    logged = Counter(each["id"] for each in json.loads(_ok(project, "decisions", "list", "--limit", "10000", "--json")))

    assert {logged[each] for each in answered} == {1}
    assert set(logged.values()) == {1}
    _ok(project, "audit", "verify")


def test_what_was_answered_just_before_the_end_is_logged(project: Path) -> None:
    shipping = project / ".petla" / "spool" / "shipping.lock"
    with Product(project) as running:
        # held, so that nothing is shipped before the end begins
        with lock(shipping, purpose="a test", wait_s=10):
            answered = running.post("/predict/species", PENGUIN)["id"]
            running.signal(signal.SIGTERM)
            running.wait_for(lambda: _is_silent(running.pages) or None)
        assert running.wait() == 0

    assert _is_shown(project, answered)


def test_workers_outlive_the_control_plane_and_hear_of_it_again(project: Path) -> None:
    with Product(project) as running:
        for _ in range(2):
            killed = running.wait_for(running.find_control)
            os.kill(killed, signal.SIGKILL)
            answered = running.post("/predict/species", PENGUIN)
            running.wait_for(lambda: running.find_control() not in (None, killed) or None)  # noqa: B023
            running.wait_for(lambda: _is_shown(project, answered["id"]) or None)  # noqa: B023
        _ok(project, "deploy", "species:2")
        assert running.post("/predict/species", PENGUIN)["version"] == 2
        link = json.loads(_ok(project, "link", "--json"))["link"]
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(link, timeout=10) as page:
            assert page.status == 200
        running.signal(signal.SIGTERM)
        assert running.wait() == 0


def test_edited_project_file_is_read_again_while_the_workers_go_on(project: Path) -> None:
    file = project / "petla.toml"
    text = file.read_text()
    better = text.replace("window_rows = 500", "window_rows = 437")
    with Product(project) as running:
        before = running.wait_for(running.find_control)
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        opener.open(json.loads(_ok(project, "link", "--json"))["link"], timeout=10).close()

        file.write_text(f"{text}\n[models.species")
        running.wait_for(lambda: "cannot be used, what was read before counts on" in running.said or None)
        file.write_text(f"{better}\n[serving]\nworkers = 3\n")
        running.wait_for(lambda: "[serving] of petla.toml was changed: the file counts once" in running.said or None)
        assert running.find_control() == before
        file.write_text(better)
        after = running.wait_for(lambda: running.find_control() if running.find_control() != before else None)

        assert running.post("/predict/species", PENGUIN)["species"] == "Gentoo"
        with opener.open(f"{running.pages.partition('/?')[0]}/models/species", timeout=30) as page:
            assert "after 437 decisions" in page.read().decode()
        assert "process.died" not in running.said
        assert running.find_control() == after


def test_control_plane_that_is_killed_while_it_starts_is_started_again(project: Path) -> None:
    with Product(project, is_awaited=False) as running:
        killed = running.wait_for(running.find_control)
        os.kill(killed, signal.SIGKILL)
        running.wait_until_ready()
        assert running.find_control() != killed
        assert running.post("/predict/species", PENGUIN)["species"] == "Gentoo"


def test_killed_up_leaves_nobody_behind_and_starts_again_on_the_same_ports(project: Path) -> None:
    with Product(project) as running:
        ports = [urlsplit(address).port or 0 for address in (running.serving, running.pages)]
        control = running.wait_for(running.find_control)
        running.signal(signal.SIGKILL)
        running.wait()
    with Product(project, serving_port=ports[0], control_port=ports[1]) as again:
        assert again.post("/predict/species", PENGUIN)["species"] == "Gentoo"
        again.wait_for(lambda: not Path(f"/proc/{control}").exists() or None)


def test_fault_of_the_control_plane_at_the_start_ends_up_with_its_words(project: Path) -> None:
    (project / ".petla" / "petla.db").write_bytes(b"something else entirely" * 100)

    done = petla(project, "up", PETLA_SERVING_PORT="0", PETLA_CONTROL_PORT="0")

    assert done.returncode == 3
    assert "not a database" in done.stderr
    assert "next: " in done.stderr


def test_run_killed_in_a_slow_step_goes_on_without_the_finished_ones(slow_project: Path) -> None:
    with started(slow_project, "run", "--set", "strength=0.25") as first:
        _wait_for(slow_project / "under-way")
        first.send_signal(signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
    (slow_project / "go-on").touch()

    second = json.loads(_ok(slow_project, "run", "--set", "strength=0.25", "--json"))

    assert [step["name"] for step in second["run"]["steps"] if not step["is_cached"]] == ["evaluate"]
    states = [run["state"] for run in json.loads(_ok(slow_project, "runs", "list", "--json"))]
    assert states[:2] == ["done", "interrupted"]


def test_second_run_at_once_says_who_is_at_work(slow_project: Path) -> None:
    with started(slow_project, "run") as first:
        _wait_for(slow_project / "under-way")

        second = petla(slow_project, "run", PETLA_WAIT_S="0.1")

        (slow_project / "go-on").touch()
        assert first.wait(_PATIENCE_S) == 0
    assert second.returncode == 1
    assert f"petla run species (pid {first.pid}) is still at work\nnext: " in second.stderr


def test_full_disk_is_refused_and_changes_nothing(project: Path, small_disk: Path) -> None:
    data, pointer = project / "data" / "penguins.csv", project / "data" / "penguins.csv.dvc"
    data.write_text(data.read_text().replace("42.4", "42.5"))
    before = pointer.read_bytes()
    commands = [("data", "add", "data/penguins.csv"), ("deploy", "species:2")]
    _fill(small_disk / "ballast")

    refused = [petla(project, *words) for words in commands]

    assert [done.returncode for done in refused] == [3, 3]
    assert all("disk" in done.stderr and "\nnext: " in done.stderr for done in refused)
    assert pointer.read_bytes() == before
    assert not list(small_disk.rglob(".tmp-*"))
    (small_disk / "ballast").unlink()
    assert _list_live(project) == [1]
    for words in (*commands, ("audit", "verify")):
        _ok(project, *words)


def test_damaged_data_is_named_and_nothing_is_overwritten(project: Path) -> None:
    store = ObjectStore(project / ".petla" / "objects")
    version = json.loads(_ok(project, "data", "log", "--json"))[0]["digest"]
    damaged = read_manifest(store, version).files[0].object
    data = project / "data" / "penguins.csv"
    content = data.read_bytes()
    flip(store, damaged)

    data.unlink()
    out = petla(project, "data", "checkout", "penguins")

    assert (out.returncode, data.exists()) == (3, False)
    assert f"object {damaged} in " in out.stderr
    data.write_bytes(content)
    flip(store, damaged)
    _ok(project, "data", "add", "data/penguins.csv")


def test_damaged_package_does_not_go_live(project: Path) -> None:
    package = json.loads(_ok(project, "models", "show", "species:2", "--json"))["package"]
    flip(ObjectStore(project / ".petla" / "objects"), package)

    refused = petla(project, "deploy", "species:2")

    assert refused.returncode == 3
    assert f"object {package} in " in refused.stderr
    assert _list_live(project) == [1]


def _ask_until_it_dies(product: Product, answered: list[str]) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):
        while True:
            answered.append(product.post("/predict/species", PENGUIN)["id"])


def _ok(project: Path, *words: str) -> str:
    done = petla(project, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _is_silent(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=0.5):
            return False
    except urllib.error.HTTPError:
        return False
    except OSError:
        return True


def _is_shown(project: Path, decision: str) -> bool:
    return petla(project, "decisions", "show", decision).returncode == 0


def _list_live(project: Path) -> list[int]:
    return [each["live"] for each in json.loads(_ok(project, "deployments", "--json"))]


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} never came"
        time.sleep(0.02)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 16))


def _do(*command: str) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode
