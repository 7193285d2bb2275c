"""Verifying: every byte that is kept is read and compared with its name, here or on a remote; and healing what is not.

A damaged object is healed from the work tree where the same bytes lie there, else from a remote.
"""

from collections.abc import Collection, Iterable, Mapping

import msgspec

from petla.core.errors import PetlaError
from petla.core.progress import SILENT, Progress
from petla.data.checkouts import get_pointed, pointer_of
from petla.data.content.manifest import FileEntry
from petla.data.content.taking import working_on_data
from petla.data.history.records import DatasetVersion
from petla.data.history.tombstones import list_forgotten
from petla.data.transfer.pulling import fetch
from petla.data.transfer.remotes import choose_remote
from petla.data.upkeep.erasing import Known, list_all_versions, list_known_versions
from petla.data.upkeep.places import open_place
from petla.storage.objects.intake import digest_file
from petla.storage.objects.store import Damage
from petla.storage.workspace import Workspace


class Damaged(msgspec.Struct, frozen=True, kw_only=True):
    """An object that is not what its name says."""

    object: str
    # the pack or the object that holds it
    place: str
    problem: str
    # what is lost without it, such as `faces version 2: a.png`
    needed_by: tuple[str, ...]
    is_healed: bool = False


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What verifying found."""

    # empty: this project's store
    remote: str
    damaged: tuple[Damaged, ...]

    @property
    def is_sound(self) -> bool:
        """Whether all is well, or was healed."""
        return all(each.is_healed for each in self.damaged)


def verify(ws: Workspace, *, is_healing: bool = False, progress: Progress = SILENT) -> VerifyReport:
    """Read all of this project's store.

    Args:
        ws: the project.
        is_healing: what is damaged is fetched again, from the work tree or from a remote.
        progress: is told of the bytes that were read.

    Raises:
        NotFoundError, UnavailableError: it is to be healed, and no remote has it, or none answers.
        UnavailableError: the store cannot be read.
    """
    damaged = _look(ws, progress)
    if is_healing and damaged:
        with working_on_data(ws, "petla data verify --heal"):
            _heal(ws, {each.object for each in damaged}, progress)
        still = {each.object for each in _look(ws, SILENT)}
        damaged = [msgspec.structs.replace(each, is_healed=each.object not in still) for each in damaged]
    return VerifyReport(remote="", damaged=tuple(damaged))


def verify_remote(ws: Workspace, remote: str | None, progress: Progress = SILENT) -> VerifyReport:
    """Read all of a remote.

    Raises:
        NotFoundError: there is no such remote.
        ForbiddenError, UnavailableError: it does not answer.
    """
    name, table = choose_remote(ws, remote)
    with open_place(ws, name, table) as place:
        damage = list(place.verify(progress))
    everything = list_known_versions(ws) if damage else []
    if table.layout == "dvc":
        needed = _name_by_md5(everything)
    else:
        needed = _name_by_entry(ws, everything, {each.digest for each in damage})
    return VerifyReport(remote=name, damaged=tuple(_describe(each, needed) for each in damage))


def _look(ws: Workspace, progress: Progress) -> list[Damaged]:
    damage = list(ws.objects.verify_all(progress))
    everything = list_known_versions(ws)
    needed = _name_by_entry(ws, everything, {each.digest for each in damage})
    return [_describe(each, needed) for each in damage] + _list_lost(ws, everything)


def _name_by_entry(ws: Workspace, everything: Iterable[Known], digests: Collection[str]) -> dict[str, list[str]]:
    """Return what needs each of some entries."""
    needed: dict[str, list[str]] = {digest: [] for digest in digests}
    below: dict[str, set[str]] = {}
    for version in list_all_versions(ws) if digests else ():
        for digest in {version.digest, version.profile or ""} & needed.keys():
            needed[digest].append(f"{version.dataset} version {version.version}")
    for known in everything if digests else ():
        for entry in known.manifest.files:
            if entry.object not in below:
                below[entry.object] = _list_below(ws, entry.object) & needed.keys()
            for digest in below[entry.object]:
                needed[digest].append(_name(known, entry))
    return needed


def _list_below(ws: Workspace, digest: str) -> set[str]:
    below = {digest}
    for record in ws.objects.list_records(digest) or ():
        below |= _list_below(ws, record.digest.hex())
    return below


def _list_lost(ws: Workspace, everything: Iterable[Known]) -> list[Damaged]:
    """Of the versions that pointers name, what is not here: files, or the list of all of them."""
    pointed: dict[str, DatasetVersion] = {}
    for dataset in ws.project.data:
        try:
            version = get_pointed(ws, dataset)
        except PetlaError:
            # status says it
            continue
        pointed[version.digest] = version
    forgotten = list_forgotten(ws)
    listed = {known.version.digest for known in everything}
    lost: dict[str, list[str]] = {
        digest: [f"{version.dataset} version {version.version}"]
        for digest, version in pointed.items()
        if digest not in listed and digest not in ws.objects
    }
    for known in everything:
        if known.version.digest in pointed:
            files = {e.object: e for e in known.manifest.files if e.object not in forgotten}
            for name in ws.objects.find_missing(files):
                lost.setdefault(name, []).append(_name(known, files[name]))
    return [
        Damaged(object=name, place="", problem="it is not in the store, or not whole", needed_by=tuple(names))
        for name, names in lost.items()
    ]


def _name_by_md5(everything: Iterable[Known]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for known in everything:
        names.setdefault(known.version.md5, []).append(f"{known.version.dataset} version {known.version.version}")
        for entry in known.manifest.files:
            names.setdefault(entry.md5, []).append(_name(known, entry))
    return names


def _describe(damage: Damage, needed: Mapping[str, list[str]]) -> Damaged:
    names = tuple(dict.fromkeys(needed.get(damage.digest, [])))
    return Damaged(object=damage.digest, place=damage.pack, problem=damage.problem, needed_by=names)


def _name(known: Known, entry: FileEntry) -> str:
    version = known.version
    return f"{version.dataset} version {version.version}" + (f": {entry.path}" if entry.path else "")


def _heal(ws: Workspace, bad: set[str], progress: Progress) -> None:
    """Fetch again what versions lack; nothing of a version that was collected."""
    known = {each.version.digest: each for each in list_known_versions(ws)}
    for version in list_all_versions(ws):
        each = known.get(version.digest)
        files = [entry for entry in each.manifest.files if _list_below(ws, entry.object) & bad] if each else []
        names = {entry.object for entry in files} | ({version.digest, version.profile or version.digest} & bad)
        for name in names:
            ws.objects.set_aside(name)
        _take_from_work_tree(ws, version, files)
        if names and ws.objects.find_missing(names) and version.dataset in ws.project.data:
            fetch(ws, version.dataset, pointer_of(ws.project.data[version.dataset].path, version), progress=progress)


def _take_from_work_tree(ws: Workspace, version: DatasetVersion, files: Iterable[FileEntry]) -> None:
    table = ws.project.data.get(version.dataset)
    if table is None:
        return
    for entry in files:
        place = ws.root / table.path / entry.path if entry.path else ws.root / table.path
        if place.is_file() and digest_file(place).digest == entry.object:
            ws.objects.put_file(place)
