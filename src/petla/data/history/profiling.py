"""The profile of a version: made when the version is, or, of a large table, when somebody first asks for it."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from petla.core.errors import ConflictError, CorruptError, NotFoundError
from petla.core.progress import SILENT, Progress
from petla.core.project import FOUND_OUT, FormatTable
from petla.data.content.manifest import read_manifest
from petla.data.content.working_copy import Stamps, list_stamps
from petla.data.history import records
from petla.data.history.contents import located
from petla.data.history.records import DatasetVersion
from petla.data.profile.columns import Profile
from petla.data.reading.names import is_image_name, is_table_name
from petla.storage.workspace import Workspace

# A table that is larger is profiled when its profile is asked for: that takes ten times as long as adding it.
LARGE_BYTES = 64 << 20


def load_profile(ws: Workspace, version: DatasetVersion, *, progress: Progress = SILENT) -> Profile | None:
    """Return a version's profile; None: it is neither a table nor images.

    Raises:
        NotFoundError: it has to be made, and the version's files are not in the store.
        CorruptError: the stored profile, or a file that it has to be made from, is damaged.
        InvalidError: it has to be made, and the version is a broken table.
    """
    if version.profile is not None:
        try:
            return msgspec.json.decode(ws.objects.get_bytes(version.profile), type=Profile)
        except msgspec.DecodeError as error:
            raise CorruptError(f"profile {version.profile} cannot be read: {error}") from error
    if not _has_profile(ws, version):
        return None
    profile = _profile_version(ws, version, progress)
    if profile is not None:
        _keep(ws, version, profile)
    return profile


def profile_content(
    path: Path, stamps: Stamps, given: FormatTable = FOUND_OUT, progress: Progress = SILENT
) -> Profile | None:
    """Describe what lies at a path; None: it is neither a table nor images.

    Args:
        path: file or folder.
        stamps: of the content that is meant.
        given: what the project file says about CSV files.
        progress: is told of the bytes that were read.

    Raises:
        InvalidError: it is a broken table.
        ConflictError: it is not that content any more.
    """
    # NOTE: by the names first: loading the table library takes longer than adding thousands of files
    profile = _profile_path(path, progress, given) if _is_profiled(path.name, stamps.paths) else None
    if list_stamps(path) != stamps:
        raise ConflictError(f"{path} was changed while it was read", hint="try again when it is complete")
    return profile


def _has_profile(ws: Workspace, version: DatasetVersion) -> bool:
    """Whether a version is a table or a folder of images, by the names of its files."""
    _, table = ws.get_dataset(version.dataset)
    return _is_profiled(table.path, [entry.path for entry in read_manifest(ws.objects, version.digest).files])


def _is_profiled(place: str, paths: Sequence[str]) -> bool:
    """Whether files are a table or a folder of images, by their names; a dataset that is a file has the path ''."""
    if list(paths) == [""]:
        return is_table_name(place)
    return all(map(is_image_name, paths)) or all(map(is_table_name, paths))


def _profile_version(ws: Workspace, version: DatasetVersion, progress: Progress) -> Profile | None:
    with located(ws, version, progress) as path:
        return _profile_path(path, progress, ws.project.data[version.dataset].format)


def _profile_path(path: Path, progress: Progress, given: FormatTable) -> Profile | None:
    from petla.data.profile.streaming import profile_path

    return profile_path(path, progress, given)


def _keep(ws: Workspace, version: DatasetVersion, profile: Profile) -> None:
    digest = ws.objects.put_bytes(msgspec.json.encode(profile))
    subject = f"{version.dataset}:{version.version}"
    with ws.ledger.change(actor=ws.actor, action="dataset.profiled", subject=subject) as change:
        if not records.set_profile(change.connection, ws.name, version, digest, profile.rows):
            raise NotFoundError(f"dataset {version.dataset} has no version {version.version} any more")
        change.record(digest=version.digest, profile=digest, rows=profile.rows)
