"""Writing that survives a crash, and locks between processes."""

import contextlib
import errno
import fcntl
import logging
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from petla.core.errors import BusyError, UnavailableError
from petla.core.project import STATE_FOLDER

logger = logging.getLogger(__name__)

_POLL_S = 0.05
# who waits longer for a lock is told for whom
_SILENT_S = 1.0


def mode_of(path: Path) -> int:
    """Return the mode that a file is made with: what lies in the state folder is for its owner only."""
    return 0o600 if STATE_FOLDER in path.parts else 0o644


def write_atomic(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Write a file so that a crash leaves either the old content or the new.

    Temporary name, flush, fsync, rename, fsync of the folder.

    Args:
        path: the file.
        content: all of it.
        mode: what the umask leaves of it counts. None means that of `mode_of`.

    Raises:
        UnavailableError: the disk is full or the folder cannot be written; the old content stays.
    """
    with reported(path):
        make_folder(path.parent)
        temporary = path.with_name(f".tmp-{secrets.token_hex(8)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode_of(path) if mode is None else mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, so that all of them survive a crash.

    Only its owner gets into a state folder, whatever the umask.
    """
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700 if STATE_FOLDER in folder.parts else 0o777)
        sync_folder(folder.parent)


def reserve(path: Path) -> None:
    """Make an empty file with the rights of `mode_of` if there is none; SQLite would leave them to the umask."""
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, mode_of(path)))


def keep_private(path: Path, mode: int = 0o700) -> None:
    """Take everybody else's rights to a file or folder away, where it is ours and there."""
    with contextlib.suppress(OSError):
        status = path.stat()
        if status.st_mode & 0o077 and status.st_uid == os.geteuid():
            path.chmod(mode)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, so that a rename in it survives a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def reported(path: Path, action: Literal["read", "write"] = "write") -> Iterator[None]:
    """Turn a failure of the operating system into an error that says what to do.

    Args:
        path: the file or folder that is named in the error.
        action: what was tried with it.

    Raises:
        UnavailableError: in place of any OSError but a missing file.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        reason, hint = _explain(error, action)
        raise UnavailableError(f"cannot {action} {path}: {reason}", hint=hint) from error


def _explain(error: OSError, action: str) -> tuple[str, str]:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "the disk is full", "free some space and run the same command again; nothing was changed"
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return f"no right to {action} it", f"give yourself the right to {action} there; nothing was changed"
        case _:
            return error.strerror or str(error), "correct it and run the same command again"


@contextlib.contextmanager
def lock(path: Path, *, purpose: str, wait_s: float = 0.0, shared: bool = False) -> Iterator[None]:
    """Hold a lock between processes; it falls away by itself when its holder dies.

    Args:
        path: the lock file; it keeps the holder's pid and purpose for people to read.
        purpose: what it is held for, such as `petla run delay`.
        wait_s: seconds to wait for another holder.
        shared: others may hold it at the same time, if they share it as well.

    Raises:
        BusyError: another process still holds it after `wait_s`; the message says which.
    """
    with reported(path):
        make_folder(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, mode_of(path))
    try:
        with reported(path):
            _take(descriptor, path, wait_s, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {purpose}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, wait_s: float, kind: int) -> None:
    begun = time.monotonic()
    is_told = False
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            waited_s = time.monotonic() - begun
            if waited_s >= wait_s:
                holder = _describe_holder(path)
                raise BusyError(f"{holder} is still at work", hint="wait until it has finished, or stop it") from error
            if waited_s >= _SILENT_S and not is_told:
                is_told = True
                logger.warning("lock.awaited", extra={"holder": _describe_holder(path), "wait_s": wait_s})
            time.sleep(_POLL_S)
        else:
            return


def _describe_holder(path: Path) -> str:
    pid, _, purpose = path.read_text().strip().partition(" ")
    return f"{purpose or 'another command'} (pid {pid or 'unknown'})"
