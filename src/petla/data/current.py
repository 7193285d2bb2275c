"""Which version of a dataset lies in the work tree, without a database.

A file is read again only when its size, its time, its inode or its mode has changed since it was last read.
"""

import contextlib
import time
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from petla.core.errors import ConflictError, CorruptError, NotFoundError, UnavailableError
from petla.core.project import DatasetTable
from petla.core.project.paths import resolve_inside
from petla.data.content.manifest import FileEntry, Manifest, encode_manifest, read_manifest
from petla.data.content.working_copy import Content, Stamps, list_stamps, read_content
from petla.data.dvc.identity import unix_md5_of
from petla.data.dvc.outs import locate_pointer
from petla.data.pointers import Pointer
from petla.storage.files import write_atomic
from petla.storage.objects import ObjectStore
from petla.storage.objects.intake import digest_files
from petla.storage.objects.naming import digest_content

T = TypeVar("T")

# A file changed this shortly before it was read may be changed again without its time showing it.
RACY_NS = 20_000_000

# untracked: there is data and no pointer
State = Literal["clean", "changed", "missing", "untracked"]


class Standing(msgspec.Struct, frozen=True):
    """How a working copy stands to its pointer."""

    state: State
    # of the version the pointer names; empty where there is no pointer, or it names no version known here
    digest: str
    pointer: Pointer | None


class _Seen(msgspec.Struct, frozen=True, array_like=True):
    """What was read the last time."""

    digest: str
    md5: str
    # a time of -1: changed so shortly before that it has to be read again
    stamps: Stamps
    # DVC 2's identity; empty: nobody has asked for it
    unix_md5: str = ""


def current_digest(root: Path, state: Path, dataset: DatasetTable, name: str) -> str:
    """Return the digest of the version that the pointer names and that the work tree holds.

    Raises:
        ConflictError: there is no pointer, the working copy is not what the pointer says, or the version was never
            added here.
        NotFoundError: there is neither a pointer nor data.
    """
    standing = inspect(root, state, dataset, name)
    path = dataset.path
    match standing.state:
        case "untracked":
            raise ConflictError(f"dataset {name} ({path}) has no version yet", hint=f"petla data add {path}")
        case "missing" if standing.pointer is None:
            raise NotFoundError(f"dataset {name}: there is no {path}", hint=f"put it there, then petla data add {path}")
        case "missing":
            raise ConflictError(f"dataset {name}: {path} is not there", hint=f"petla data checkout {name}")
        case "changed":
            raise ConflictError(
                f"dataset {name}: {path} is not the version that its pointer names",
                hint=f"keep the change with 'petla data add {path}', or undo it with 'petla data checkout {name}'",
            )
    if not standing.digest or standing.digest not in ObjectStore(state / "objects"):
        raise ConflictError(
            f"dataset {name}: the version in {path} is not in this project's store", hint=f"petla data add {path}"
        )
    return standing.digest


def inspect(root: Path, state: Path, dataset: DatasetTable, name: str) -> Standing:
    """Compare a dataset's working copy with its pointer.

    Raises:
        InvalidError: the pointer cannot be understood, the folder holds something that cannot be versioned, or a
            symbolic link leads the path outside the project.
    """
    path = resolve_inside(root, dataset.path)
    pointer = locate_pointer(root, dataset.path)
    try:
        stamps = list_stamps(path)
    except NotFoundError:
        return Standing("missing", pointer.digest if pointer else "", pointer)
    if pointer is None:
        return Standing("untracked", "", None)
    seen = _find_seen(state, name)
    if seen is None or seen.stamps != stamps:
        content = read_content(path, digest_files, list_known(state, name))
        remember(state, name, content)
        seen = _see(content)
    if pointer.digest:
        return Standing("clean" if pointer.digest == seen.digest else "changed", pointer.digest, pointer)
    is_same = pointer.md5 == seen.md5 or (
        pointer.is_unix_md5 and pointer.md5 == _find_unix_md5(state, name, path, seen)
    )
    return Standing("clean" if is_same else "changed", seen.digest if is_same else "", pointer)


def remember(state: Path, name: str, content: Content) -> None:
    """Note what was read, so that nothing is read again until it changes."""
    seen = _see(content)
    seen = msgspec.structs.replace(seen, stamps=seen.stamps.without_times_since(content.begun_ns - RACY_NS))
    # What cannot be noted is read again the next time; a state folder that may not be written is no reason to fail
    # here.
    with contextlib.suppress(UnavailableError):
        write_atomic(_seen_path(state, name), msgspec.msgpack.encode(seen))


def remember_placed(state: Path, name: str, path: Path, manifest: Manifest) -> None:
    """Note what was just written to a path, so that it is not read again."""
    # What lies there now was written longer ago than a change can hide.
    time.sleep(1.5 * RACY_NS / 1e9)
    remember(state, name, Content(manifest, list_stamps(path), time.time_ns()))


def list_known(state: Path, name: str) -> dict[str, tuple[tuple[int, ...], FileEntry]]:
    """Return what was read the last time, and is in the store: path -> numbers and entry."""
    seen = _find_seen(state, name)
    if seen is None:
        return {}
    try:
        manifest = read_manifest(ObjectStore(state / "objects"), seen.digest)
    except (NotFoundError, CorruptError):
        return {}
    numbers = seen.stamps.by_path()
    return {entry.path: (numbers[entry.path], entry) for entry in manifest.files if entry.path in numbers}


def note_number(state: Path, name: str, digest: str, number: int) -> None:
    """Note a version's number, so that the status need not ask the database."""
    numbers = _list_numbers(state, name)
    if numbers.get(digest) != number:
        with contextlib.suppress(UnavailableError):
            write_atomic(_numbers_path(state, name), msgspec.msgpack.encode(numbers | {digest: number}))


def find_number(state: Path, name: str, digest: str) -> int | None:
    """Return a version's number, if it was noted."""
    return _list_numbers(state, name).get(digest)


def note_unix(state: Path, name: str, md5: str, digest: str) -> None:
    """Note which version DVC 2's identity is of."""
    with contextlib.suppress(UnavailableError):
        known = _read_cache(_unix_path(state, name), dict[str, str]) or {}
        write_atomic(_unix_path(state, name), msgspec.msgpack.encode(known | {md5: digest}))


def find_unix(state: Path, name: str, md5: str) -> str | None:
    """Return the digest of the version that DVC 2's identity is of, if it was noted."""
    return (_read_cache(_unix_path(state, name), dict[str, str]) or {}).get(md5)


def digest_of(manifest: Manifest) -> str:
    """Return the digest that a manifest has as an object."""
    return digest_content(encode_manifest(manifest))


def read_digest(path: Path) -> str:
    """Return the digest that a file or folder would have as a version."""
    return digest_of(read_content(path, digest_files).manifest)


def find_stamps(state: Path, name: str) -> Stamps | None:
    """Return what the file system said of a dataset's files when they were last read."""
    seen = _find_seen(state, name)
    return seen.stamps if seen else None


def _see(content: Content) -> _Seen:
    return _Seen(digest_of(content.manifest), content.manifest.md5, content.stamps)


def _find_unix_md5(state: Path, name: str, path: Path, seen: _Seen) -> str:
    """Return DVC 2's identity of what lies at a path, which is read again for it once."""
    if not seen.unix_md5:
        seen = msgspec.structs.replace(seen, unix_md5=unix_md5_of(path, seen.stamps.paths))
        with contextlib.suppress(UnavailableError):
            write_atomic(_seen_path(state, name), msgspec.msgpack.encode(seen))
    return seen.unix_md5


def _find_seen(state: Path, name: str) -> _Seen | None:
    return _read_cache(_seen_path(state, name), _Seen)


def _list_numbers(state: Path, name: str) -> dict[str, int]:
    return _read_cache(_numbers_path(state, name), dict[str, int]) or {}


def _read_cache(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _seen_path(state: Path, name: str) -> Path:
    return state / "cache" / "data" / f"{name}.stamps"


def _numbers_path(state: Path, name: str) -> Path:
    return state / "cache" / "data" / f"{name}.numbers"


def _unix_path(state: Path, name: str) -> Path:
    return state / "cache" / "data" / f"{name}.unix"
