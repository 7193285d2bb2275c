"""The manifest of a dataset version: its files, each with its size, its object and DVC's name for the same bytes.

The manifest is an object itself; its name is the digest of the version.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from petla.core.digests import Digest, Md5, canonical_json
from petla.core.errors import CorruptError, NotFoundError
from petla.core.project.paths import check_tree
from petla.storage.objects import ObjectStore
from petla.storage.objects.naming import md5_of

FILE_MODE, PROGRAM_MODE = 0o644, 0o755


class FileEntry(msgspec.Struct, frozen=True):
    """One file of a dataset version."""

    # relative to the folder, with forward slashes; empty where the dataset is a file
    path: str
    size: Annotated[int, Meta(ge=0)]
    # digest of its bytes
    object: Digest
    # DVC's name for the same bytes
    md5: Md5
    # 0o644, or 0o755 for a program
    mode: int = FILE_MODE


class Manifest(msgspec.Struct, frozen=True):
    """All files of a dataset version, in the order of their paths."""

    kind: Literal["file", "folder"]
    files: tuple[FileEntry, ...]
    # folders with nothing in them, in order; DVC does not know of them
    folders: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse paths that lead out of the folder, come twice, or are a file and a folder."""
        if self.kind == "folder":
            check_tree([entry.path for entry in self.files], self.folders)
        elif self.folders or len(self.files) > 1 or any(entry.path for entry in self.files):
            raise ValueError("is of a file and holds something else")

    @property
    def size_bytes(self) -> int:
        """Size of all files together."""
        return sum(entry.size for entry in self.files)

    @property
    def md5(self) -> str:
        """DVC's identity: of the file, or of the listing with `.dir`."""
        return self.files[0].md5 if self.kind == "file" else list_md5({entry.path: entry.md5 for entry in self.files})

    def find(self, path: str) -> FileEntry | None:
        """Return a file, or None."""
        return next((entry for entry in self.files if entry.path == path), None)


def encode_manifest(manifest: Manifest) -> bytes:
    """Write a manifest so that the same files give the same bytes."""
    return canonical_json(manifest)


def read_manifest(objects: ObjectStore, digest: str) -> Manifest:
    """Read a manifest from the store.

    Raises:
        NotFoundError: there is no such object.
        CorruptError: its bytes do not match its name, or it is no manifest.
    """
    return decode_manifest(objects.get_bytes(digest), f"object {digest}")


def decode_manifest(content: bytes, what: str) -> Manifest:
    """Read a manifest, whoever wrote it: each path names a place in the folder, and modes are those of data.

    Args:
        content: the manifest.
        what: it is, for people.

    Raises:
        CorruptError: it is no manifest, or names a place outside its folder.
    """
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
        if manifest.kind == "file" and not manifest.files:
            raise msgspec.ValidationError("it is of a file and holds none")
    except msgspec.DecodeError as error:
        raise CorruptError(f"{what} is no dataset version: {error}", hint="use another digest") from error
    if all(entry.mode in (FILE_MODE, PROGRAM_MODE) for entry in manifest.files):
        return manifest
    return msgspec.structs.replace(manifest, files=tuple(_with_usual_mode(entry) for entry in manifest.files))


def select(manifest: Manifest, path: str | None) -> list[FileEntry]:
    """Return a manifest's files, or those at or below a path.

    Raises:
        NotFoundError: there is none.
    """
    if path is None:
        return list(manifest.files)
    wanted = path.strip("/")
    found = [entry for entry in manifest.files if entry.path == wanted or entry.path.startswith(f"{wanted}/")]
    if not found:
        raise NotFoundError(f"the version has no {path!r}", hint="give a path relative to the dataset's folder")
    return found


def _with_usual_mode(entry: FileEntry) -> FileEntry:
    mode = PROGRAM_MODE if entry.mode & 0o100 else FILE_MODE
    return msgspec.structs.replace(entry, mode=mode)


def encode_listing(md5s: Mapping[str, str]) -> bytes:
    """Write the listing that DVC keeps for a folder.

    Args:
        md5s: path relative to the folder -> md5 of the file.

    Source: dvc-data 3.18, `hashfile/tree.py`, `Tree.as_bytes`.
    """
    return json.dumps([{"md5": md5, "relpath": path} for path, md5 in sorted(md5s.items())]).encode()


def list_md5(md5s: Mapping[str, str]) -> str:
    """Return DVC's identity of a folder: the md5 of its listing, ending in `.dir`.

    Example:
        >>> list_md5({"b/c.txt": "acbd18db4cc2f85cedef654fccc4a4d8", "a.txt": "37b51d194a7513e45b56f6524f2d51f2"})
        '677077a6e2ff538fec07fb2a751d03e4.dir'
    """
    return f"{md5_of(encode_listing(md5s)).hexdigest()}.dir"
