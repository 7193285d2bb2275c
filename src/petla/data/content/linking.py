"""How a file comes from the store into the work tree: as a copy, or as a link to one that all versions share.

Links need files as they are, which lie in `.petla/cache/files`, made when first asked for. They are write-protected:
who edits a link would edit every version that has this file.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Literal

from petla.data.content.manifest import FileEntry
from petla.storage.objects import ObjectStore

Link = Literal["copy", "reflink", "hardlink", "symlink"]

_PROTECTED = 0o222
# Linux: makes a file of another one's blocks
_FICLONE = 0x40049409


def bring(objects: ObjectStore, entry: FileEntry, target: Path, link: Link) -> None:
    """Write one file of a version; what the file system cannot link becomes a copy.

    Raises:
        NotFoundError, CorruptError: it is not in the store, or damaged.
        OSError: the target cannot be written.
    """
    if link == "copy":
        objects.write_out(entry.object, target, mode=entry.mode)
        return
    shared = _shared_path(objects, entry)
    if not shared.is_file():
        objects.copy_out(entry.object, shared, mode=entry.mode & ~_PROTECTED)
    if not _link(shared, target, link, entry.mode):
        objects.write_out(entry.object, target, mode=entry.mode)


def list_shared(objects: ObjectStore) -> list[Path]:
    """Return the files that links point to."""
    return sorted(_folder(objects).glob("??/*"))


def shared_object(path: Path) -> str:
    """Return the object that a shared file holds."""
    return (path.parent.name + path.name)[:64]


def _link(shared: Path, target: Path, link: Link, mode: int) -> bool:
    match link:
        case "symlink":
            target.symlink_to(shared.resolve())
            return True
        case "hardlink":
            with contextlib.suppress(OSError):
                os.link(shared, target)
                return True
        case _:
            return _clone(shared, target, mode)
    return False


def _clone(shared: Path, target: Path, mode: int) -> bool:
    with shared.open("rb") as source, target.open("xb") as clone:
        try:
            fcntl.ioctl(clone.fileno(), _FICLONE, source.fileno())
        except OSError:
            target.unlink()
            return False
        os.fchmod(clone.fileno(), mode)
    return True


def _shared_path(objects: ObjectStore, entry: FileEntry) -> Path:
    suffix = "x" if entry.mode & 0o100 else ""
    return _folder(objects) / entry.object[:2] / (entry.object[2:] + suffix)


def _folder(objects: ObjectStore) -> Path:
    return objects.folder.parent / "cache" / "files"
