"""Temporary folders of a project: they hold copies of data, so none of them outlives its owner for long.

The owner holds a lock on a file in the folder. The lock falls away when the owner dies, whatever kills it, so the next
command finds the folder and removes it.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
import socket
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from petla.core.errors import PetlaError
from petla.storage.files import lock, make_folder, reported

_PREFIX = ".tmp-petla-"
_OWNER = ".owner"
# a temporary file without an owner: one that is being made, or one of a former release
_UNOWNED = re.compile(r"\.tmp-(?:[0-9a-f]{16}|[a-z0-9_]{8})")
_UNOWNED_CONTENT = re.compile(r"made|former|[0-9a-f]{64}|\.owner|\.gitignore")
_UNOWNED_S = 86_400.0


@contextlib.contextmanager
def temporary_folder(home: Path, *, near: Path | None = None) -> Iterator[Path]:
    """Make a folder for the block, and remove it afterwards.

    Args:
        home: the project's folder for temporary folders.
        near: the folder that files of the temporary folder are renamed into. If they cannot be renamed from `home`,
            the temporary folder lies in `near`, and tells Git to ignore it.

    Raises:
        UnavailableError: the folder cannot be made.
    """
    with reported(near or home):
        make_folder(home)
        where = home if near is None or _can_rename(home, near) else near
        # NOTE: nobody sweeps this name before its time, so the folder is locked before another command looks at it
        made = where / f".tmp-{secrets.token_hex(8)}"
        made.mkdir(mode=0o700)
    folder = where / f"{_PREFIX}{secrets.token_hex(8)}"
    try:
        with lock(made / _OWNER, purpose=f"on {socket.gethostname()}"):
            with reported(where):
                (made / ".gitignore").write_text("*\n")
                made.rename(folder)
            yield folder
    finally:
        shutil.rmtree(made, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def sweep_temporary(folders: Iterable[Path]) -> None:
    """Remove the temporary folders whose owners have died; the caller need not be alone.

    Args:
        folders: where they may lie; what is not Pętla's stays there.
    """
    for where in set(folders):
        with contextlib.suppress(OSError):
            for entry in [each for each in os.scandir(where) if each.name.startswith(".tmp-")]:
                if entry.name.startswith(_PREFIX):
                    _remove_if_dead(Path(entry.path))
                elif _is_old(entry):
                    _remove(Path(entry.path))


def _can_rename(home: Path, near: Path) -> bool:
    """Whether files can be renamed from one folder to another and are what they would be if they were made there."""
    status = near.stat()
    if status.st_dev != home.stat().st_dev or status.st_mode & stat.S_ISGID:
        return False
    # two mounts of one file system have the same number; the kernel compares the mounts before it looks for the file
    absent = f".tmp-{secrets.token_hex(8)}"
    try:
        os.rename(home / absent, near / absent)  # noqa: PTH104
    except OSError as error:
        return error.errno != errno.EXDEV
    return True


def _remove_if_dead(folder: Path) -> None:
    if folder.is_symlink() or not (folder / _OWNER).is_file():
        return
    with contextlib.suppress(PetlaError, OSError), lock(folder / _OWNER, purpose="removing it"):
        shutil.rmtree(folder, ignore_errors=True)


def _is_old(entry: "os.DirEntry[str]") -> bool:
    if not _UNOWNED.fullmatch(entry.name) or time.time() - entry.stat(follow_symlinks=False).st_mtime < _UNOWNED_S:
        return False
    if not entry.is_dir(follow_symlinks=False):
        return True
    return all(_UNOWNED_CONTENT.fullmatch(path.name) for path in Path(entry.path).iterdir())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
