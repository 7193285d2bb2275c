"""Production as it was: code, configuration, data and models of a past moment, in a folder that runs by itself."""

import re
import shutil
from datetime import datetime
from pathlib import Path

import msgspec

from petla.core.clock import to_text
from petla.core.errors import ConflictError, NotFoundError
from petla.core.progress import SILENT, Progress
from petla.core.project import PROJECT_FILE, decode_project
from petla.data.checkouts import checkout, find_pointer_of, find_version
from petla.data.content.manifest import read_manifest
from petla.data.git import export_tree, find_commit_at, read_file
from petla.data.history.contents import is_whole
from petla.data.history.intake import adopt
from petla.data.history.records import DatasetVersion
from petla.data.history.tombstones import without_forgotten
from petla.data.transfer.pulling import fetch
from petla.data.upkeep.moments import DataThen, find_data_at
from petla.deployments import records
from petla.deployments.deploy import republish
from petla.deployments.records import DeploymentRow
from petla.deployments.snapshot import Snapshot
from petla.models import registry
from petla.models.package import list_objects
from petla.models.states import State
from petla.storage.database import reading
from petla.storage.files import reported, write_atomic
from petla.storage.workspace import Workspace, open_workspace


class ModelThen(msgspec.Struct, frozen=True, kw_only=True):
    """What answered for a model at a moment."""

    model: str
    live: int
    standby: int | None
    package: str
    # of the code that made it
    commit: str
    # dataset -> digest of the version that it was made from
    data: dict[str, str]


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """Production at a moment."""

    at: str
    # that was checked out; empty: none
    commit: str
    # number; None: nothing was deployed
    snapshot: int | None
    models: tuple[ModelThen, ...]
    data: tuple[DataThen, ...]


def look_back(ws: Workspace, at: datetime) -> Moment:
    """Return what production was at a moment.

    Raises:
        NotFoundError: the project was not there yet.
    """
    snapshot = _find_snapshot(ws, at)
    commit = find_commit_at(ws.root, to_text(at))
    data = find_data_at(_as_of(ws, commit), at)
    if snapshot is None and not commit and not data:
        raise NotFoundError(f"nothing is known of {to_text(at)[:19]}", hint="see petla audit list", field="at")
    return Moment(
        at=to_text(at),
        commit=commit,
        snapshot=snapshot.number if snapshot else None,
        models=tuple(_list_models(ws, snapshot)),
        data=tuple(data),
    )


def restore(ws: Workspace, at: datetime, target: Path, progress: Progress = SILENT) -> Moment:
    """Make a folder that is the project as it was at a moment, with what served then ready to serve.

    It is a project of its own: with its own database, whatever the project file names, and with this project's key.

    Raises:
        NotFoundError: there was no commit at that moment, or data are neither here nor on a remote.
        ConflictError: the folder is not empty.
        CorruptError: something that is needed is damaged; the folder is left half made.
        UnavailableError: the folder cannot be written.
    """
    moment = look_back(ws, at)
    if not moment.commit:
        raise NotFoundError(
            f"there was no commit at {moment.at[:19]}, so nobody knows code and configuration of then",
            hint="commit the project; without a target the command says what served",
            field="at",
        )
    if target.exists() and any(target.iterdir()):
        raise ConflictError(f"{target} is not empty", hint="name a new folder", field="to")
    export_tree(ws.root, moment.commit, target)
    made = _open_alone(ws, target)
    _restore_data(_as_of(ws, moment.commit), made, moment, progress)
    _restore_models(ws, made, _find_snapshot(ws, at))
    made.close()
    return moment


def _find_snapshot(ws: Workspace, at: datetime) -> Snapshot | None:
    with reading(ws.engine) as connection:
        return records.find_snapshot_at(connection, ws.name, to_text(at))


def _as_of(ws: Workspace, commit: str) -> Workspace:
    """Return this project with the datasets that it had at a commit."""
    content = read_file(ws.root, commit, PROJECT_FILE) if commit else None
    if content is None:
        return ws
    project = decode_project(content.decode("utf-8-sig"))
    then = msgspec.structs.replace(ws.project, data=project.data, remotes={**project.remotes, **ws.project.remotes})
    return Workspace(ws.root, then, ws.settings, clock=ws.clock, state=ws.state)


def _list_models(ws: Workspace, snapshot: Snapshot | None) -> list[ModelThen]:
    found = []
    for model, route in sorted(snapshot.routes.items()) if snapshot else ():
        certificate = registry.get_version(ws, model, route.live.version).certificate
        found.append(
            ModelThen(
                model=model,
                live=route.live.version,
                standby=route.standby.version if route.standby else None,
                package=route.live.package,
                commit=certificate.commit,
                data=certificate.data,
            )
        )
    return found


def _open_alone(ws: Workspace, target: Path) -> Workspace:
    """Open the folder as a project that shares nothing with this one but the key."""
    path = target / PROJECT_FILE
    with reported(path):
        text = path.read_text(encoding="utf-8-sig")
        alone = re.sub(r"(?m)^(database\s*=)", r"# of the original, which this copy leaves alone: \1", text)
        if alone != text:
            write_atomic(path, alone.encode())
        settings = msgspec.structs.replace(ws.settings, database="") if ws.settings.database else ws.settings
    made = open_workspace(target, settings, clock=ws.clock)
    made.make_state()
    with reported(made.keys.folder):
        shutil.copytree(ws.keys.folder, made.keys.folder, dirs_exist_ok=True)
    return made


def _restore_data(ws: Workspace, made: Workspace, moment: Moment, progress: Progress) -> None:
    for dataset in moment.data:
        version = find_version(ws, dataset.dataset, digest=dataset.digest) if dataset.digest else None
        if version is None or not is_whole(ws, version):
            pointer = find_pointer_of(ws, dataset.dataset, rev=moment.commit)
            version, _, _ = fetch(ws, dataset.dataset, pointer, progress=progress)
        _copy_version(ws, made, version)
        checkout(made, dataset.dataset, digest=version.digest, progress=progress)
    # what the models were made from, so that each can be made again
    for model in moment.models:
        for name, digest in model.data.items():
            version = find_version(ws, name, digest=digest)
            if version is not None and is_whole(ws, version):
                _copy_version(ws, made, version)


def _copy_version(ws: Workspace, made: Workspace, version: DatasetVersion) -> None:
    left = without_forgotten(ws, read_manifest(ws.objects, version.digest))
    profile = [version.profile] if version.profile else []
    _copy_objects(ws, made, [*(entry.object for entry in left.files), *profile, version.digest])
    adopt(made, version.dataset, version.digest, msgspec.to_builtins(version))


def _copy_objects(ws: Workspace, made: Workspace, digests: list[str]) -> None:
    with made.objects.writing() as writer:
        for entry, payload in ws.objects.read_payloads(ws.objects.list_entries(digests)):
            writer.put_payload(entry, payload)


def _restore_models(ws: Workspace, made: Workspace, snapshot: Snapshot | None) -> None:
    if snapshot is None:
        return
    versions = [
        (registry.get_version(ws, model, variant.version), state)
        for model, route in snapshot.routes.items()
        for variant, state in ((route.live, State.PRODUCTION), (route.standby, State.RETIRED))
        if variant is not None
    ]
    for version, _ in versions:
        _copy_objects(ws, made, list_objects(ws.objects, version.package))
    reason = f"production as it was at {snapshot.at[:19]}"
    with made.ledger.change(actor=ws.actor, action="project.restored", subject=ws.name, reason=reason) as change:
        for version, state in versions:
            registry.restore(change, made.name, version, state)
        for model, route in snapshot.routes.items():
            row = _row_of(model, route.live.version, route.standby.version if route.standby else None, snapshot, ws)
            records.put_deployment(change.connection, made.name, row)
        # What ran beside the champions is an experiment of then: it does not begin again.
        routes = {
            model: msgspec.structs.replace(route, split=None, shadow=None) for model, route in snapshot.routes.items()
        }
        records.add_snapshot(change.connection, msgspec.structs.replace(snapshot, project=made.name, routes=routes))
        change.record(snapshot=snapshot.number)
    republish(made)


def _row_of(model: str, live: int, standby: int | None, snapshot: Snapshot, ws: Workspace) -> DeploymentRow:
    return DeploymentRow(model=model, live=live, standby=standby, changed_at=snapshot.at, changed_by=ws.actor)
