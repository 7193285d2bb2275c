"""From the store to the disk: a version is written beside its place, verified, and then takes it."""

import os
import shutil
import tempfile
from pathlib import Path

from petla.data.content.manifest import read_manifest
from petla.storage.files import reported
from petla.storage.objects import ObjectStore


def place(objects: ObjectStore, digest: str, target: Path) -> None:
    """Write a version to a path; what is there is replaced only once all of the version was verified.

    Raises:
        NotFoundError: the version or one of its files is not in the store.
        CorruptError: one of them is damaged; the target stays as it was.
        UnavailableError: the target cannot be written; it stays as it was.
    """
    manifest = read_manifest(objects, digest)
    with reported(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=".tmp-"))
        try:
            made = aside / "made"
            for entry in manifest.files:
                objects.copy_out(entry.object, made / entry.path)
            _take_place(made, target, aside)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _take_place(made: Path, target: Path, aside: Path) -> None:
    """A file takes the place of a file in one step; with folders the former one has to be moved away first."""
    if target.exists() and (made.is_dir() or target.is_dir()):
        former = aside / "former"
        target.rename(former)
        try:
            made.rename(target)
        except OSError:
            former.rename(target)
            raise
    else:
        os.replace(made, target)  # noqa: PTH105 - says that it replaces
