"""The manifest of a dataset version: its files, each with its size and its object.

The manifest is an object itself; its digest is the digest of the version.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Literal

import msgspec

from petla.core.digests import canonical_json
from petla.core.errors import CorruptError
from petla.storage.objects import ObjectStore


class FileEntry(msgspec.Struct, frozen=True):
    """One file of a dataset version."""

    # relative to the folder, with forward slashes; empty where the dataset is a file
    path: str
    size: int
    # digest of its bytes
    object: str


class Manifest(msgspec.Struct, frozen=True):
    """All files of a dataset version, in the order of their paths."""

    kind: Literal["file", "folder"]
    files: tuple[FileEntry, ...]

    @property
    def size_bytes(self) -> int:
        """Size of all files together."""
        return sum(entry.size for entry in self.files)


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


def list_md5(md5s: Mapping[str, str]) -> str:
    """Return DVC's identity of a folder: the md5 of its listing, ending in `.dir`.

    Args:
        md5s: path relative to the folder -> md5 of the file.

    Source: dvc-data 3.18, `hashfile/tree.py`, `Tree.as_bytes`.

    Example:
        >>> list_md5({"b/c.txt": "acbd18db4cc2f85cedef654fccc4a4d8", "a.txt": "37b51d194a7513e45b56f6524f2d51f2"})
        '677077a6e2ff538fec07fb2a751d03e4.dir'
    """
    listing = [{"md5": md5, "relpath": path} for path, md5 in sorted(md5s.items())]
    return hashlib.md5(json.dumps(listing).encode(), usedforsecurity=False).hexdigest() + ".dir"
