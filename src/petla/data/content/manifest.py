"""The manifest of a dataset version: its files, each with its size, its object and DVC's name for the same bytes.

The manifest is an object itself; its name is the digest of the version.
"""

import json
from collections.abc import Mapping
from typing import Literal

import msgspec

from petla.core.digests import canonical_json
from petla.core.errors import CorruptError, NotFoundError
from petla.storage.objects import ObjectStore
from petla.storage.objects.naming import md5_of


class FileEntry(msgspec.Struct, frozen=True):
    """One file of a dataset version."""

    # relative to the folder, with forward slashes; empty where the dataset is a file
    path: str
    size: int
    # digest of its bytes
    object: str
    # DVC's name for the same bytes
    md5: str
    # 0o644, or 0o755 for a program
    mode: int = 0o644


class Manifest(msgspec.Struct, frozen=True):
    """All files of a dataset version, in the order of their paths."""

    kind: Literal["file", "folder"]
    files: tuple[FileEntry, ...]
    # folders with nothing in them, in order; DVC does not know of them
    folders: tuple[str, ...] = ()

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
    try:
        return msgspec.json.decode(objects.get_bytes(digest), type=Manifest)
    except msgspec.DecodeError as error:
        raise CorruptError(f"object {digest} is no dataset version: {error}", hint="use another digest") from error


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
