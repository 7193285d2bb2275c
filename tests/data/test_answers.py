"""The last answer of a status is given again only while nothing has changed."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from petla.data.answers import find_answer
from petla.data.statuses import keep_printed, list_statuses
from petla.data.versions import add
from petla.storage.workspace import Workspace
from tests.data.projects import make_project, write_rows

WORDS = ["data", "status"]


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    ws = make_project(tmp_path)
    files = ws.root / "data" / "files"
    for folder in ("a", "b/c"):
        (files / folder).mkdir(parents=True)
        (files / folder / "1.bin").write_bytes(b"1")
    (files / "empty").mkdir()
    add(ws, files, name="files")
    add(ws, write_rows(ws))
    answer_when_settled(ws)
    return ws


def answer(ws: Workspace) -> None:
    begun_ns = time.time_ns()
    texts = {"": "all is well\n", "--json": "[]\n"}
    keep_printed(ws, list_statuses(ws), texts, begun_ns=begun_ns)


def answer_when_settled(ws: Workspace) -> None:
    """A file that may have been written while it was read is not trusted at first."""
    while find(ws) != "all is well\n":
        time.sleep(0.01)
        answer(ws)


def find(ws: Workspace, *words: str) -> str | None:
    return find_answer([*WORDS, *words], str(ws.root), {})


def test_answer_is_that_of_the_same_command_anywhere_in_the_project(ws: Workspace) -> None:
    assert find(ws, "--json") == "[]\n"
    assert find(ws, "--debug") is None
    assert find_answer(WORDS, str(ws.root / "data" / "files" / "b"), {"HOME": "/"}) == "all is well\n"
    assert find_answer(WORDS, str(ws.root), {"PETLA_ACTOR": "ada"}) is None
    assert find_answer(["data", "log"], str(ws.root), {}) is None
    assert find_answer(WORDS, str(ws.root.parent), {}) is None


def rewrite(path: Path) -> None:
    """Other bytes of the same size, with the same time as before."""
    status = path.stat()
    other = path.with_name("other")
    other.write_bytes(b"2" * status.st_size)
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "data/files/b/c/1.bin").write_bytes(b"2"),
        lambda root: rewrite(root / "data/files/a/1.bin"),
        lambda root: (root / "data/files/b/new").write_bytes(b""),
        lambda root: (root / "data/files/b/new").mkdir(),
        lambda root: (root / "data/files/a/1.bin").unlink(),
        lambda root: (root / "data/files/empty").rmdir(),
        lambda root: (root / "data/files/a/1.bin").chmod(0o755),
        lambda root: shutil.rmtree(root / "data/files"),
        lambda root: rewrite(root / "data/rows.csv"),
        lambda root: (root / "data/rows.csv.dvc").unlink(),
        lambda root: rewrite(root / "data/files.dvc"),
        lambda root: rewrite(root / "petla.toml"),
        lambda root: (root / ".petla/cache/data/status.answer").write_bytes(b"\0\0\0\0torn"),
    ],
)
def test_any_change_is_looked_at(ws: Workspace, change: Callable[[Path], object]) -> None:
    change(ws.root)

    assert find(ws) is None


def test_file_changed_just_before_is_not_trusted(ws: Workspace) -> None:
    (ws.root / "data" / "rows.csv").write_bytes(b"hour\n2\n")
    answer(ws)

    assert find(ws) is None
    answer_when_settled(ws)


def test_two_processes_look_at_many_files(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("petla.data.answers._MANY", 1)

    assert find(ws) == "all is well\n"
    (ws.root / "data/files/b/c/1.bin").write_bytes(b"2")
    assert find(ws) is None
