"""Erasing bytes from this machine: from the store, from DVC's cache, and from the work tree."""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import msgspec

from petla.core.errors import CorruptError, NotFoundError
from petla.core.project.paths import resolve_inside
from petla.data.content.linking import list_shared, shared_object
from petla.data.content.manifest import Manifest, read_manifest
from petla.data.current import inspect, remember_placed
from petla.data.dvc.identity import former_key_of, key_of
from petla.data.dvc.settings import read_settings
from petla.data.history import records
from petla.data.history.records import DatasetVersion
from petla.data.history.tombstones import list_forgotten
from petla.data.upkeep.protected import list_protected
from petla.storage.database import reading
from petla.storage.files import reported
from petla.storage.objects.intake import digest_file
from petla.storage.workspace import Workspace


class Known(msgspec.Struct, frozen=True):
    """A version and what it consists of."""

    version: DatasetVersion
    manifest: Manifest


def list_all_versions(ws: Workspace) -> list[DatasetVersion]:
    """Return every version of every dataset, those of datasets that the project file has no more as well."""
    with reading(ws.engine) as connection:
        return records.list_every(connection, ws.name)


def list_known_versions(ws: Workspace) -> list[Known]:
    """Return all versions whose manifest is here."""
    known = []
    for version in list_all_versions(ws):
        with contextlib.suppress(NotFoundError, CorruptError):
            known.append(Known(version, read_manifest(ws.objects, version.digest)))
    return known


def erase_here(
    ws: Workspace, md5s: Mapping[str, str], derived: Collection[str] = (), *, is_work_tree: bool = True
) -> int:
    """Remove files of datasets from this machine, for good; return how many bytes of the store that were.

    Profiles of the versions that held them go as well, and are made again without them when they are asked for. What
    else is kept stays, even if a manifest names it as a file: packages of models, outputs, manifests.

    Args:
        ws: the project.
        md5s: object of a file -> DVC's name for the same bytes.
        derived: objects that were made from them.
        is_work_tree: the work tree loses them as well.

    Raises:
        BusyError: somebody writes into the store.
        UnavailableError: the disk is full, or a file may not be removed; doing it again completes it.
    """
    versions = list_all_versions(ws)
    protected = list_protected(ws, versions)
    md5s = {name: md5 for name, md5 in md5s.items() if name not in protected}
    everything = list_known_versions(ws)
    held = [known for known in everything if any(entry.object in md5s for entry in known.manifest.files)]
    for path in _list_in_caches(ws, md5s):
        with reported(path):
            path.unlink(missing_ok=True)
    for dataset in {known.version.dataset for known in held if is_work_tree} & ws.project.data.keys():
        _erase_working_copy(ws, dataset, [known for known in held if known.version.dataset == dataset], md5s)
    # a description that came from elsewhere may call anything a profile
    others = protected | {entry.object for known in everything for entry in known.manifest.files}
    profiles = {known.version.profile for known in held if known.version.profile} - others
    gone = {*md5s, *profiles, *derived}
    keep = protected | _list_needed(everything, list_forgotten(ws))
    n_bytes = ws.objects.remove(gone, keep=keep - gone)
    _clear_profiles(ws, [version for version in versions if version.profile in gone])
    return n_bytes


def _list_needed(everything: Collection[Known], forgotten: Collection[str]) -> set[str]:
    files = {entry.object for known in everything for entry in known.manifest.files}
    profiles = {known.version.profile for known in everything if known.version.profile}
    return (files | profiles | {known.version.digest for known in everything}) - set(forgotten)


def _clear_profiles(ws: Workspace, versions: list[DatasetVersion]) -> None:
    if not versions:
        return
    names = [f"{version.dataset}:{version.version}" for version in versions]
    with ws.ledger.change(actor=ws.actor, action="dataset.profile_erased", subject=", ".join(names)) as change:
        for version in versions:
            records.clear_profile(change.connection, ws.name, version)


def _list_in_caches(ws: Workspace, md5s: Mapping[str, str]) -> Iterator[Path]:
    yield from (path for path in list_shared(ws.objects) if shared_object(path) in md5s)
    settings = read_settings(ws.root)
    if settings is not None:
        for md5 in md5s.values():
            places = (settings.cache / key for key in (key_of(md5), former_key_of(md5)))
            # a manifest that came from elsewhere may name the md5 of another file
            yield from (place for place in places if place.is_file() and digest_file(place).digest in md5s)


def _erase_working_copy(ws: Workspace, dataset: str, held: list[Known], md5s: Mapping[str, str]) -> None:
    """Remove the files from the work tree; what is missing there afterwards is no change."""
    table = ws.project.data[dataset]
    path = resolve_inside(ws.root, table.path)
    standing = inspect(ws.root, ws.state, table, dataset)
    entries = {entry.path for known in held for entry in known.manifest.files if entry.object in md5s}
    names = {resolve_inside(ws.root, f"{table.path}/{entry}") for entry in entries}
    lying = [place for place in names if place.is_file() and digest_file(place).digest in md5s]
    for place in lying:
        with reported(place):
            place.unlink()
    pointed = next((known.manifest for known in held if known.version.digest == standing.digest), None)
    if lying and standing.state == "clean" and pointed is not None and len(lying) < len(pointed.files):
        remember_placed(ws.state, dataset, path, pointed)
