"""Objects that a tombstone never erases: manifests of versions, packages of models, outputs of steps.

A remote's word is enough to erase a file of a dataset, and no more. Nobody else than `petla data forget` on this
machine removes what was made from a forgotten file.
"""

import contextlib
from collections.abc import Collection, Iterator

import msgspec

from petla.core.errors import CorruptError, NotFoundError
from petla.data.history import records
from petla.data.history.records import DatasetVersion
from petla.storage.database import reading
from petla.storage.workspace import Workspace


# NOTE: this room lies below those of models and pipelines, so it reads of their files the one field that it needs.
class _Sealed(msgspec.Struct):
    manifest: bytes


class _Package(msgspec.Struct):
    # name -> object
    files: dict[str, str]


class _Step(msgspec.Struct):
    # object
    output: str


def list_protected(ws: Workspace, versions: Collection[DatasetVersion]) -> set[str]:
    """Return the objects that are something else than a file of a dataset.

    Args:
        ws: the project.
        versions: all of its dataset versions.
    """
    with reading(ws.engine) as connection:
        packages = records.list_packages(connection, ws.name)
    return {
        *(version.digest for version in versions),
        *packages,
        *(name for package in packages for name in _list_files(ws, package)),
        *_list_outputs(ws),
    }


def _list_files(ws: Workspace, package: str) -> list[str]:
    try:
        sealed = msgspec.msgpack.decode(ws.objects.get_bytes(package), type=_Sealed)
        return list(msgspec.json.decode(sealed.manifest, type=_Package).files.values())
    except (NotFoundError, CorruptError, msgspec.DecodeError):
        # it cannot be served any more, whatever is erased
        return []


def _list_outputs(ws: Workspace) -> Iterator[str]:
    for path in (ws.state / "cache" / "steps").glob("*.json"):
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            yield msgspec.json.decode(path.read_bytes(), type=_Step).output
