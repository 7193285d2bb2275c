"""Real hooks in a real repository: data follow the commit, and what should not go into Git is pointed out."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from petla.core.errors import InvalidError, NotFoundError
from petla.core.project import RemoteTable
from petla.data.hooks.leaks import find_secrets
from petla.data.hooks.scripts import NAMES, install, uninstall
from petla.data.statuses import list_statuses
from petla.data.transfer.pushing import push
from petla.data.transfer.remotes import add_remote
from petla.data.versions import add
from tests.data.projects import make_project, write_rows

KEY = "AKIA" + "ABCDEFGH12345678"


class Clone:
    """A repository with a project in it; hooks are found through the interpreter, not through PATH."""

    def __init__(self, folder: Path, below: str = "") -> None:
        self.top = folder
        folder.mkdir()
        self.git("init", "-q", "-b", "main")
        self.ws = make_project(folder / below)

    def git(self, *words: str, fails: bool = False) -> str:
        name = ("-c", "user.name=ada", "-c", "user.email=ada@example.org", "-c", "protocol.file.allow=always")
        environment = {"HOME": str(self.top), "PATH": "/usr/bin:/bin", "PETLA_ACTOR": "ada", "LC_ALL": "C"}
        done = subprocess.run(
            ["git", *name, *words], cwd=self.top, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def add_year(self, year: int) -> bytes:
        """Commit the data of a year; return them."""
        draw = random.Random(year)
        path = write_rows(
            self.ws, "hour,delay\n" + "".join(f"{draw.randrange(24)},{draw.random()}\n" for _ in range(99))
        )
        add(self.ws, path)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", str(year), "--no-verify")
        self.git("tag", str(year))
        return path.read_bytes()

    @property
    def data(self) -> bytes:
        return (self.ws.root / "data" / "rows.csv").read_bytes()


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    clone = Clone(tmp_path / "clone")
    install(clone.ws.root)
    return clone


@pytest.mark.parametrize("below", ["", "projects/two words"])
def test_last_years_commit_brings_last_years_data(tmp_path: Path, below: str) -> None:
    clone = Clone(tmp_path / "clone", below)
    before, now = clone.add_year(2025), clone.add_year(2026)
    install(clone.ws.root)

    clone.git("checkout", "-q", "2025")
    assert clone.data == before
    assert [status.state for status in list_statuses(clone.ws)] == ["clean"]
    said = clone.git("checkout", "-q", "main")
    assert clone.data == now != before
    assert "rows is now version 2" in said


def test_merge_and_rebase_bring_data(clone: Clone) -> None:
    before = clone.add_year(2025)
    clone.git("checkout", "-q", "-b", "work")
    clone.git("commit", "-q", "--allow-empty", "-m", "empty")
    clone.git("checkout", "-q", "main")
    now = clone.add_year(2026)
    clone.git("checkout", "-q", "work")
    assert clone.data == before

    clone.git("rebase", "-q", "main")
    assert clone.data == now
    clone.git("checkout", "-q", "-b", "older", "2025")
    clone.git("merge", "-q", "main")
    assert clone.data == now


def test_data_that_are_not_here_come_from_the_remote(clone: Clone, tmp_path: Path) -> None:
    add_remote(clone.ws, "origin", RemoteTable(url=str(tmp_path / "remote")), is_default=True)
    before = clone.add_year(2025)
    clone.add_year(2026)
    push(clone.ws, ["rows"], all_versions=True)
    other = Clone(tmp_path / "other")
    other.git("pull", "-q", str(clone.top), "main", "--tags", fails=True)
    (other.top / "petla.toml").unlink()
    other.git("pull", "-q", str(clone.top), "main", "--tags")
    install(other.top)

    other.git("checkout", "-q", "2025")

    assert other.data == before


def test_changes_are_never_overwritten(clone: Clone) -> None:
    clone.add_year(2025)
    clone.add_year(2026)
    write_rows(clone.ws, "mine\n1\n")

    said = clone.git("checkout", "-q", "2025")

    assert clone.data == b"mine\n1\n"
    assert "rows was left as it is" in said


def test_what_cannot_be_had_is_said_and_git_goes_on(clone: Clone) -> None:
    clone.add_year(2025)
    clone.add_year(2026)
    clone.ws.objects.close()
    for pack in (clone.ws.state / "objects" / "packs").iterdir():
        pack.unlink()

    said = clone.git("checkout", "-q", "2025")

    assert "rows is not what its pointer names" in said
    assert "petla data pull rows" in said


def test_files_alone_do_not_call_for_data(clone: Clone) -> None:
    clone.add_year(2025)
    write_rows(clone.ws, "mine\n1\n")
    (clone.top / "petla.toml").write_text((clone.top / "petla.toml").read_text() + "\n")

    assert "rows" not in clone.git("checkout", "--", "petla.toml")
    assert clone.data == b"mine\n1\n"


def test_a_push_without_data_is_warned_about(clone: Clone, tmp_path: Path) -> None:
    clone.add_year(2025)
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "hub"], check=True)

    said = clone.git("push", "-q", str(tmp_path / "hub"), "main")
    assert "rows version 1 was not pushed" in said
    clone.git("config", "petla.prePush", "refuse")
    clone.git("push", "-q", str(tmp_path / "hub"), "main:other", fails=True)

    add_remote(clone.ws, "origin", RemoteTable(url=str(tmp_path / "remote")), is_default=True)
    push(clone.ws, ["rows"])
    assert "was not pushed" not in clone.git("push", "-q", str(tmp_path / "hub"), "main:other")


def test_secrets_and_large_files_are_pointed_out_and_not_repeated(clone: Clone) -> None:
    (clone.top / "notes.txt").write_text(f"first\nkey {KEY}\n")
    (clone.top / "large.bin").write_bytes(bytes(2_000_000))
    clone.git("config", "petla.largeFile", "1")
    clone.git("add", "-A")

    said = clone.git("commit", "-m", "oops", fails=True)

    assert "notes.txt:2 looks like a secret (AWS access key)" in said
    assert "large.bin is large (2.0 MB): petla data add large.bin" in said
    assert KEY not in said
    clone.git("commit", "-q", "-m", "meant", "--no-verify")
    (clone.top / "notes.txt").write_text(f"key {KEY}  # petla: no-secret\n")
    clone.git("commit", "-q", "-a", "-m", "looked at")


def test_other_hooks_go_on_and_come_back_as_they_were(tmp_path: Path) -> None:
    clone = Clone(tmp_path / "clone")
    hook = clone.top / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    theirs = "#!/bin/sh\ntouch called\nexec true\n"
    hook.write_text(theirs)
    hook.chmod(0o755)
    before = clone.add_year(2025)
    clone.add_year(2026)
    install(clone.ws.root)
    once = hook.read_text()
    install(clone.ws.root)

    clone.git("checkout", "-q", "2025")

    assert hook.read_text() == once
    assert (clone.top / "called").exists()
    assert clone.data == before
    assert len(uninstall(clone.ws.root)) == len(NAMES)
    assert hook.read_text() == theirs
    assert not (hook.parent / "pre-push").exists()
    assert uninstall(clone.ws.root) == []


def test_what_is_no_shell_script_is_left_alone(tmp_path: Path) -> None:
    clone = Clone(tmp_path / "clone")
    hook = clone.top / ".git" / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/usr/bin/env python3\n")

    with pytest.raises(InvalidError, match="is no shell script"):
        install(clone.ws.root)

    assert [path.name for path in hook.parent.iterdir() if not path.name.endswith(".sample")] == ["pre-push"]


def test_hooks_of_others_are_not_touched(tmp_path: Path) -> None:
    clone = Clone(tmp_path / "clone")
    clone.git("config", "core.hooksPath", str(tmp_path / "everybodys"))

    with pytest.raises(InvalidError, match="outside of this repository"):
        install(clone.ws.root)


def test_a_repository_is_needed(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no Git repository"):
        install(make_project(tmp_path).root)


def test_a_hook_without_petla_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = Clone(tmp_path / "clone")
    clone.add_year(2025)
    clone.add_year(2026)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    install(clone.ws.root)

    assert "petla is not installed" in clone.git("checkout", "-q", "2025")


@pytest.mark.parametrize(
    ("path", "line", "kind"),
    [
        ("a.py", "-----BEGIN OPENSSH PRIVATE KEY-----", "private key"),
        ("a.py", f"id = '{KEY}'", "AWS access key"),
        ("a.ini", "aws_secret_access_key = " + "a1/B" * 10, "AWS secret key"),
        ("a.py", "ghp_" + "a" * 36, "GitHub token"),
        ("a.py", "glpat-" + "a1" * 10, "GitLab token"),
        ("a.py", "xoxb-" + "1" * 24, "Slack token"),
        ("a.py", "AIza" + "b" * 35, "Google API key"),
        ("a.txt", "AccountKey=" + "c" * 86 + "==", "Azure storage key"),
        (".env", "DB_PASSWORD=correct-horse", "password or token"),
        ("conf/.env.local", "export API_TOKEN='0123456789'", "password or token"),
    ],
)
def test_secrets_are_found(path: str, line: str, kind: str) -> None:
    assert [secret.kind for secret in find_secrets(path, f"\n{line}\n")] == [kind]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (".env", "DB_PASSWORD=changeme-please"),
        (".env", "DB_PASSWORD=${SECRET_FROM_VAULT}"),
        ("a.py", "password = read_password(prompt)"),
        ("a.py", "digest = '" + "0123456789abcdef" * 4 + "'"),
        ("a.dvc", "- md5: acbd18db4cc2f85cedef654fccc4a4d8"),
        ("a.md", "set AWS_SECRET_ACCESS_KEY to your key"),
        ("a.pem", "-----BEGIN CERTIFICATE-----"),
        ("a.md", "-----BEGIN PUBLIC KEY-----"),
    ],
)
def test_what_is_none_is_left_alone(path: str, line: str) -> None:
    assert find_secrets(path, line) == []


@pytest.mark.parametrize(
    ("path", "piece"), [("m.js", "aws_secret"), (".env", "secret"), (".env", "export "), ("k.txt", "-----BEGIN A ")]
)
def test_line_of_a_megabyte_is_read_once(path: str, piece: str) -> None:
    # a pattern that starts anew at every occurrence and walks to the end took minutes for this
    line = piece * (1_000_000 // len(piece))

    assert find_secrets(path, f"{line}\n{KEY}\n")[-1].line == 2


def test_no_file_of_this_project_looks_like_a_secret() -> None:
    top = Path(__file__).parents[3]
    texts = [path for folder in ("src", "docs", "examples") for path in (top / folder).rglob("*") if path.is_file()]
    readable = [path for path in texts if path.suffix in (".py", ".md", ".toml", ".csv", ".yaml", ".html")]
    found = [(path, find_secrets(str(path), path.read_text(errors="replace"))) for path in readable]

    assert [path for path, secrets in found if secrets] == []
    assert len(readable) > 100
    assert os.fspath(top)
