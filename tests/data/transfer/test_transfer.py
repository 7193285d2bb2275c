"""Two clones of one project and a remote between them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from petla.core.errors import ConflictError, InvalidError, NotFoundError
from petla.core.project import RemoteTable, decode_project
from petla.core.settings import Settings
from petla.data.checkouts import checkout, get_pointed
from petla.data.statuses import list_statuses
from petla.data.transfer.pulling import pull
from petla.data.transfer.pushing import push
from petla.data.transfer.remotes import add_remote, choose_remote, list_remotes, make_table, remove_remote
from petla.data.versions import add, list_versions, load_profile
from petla.storage.workspace import Workspace
from tests.data.projects import make_project, write_rows


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=ada", "-c", "user.email=ada@localhost"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(ws: Workspace, message: str) -> str:
    git(ws.root, "add", "--all")
    git(ws.root, "commit", "--quiet", "--message", message)
    return git(ws.root, "rev-parse", "HEAD")


def open_project(root: Path) -> Workspace:
    return Workspace(root, decode_project((root / "petla.toml").read_text()), Settings(actor="bob"))


@pytest.fixture
def mine(tmp_path: Path) -> Workspace:
    ws = make_project(tmp_path / "mine")
    git(ws.root, "init", "--quiet")
    add_remote(ws, "origin", RemoteTable(url=str(tmp_path / "remote")), is_default=False)
    folder = ws.root / "data" / "photos of Łódź"
    (folder / "deep" / "Deep").mkdir(parents=True)
    (folder / "empty").mkdir()
    contents = {"a b.bin": b"1" * 40_000, "deep/ż.bin": b"", "deep/Deep/A": b"x", "deep/Deep/a": b"y"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "deep" / "Deep" / "A").chmod(0o755)
    add(ws, folder, name="photos")
    add(ws, write_rows(ws))
    commit(ws, "first")
    return ws


@pytest.fixture
def yours(mine: Workspace, tmp_path: Path) -> Workspace:
    push(mine, ["rows", "photos"])
    git(tmp_path, "clone", "--quiet", str(mine.root), "yours")
    return open_project(tmp_path / "yours")


def read_all(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mode & 0o777) for p in files}


def test_clone_gets_what_was_pushed(mine: Workspace, yours: Workspace) -> None:
    report = pull(yours, ["rows", "photos"])

    assert report.remote == "origin"
    assert read_all(yours.root / "data") == read_all(mine.root / "data")
    assert (yours.root / "data" / "photos of Łódź" / "empty").is_dir()
    assert [s.state for s in list_statuses(yours)] == ["clean", "clean"]
    assert list_versions(yours, "rows") == list_versions(mine, "rows")
    assert load_profile(yours, get_pointed(yours, "rows")) == load_profile(mine, get_pointed(mine, "rows"))
    assert git(yours.root, "status", "--porcelain") == ""


def test_what_is_here_needs_no_remote(yours: Workspace, tmp_path: Path) -> None:
    pull(yours, ["rows"])
    (yours.root / "data" / "rows.csv").unlink()
    shutil.rmtree(tmp_path / "remote")

    report = pull(yours, ["rows"])

    assert (report.remote, report.bytes) == ("", 0)
    assert (yours.root / "data" / "rows.csv").exists()


def test_former_commit_brings_its_data(mine: Workspace, yours: Workspace) -> None:
    before = git(mine.root, "rev-parse", "HEAD")
    add(mine, write_rows(mine, "hour,carrier\n9,ZZ\n"))
    commit(mine, "second")
    push(mine, ["rows"])
    git(yours.root, "pull", "--quiet")
    pull(yours, ["rows"])
    assert "ZZ" in (yours.root / "data" / "rows.csv").read_text()

    pull(yours, ["rows"], rev=before)

    assert "AA" in (yours.root / "data" / "rows.csv").read_text()
    assert get_pointed(yours, "rows").version == 1


def test_one_file_of_a_dataset_travels_alone(yours: Workspace) -> None:
    pull(yours, ["photos"], path="deep/Deep")

    folder = yours.root / "data" / "photos of Łódź"
    assert sorted(read_all(folder)) == ["deep/Deep/A", "deep/Deep/a"]
    with pytest.raises(NotFoundError, match="has no 'nothing'"):
        pull(yours, ["photos"], path="nothing")


def test_pull_overwrites_nothing_that_is_no_version(yours: Workspace) -> None:
    pull(yours, ["rows"])
    write_rows(yours, "mine\n1\n")

    with pytest.raises(ConflictError, match="is no version yet"):
        pull(yours, ["rows"])

    assert (yours.root / "data" / "rows.csv").read_text() == "mine\n1\n"


def test_only_what_differs_is_written(mine: Workspace) -> None:
    folder = mine.root / "data" / "photos of Łódź"
    inode = (folder / "a b.bin").stat().st_ino
    (folder / "deep" / "ż.bin").write_bytes(b"changed")
    (folder / "more").mkdir()
    (folder / "more" / "c").write_bytes(b"c")
    add(mine, folder)

    checkout(mine, "photos", 1)

    assert (folder / "deep" / "ż.bin").read_bytes() == b""
    assert not (folder / "more").exists()
    assert (folder / "empty").is_dir()
    assert (folder / "a b.bin").stat().st_ino == inode


@pytest.mark.parametrize("link", ["hardlink", "symlink", "reflink"])
def test_links_are_write_protected_and_hold_the_same(mine: Workspace, link: str) -> None:
    ws = open_project(mine.root)
    table = ws.project.data["photos"]
    ws.project.data["photos"] = type(table)(path=table.path, link=link)  # type: ignore[arg-type]
    folder = ws.root / table.path
    before = {name: content for name, (content, _) in read_all(folder).items()}
    shutil.rmtree(folder)

    checkout(ws, "photos")

    assert {name: content for name, (content, _) in read_all(folder).items()} == before
    file = folder / "a b.bin"
    match link:
        case "symlink":
            assert file.is_symlink()
        case "hardlink":
            assert file.stat().st_nlink == 2
        case _:
            assert os.access(file, os.W_OK)
    assert [s.state for s in list_statuses(ws) if s.dataset == "photos"] == ["clean"]


def test_remote_that_lacks_the_version_is_named(mine: Workspace, yours: Workspace) -> None:
    add(mine, write_rows(mine, "hour\n7\n"))
    commit(mine, "not pushed")
    git(yours.root, "pull", "--quiet")

    with pytest.raises(NotFoundError, match=r"remote origin .* does not have version") as caught:
        pull(yours, ["rows"])

    assert "petla data push" in caught.value.hint


def test_former_versions_are_pushed_if_asked(mine: Workspace) -> None:
    add(mine, write_rows(mine, "hour\n7\n"))

    report = push(mine, ["rows"], all_versions=True)

    assert [each.version for each in report.versions] == [1, 2]


class TestRemotes:
    def test_remote_is_written_into_the_project_file(self, mine: Workspace) -> None:
        path = mine.root / "petla.toml"
        path.write_text(path.read_text() + "# a comment that stays\n")

        add_remote(mine, "cloud", make_table("s3://shelf/x", "dvc", ["region=eu-1", "anonymous=true"]), is_default=True)

        assert mine.project.remotes["cloud"] == RemoteTable(
            url="s3://shelf/x", layout="dvc", region="eu-1", anonymous=True
        )
        assert choose_remote(mine)[0] == "cloud"
        assert [(r.name, r.is_default) for r in list_remotes(mine)] == [("cloud", True), ("origin", False)]
        remove_remote(mine, "cloud")
        assert choose_remote(mine)[0] == "origin"
        assert "# a comment that stays" in path.read_text()
        assert open_project(mine.root).project.remotes == mine.project.remotes

    @pytest.mark.parametrize(
        ("name", "url", "said"),
        [
            ("origin", "/x", "already"),
            ("Bad Name", "/x", "is no name"),
            ("a", "ftp://x", "no address"),
            ("a", "s3://", "names no bucket"),
            ("a", "s3://user:hush@bucket", "carries a user or a password"),
        ],
    )
    def test_remote_that_cannot_be_is_refused(self, mine: Workspace, name: str, url: str, said: str) -> None:
        before = (mine.root / "petla.toml").read_text()

        with pytest.raises((InvalidError, ConflictError), match=said) as caught:
            add_remote(mine, name, RemoteTable(url=url), is_default=False)

        assert "hush" not in str(caught.value)
        assert (mine.root / "petla.toml").read_text() == before

    def test_which_remote_is_meant_must_be_clear(self, mine: Workspace) -> None:
        add_remote(mine, "other", RemoteTable(url="/x"), is_default=False)

        with pytest.raises(InvalidError, match="origin, other"):
            choose_remote(mine)
        with pytest.raises(NotFoundError, match="no remote 'orign'") as caught:
            choose_remote(mine, "orign")
        assert "origin" in caught.value.hint
