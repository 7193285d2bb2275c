"""The working copy: the dataset's file or folder as it lies in the work tree.

Light: nothing here needs a table library or a database.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from petla.core.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from petla.data.content.manifest import FileEntry, Manifest, list_md5

# what DVC leaves out of every folder as well, and what a write that died has left behind
_IGNORED = frozenset({".git", ".hg", ".dvc"})
_TEMPORARY = ".tmp-"
_BLOCK_BYTES = 1 << 20


class Stamp(msgspec.Struct, frozen=True, array_like=True):
    """What the file system says of a file; it changes when the file does."""

    size: int
    mtime_ns: int
    inode: int


class Content(msgspec.Struct, frozen=True):
    """What a working copy was found to hold."""

    manifest: Manifest
    # DVC's identity; empty where it was not asked for
    md5: str
    # path -> stamp from before the file was read
    stamps: dict[str, Stamp]
    # when reading began, by the clock that file times come from
    begun_ns: int


# Reads a file, shows every block to an observer, returns the digest of its bytes.
Reader = Callable[[Path, Callable[[bytes], None]], str]


def list_stamps(path: Path) -> dict[str, Stamp]:
    """Return the stamp of every file of a dataset, in order; a dataset that is one file has the path ''.

    Raises:
        NotFoundError: there is nothing at the path.
        InvalidError: a folder holds no file, or something that is neither file nor folder.
    """
    if path.is_file():
        return {"": _stamp_of(path.stat())}
    if not path.is_dir():
        raise NotFoundError(f"there is no {path}", hint="bring it back with 'petla data checkout', or correct the path")
    stamps = dict(sorted(_walk(path, "")))
    if not stamps:
        raise InvalidError(f"folder {path} holds no file", hint="put the data there first")
    return stamps


def read_content(path: Path, reader: Reader, *, with_md5: bool) -> Content:
    """Read all files of a dataset once.

    Args:
        path: file or folder.
        reader: reads one file.
        with_md5: hash for DVC as well, in the same pass.

    Raises:
        NotFoundError, InvalidError: as `list_stamps`.
        ConflictError: a file was changed while it was read.
        UnavailableError: a file may not be read, or the reader cannot keep it.
    """
    begun_ns = time.time_ns()
    stamps = list_stamps(path)
    entries, md5s = [], {}
    for relative, stamp in stamps.items():
        file = path / relative
        if not os.access(file, os.R_OK):
            raise UnavailableError(f"{file} may not be read", hint="give yourself the right to read it")
        hasher = hashlib.md5(usedforsecurity=False)
        digest = reader(file, hasher.update if with_md5 else _ignore)
        if _stamp_of(file.stat()) != stamp:
            raise ConflictError(f"{file} was changed while it was read", hint="try again when it is complete")
        entries.append(FileEntry(relative, stamp.size, digest))
        md5s[relative] = hasher.hexdigest()
    manifest = Manifest("file" if "" in stamps else "folder", tuple(entries))
    md5 = md5s[""] if "" in md5s else list_md5(md5s)
    return Content(manifest, md5 if with_md5 else "", stamps, begun_ns)


def hash_file(path: Path, observe: Callable[[bytes], None]) -> str:
    """Return the digest of a file's bytes: the reader that keeps nothing."""
    import blake3

    hasher = blake3.blake3()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            hasher.update(block)
            observe(block)
    return hasher.hexdigest()


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, Stamp]]:
    try:
        items = list(os.scandir(folder))
    except OSError as error:
        raise UnavailableError(
            f"cannot read folder {folder}: {error.strerror}", hint="give yourself the right to read it"
        ) from error
    for item in items:
        if item.name in _IGNORED or item.name.startswith(_TEMPORARY):
            continue
        if item.is_dir(follow_symlinks=False):
            yield from _walk(folder / item.name, f"{prefix}{item.name}/")
        elif item.is_file():
            yield prefix + item.name, _stamp_of(item.stat())
        else:
            raise InvalidError(
                f"{item.path} is neither a file nor a folder of its own",
                hint="put the files themselves there instead of a link to a folder",
            )


def _stamp_of(status: os.stat_result) -> Stamp:
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ino)


def _ignore(_block: bytes) -> None:
    pass
