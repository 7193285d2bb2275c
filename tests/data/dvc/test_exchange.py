"""What the real dvc pushed we pull, and what we push the real dvc pulls."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from petla.bootstrap import open_here
from petla.core.errors import CorruptError, NotFoundError
from petla.core.project import RemoteTable
from petla.data.checkouts import get_pointed
from petla.data.dvc.identity import former_key_of, key_of, unix_md5_of
from petla.data.pointers import find_pointer
from petla.data.statuses import list_statuses
from petla.data.transfer.pulling import pull
from petla.data.transfer.pushing import push
from petla.data.transfer.remotes import add_remote, list_remotes
from petla.data.versions import add
from petla.storage.workspace import Workspace
from tests.data.dvc.programs import Dvc
from tests.data.projects import make_project

TEXT = b"hour,carrier\r\n1,AA\r\n2,UA\r\n"
# the names of DVC 2 are the same where nothing has to be turned
CONTENTS = {
    "plain.bin": bytes(range(256)) * 9,
    "dos text.csv": TEXT,
    "Łódź/deep/ż ó.txt": "zażółć\n".encode(),
    "empty": b"",
    "large.bin": os.urandom(3 << 20),
    "UPPER": b"1",
    "upper": b"2",
}


def write_all(folder: Path) -> Path:
    for name, content in CONTENTS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def read_all(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=ada", "-c", "user.email=ada@localhost"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[Workspace]:
    with contextlib.chdir(folder):
        yield open_here()


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A project of DVC alone, pushed, and cloned without its cache."""
    root = tmp_path / "theirs"
    root.mkdir()
    git(root, "init", "--quiet")
    dvc = Dvc(root, tmp_path / "home")
    write_all(root / "data" / "photos")
    (root / "data" / "rows.csv").write_bytes(TEXT)
    dvc("add", "data/photos", "data/rows.csv")
    dvc("remote", "add", "--default", "storage", str(tmp_path / "remote"))
    (root / "make.py").write_text("from pathlib import Path\nPath('made.txt').write_text('made')\n")
    dvc("stage", "add", "--name", "make", "--outs", "made.txt", "--deps", "make.py", "python3 make.py")
    dvc("repro")
    dvc("push")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "first")
    git(tmp_path, "clone", "--quiet", str(root), "clone")
    return tmp_path / "clone"


@pytest.mark.slow
def test_we_pull_what_dvc_pushed_in_a_project_without_our_file(theirs: Path, tmp_path: Path) -> None:
    with inside(theirs) as ws:
        report = pull(ws, list(ws.project.data))
        standing = {status.dataset: status.state for status in list_statuses(ws)}

    assert sorted(ws.project.data) == ["made", "photos", "rows"]
    assert report.remote == "storage"
    assert read_all(theirs / "data" / "photos") == CONTENTS
    assert (theirs / "data" / "rows.csv").read_bytes() == TEXT
    assert (theirs / "made.txt").read_text() == "made"
    assert standing == {"made": "clean", "photos": "clean", "rows": "clean"}
    git(theirs, "diff", "--exit-code")
    dvc = Dvc(theirs, tmp_path / "home2", is_new=False)
    dvc("commit", "--force")
    assert "up to date" in dvc("status")
    git(theirs, "diff", "--exit-code")


@pytest.mark.slow
def test_we_take_from_the_cache_that_dvc_has_here(theirs: Path, tmp_path: Path) -> None:
    Dvc(theirs, tmp_path / "home2", is_new=False)("fetch")
    shutil.rmtree(tmp_path / "remote")

    with inside(theirs) as ws:
        report = pull(ws, ["photos"])

    assert report.remote == "DVC's cache"
    assert read_all(theirs / "data" / "photos") == CONTENTS


@pytest.mark.slow
def test_former_commit_of_a_dvc_project_brings_its_data(theirs: Path, tmp_path: Path) -> None:
    dvc = Dvc(theirs, tmp_path / "home2", is_new=False)
    with inside(theirs) as ws:
        pull(ws, ["rows"])
    (theirs / "data" / "rows.csv").write_bytes(b"hour\n7\n")
    dvc("add", "data/rows.csv")
    dvc("push")
    git(theirs, "commit", "--all", "--quiet", "--message", "second")

    with inside(theirs) as ws:
        pull(ws, ["rows"], rev="HEAD~1")
        assert (theirs / "data" / "rows.csv").read_bytes() == TEXT
        git(theirs, "checkout", "--quiet", "HEAD", "--", "data")
        pull(ws, ["rows"])

    assert (theirs / "data" / "rows.csv").read_bytes() == b"hour\n7\n"


@pytest.mark.slow
def test_dvc_pulls_what_we_pushed(tmp_path: Path) -> None:
    ws = make_project(tmp_path / "ours", '[project]\nname = "ours"\n')
    git(ws.root, "init", "--quiet")
    add(ws, write_all(ws.root / "data" / "photos"))
    (ws.root / "rows.csv").write_bytes(TEXT)
    add(ws, ws.root / "rows.csv")
    add_remote(ws, "storage", RemoteTable(url=str(tmp_path / "remote"), layout="dvc"), is_default=False)
    report = push(ws, ["photos", "rows"])
    git(ws.root, "add", "--all")
    git(ws.root, "commit", "--quiet", "--message", "first")
    git(tmp_path, "clone", "--quiet", str(ws.root), "clone")

    Dvc(tmp_path / "clone", tmp_path / "home", is_new=False)("pull")

    # the rows are a file of the folder as well
    assert report.bytes == sum(map(len, CONTENTS.values()))
    assert read_all(tmp_path / "clone" / "data" / "photos") == CONTENTS
    assert (tmp_path / "clone" / "rows.csv").read_bytes() == TEXT
    assert push(ws, ["photos", "rows"]).bytes == 0


def test_our_clone_keeps_modes_and_empty_folders_of_a_dvc_remote(tmp_path: Path) -> None:
    ws = make_project(tmp_path / "ours", '[project]\nname = "ours"\n')
    git(ws.root, "init", "--quiet")
    photos = write_all(ws.root / "photos")
    (photos / "nothing").mkdir()
    (photos / "UPPER").chmod(0o755)
    version = add(ws, photos).version
    add_remote(ws, "storage", RemoteTable(url=str(tmp_path / "remote"), layout="dvc"), is_default=False)
    push(ws, ["photos"])
    git(ws.root, "add", "--all")
    git(ws.root, "commit", "--quiet", "--message", "first")
    git(tmp_path, "clone", "--quiet", str(ws.root), "clone")

    with inside(tmp_path / "clone") as clone:
        pull(clone, ["photos"], path="Łódź")
        assert read_all(clone.root / "photos").keys() == {"Łódź/deep/ż ó.txt"}
        shutil.rmtree(clone.root / "photos")
        pull(clone, ["photos"])
        assert get_pointed(clone, "photos").digest == version.digest

    assert (tmp_path / "clone" / "photos" / "nothing").is_dir()
    assert (tmp_path / "clone" / "photos" / "UPPER").stat().st_mode & 0o777 == 0o755


def former_project(root: Path, remote: Path) -> None:
    """A project as DVC 2 left it, whose names are of Unix's line ends, beside each other in one remote."""
    make = root / "made"
    write_all(make)
    names = sorted(read_all(make))
    listing = [f'{{"md5": "{unix_md5_of(make / name, [""])}", "relpath": "{name}"}}' for name in names]
    text = f"[{', '.join(listing)}]".encode()
    folder_md5 = unix_md5_of(make, names)
    for name in names:
        place = remote / former_key_of(unix_md5_of(make / name, [""]))
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(make / name, place)
    import json

    place = remote / former_key_of(folder_md5)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(json.loads(text)))
    shutil.rmtree(make)
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text(f"[core]\n    remote = old\n['remote \"old\"']\n    url = {remote}\n")
    (root / "photos.dvc").write_text(f"outs:\n- md5: {folder_md5}\n  size: 1\n  nfiles: 7\n  path: photos\n")
    md5 = unix_md5_of(remote / former_key_of(next(iter(_md5s(text)))), [""])
    (root / "one.dvc").write_text(f"outs:\n- md5: {md5}\n  size: 26\n  path: one\n")


def _md5s(text: bytes) -> list[str]:
    import json

    return [line["md5"] for line in json.loads(text) if line["relpath"] == "dos text.csv"]


def test_we_pull_what_dvc_2_pushed(tmp_path: Path) -> None:
    root = tmp_path / "old"
    root.mkdir()
    former_project(root, tmp_path / "remote")

    with inside(root) as ws:
        pull(ws, ["photos", "one"])
        before = (root / "photos.dvc").read_bytes(), (root / "one.dvc").read_bytes()
        assert [status.state for status in list_statuses(ws)] == ["clean", "clean"]
        shutil.rmtree(ws.state / "cache")
        assert [status.state for status in list_statuses(ws)] == ["clean", "clean"]

    assert read_all(root / "photos") == CONTENTS
    assert (root / "one").read_bytes() == TEXT
    assert find_pointer(root / "one.dvc").is_unix_md5  # type: ignore[union-attr]
    assert before == ((root / "photos.dvc").read_bytes(), (root / "one.dvc").read_bytes())


@pytest.mark.slow
def test_dvc_3_agrees_with_what_we_pulled_of_dvc_2(tmp_path: Path) -> None:
    root = tmp_path / "old"
    root.mkdir()
    former_project(root, tmp_path / "remote")
    with inside(root) as ws:
        pull(ws, ["photos", "one"])
        ours = read_all(root / "photos")
    shutil.rmtree(root / "photos")
    git(root, "init", "--quiet")

    Dvc(root, tmp_path / "home", is_new=False)("pull")

    assert read_all(root / "photos") == ours


def test_damage_on_a_dvc_remote_is_found_and_nothing_is_placed(tmp_path: Path) -> None:
    root = tmp_path / "old"
    root.mkdir()
    former_project(root, tmp_path / "remote")
    for path in (tmp_path / "remote").rglob("*"):
        if path.is_file() and not path.name.endswith(".dir"):
            path.write_bytes(b"?" + path.read_bytes()[1:])

    with inside(root) as ws, pytest.raises(CorruptError, match="not what its name says"):
        pull(ws, ["photos"])

    assert not (root / "photos").exists()


def test_what_a_dvc_remote_lacks_is_named(tmp_path: Path) -> None:
    root = tmp_path / "old"
    root.mkdir()
    former_project(root, tmp_path / "remote")
    shutil.rmtree(tmp_path / "remote")

    with inside(root) as ws, pytest.raises(NotFoundError, match="does not have"):
        pull(ws, ["one"])


def test_remotes_of_dvc_and_ours_stand_side_by_side(tmp_path: Path) -> None:
    ws = make_project(tmp_path / "ours", '[project]\nname = "ours"\n')
    (ws.root / ".dvc").mkdir()
    (ws.root / ".dvc" / "config").write_text(
        "[core]\n    remote = theirs\n['remote \"theirs\"']\n    url = ../elsewhere\n['remote \"far\"']\n    url = ssh://host/x\n"
    )
    assert [(r.name, r.layout, r.is_default) for r in list_remotes(ws)] == [("theirs", "dvc", True)]

    add_remote(ws, "mine", RemoteTable(url="s3://bucket/x", region="eu"), is_default=False)

    assert [(r.name, r.is_default) for r in list_remotes(ws)] == [("mine", True), ("theirs", False)]
    assert key_of("ab" * 16) == f"files/md5/ab/{'ab' * 15}"
