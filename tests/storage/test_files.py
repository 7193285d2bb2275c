"""Files that survive a crash, and locks between processes."""

import errno
import os
import signal
import subprocess
from pathlib import Path

import pytest

from petla.core.errors import BusyError, UnavailableError
from petla.storage.files import lock, make_folder, reported, write_atomic
from tests.contracts.processes import finish, run_python, start_python

WRITE_AND_DIE = """
import os, pathlib, signal, sys
from petla.storage.files import write_atomic
point = sys.argv[2]
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if point == "fsync":
    os.fsync = die
else:
    pathlib.Path.replace = die
write_atomic(pathlib.Path(sys.argv[1]), b"new" * 10_000)
"""
WRITE_FOR_EVER = """
import pathlib, sys
from petla.storage.files import write_atomic
number = 0
while True:
    number += 1
    write_atomic(pathlib.Path(sys.argv[1]), (b"%08d" % number) * 5_000)
    if number == 5:
        print("under way", flush=True)
"""
WRITE_LIMITED = """
import pathlib, resource, sys
from petla.core.errors import UnavailableError
from petla.storage.files import write_atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
try:
    write_atomic(pathlib.Path(sys.argv[1]), b"new" * 10_000)
except UnavailableError as error:
    print(error)
"""
HOLD = """
import pathlib, sys
from petla.storage.files import lock
with lock(pathlib.Path(sys.argv[1]), purpose="petla run delay"):
    print("held", flush=True)
    sys.stdin.readline()
"""

needs_a_person = pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")


def test_write_makes_folders_and_replaces_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"

    write_atomic(path, b"old")
    write_atomic(path, b"new", mode=0o600)

    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("point", ["fsync", "replace"])
def test_kill_before_the_rename_leaves_the_old_content(tmp_path: Path, point: str) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    run_python(WRITE_AND_DIE, path, point, status=-signal.SIGKILL)

    assert path.read_bytes() == b"old"


def test_kill_at_any_moment_leaves_a_whole_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for _ in range(3):
        process = start_python(WRITE_FOR_EVER, path)
        assert process.stdout is not None
        assert process.stdout.readline() == "under way\n"
        process.kill()
        finish(process, status=-signal.SIGKILL)

        content = path.read_bytes()
        assert content == content[:8] * 5_000


def test_full_disk_leaves_the_old_content(tiny_disk: Path) -> None:
    path = tiny_disk / "file"
    write_atomic(path, b"old")

    with pytest.raises(UnavailableError, match="the disk is full") as caught:
        write_atomic(path, b"x" * 1_000_000)

    assert caught.value.hint.startswith("free some space")
    assert path.read_bytes() == b"old"
    assert list(tiny_disk.iterdir()) == [path]


def test_lock_on_a_full_disk_is_unavailable(tiny_disk: Path) -> None:
    (tiny_disk / "filler").write_bytes(b"x" * (256 * 1024))

    with pytest.raises(UnavailableError, match="the disk is full"), lock(tiny_disk / "lock", purpose="a test"):
        pass


def test_file_size_limit_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    shown = run_python(WRITE_LIMITED, path)

    assert shown.startswith(f"cannot write {path}: File too large; next: ")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@needs_a_person
def test_read_only_folder_is_unavailable(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    with pytest.raises(UnavailableError, match="no right to write it"):
        write_atomic(tmp_path / "file", b"new")


def test_read_only_disk_is_unavailable(tiny_disk: Path) -> None:
    path = tiny_disk / "file"
    write_atomic(path, b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)

    with pytest.raises(UnavailableError, match="no right to write it"):
        write_atomic(path, b"new")
    with pytest.raises(UnavailableError, match="no right to write it"), lock(tiny_disk / "lock", purpose="a test"):
        pass

    assert path.read_bytes() == b"old"


def test_file_in_the_place_of_a_folder_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(UnavailableError, match="cannot write"):
        write_atomic(tmp_path / "file" / "inner", b"new")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "cannot read it: the disk is full"),
        (errno.EDQUOT, "cannot read it: the disk is full"),
        (errno.EROFS, "cannot read it: no right to read it"),
        (errno.EACCES, "cannot read it: no right to read it"),
        (errno.EIO, "cannot read it: Input/output error"),
    ],
)
def test_failure_of_the_system_says_what_to_do(code: int, message: str) -> None:
    with pytest.raises(UnavailableError) as caught, reported(Path("it"), "read"):
        raise OSError(code, os.strerror(code))

    assert caught.value.message == message
    assert caught.value.hint


def test_missing_file_stays_what_it_is() -> None:
    with pytest.raises(FileNotFoundError), reported(Path("it")):
        raise FileNotFoundError


def test_make_folder_takes_what_is_there(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")

    assert (tmp_path / "a" / "b").is_dir()


def test_lock_says_who_holds_it(tmp_path: Path) -> None:
    process = _hold(tmp_path / "lock")

    with (
        pytest.raises(BusyError, match=rf"petla run delay \(pid {process.pid}\) is still at work"),
        lock(tmp_path / "lock", purpose="a test"),
    ):
        pass

    process.communicate("\n")


def test_lock_falls_away_when_its_holder_is_killed(tmp_path: Path) -> None:
    process = _hold(tmp_path / "lock")
    process.kill()
    finish(process, status=-signal.SIGKILL)

    with lock(tmp_path / "lock", purpose="a test"):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()} a test\n"


def test_lock_waits_for_its_holder(tmp_path: Path) -> None:
    process = _hold(tmp_path / "lock")
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()

    with lock(tmp_path / "lock", purpose="a test", wait_s=30):
        finish(process)


def test_long_wait_says_for_whom(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("petla.storage.files._SILENT_S", 0.1)
    process = _hold(tmp_path / "lock")

    with pytest.raises(BusyError), lock(tmp_path / "lock", purpose="a test", wait_s=0.3):
        pass

    process.communicate("\n")
    assert [record.__dict__["holder"] for record in caplog.records] == [f"petla run delay (pid {process.pid})"]


def test_lock_is_free_after_an_exception(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), lock(tmp_path / "lock", purpose="a test"):
            raise ZeroDivisionError


def _hold(path: Path) -> subprocess.Popen[str]:
    process = start_python(HOLD, path)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process
