"""The working copy: the dataset's file or folder as it lies in the work tree.

Light: nothing here needs a table library or a database.
"""

import os
import stat
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import msgspec

from petla.core.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from petla.data.content.manifest import FILE_MODE, PROGRAM_MODE, FileEntry, Manifest
from petla.storage.objects.naming import Stored
from petla.storage.objects.sources import Source, numbers_of

# what DVC leaves out of every folder as well, and what a write that died has left behind
_IGNORED = frozenset({".git", ".hg", ".dvc"})
_TEMPORARY = ".tmp-"
# the bits of a mode that say what it is
_KIND = stat.S_IFMT(0xFFFF)
# numbers of a file in `Stamps`
_WIDTH = 4


class Stamps(msgspec.Struct, frozen=True, array_like=True):
    """What the file system says of all files of a dataset; it changes when a file does.

    Flat lists, since there may be many files and this is read whenever somebody asks for the status.
    """

    # in order; '' where the dataset is one file
    paths: list[str]
    # four for each path, as 64 bits each: size, mtime in ns, inode, mode
    numbers: bytes
    # folders with nothing in them, in order
    folders: list[str]

    def by_path(self) -> dict[str, tuple[int, ...]]:
        """Return the numbers of each path."""
        groups = zip(*[iter(array("q", self.numbers))] * _WIDTH, strict=True)
        return dict(zip(self.paths, groups, strict=True))

    def without_times_since(self, limit_ns: int) -> "Stamps":
        """Return the same, but with no time for what was changed since: it never equals what lies there."""
        numbers = array("q", self.numbers)
        for place in range(1, len(numbers), _WIDTH):
            if numbers[place] >= limit_ns:
                numbers[place] = -1
        return msgspec.structs.replace(self, numbers=numbers.tobytes())


class Content(msgspec.Struct, frozen=True):
    """What a working copy was found to hold."""

    manifest: Manifest
    # from before the files were read
    stamps: Stamps
    # when reading began, by the clock that file times come from
    begun_ns: int


# Reads files and says what each is, in their order.
ReadFiles = Callable[[Sequence[Source]], Iterator[Stored]]


def list_stamps(path: Path) -> Stamps:
    """Return the stamps of a dataset.

    Raises:
        NotFoundError: there is nothing at the path, or a folder without a file.
        InvalidError: a folder holds something that is neither file nor folder.
    """
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise NotFoundError(
            f"there is no {path}", hint="bring it back with 'petla data checkout', or correct the path"
        ) from error
    if stat.S_ISREG(status.st_mode):
        return Stamps([""], array("q", numbers_of(status)).tobytes(), [])
    if not stat.S_ISDIR(status.st_mode):
        raise InvalidError(f"{path} is neither a file nor a folder", hint="put the data themselves there")
    found: dict[str, tuple[int, ...]] = {}
    folders: list[str] = []
    _walk(str(path), "", found, folders)
    if not found:
        raise NotFoundError(
            f"folder {path} holds no file", hint="put the data there, or bring them back with 'petla data checkout'"
        )
    paths = sorted(found)
    numbers = array("q", chain.from_iterable(map(found.__getitem__, paths)))
    return Stamps(paths, numbers.tobytes(), sorted(folders))


def read_content(
    path: Path, read_files: ReadFiles, known: Mapping[str, tuple[tuple[int, ...], FileEntry]] | None = None
) -> Content:
    """Read all files of a dataset once.

    Args:
        path: file or folder.
        read_files: reads files.
        known: path -> numbers and entry of what was read before; it is not read again while the numbers are the same.

    Raises:
        NotFoundError, InvalidError: as `list_stamps`.
        ConflictError: a file was changed while it was read.
        UnavailableError: a file may not be read, or cannot be kept.
    """
    begun_ns = time.time_ns()
    stamps = list_stamps(path)
    by_path = stamps.by_path()
    entries = {
        relative: former[1]
        for relative, numbers in by_path.items()
        if known and (former := known.get(relative)) is not None and former[0] == numbers
    }
    fresh = [relative for relative in stamps.paths if relative not in entries]
    start = f"{path}/" if stamps.paths != [""] else str(path)
    sources = [Source(f"{start}{relative}", by_path[relative]) for relative in fresh]
    for relative, stored in zip(fresh, _reading(read_files, sources), strict=True):
        mode = PROGRAM_MODE if by_path[relative][3] & stat.S_IXUSR else FILE_MODE
        entries[relative] = FileEntry(relative, stored.size, stored.digest, stored.md5, mode)
    files = tuple(entries[relative] for relative in stamps.paths)
    try:
        manifest = Manifest("file" if stamps.paths == [""] else "folder", files, tuple(stamps.folders))
    except ValueError as error:
        raise InvalidError(
            f"{path} {error}: on another system that is another place", hint="rename the file"
        ) from error
    return Content(manifest, stamps, begun_ns)


def _reading(read_files: ReadFiles, sources: Sequence[Source]) -> Iterator[Stored]:
    try:
        yield from read_files(sources)
    except FileNotFoundError as error:
        raise ConflictError(
            f"{error.filename} was removed while it was read", hint="try again when it is complete"
        ) from error


def _walk(folder: str, prefix: str, found: dict[str, tuple[int, ...]], folders: list[str]) -> None:
    # NOTE: people wait for this loop; a call less for each file is felt.
    n_before = len(found) + len(folders)
    try:
        with os.scandir(folder) as items:
            for item in items:
                name = item.name
                if name in _IGNORED or name.startswith(_TEMPORARY):
                    continue
                if item.is_dir(follow_symlinks=False):
                    _walk(item.path, f"{prefix}{name}/", found, folders)
                    continue
                status = item.stat()
                if status.st_mode & _KIND != stat.S_IFREG or not name.isascii():
                    _refuse_odd(item.path, status.st_mode)
                found[prefix + name] = (status.st_size, status.st_mtime_ns, status.st_ino, status.st_mode)
    except FileNotFoundError as error:
        raise InvalidError(
            f"{error.filename} is a link to nothing, or was removed while it was read",
            hint="remove it, or try again",
        ) from error
    except OSError as error:
        raise UnavailableError(
            f"cannot read folder {folder}: {error.strerror}", hint="give yourself the right to read it"
        ) from error
    if prefix and len(found) + len(folders) == n_before:
        folders.append(prefix[:-1])


def _refuse_odd(path: str, mode: int) -> None:
    if mode & _KIND != stat.S_IFREG:
        raise InvalidError(
            f"{path} is neither a file nor a folder of its own",
            hint="put the files themselves there instead of a link to a folder",
        )
    try:
        path.encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise InvalidError(f"the name of {shown} is not UTF-8", hint="rename the file") from error
