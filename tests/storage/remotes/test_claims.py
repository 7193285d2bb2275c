"""Whoever dies while they push or sweep blocks nobody for long; whoever is at work is left alone."""

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from petla.core.errors import BusyError
from petla.core.project import RemoteTable
from petla.storage.remotes.locks import claims
from petla.storage.remotes.packs import PackRemote
from tests.contracts.object_stores import Place
from tests.contracts.processes import run_python
from tests.storage.remotes.test_packs import Desk

DIE = """
import os, pathlib, signal, sys
from petla.core.project import RemoteTable
from petla.storage.remotes.addresses import open_bucket
from petla.storage.remotes.packs import PackRemote
folder, url, what = sys.argv[1:]
remote = PackRemote(open_bucket("origin", RemoteTable(url=url), pathlib.Path(".")), pathlib.Path(folder))
with getattr(remote, what)():
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "desk", Place(RemoteTable(url=str(tmp_path / "remote")), {}))
    yield desk
    desk.remote.close()


def lie(desk: Desk, tmp_path: Path, key: str, *, silent_s: float, **owner: object) -> Path:
    """Put somebody's claim on the remote."""
    desk.bucket.put(key, json.dumps(owner).encode())
    path = tmp_path / "remote" / key
    os.utime(path, (path.stat().st_mtime - silent_s,) * 2)
    return path


def work(remote: PackRemote, what: str) -> None:
    with remote.sweeping() if what == "sweep" else remote._pushing():
        pass


@pytest.mark.parametrize("dies", ["sweeping", "_pushing"])
@pytest.mark.parametrize("then", ["sweep", "push"])
def test_killed_on_this_machine_blocks_nobody(
    desk: Desk, tmp_path: Path, dies: str, then: str, caplog: pytest.LogCaptureFixture
) -> None:
    run_python(DIE, tmp_path / "cache", tmp_path / "remote", dies, status=-9)

    work(desk.remote, then)
    work(desk.remote, "sweep")

    assert [item.key for item in desk.bucket.list("") if item.key != "clock"] == []
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == ["remote.lock_broken"]


@pytest.mark.parametrize("key", ["sweep.lock", "pushes/1.json"])
@pytest.mark.parametrize(
    ("owner", "silent_s", "is_dead"),
    [
        ({"host": "far", "pid": 1, "machine": "m", "id": "1"}, 290, False),
        ({"host": "far", "pid": 1, "machine": "m", "id": "1"}, 310, True),
        # written once, by a former release
        ({"host": "far", "pid": 1, "by": "bob", "at": "2026-01-01T00:00:00Z"}, 3600, False),
        ({"host": "far", "pid": 1, "by": "bob", "at": "2026-01-01T00:00:00Z"}, 3 * 86400, True),
        # another container with the same name of the host: its process numbers are not ours
        ({"host": socket.gethostname(), "pid": 2**22 + 1, "machine": "other", "id": "1"}, 10, False),
        ({"host": socket.gethostname(), "pid": 2**22 + 1}, 10, True),
        ({"host": 1}, 3600, False),
    ],
)
def test_silent_for_five_minutes_is_dead(
    desk: Desk, tmp_path: Path, key: str, owner: dict[str, object], silent_s: float, *, is_dead: bool
) -> None:
    path = lie(desk, tmp_path, key, silent_s=silent_s, **owner)

    if is_dead:
        work(desk.remote, "sweep")
    else:
        with pytest.raises(BusyError, match=r"host .*pid"):
            work(desk.remote, "sweep")
    assert path.exists() is not is_dead
    if key == "sweep.lock":
        if is_dead:
            lie(desk, tmp_path, key, silent_s=silent_s, **owner)
            work(desk.remote, "push")
        else:
            with pytest.raises(BusyError, match="is being swept by"):
                work(desk.remote, "push")
    assert path.exists() is not is_dead


def test_whoever_is_at_work_renews_the_claim(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BEAT_S", 0.01)
    path = tmp_path / "remote" / "sweep.lock"
    with desk.remote.sweeping():
        os.utime(path, (1, 1))
        while path.stat().st_mtime == 1:
            pass

        assert claims.find_living(desk.bucket, ["sweep.lock"])
    assert not path.exists()


def test_whoever_was_taken_for_dead_deletes_nothing(desk: Desk, tmp_path: Path) -> None:
    other = lie(desk, tmp_path, "other", silent_s=0, host="far", pid=1, machine="m", id="theirs").read_bytes()
    with desk.remote.sweeping() as catalog:
        desk.bucket.put("sweep.lock", other)
        with pytest.raises(BusyError, match="took it for dead"):
            catalog.confirm()
    assert desk.bucket.get("sweep.lock") == other


def test_a_user_without_a_name_pushes(tmp_path: Path) -> None:
    program = DIE.replace("os.kill(os.getpid(), signal.SIGKILL)", "pass")
    program = "import pwd\ndef no(uid): raise KeyError(uid)\npwd.getpwuid = no\n" + program
    environment = {
        key: value for key, value in os.environ.items() if key not in ("LOGNAME", "USER", "LNAME", "USERNAME")
    }
    for what in ("sweeping", "_pushing"):
        arguments = [sys.executable, "-c", program, str(tmp_path / "cache"), str(tmp_path / "remote"), what]
        subprocess.run(arguments, env=environment, check=True)


def test_a_user_without_a_home_is_told_or_needs_none(tmp_path: Path) -> None:
    program = """
import pathlib, pwd, sys
def no(uid): raise KeyError(uid)
pwd.getpwuid = pwd.getpwnam = no
from petla.core.errors import InvalidError
from petla.core.project import RemoteTable
from petla.storage.remotes.addresses import open_bucket
open_bucket("origin", RemoteTable(url="s3://b/p"), pathlib.Path(sys.argv[1]))
for url in ("~/remote", "~nobody-here/remote"):
    try:
        open_bucket("origin", RemoteTable(url=url), pathlib.Path(sys.argv[1]))
    except InvalidError as error:
        print(error.message)
"""
    environment = {key: value for key, value in os.environ.items() if key != "HOME"}
    said = subprocess.check_output([sys.executable, "-c", program, str(tmp_path)], env=environment, text=True)
    assert said.count("names the home folder of a user whom this machine does not know") == 2
