"""The data room as a person at a keyboard has it: every command in a process of its own."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.flows.product import petla

pytestmark = pytest.mark.slow

FACES = ("ann.bin", "bob.bin", "deep/eve.bin")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "my project"
    assert petla(tmp_path, "init", "my project").returncode == 0
    (folder / "faces" / "deep").mkdir(parents=True)
    for number, name in enumerate(FACES):
        (folder / "faces" / name).write_bytes(random.Random(number).randbytes(300_000))
    return folder


def answer(folder: Path, *words: str, status: int = 0) -> Any:  # noqa: ANN401 - JSON
    """Run a command with --json; return what it said."""
    done = petla(folder, *words, "--json")
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout)


def say(folder: Path, *words: str, status: int = 0) -> str:
    done = petla(folder, *words)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def git(folder: Path, *words: str) -> None:
    name = ("-c", "user.name=ann", "-c", "user.email=ann@example.org")
    subprocess.run(["git", *name, *words], cwd=folder, check=True, capture_output=True)


def commit(folder: Path, name: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", name)
    git(folder, "tag", name)


def test_a_year_with_data(project: Path, tmp_path: Path) -> None:
    """Add, push, change, clone, pull, go back, check, collect, verify, forget, restore."""
    say(project, "data", "add", "faces")
    say(project, "data", "remote", "add", "origin", str(tmp_path / "remote"))
    say(project, "git", "install-hooks")
    commit(project, "2025")
    (project / "faces" / "bob.bin").write_bytes(random.Random(9).randbytes(300_000))
    assert answer(project, "data", "add", "faces")["version"]["version"] == 2
    commit(project, "2026")
    pushed = answer(project, "data", "push", "--all")
    assert [each["version"] for each in pushed["versions"]] == [1, 2]

    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(project), str(clone))
    assert "faces is now version 2" in say(clone, "data", "pull")
    assert (clone / "faces" / "bob.bin").read_bytes() == random.Random(9).randbytes(300_000)
    say(clone, "data", "pull", "faces", "--rev", "2025", "--path", "bob.bin")
    assert (clone / "faces" / "bob.bin").read_bytes() == random.Random(1).randbytes(300_000)

    git(project, "checkout", "-q", "2025")
    assert (project / "faces" / "bob.bin").read_bytes() == random.Random(1).randbytes(300_000)
    git(project, "checkout", "-q", "2026")

    assert "stays" not in say(project, "data", "gc", "--keep-days", "0")
    assert answer(project, "data", "verify")["damaged"] == []
    assert answer(project, "data", "verify", "--remote", "origin")["damaged"] == []

    refused = petla(project, "data", "forget", "faces/ann.bin", "--reason", "asked")
    assert refused.returncode == 1
    assert (project / "faces" / "ann.bin").exists()
    forgotten = answer(project, "data", "forget", "faces/ann.bin", "--reason", "asked", "--yes")
    assert forgotten["remotes"] == ["origin"]
    assert not (project / "faces" / "ann.bin").exists()
    assert "ann.bin was forgotten on" in say(project, "data", "checkout", "faces", "--version", "1")
    say(clone, "data", "push")
    assert not (clone / "faces" / "ann.bin").exists()
    assert "data.forgotten" in say(project, "audit", "list")
    assert "whole" in say(project, "audit", "verify")


def test_what_is_damaged_is_named_and_healed(project: Path, tmp_path: Path) -> None:
    say(project, "data", "add", "faces")
    say(project, "data", "remote", "add", "origin", str(tmp_path / "remote"))
    say(project, "data", "push")
    (pack,) = (project / ".petla" / "objects" / "packs").glob("*.pack")
    content = bytearray(pack.read_bytes())
    content[len(content) // 2] ^= 1
    pack.write_bytes(content)
    shutil.rmtree(project / "faces")

    said = say(project, "data", "verify", status=1)
    assert "is damaged" in said
    assert "faces version 1: " in said
    assert "petla data verify --heal" in said
    assert "is healed" in say(project, "data", "verify", "--heal")
    say(project, "data", "checkout", "faces")
    assert (project / "faces" / "bob.bin").read_bytes() == random.Random(1).randbytes(300_000)


@pytest.mark.parametrize("words", [("data", "add", "big.bin"), ("data", "push"), ("data", "checkout", "big")])
def test_ctrl_c_is_answered_at_once_and_loses_nothing(project: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    big = project / "big.bin"
    noise = random.Random(4).randbytes(1 << 20)
    big.write_bytes(b"".join(number.to_bytes(4, "big") + noise for number in range(300)))
    size = big.stat().st_size
    if words[1] != "add":
        say(project, "data", "add", "big.bin")
        say(project, "data", "remote", "add", "origin", str(tmp_path / "remote"))
    if words[1] == "checkout":
        big.unlink()
    process = subprocess.Popen(
        [sys.executable, "-m", "petla", *words],
        cwd=project,
        env=os.environ | {"PETLA_ACTOR": "ann"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    begun = {"add": ".petla/objects/packs/*", "push": "../remote/packs/*", "checkout": ".tmp-*/made"}[words[1]]
    while process.poll() is None and not list(project.glob(begun)):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.005)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=10)

    assert process.returncode in (0, 130), said
    assert "Traceback" not in said
    if process.returncode == 130:
        assert "next:" in said
    assert not [path for path in project.iterdir() if path.name.startswith(".tmp-")]
    say(project, *words)
    assert big.stat().st_size == size
    assert answer(project, "data", "verify")["damaged"] == []


WRONG = [
    (("data", "add", "nowhere"), "there is no nowhere"),
    (("data", "checkout", "face"), "did you mean 'faces'"),
    (("data", "checkout", "faces", "--version", "7"), "has no version 7"),
    (("data", "push"), "the project has no remote"),
    (("data", "forget", "faces/nobody.bin", "--reason", "x", "--yes"), "no version has"),
    (("data", "forget", "faces/ann.bin", "--reason", " ", "--yes"), "say why"),
    (("data", "restore", "--at", "yesterday"), "is no moment"),
    (("data", "import", "ftp://example.org/x"), "is no URL of a file"),
    (("data", "gc", "--remote", "origin"), "no remote"),
    (("restore", "--at", "2001-01-01"), "nothing is known of"),
    (("git", "hook", "post-nothing"), "is no hook"),
]


def test_wrong_use_names_what_is_wrong_and_what_to_do(project: Path) -> None:
    say(project, "data", "add", "faces")

    for words, problem in WRONG:
        said = say(project, *words, status=2)
        assert problem in said
        assert "next:" in said
        assert "Traceback" not in said
