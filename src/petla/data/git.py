"""Git, as much of it as a project needs: what is checked out, a commit on a branch, a tree on disk.

Everything is plumbing: work tree, index and HEAD stay as they are.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec

from petla.core.errors import ConflictError, UnavailableError
from petla.storage.files import reported

_IDENTITY = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in (("NAME", "petla"), ("EMAIL", "petla@localhost"))
}


# where a repository is; who and which settings may come from the environment
_OF_HOOKS = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")

# files that say what lies at a path
_OF_DVC = (".dvc", "dvc.lock")
# Git's name for what is not there
_NOTHING = "0" * 40


class GitState(msgspec.Struct, frozen=True):
    """What is checked out."""

    # full hash of HEAD; empty: no repository, or no commit yet
    commit: str
    # something in the project's folder differs from the commit, or is not in it
    is_dirty: bool


class Repository(msgspec.Struct, frozen=True):
    """Where a project's repository lies."""

    # of its work tree
    top: Path
    hooks: Path
    # false: the hooks are those of several repositories
    owns_hooks: bool


def find_repository(root: Path) -> Repository | None:
    """Return the repository that a folder lies in; None: there is none, or no Git."""
    if _is_nowhere(_run(root, ("rev-parse", "--show-toplevel"))):
        return None
    top = Path(_git(root, "rev-parse", "--show-toplevel"))
    own = (root / _git(root, "rev-parse", "--git-common-dir")).resolve()
    hooks = (root / _git(root, "rev-parse", "--git-path", "hooks")).resolve()
    return Repository(top, hooks, hooks.is_relative_to(own) or hooks.is_relative_to(top.resolve()))


def read_setting(root: Path, key: str) -> str:
    """Return a setting of Git; empty: it is not set."""
    done = _run(root, ("config", "--get", key))
    return _text(done.stdout) if done is not None and done.returncode == 0 else ""


def list_changed(root: Path, old: str, new: str) -> list[str]:
    """Return the paths below a project in which two commits differ.

    Raises:
        UnavailableError: there is no such commit.
    """
    names = _git(root, "diff", "--name-only", "--no-renames", "--relative", "-z", old, new).split("\0")
    return [name for name in names if name]


class Staged(NamedTuple):
    """A file that is about to be committed."""

    path: str
    size: int
    # Git's name for its content
    blob: str


def list_staged(root: Path) -> list[Staged]:
    """Return what is about to be committed below a project.

    Raises:
        UnavailableError: Git cannot be read.
    """
    question = ("diff", "--cached", "--raw", "--no-renames", "--no-abbrev", "--diff-filter=AM", "--relative", "-z")
    words = iter(_git(root, *question).split("\0"))
    blobs = {next(words): word.split()[3] for word in words if word.startswith(":")}
    sizes = _git(root, "cat-file", "--batch-check=%(objectsize)", content="\n".join(blobs.values()).encode())
    return [
        Staged(path, int(size), blob)
        for (path, blob), size in zip(blobs.items(), sizes.split("\n"), strict=False)
        if size.isdigit()
    ]


def read_state(root: Path) -> GitState:
    """Return the commit that is checked out and whether the project's files differ from it.

    Raises:
        UnavailableError: Git refuses to read the repository.
    """
    question = ("--no-optional-locks", "status", "--porcelain=v2", "--branch", "--", ".")
    done = _run(root, question)
    if _is_nowhere(done):
        return GitState("", False)
    lines = _read(done, root, question).splitlines()
    commit = next((line.split()[2] for line in lines if line.startswith("# branch.oid ")), "")
    is_dirty = any(not line.startswith("#") for line in lines)
    return GitState("" if commit == "(initial)" else commit, is_dirty)


def ensure_repository(root: Path) -> bool:
    """Make a repository with the branch `main`, unless the folder lies in one; return whether one was made.

    Raises:
        UnavailableError: there is no Git, or the folder may not be written.
    """
    if not _is_nowhere(_run(root, ("rev-parse", "--show-toplevel"))):
        return False
    _git(root, "init", "--quiet", "--initial-branch=main")
    return True


def commit_on_branch(root: Path, branch: str, files: Mapping[str, bytes], *, message: str, parent: str) -> str:
    """Commit files on a branch that is not checked out; return the commit's hash.

    The commit holds the parent's tree with these files put into it. Doing it twice gives the commit that is there
    already.

    Args:
        root: the project's folder; it may lie below the top of the repository.
        branch: its short name, such as `petla/retraining-3`; made if there is none.
        files: path relative to `root` -> content.
        message: the commit's message.
        parent: the commit to start from; empty: none.

    Raises:
        ConflictError: the branch is checked out, or it exists with something else on it.
        UnavailableError: Git cannot do it.
    """
    reference = f"refs/heads/{branch}"
    head = _run(root, ("symbolic-ref", "--quiet", "HEAD"))
    if head is not None and _text(head.stdout) == reference:
        raise ConflictError(f"branch {branch} is checked out", hint="check out another branch first")
    parent = _git(root, "rev-parse", "--verify", f"{parent}^{{commit}}") if parent else ""
    with _temporary_index(root) as index:
        if parent:
            _git(root, "read-tree", parent, extra=index)
        for path, content in files.items():
            blob = _git(root, "hash-object", "-w", "--stdin", content=content)
            entry = f"100644,{blob},{_in_repository(root, path)}"
            _git(root, "update-index", "--add", "--cacheinfo", entry, extra=index)
        tree = _git(root, "write-tree", extra=index)
    tip = _find_commit(root, reference)
    if tip:
        return _same_or_conflict(root, branch, tip, tree=tree, parent=parent)
    ancestry = ["-p", parent] if parent else []
    commit = _git(root, "commit-tree", tree, *ancestry, content=message.encode(), extra=_IDENTITY)
    # NOTE: the zeros make Git refuse if somebody else has made the branch in the meantime.
    _git(root, "update-ref", "-m", f"petla: {message.splitlines()[0]}", reference, commit, "0" * len(commit))
    return commit


def find_commit_at(root: Path, at: str) -> str:
    """Return the newest commit of the checked-out branch that was there at a moment; empty: none, or no repository.

    Args:
        root: the project's folder.
        at: ISO 8601.
    """
    done = _run(root, ("rev-list", "-1", "--first-parent", f"--before={at}", "HEAD"))
    return _text(done.stdout) if done is not None and done.returncode == 0 else ""


def read_file(root: Path, rev: str, path: str) -> bytes | None:
    """Return a file as it is in a revision; None: that has none.

    Args:
        root: the project's folder.
        rev: whatever Git takes for a commit.
        path: relative to `root`.

    Raises:
        UnavailableError: there is no such revision.
    """
    commit = _git(root, "rev-parse", "--verify", f"{rev}^{{commit}}")
    done = _run(root, ("show", f"{commit}:{_in_repository(root, path)}"))
    return done.stdout if done is not None and done.returncode == 0 else None


def list_pointers(root: Path, rev: str, folder: str) -> list[str]:
    """Return the `.dvc` files that lie directly in a folder in a Git revision.

    Args:
        root: the project's folder.
        rev: the revision.
        folder: below the project; `.` for itself.

    Raises:
        UnavailableError: Git does not know the revision.
    """
    prefix = "" if folder == "." else f"{folder}/"
    names = _git(root, "ls-tree", "-z", "--name-only", rev, "--", f"./{prefix}").split("\0")
    return sorted(name for name in names if name.endswith(".dvc") and not name.endswith("/.dvc") and name != ".dvc")


def list_kept_files(root: Path, *, since: str) -> list[tuple[str, bytes]] | None:
    """Return DVC's files as they are on every branch and tag, at HEAD, and in every commit since a moment.

    Args:
        root: the project's folder; only what lies below it counts.
        since: ISO 8601.

    Returns:
        Name and content, each content once; None: there is no repository.

    Raises:
        UnavailableError: Git refuses to read the repository.
    """
    if _is_nowhere(_run(root, ("rev-parse", "--show-toplevel"))):
        return None
    everything = ["--all", *(["HEAD"] if _find_commit(root, "HEAD") else [])]
    names: dict[str, str] = {}
    prefix = _git(root, "rev-parse", "--show-prefix")
    for line in _git(root, "rev-list", "--objects", "--no-walk", *everything).splitlines():
        blob, _, path = line.partition(" ")
        if path.startswith(prefix) and path.endswith(_OF_DVC):
            names[blob] = path
    # both sides of every change: what a recent commit left behind was current until then
    log = ("log", *everything, f"--since={since}", "-m", "--raw", "--no-renames", "--no-abbrev", "--format=", "-z")
    words = iter(_git(root, *log, "--", *(f"*{ending}" for ending in _OF_DVC)).split("\0"))
    for word in words:
        if word.strip().startswith(":"):
            path = next(words)
            names |= dict.fromkeys(word.split()[2:4], path)
    names.pop(_NOTHING, None)
    return [(names[blob], content) for blob, content in read_blobs(root, list(names))]


def export_tree(root: Path, commit: str, target: Path) -> None:
    """Write a commit's files, as a checkout of the project's folder would, to a folder of their own.

    Raises:
        UnavailableError: there is no such commit, or the target cannot be written; the target is whole or as it was.
    """
    prefix = _git(root, "rev-parse", "--show-prefix")
    # NOTE: below the top, checkout-index writes only what the index has below that folder.
    top = Path(_git(root, "rev-parse", "--show-toplevel"))
    with reported(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=target.parent, prefix=".tmp-"))
    try:
        with _temporary_index(root) as index:
            _git(root, "read-tree", f"{commit}:{prefix.rstrip('/')}" if prefix else commit, extra=index)
            _git(top, "checkout-index", "--all", "--quiet", f"--prefix={made.resolve()}/", extra=index)
        with reported(target):
            made.chmod(0o755)
            if target.exists():
                shutil.rmtree(target)
            made.rename(target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def read_blobs(root: Path, blobs: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield each blob and its content; what a partial clone does not have, and what is no blob, is left out."""
    question = ("cat-file", "--batch")
    done = _run(root, question, "".join(f"{blob}\n" for blob in blobs).encode())
    _read(done, root, question)
    answer, place = done.stdout if done is not None else b"", 0
    while place < len(answer):
        end = answer.index(b"\n", place)
        name, kind, *size = answer[place:end].decode().split()
        place = end + 1
        if size:
            content = answer[place : place + int(size[0])]
            place += len(content) + 1
            if kind == "blob":
                yield name, content


def _same_or_conflict(root: Path, branch: str, tip: str, *, tree: str, parent: str) -> str:
    found = _git(root, "show", "--no-patch", "--format=%T %P", tip).split()
    if found != [tree, *([parent] if parent else [])]:
        raise ConflictError(
            f"branch {branch} is already there with something else on it ({tip[:10]})",
            hint=f"rename it with 'git branch -m {branch} NAME', then try again",
        )
    return tip


def _find_commit(root: Path, reference: str) -> str:
    done = _run(root, ("rev-parse", "--verify", "--quiet", reference))
    return _text(done.stdout) if done is not None and done.returncode == 0 else ""


def _in_repository(root: Path, path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise ValueError(f"a path relative to the project is needed: {path!r}")
    return f"{_git(root, 'rev-parse', '--show-prefix')}{pure}"


@contextlib.contextmanager
def _temporary_index(root: Path) -> Iterator[dict[str, str]]:
    folder = Path(_git(root, "rev-parse", "--absolute-git-dir"))
    with reported(folder), tempfile.TemporaryDirectory(dir=folder, prefix="petla-") as made:
        yield {"GIT_INDEX_FILE": str(Path(made) / "index")}


def _git(root: Path, *arguments: str, content: bytes = b"", extra: Mapping[str, str] | None = None) -> str:
    return _read(_run(root, arguments, content, extra), root, arguments)


def _run(
    root: Path, arguments: Sequence[str], content: bytes = b"", extra: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes] | None:
    """Run Git; None: there is no Git."""
    # A hook that calls us has set GIT_DIR and GIT_INDEX_FILE for its own ends; here the folder says what is meant.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(_OF_HOOKS)}
    environment |= {"LC_ALL": "C", **(extra or {})}
    command = ["git", *arguments]
    try:
        return subprocess.run(command, cwd=root, input=content, capture_output=True, check=False, env=environment)
    except FileNotFoundError:
        return None


def _read(done: subprocess.CompletedProcess[bytes] | None, root: Path, arguments: Sequence[str]) -> str:
    if done is None:
        raise UnavailableError("there is no git on this machine", hint="install Git")
    if done.returncode != 0:
        command = next(word for word in arguments if not word.startswith("-"))
        said = _text(done.stderr) or f"exit status {done.returncode}"
        raise UnavailableError(f"git {command} in {root} failed: {said}", hint="correct it and try again")
    return _text(done.stdout)


def _is_nowhere(done: subprocess.CompletedProcess[bytes] | None) -> bool:
    """Whether Git found no repository, or there is no Git."""
    return done is None or (done.returncode != 0 and b"not a git repository" in done.stderr)


def _text(said: bytes) -> str:
    return os.fsdecode(said).strip()
