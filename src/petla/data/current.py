"""Which version of a dataset lies in the work tree, without a database.

A file is read again only when its size, its time or its inode has changed since it was last found to be what the
pointer says.
"""

import contextlib
from pathlib import Path
from typing import Literal

import msgspec

from petla.core.digests import digest_bytes
from petla.core.errors import ConflictError, NotFoundError, UnavailableError
from petla.core.project import DatasetTable
from petla.data.content.manifest import Manifest, encode_manifest
from petla.data.content.working_copy import Content, Stamp, hash_file, list_stamps, read_content
from petla.data.pointers import Pointer, find_pointer, pointer_path
from petla.storage.files import write_atomic
from petla.storage.objects import ObjectStore

# A file changed this shortly before it was read may be changed again without its time showing it.
_RACY_NS = 20_000_000

# untracked: there is data and no pointer
State = Literal["clean", "changed", "missing", "untracked"]


class Standing(msgspec.Struct, frozen=True):
    """How a working copy stands to its pointer."""

    state: State
    # of the version the pointer names; empty where there is no pointer, or it names no version known here
    digest: str
    pointer: Pointer | None


class _Seen(msgspec.Struct, frozen=True):
    """What was read the last time."""

    digest: str
    md5: str
    stamps: dict[str, Stamp]


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
        InvalidError: the pointer cannot be understood, or the folder holds something that cannot be versioned.
    """
    path = root / dataset.path
    pointer = find_pointer(pointer_path(path))
    try:
        stamps = list_stamps(path)
    except NotFoundError:
        return Standing("missing", pointer.digest if pointer else "", pointer)
    if pointer is None:
        return Standing("untracked", "", None)
    seen = _find_seen(state, name)
    if seen is None or seen.stamps != stamps:
        seen = _read(state, name, path, with_md5=not pointer.digest)
    if pointer.digest:
        return Standing("clean" if pointer.digest == seen.digest else "changed", pointer.digest, pointer)
    if not seen.md5:
        seen = _read(state, name, path, with_md5=True)
    is_same = bool(pointer.md5) and pointer.md5 == seen.md5
    return Standing("clean" if is_same else "changed", seen.digest if is_same else "", pointer)


def remember(state: Path, name: str, content: Content) -> None:
    """Note what was read, so that nothing is read again until it changes."""
    limit_ns = content.begun_ns - _RACY_NS
    stamps = {path: stamp for path, stamp in content.stamps.items() if stamp.mtime_ns < limit_ns}
    seen = _Seen(digest_of(content.manifest), content.md5, stamps)
    # What cannot be noted is read again the next time; a state folder that may not be written is no reason to fail
    # here.
    with contextlib.suppress(UnavailableError):
        write_atomic(_seen_path(state, name), msgspec.json.encode(seen))


def digest_of(manifest: Manifest) -> str:
    """Return the digest that a manifest has as an object."""
    return digest_bytes(encode_manifest(manifest))


def read_digest(path: Path) -> str:
    """Return the digest that a file or folder would have as a version."""
    return digest_of(read_content(path, hash_file, with_md5=False).manifest)


def _read(state: Path, name: str, path: Path, *, with_md5: bool) -> _Seen:
    content = read_content(path, hash_file, with_md5=with_md5)
    remember(state, name, content)
    return _Seen(digest_of(content.manifest), content.md5, content.stamps)


def _find_seen(state: Path, name: str) -> _Seen | None:
    try:
        return msgspec.json.decode(_seen_path(state, name).read_bytes(), type=_Seen)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _seen_path(state: Path, name: str) -> Path:
    return state / "cache" / "data" / f"{name}.json"
