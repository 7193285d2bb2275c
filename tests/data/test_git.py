"""Git plumbing: work tree, index and HEAD stay as they are."""

import os
import subprocess
from pathlib import Path

import pytest

from petla.core.errors import ConflictError, UnavailableError
from petla.data.git import GitState, commit_on_branch, ensure_repository, export_tree, read_state

BRANCH = "petla/retraining-1"


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine where Git knows nobody's name."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    assert ensure_repository(folder)
    (folder / "pipeline.py").write_text("one\n")
    (folder / "data.dvc").write_text("old\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    _git(folder, "add", ".")
    _git(folder, "-c", "user.name=ada", "-c", "user.email=a@b", "commit", "--quiet", "-m", "first")
    return folder


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def _commit(root: Path, content: bytes = b"fresh\n", parent: str | None = None) -> str:
    parent = read_state(root).commit if parent is None else parent
    return commit_on_branch(root, BRANCH, {"data.dvc": content}, message="Retrain delay\n\nwhy", parent=parent)


def test_state_without_repository_or_commit_is_empty(tmp_path: Path) -> None:
    assert read_state(tmp_path) == GitState("", False)

    assert ensure_repository(tmp_path)
    assert read_state(tmp_path).commit == ""
    assert not ensure_repository(tmp_path)


def test_state_tells_clean_from_changed_and_untracked(root: Path) -> None:
    assert read_state(root) == GitState(_git(root, "rev-parse", "HEAD"), False)

    (root / "new.py").write_text("")
    assert read_state(root).is_dirty
    (root / "new.py").unlink()
    (root / "pipeline.py").write_text("two\n")
    assert read_state(root).is_dirty


def test_state_is_that_of_the_project_in_a_larger_repository(root: Path) -> None:
    (root / "sub").mkdir()
    (root / "pipeline.py").write_text("two\n")

    assert not read_state(root / "sub").is_dirty


def test_commit_leaves_work_tree_index_and_head(root: Path) -> None:
    (root / "pipeline.py").write_text("staged\n")
    _git(root, "add", "pipeline.py")
    (root / "pipeline.py").write_text("changed\n")
    (root / "untracked.txt").write_text("mine\n")
    before = _git(root, "status", "--porcelain"), _git(root, "rev-parse", "HEAD"), (root / ".git/index").read_bytes()

    commit = _commit(root)

    after = _git(root, "status", "--porcelain"), _git(root, "rev-parse", "HEAD"), (root / ".git/index").read_bytes()
    assert after == before
    assert _git(root, "rev-parse", BRANCH) == commit
    assert _git(root, "show", f"{BRANCH}:data.dvc") == "fresh"
    assert _git(root, "show", f"{BRANCH}:pipeline.py") == "one"
    assert _git(root, "log", "-1", "--format=%an %s", BRANCH) == "petla Retrain delay"
    assert _git(root, "diff", "--name-only", "HEAD", BRANCH) == "data.dvc"
    assert not list((root / ".git").glob("petla-*"))


def test_commit_twice_is_one_commit(root: Path) -> None:
    assert _commit(root) == _commit(root)


def test_branch_with_something_else_on_it_is_not_overwritten(root: Path) -> None:
    commit = _commit(root)

    with pytest.raises(ConflictError, match="something else on it"):
        _commit(root, b"other\n")

    assert _git(root, "rev-parse", BRANCH) == commit


def test_branch_that_is_checked_out_is_refused(root: Path) -> None:
    _git(root, "checkout", "--quiet", "-b", BRANCH)

    with pytest.raises(ConflictError, match="is checked out"):
        _commit(root)


def test_commit_below_the_top_of_a_repository(root: Path) -> None:
    (root / "sub").mkdir()

    commit_on_branch(root / "sub", BRANCH, {"a/b.dvc": b"x"}, message="m", parent=_git(root, "rev-parse", "HEAD"))

    assert _git(root, "show", f"{BRANCH}:sub/a/b.dvc") == "x"


def test_first_commit_has_no_parent(tmp_path: Path) -> None:
    ensure_repository(tmp_path)

    commit = _commit(tmp_path, parent="")

    assert _git(tmp_path, "ls-tree", "--name-only", commit) == "data.dvc"
    assert read_state(tmp_path).commit == ""


def test_variables_of_a_hook_do_not_lead_elsewhere(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))

    assert read_state(root).commit


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", ""])
def test_path_outside_is_a_programmers_mistake(root: Path, path: str) -> None:
    with pytest.raises(ValueError, match="relative to the project"):
        commit_on_branch(root, BRANCH, {path: b""}, message="m", parent="HEAD")


def test_export_writes_the_commit_as_a_checkout_would(root: Path, tmp_path: Path) -> None:
    (root / ".gitattributes").write_text("pipeline.py export-ignore\n")
    commit = _commit(root)
    (root / "pipeline.py").write_text("changed\n")
    target = tmp_path / "trees" / "1"

    export_tree(root, commit, target)
    export_tree(root, commit, target)

    assert sorted(p.name for p in target.iterdir()) == ["data.dvc", "pipeline.py", "run.sh"]
    assert ((target / "pipeline.py").read_text(), (target / "data.dvc").read_text()) == ("one\n", "fresh\n")
    assert os.access(target / "run.sh", os.X_OK)
    assert [p.name for p in target.parent.iterdir()] == ["1"]


def test_export_of_a_project_below_the_top_is_the_project(root: Path, tmp_path: Path) -> None:
    (root / "sub").mkdir()
    parent = _git(root, "rev-parse", "HEAD")
    commit = commit_on_branch(root / "sub", BRANCH, {"b.dvc": b"x"}, message="m", parent=parent)

    export_tree(root / "sub", commit, tmp_path / "tree")

    assert [p.name for p in (tmp_path / "tree").iterdir()] == ["b.dvc"]


def test_export_of_unknown_commit_leaves_nothing(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="git read-tree"):
        export_tree(root, "0" * 40, tmp_path / "trees" / "1")

    assert list((tmp_path / "trees").iterdir()) == []


def test_no_git_is_said(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert read_state(root) == GitState("", False)
    with pytest.raises(UnavailableError, match="no git on this machine"):
        ensure_repository(root)
