"""Collecting garbage: versions that nothing refers to any more give their bytes back, here or on a remote.

What is known of a version stays: its row, its manifest, its profile. A version that is nowhere else stays whole unless
somebody says otherwise.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta

import msgspec

from petla.core.clock import to_text
from petla.core.progress import SILENT, Progress
from petla.data.content.linking import list_shared, shared_object
from petla.data.content.manifest import read_manifest
from petla.data.content.taking import working_on_data
from petla.data.history.contents import is_whole
from petla.data.history.records import DatasetVersion
from petla.data.transfer.pushing import is_pushed, unnote_pushed
from petla.data.transfer.remotes import choose_remote
from petla.data.upkeep.erasing import list_all_versions
from petla.data.upkeep.places import open_place
from petla.data.upkeep.referenced import Referenced, find_referenced
from petla.storage.files import lock
from petla.storage.objects.sweeping import Sweep
from petla.storage.workspace import Workspace

DAY_S = 86_400.0
# what writes objects before it writes the rows that name them
_WRITERS = ("run.lock", "training.lock")


class Roots(msgspec.Struct, frozen=True, kw_only=True):
    """What other rooms need of the store."""

    # objects: packages of models, outputs of steps
    objects: tuple[str, ...] = ()
    # digests of dataset versions that models were made from
    versions: frozenset[str] = frozenset()


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What may be dropped."""

    # what is younger stays, whether something refers to it or not
    keep_days: float
    # versions that are nowhere else may go as well
    only_copies: bool = False
    # false: say what would go
    is_meant: bool = False

    @property
    def keep_s(self) -> float:
        """The same in seconds."""
        return self.keep_days * DAY_S


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """A version that nothing refers to."""

    dataset: str
    version: int
    digest: str
    size_bytes: int
    # it is nowhere else
    is_only_copy: bool


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What went, or would go."""

    # a remote; empty: this project's store
    remote: str
    dropped: tuple[Dropped, ...]
    # nothing refers to them, and they stay since they are nowhere else
    spared: tuple[Dropped, ...]
    sweep: Sweep
    is_done: bool


def collect(ws: Workspace, choice: Choice, roots: Roots, progress: Progress = SILENT) -> Collected:
    """Drop from this project's store what nothing refers to.

    Args:
        ws: the project.
        choice: what may go.
        roots: what the rooms below need.
        progress: is told of the bytes that were written again.

    Raises:
        BusyError: a run, or another command on data, is at work.
        CorruptError: the manifest of a version that stays is damaged; nothing was dropped.
        UnavailableError: the disk is full, or Git cannot be read; nothing was dropped.
    """
    with _alone(ws):
        dropped, spared, kept = divide(ws, choice, roots, is_elsewhere=lambda version: is_pushed(ws, version))
        dropped = [version for version in dropped if _is_here(ws, version)]
        files = _list_files(ws, kept)
        keep = [*files, *_list_known(ws), *roots.objects]
        if not choice.is_meant:
            swept = ws.objects.plan_sweep(keep, min_age_s=choice.keep_s)
        else:
            swept = ws.objects.sweep(keep, min_age_s=choice.keep_s, progress=progress)
            _remove_shared(ws, files)
            note_collected(ws, "", dropped, swept)
    return Collected(
        remote="",
        dropped=tuple(describe(version, is_only_copy=not is_pushed(ws, version)) for version in dropped),
        spared=tuple(describe(version, is_only_copy=True) for version in spared if _is_here(ws, version)),
        sweep=swept,
        is_done=choice.is_meant,
    )


def collect_remote(
    ws: Workspace, remote: str | None, choice: Choice, roots: Roots, progress: Progress = SILENT
) -> Collected:
    """Drop from a remote what nothing refers to; versions of other projects stay.

    Raises:
        NotFoundError: there is no such remote.
        BusyError: somebody pushes to it or sweeps it.
        ForbiddenError, UnavailableError: it does not answer; doing it again completes it.
    """
    name, table = choose_remote(ws, remote)
    with _alone(ws):
        loose, spared, kept = divide(ws, choice, roots, is_elsewhere=lambda version: is_whole(ws, version))
        stays = {version.digest for version in kept}
        known = {version.digest: version for version in [*loose, *kept]}
        # a version that is not known here may be somebody's of whom nothing was fetched yet
        with open_place(ws, name, table) as place:
            gone, swept = place.sweep(
                lambda mark: mark.digest in stays or mark.digest not in known,
                keep_s=choice.keep_s,
                is_meant=choice.is_meant,
                progress=progress,
            )
        dropped = [known[digest] for digest in gone]
        if choice.is_meant:
            for version in dropped:
                unnote_pushed(ws, name, version)
            note_collected(ws, name, dropped, swept)
    return Collected(
        remote=name,
        dropped=tuple(describe(version, is_only_copy=not is_whole(ws, version)) for version in dropped),
        spared=tuple(describe(version, is_only_copy=True) for version in spared),
        sweep=swept,
        is_done=choice.is_meant,
    )


def divide(
    ws: Workspace, choice: Choice, roots: Roots, *, is_elsewhere: Callable[[DatasetVersion], bool]
) -> tuple[list[DatasetVersion], list[DatasetVersion], list[DatasetVersion]]:
    """Divide the project's versions into those that go, those that are spared, and all that stay."""
    now = ws.clock()
    referenced = find_referenced(ws, since=to_text(now - timedelta(days=choice.keep_days)))
    versions = list_all_versions(ws)
    loose = [v for v in versions if not _is_needed(v, referenced, roots) and _age_s(v, now) >= choice.keep_s]
    spared = [] if choice.only_copies else [version for version in loose if not is_elsewhere(version)]
    gone = {version.digest for version in loose} - {version.digest for version in spared}
    kept = [version for version in versions if version.digest not in gone]
    return [version for version in loose if version.digest in gone], spared, kept


def describe(version: DatasetVersion, *, is_only_copy: bool) -> Dropped:
    """Return what is said of a version that goes."""
    return Dropped(
        dataset=version.dataset,
        version=version.version,
        digest=version.digest,
        size_bytes=version.size_bytes,
        is_only_copy=is_only_copy,
    )


def note_collected(ws: Workspace, remote: str, dropped: Collection[DatasetVersion], swept: Sweep) -> None:
    """Write into the audit trail what went."""
    if not dropped and not swept.entries:
        return
    with ws.ledger.change(actor=ws.actor, action="data.collected", subject=remote or "store") as change:
        change.record(
            versions=[f"{version.dataset}:{version.version}" for version in dropped],
            objects=swept.entries,
            bytes_freed=swept.bytes_freed,
        )


def _is_needed(version: DatasetVersion, referenced: Referenced, roots: Roots) -> bool:
    return not referenced.has_history or referenced.names(version) or version.digest in roots.versions


def _age_s(version: DatasetVersion, now: datetime) -> float:
    return (now - datetime.fromisoformat(version.created_at)).total_seconds()


@contextlib.contextmanager
def _alone(ws: Workspace) -> Iterator[None]:
    with working_on_data(ws, "petla data gc"), contextlib.ExitStack() as stack:
        for name in _WRITERS:
            stack.enter_context(lock(ws.state / name, purpose="petla data gc", wait_s=ws.settings.wait_s))
        yield


def _is_here(ws: Workspace, version: DatasetVersion) -> bool:
    """Whether any of a version's files is in the store."""
    if version.digest not in ws.objects:
        return False
    return any(entry.object in ws.objects for entry in read_manifest(ws.objects, version.digest).files)


def _list_files(ws: Workspace, versions: Collection[DatasetVersion]) -> set[str]:
    manifests = {version.digest for version in versions if version.digest in ws.objects}
    return {entry.object for digest in manifests for entry in read_manifest(ws.objects, digest).files}


def _list_known(ws: Workspace) -> Iterator[str]:
    """What is known of all versions, whether they stay or not."""
    for version in list_all_versions(ws):
        yield version.digest
        if version.profile:
            yield version.profile


def _remove_shared(ws: Workspace, files: Collection[str]) -> None:
    for path in list_shared(ws.objects):
        if shared_object(path) not in files:
            path.unlink(missing_ok=True)
