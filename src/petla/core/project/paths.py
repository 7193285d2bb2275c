"""Paths that come from elsewhere: a repository, a remote, a pointer, a manifest, the project file.

A path is checked where it is decoded, so that an unchecked one cannot exist:

- It is relative, and no part of it is empty, `.` or `..`.
- It holds no NUL. Read with the separator of Windows, it names no other place: no `..` between backslashes, no drive,
  no backslash in front.
- No part of it is `.git`, `.hg` or `.dvc`, which are never data. A dataset's own path is not in `.petla` either.

Symbolic links are looked at where the path is used: `resolve_inside` refuses a path that a link leads outside.
"""

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NewType

from petla.core.errors import InvalidError

# A relative path with forward slashes that names a place below the folder that it is relative to.
RelativePath = NewType("RelativePath", str)

# what the kernel takes, including the NUL at the end
_LONGEST = 4096
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")
_RESERVED = frozenset({".git", ".hg", ".dvc"})
_STATE = ".petla"


def check_relative(path: str) -> RelativePath:
    """Return a path that names a place below its folder.

    Raises:
        ValueError: it does not, or it is not written in the shortest way.

    Example:
        >>> check_relative("data/rows.csv")
        'data/rows.csv'
    """
    if reason := _find_reason(path):
        raise ValueError(f"has the path {_show(path)}, which {reason}")
    return RelativePath(path)


def check_place(path: str) -> RelativePath:
    """Return a path below the project, as a person may write it: `./data/` is `data`.

    Raises:
        ValueError: it leads outside the project, is the project itself, or lies in `.petla`.
    """
    if path.startswith("/"):
        raise ValueError(f"has the path {_show(path)}, which is absolute, but must lie in the project")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    checked = check_relative("/".join(parts))
    if parts[0].casefold() == _STATE:
        raise ValueError(f"has the path {_show(path)}, which lies in {_STATE}, the state of the project")
    return checked


def check_tree(files: Collection[str], folders: Collection[str] = ()) -> None:
    """Check the paths of a folder: each names a place in it, none comes twice, and no file is a folder as well.

    Raises:
        ValueError: one of them does not; the message names it.
    """
    everything = [*files, *folders]
    if not _are_plain(everything):
        for path in everything:
            check_relative(path)
    names = set(files)
    if len(names) != len(files):
        raise ValueError("names a file twice")
    if clash := next(iter(names & (_list_parents(everything) | set(folders))), None):
        raise ValueError(f"has the path {_show(clash)} as a file and as a folder")


def resolve_inside(root: Path, path: str) -> Path:
    """Return where a path of the project lies on the disk, for reading or for replacing it as a whole.

    The last part of it may be a link; what lies above it has to lie in the project.

    Args:
        root: the project's folder.
        path: relative to it.

    Raises:
        InvalidError: it leads outside the project, by itself or by a symbolic link.
    """
    try:
        place = root / check_place(path)
    except ValueError as error:
        raise InvalidError(f"the project {error}", hint="name a path in the project", field="path") from error
    _require_inside(root, place.parent, path)
    return place


def resolve_writable(root: Path, path: str) -> Path:
    """Return where a path of the project lies on the disk, for writing below it.

    Raises:
        InvalidError: as `resolve_inside`, or it is itself a link to a folder outside the project.
    """
    place = resolve_inside(root, path)
    if place.is_symlink() and place.is_dir():
        _require_inside(root, place, path)
    return place


def _require_inside(root: Path, folder: Path, path: str) -> None:
    home, real = root.resolve(), folder.resolve()
    if real == home:
        return
    if not real.is_relative_to(home):
        raise InvalidError(
            f"{path} leads outside the project {root}: {folder} is, or lies below, a symbolic link to {real}",
            hint="remove the link; 'git log' shows who added it if Git tracks it",
            field="path",
        )
    try:
        check_place(real.relative_to(home).as_posix())
    except ValueError as error:
        raise InvalidError(
            f"{path} is a symbolic link to a place that {error}", hint="remove the link", field="path"
        ) from error


def _are_plain(paths: Collection[str]) -> bool:
    """Whether all paths are good at the first look: there may be a million of them."""
    if not paths:
        return True
    joined = f"/{'/'.join(paths)}/"
    folded = joined.casefold()
    is_odd = any(part in joined for part in ("//", "/./", "/../", "\0", "\\", ":/"))
    is_reserved = any(f"/{name}/" in folded for name in _RESERVED)
    return not is_odd and not is_reserved and max(map(len, paths)) <= _LONGEST


def _find_reason(path: str) -> str:
    """Say why a path is refused; empty: it is good."""
    parts, windows = path.split("/"), re.split(r"[/\\]", path)
    if path.startswith(("/", "\\")) or _DRIVE.match(path):
        return "is absolute"
    if "\0" in path:
        return "holds a NUL"
    if ".." in windows:
        return "leads upwards by '..'"
    if "" in parts or "." in windows:
        return "has an empty part"
    if reserved := next((part for part in windows if part.casefold() in _RESERVED), ""):
        return f"lies in {reserved}, which is never data"
    return f"is longer than {_LONGEST} characters" if len(path) > _LONGEST else ""


def _list_parents(paths: Iterable[str]) -> set[str]:
    found = {path.rpartition("/")[0] for path in paths}
    fresh = found
    while fresh:
        fresh = {path.rpartition("/")[0] for path in fresh} - found
        found |= fresh
    return found - {""}


def _show(path: str) -> str:
    return repr(path if len(path) <= 100 else f"{path[:100]}…")
