"""Temporary folders go with their owner, however that one ends, and no sooner."""

import os
import subprocess
from pathlib import Path

import pytest

from petla.data.checkouts import checkout
from petla.data.content.taking import working_on_data
from petla.data.history.contents import located
from petla.data.upkeep.forgetting import find_items, forget
from petla.data.versions import add, get_version
from petla.storage.temporary import sweep_temporary, temporary_folder
from petla.storage.workspace import Workspace
from tests.contracts.processes import run_python
from tests.data.projects import make_project

SECRET = b"a person's picture " * 50_000
DIE = """
import os, pathlib, signal, sys
from petla.core.settings import Settings
from petla.storage import temporary
from petla.storage.workspace import open_workspace
ws = open_workspace(pathlib.Path(sys.argv[1]), Settings(actor="ada"))
what = sys.argv[2]
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
if what == "other mount":
    temporary._can_rename = lambda *_: False
    what = "checkout"
if what == "checkout":
    from petla.data.checkouts import checkout
    from petla.data.content import placing
    placing._take_place = die
    checkout(ws, "faces")
elif what == "part":
    from petla.data.checkouts import checkout
    os.replace = die
    checkout(ws, "faces", path="ann.txt")
elif what == "read":
    from petla.data.history.contents import located
    from petla.data.versions import get_version
    with located(ws, get_version(ws, "faces")):
        die()
elif what == "run":
    from petla.data.versions import get_version
    from petla.pipeline.execution.inputs import opened
    with opened(ws, {"faces": get_version(ws, "faces").digest}, set()) as datasets:
        datasets._find_path("faces")
        die()
else:
    from petla.data.transfer import imports
    imports._put = die
    imports.import_url(ws, what)
"""


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    ws = make_project(tmp_path / "project", '[project]\nname = "p"\n\n[data.faces]\npath = "data/faces"\n')
    (ws.root / "data" / "faces").mkdir(parents=True)
    (ws.root / "data" / "faces" / "ann.txt").write_bytes(SECRET)
    (ws.root / "data" / "faces" / "bob.txt").write_bytes(b"bob")
    add(ws, ws.root / "data" / "faces")
    for path in (ws.root / "data" / "faces").iterdir():
        path.unlink()
    (ws.root / "data" / "faces").rmdir()
    return ws


def copies(ws: Workspace) -> list[Path]:
    return [path for path in ws.root.rglob("*") if path.is_file() and path.read_bytes() == SECRET]


@pytest.mark.parametrize("what", ["checkout", "other mount", "part", "read", "run", "import"])
def test_copies_of_a_killed_command_go_with_the_next_one(ws: Workspace, tmp_path: Path, what: str) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=ws.root, check=True)
    if what == "import":
        (tmp_path / "there").mkdir()
        (tmp_path / "there" / "x.csv").write_bytes(SECRET)
        what = f"file://{tmp_path}/there/x.csv"
    run_python(DIE, ws.root, what, status=-9)
    assert copies(ws)
    listed = subprocess.check_output(["git", "status", "-uall", "--porcelain"], cwd=ws.root, text=True)
    assert ".tmp-" not in listed

    with working_on_data(ws, "test"):
        pass

    assert copies(ws) == []
    assert not list(ws.root.rglob(".tmp-*"))


def test_forgetting_reaches_the_copies_of_a_killed_command(ws: Workspace) -> None:
    run_python(DIE, ws.root, "other mount", status=-9)

    forget(ws, find_items(ws, "data/faces/ann.txt"), reason="she asked")

    assert copies(ws) == []


def test_a_folder_in_use_stays(ws: Workspace) -> None:
    with located(ws, get_version(ws, "faces")) as folder:
        checkout(ws, "faces")

        assert (folder / "ann.txt").read_bytes() == SECRET
    assert copies(ws) == [ws.root / "data" / "faces" / "ann.txt"]


def test_the_leftovers_of_a_former_release_go_after_a_day_and_nothing_else(tmp_path: Path) -> None:
    for name in ("aaaa_bc1/made", "00000000/made", "mynotes0/text", "recent_0/made"):
        (tmp_path / f".tmp-{name}").mkdir(parents=True)
    (tmp_path / ".tmp-0123456789abcdef").write_text("half")
    (tmp_path / "kept").mkdir()
    (tmp_path / ".tmp-petla-link").symlink_to(tmp_path / "kept")
    for path in tmp_path.glob(".tmp-*"):
        if path.name not in (".tmp-recent_0", ".tmp-petla-link"):
            os.utime(path, (1, 1))

    sweep_temporary([tmp_path, tmp_path / "absent"])

    assert {path.name for path in tmp_path.iterdir()} == {".tmp-mynotes0", ".tmp-recent_0", ".tmp-petla-link", "kept"}


def test_a_folder_from_which_files_can_be_renamed_lies_in_the_state_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()

    with temporary_folder(tmp_path / "home", near=tmp_path / "data") as folder:
        assert folder.parent == tmp_path / "home"
    (tmp_path / "data").chmod(0o2775)
    with temporary_folder(tmp_path / "home", near=tmp_path / "data") as folder:
        # what is made there belongs to the group of the folder
        assert folder.parent == tmp_path / "data"
    assert not list(tmp_path.rglob(".tmp-*"))
