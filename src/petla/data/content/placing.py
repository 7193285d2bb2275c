"""From the store to the disk: what differs is written beside its place, verified, and then takes it.

Whatever fails on the way leaves the work tree as it was. Whoever is killed while the files take their places leaves
some of them in the former state and some in the wanted one, each of them whole; doing it again completes it.
"""

import contextlib
import errno
import os
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from petla.core.errors import ConflictError, NotFoundError
from petla.core.progress import SILENT, Progress
from petla.data.content.linking import Link, bring
from petla.data.content.manifest import FileEntry, Manifest
from petla.storage.files import reported
from petla.storage.objects import ObjectStore
from petla.storage.objects.disk.filling import Wanted
from petla.storage.objects.disk.landing import Landings
from petla.storage.temporary import temporary_folder

_THREADS = 4
# creating a file takes the kernel as long as filling so many bytes
_CREATING_BYTES = 256 << 10


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
    with reported(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(objects.temporary, near=target.parent) as aside, reported(target):
        made = aside / "made"
        _make_folders(wanted, made, manifest.folders if present is None else ())
        rest = [entry for entry in wanted if link != "copy" or not _move(objects.landings, entry, made)]
        progress.begin("checking out", sum(entry.size for entry in rest))
        _write(objects, rest, made, link, progress)
        if present is None:
            _take_place(made, target, aside)
        else:
            _take_places(manifest, wanted, made, target)


def _is_same(present: FileEntry | None, wanted: FileEntry) -> bool:
    return present is not None and (present.object, present.mode) == (wanted.object, wanted.mode)


def _make_folders(wanted: list[FileEntry], made: Path, folders: tuple[str, ...]) -> None:
    parents = {os.path.dirname(entry.path) for entry in wanted if entry.path}  # noqa: PTH120 - many
    for folder in sorted(parents | set(folders)):
        (made / folder).mkdir(parents=True, exist_ok=True)


def _move(landings: Landings, entry: FileEntry, made: Path) -> bool:
    """Take a file that was written while it arrived, if there is one."""
    landed = landings.pop(entry.object)
    if landed is None:
        return False
    target = made / entry.path if entry.path else made
    try:
        _require_free(target)
    except FileExistsError as error:
        raise _one_name_for_two(target, made) from error
    landed.chmod(entry.mode)
    landed.rename(target)
    return True


def _write(
    objects: ObjectStore,
    wanted: list[FileEntry],
    made: Path,
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
    is_failed = threading.Event()

    def write_some(entries: list[FileEntry]) -> None:
        try:
            _write_share(objects, entries, made, link, is_failed, progress)
        except BaseException:
            is_failed.set()
            raise

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="checkout") as pool:
        try:
            for done in [pool.submit(write_some, share) for share in _share_out(wanted)]:
                done.result()
        finally:
            is_failed.set()


def _share_out(wanted: list[FileEntry]) -> list[list[FileEntry]]:
    """Give each thread about as much, and folders of its own: two that write into one folder wait for each other."""
    total = sum(_CREATING_BYTES + entry.size for entry in wanted)
    shares: list[list[FileEntry]] = [[] for _ in range(_THREADS)]
    n_bytes = 0
    for entry in wanted:
        shares[min(n_bytes * _THREADS // max(total, 1), _THREADS - 1)].append(entry)
        n_bytes += _CREATING_BYTES + entry.size
    return shares


def _write_share(
    objects: ObjectStore,
    entries: list[FileEntry],
    made: Path,
    link: Link,
    is_failed: threading.Event,
    progress: Progress,
) -> None:
    try:
        if link == "copy":
            start = f"{made}/" if entries and entries[0].path else str(made)
            wanted = [Wanted(entry.object, f"{start}{entry.path}", entry.mode) for entry in entries]
            objects.write_files(wanted, is_failed, progress)
            return
        for entry in entries:
            target = made / entry.path if entry.path else made
            if entry.path:
                _require_free(target)
            if not is_failed.is_set():
                bring(objects, entry, target, link)
                progress.advance(entry.size)
    except FileExistsError as error:
        raise _one_name_for_two(Path(error.filename), made) from error


def _one_name_for_two(path: Path, made: Path) -> ConflictError:
    return ConflictError(
        f"this file system takes {path.relative_to(made)} for another name of the same version",
        hint="check it out on a file system that tells capital letters from small ones",
    )


def _require_free(target: Path) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "it is there", str(target))


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
