"""From the store to the disk: what differs is written beside its place, verified, and then takes it.

Whatever fails on the way leaves the work tree as it was. Whoever is killed while the files take their places leaves
some of them in the former state and some in the wanted one, each of them whole; doing it again completes it.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from petla.core.errors import ConflictError, NotFoundError
from petla.core.progress import SILENT, Progress
from petla.data.content.linking import Link, bring
from petla.data.content.manifest import FileEntry, Manifest
from petla.storage.files import reported
from petla.storage.objects import ObjectStore

# creating a file takes the kernel far longer than filling it
_THREADS = 4


def place(
    objects: ObjectStore,
    manifest: Manifest,
    target: Path,
    *,
    present: Mapping[str, FileEntry] | None = None,
    link: Link = "copy",
    progress: Progress = SILENT,
) -> None:
    """Make a path hold a version.

    Args:
        objects: where the files come from.
        manifest: of the version.
        target: where it goes; what is there and not in the version is removed.
        present: what is known to lie there, by path; it is not written again.
        link: how files come there.
        progress: is told of the bytes that were written.

    Raises:
        NotFoundError: one of the files is not in the store.
        CorruptError: one of them is damaged; the target stays as it was.
        ConflictError: the file system takes two names for one.
        UnavailableError: the target cannot be written; it stays as it was.
    """
    if not target.is_dir() or manifest.kind == "file":
        present = None
    kept = present or {}
    wanted = [entry for entry in manifest.files if not _is_same(kept.get(entry.path), entry)]
    progress.begin("checking out", sum(entry.size for entry in wanted))
    with _aside(target) as aside:
        made = aside / "made"
        _write(objects, wanted, made, manifest.folders if present is None else (), link, progress)
        if present is None:
            _take_place(made, target, aside)
        else:
            _take_places(manifest, wanted, made, target)


def _is_same(present: FileEntry | None, wanted: FileEntry) -> bool:
    return present is not None and (present.object, present.mode) == (wanted.object, wanted.mode)


@contextlib.contextmanager
def _aside(target: Path) -> Iterator[Path]:
    with reported(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=".tmp-"))
        try:
            yield aside
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _write(
    objects: ObjectStore,
    wanted: list[FileEntry],
    made: Path,
    folders: tuple[str, ...],
    link: Link,
    progress: Progress,
) -> None:
    if missing := [entry for entry in wanted if entry.object not in objects]:
        raise NotFoundError(
            f"{missing[0].path or 'the file'} and {len(missing) - 1} more are not in the store"
            if len(missing) > 1
            else f"object {missing[0].object} of {missing[0].path or 'the file'} is not in the store",
            hint="petla data pull, or petla data checkout --version",
        )
    parents = {os.path.dirname(entry.path) for entry in wanted if entry.path}  # noqa: PTH120 - many
    for folder in sorted(parents | set(folders)):
        (made / folder).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="checkout") as pool:
        futures = [pool.submit(_write_one, objects, entry, made, link, progress) for entry in wanted]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()


def _write_one(objects: ObjectStore, entry: FileEntry, made: Path, link: Link, progress: Progress) -> None:
    place = made / entry.path if entry.path else made
    if entry.path and os.path.lexists(place):
        raise ConflictError(
            f"this file system takes {entry.path} for another name of the same version",
            hint="check it out on a file system that tells capital letters from small ones",
        )
    bring(objects, entry, place, link)
    progress.advance(entry.size)


def _take_place(made: Path, target: Path, aside: Path) -> None:
    """A file takes the place of a file in one step; with folders the former one has to be moved away first."""
    if os.path.lexists(target) and (made.is_dir() or target.is_dir()):
        former = aside / "former"
        target.rename(former)
        try:
            made.rename(target)
        except OSError:
            former.rename(target)
            raise
    else:
        os.replace(made, target)  # noqa: PTH105 - says that it replaces


def _take_places(manifest: Manifest, wanted: list[FileEntry], made: Path, target: Path) -> None:
    _remove_others(manifest, target)
    for folder in {os.path.dirname(entry.path) for entry in wanted} | set(manifest.folders):  # noqa: PTH120 - many
        (target / folder).mkdir(parents=True, exist_ok=True)
    for entry in wanted:
        os.replace(made / entry.path, target / entry.path)  # noqa: PTH105 - says that it replaces


def _remove_others(manifest: Manifest, target: Path) -> None:
    """Remove what is not in the version, and folders that nothing is left in."""
    paths = {entry.path for entry in manifest.files}
    stay = set(manifest.folders)
    for path in [*paths, *manifest.folders]:
        parent = os.path.dirname(path)  # noqa: PTH120 - many
        while parent and parent not in stay:
            stay.add(parent)
            parent = os.path.dirname(parent)  # noqa: PTH120
    for folder, folders, files in os.walk(target, topdown=False):
        here = os.path.relpath(folder, target)
        prefix = "" if here == "." else f"{here}/"
        for name in files:
            if prefix + name not in paths:
                os.unlink(os.path.join(folder, name))  # noqa: PTH108, PTH118
        for name in folders:
            if prefix + name not in stay:
                with contextlib.suppress(OSError):
                    os.rmdir(os.path.join(folder, name))  # noqa: PTH106, PTH118
