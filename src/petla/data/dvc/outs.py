"""What DVC's own files say lies at a path: outs of `.dvc` files of other names, and of the stages of `dvc.lock`."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from petla.core.errors import InvalidError
from petla.core.project.paths import RelativePath, check_place
from petla.data.pointers import Pointer, decode_pointer, find_pointer, load_yaml, pointer_of_out, pointer_path

LOCK, PIPELINE = "dvc.lock", "dvc.yaml"
_NOT_SEARCHED = frozenset({".git", ".dvc", ".petla", ".venv", "node_modules"})

# Returns the content of a file by its path below the project, or None.
Read = Callable[[str], bytes | None]


def locate_pointer(root: Path, place: str) -> Pointer | None:
    """Return what points to a path in the work tree: the pointer beside it, else what else DVC says; None: nothing.

    Raises:
        InvalidError: a file of DVC cannot be understood.
    """
    beside = find_pointer(pointer_path(root / place))
    return beside or find_out(place, reader_of(root), lister_of(root))


def find_out(place: str, read: Read, pointers: Callable[[str], list[str]]) -> Pointer | None:
    """Return what DVC says lies at a path, where no pointer of that name lies beside it; None: nothing.

    Args:
        place: path below the project.
        read: reads DVC's files, of the work tree or of a commit.
        pointers: lists the `.dvc` files of a folder below the project.
    """
    for folder in PurePosixPath(place).parents:
        prefix = "" if str(folder) == "." else f"{folder}/"
        for name in (f"{prefix}{LOCK}", *pointers(str(folder))):
            for found, pointer in _list_outs_of(name, read):
                if found == place:
                    return pointer
    return None


def list_outs(root: Path) -> dict[str, Pointer]:
    """Return every path of which DVC's files in a project say what lies there."""
    found: dict[str, Pointer] = {}
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _NOT_SEARCHED)
        below = Path(folder).relative_to(root).as_posix()
        prefix = "" if below == "." else f"{below}/"
        for name in sorted(files):
            if name == LOCK or (name.endswith(".dvc") and name != ".dvc"):
                found.update(_list_outs_of(f"{prefix}{name}", reader_of(root)))
    return found


def reader_of(root: Path) -> Read:
    """Return what reads DVC's files in the work tree."""

    def read(path: str) -> bytes | None:
        try:
            return (root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    return read


def lister_of(root: Path) -> Callable[[str], list[str]]:
    """Return what lists the `.dvc` files of a folder in the work tree."""

    def list_pointers(folder: str) -> list[str]:
        files = sorted((root / folder).glob("*.dvc"))
        return [path.relative_to(root).as_posix() for path in files if path.is_file()]

    return list_pointers


def read_pointers(content: bytes, name: str) -> list[Pointer]:
    """Return what a `.dvc` file or a `dvc.lock` points to, wherever that lies.

    Raises:
        InvalidError: it cannot be understood.
    """
    if name != LOCK:
        beside = decode_pointer(content, Path(name))
        rest = _outs_of(_load(content, name), name)
        return [beside, *(pointer for _, pointer in rest if pointer.md5 != beside.md5)]
    stages = (_load(content, name).get("stages") or {}).values()
    return [pointer for locked in stages for _, pointer in _outs_of(locked, name)]


def _list_outs_of(name: str, read: Read) -> Iterator[tuple[RelativePath, Pointer]]:
    content = read(name)
    if content is None:
        return
    folder = PurePosixPath(name).parent
    document = _load(content, name)
    if PurePosixPath(name).name != LOCK:
        yield from _locate(_outs_of(document, name), folder / str(document.get("wdir", ".")), name)
        return
    pipeline = _load(read(str(folder / PIPELINE)) or b"{}", str(folder / PIPELINE))
    for stage, locked in (document.get("stages") or {}).items():
        defined = (pipeline.get("stages") or {}).get(stage.partition("@")[0]) or {}
        place = defined.get("wdir") or (defined.get("do") or {}).get("wdir") or "."
        yield from _locate(_outs_of(locked, name), folder / str(place), name)


def _locate(
    outs: Iterator[tuple[str, Pointer]], folder: PurePosixPath, name: str
) -> Iterator[tuple[RelativePath, Pointer]]:
    """Yield outs by their places below the project.

    Raises:
        InvalidError: one lies outside the project.
    """
    for path, pointer in outs:
        try:
            yield check_place(os.path.normpath(folder / path)), pointer
        except ValueError as error:
            raise InvalidError(
                f"{name}: the output {path} {error}", hint=f"take it out of {name}, or move it into the project"
            ) from error


def _outs_of(document: dict[str, Any], name: str) -> Iterator[tuple[str, Pointer]]:
    for out in document.get("outs") or ():
        # what DVC keeps nothing of has no md5
        if isinstance(out, dict) and "md5" in out and "://" not in str(out.get("path", "")):
            try:
                yield str(out["path"]), pointer_of_out(out)
            except (ValueError, TypeError, KeyError) as error:
                raise InvalidError(
                    f"{name} has an output that cannot be read: {error}", hint="correct it, or see 'dvc status'"
                ) from error


def _load(content: bytes, name: str) -> dict[str, Any]:
    try:
        document = load_yaml(content)
    except ValueError as error:
        raise InvalidError(f"{name} is no file of DVC: {error}", hint="correct it, or see 'dvc status'") from error
    return document if isinstance(document, dict) else {}
