"""The registry: numbered versions of a model, each with its birth certificate, its state and its verdict."""

import msgspec

from petla.core.digests import digest_bytes
from petla.core.errors import ConflictError, NotFoundError
from petla.models import records
from petla.models.package import list_objects, name_package
from petla.models.states import State, require_move
from petla.models.version import Certificate, ModelVersion
from petla.pipeline.result import RunResult
from petla.storage.database import reading
from petla.storage.ledger import Change
from petla.storage.workspace import Workspace

__all__ = [
    "Certificate",
    "ModelVersion",
    "Needed",
    "find_champion",
    "find_version_of_run",
    "get_version",
    "list_needed",
    "list_versions",
    "move",
    "register",
    "require_explained",
    "restore",
    "set_verdict",
]


class Needed(msgspec.Struct, frozen=True):
    """What model versions need of the store."""

    # of packages
    objects: tuple[str, ...]
    # digests of dataset versions
    data: frozenset[str]


def register(ws: Workspace, run: RunResult, certificate: Certificate) -> ModelVersion:
    """Make a run's model the next version, a candidate; the same run again gives the version that it made.

    Raises:
        ConflictError: another command registered a version at the same moment.
        UnavailableError: the database cannot be written; nothing was changed.
    """
    found = find_version_of_run(ws, run.model, run.run_id)
    if found is not None:
        return found
    with reading(ws.engine) as connection:
        version = records.newest_version(connection, ws.name, run.model) + 1
    subject = f"{run.model}:{version}"
    certificate = _with_named_package(ws, certificate, version)
    with ws.ledger.change(
        actor=ws.actor, action="model.registered", subject=subject, reason=certificate.cause
    ) as change:
        if records.newest_version(change.connection, ws.name, run.model) != version - 1:
            raise ConflictError(f"another command registered {subject} at the same moment", hint="run it again")
        made = ModelVersion(
            model=run.model,
            version=version,
            state=State.CANDIDATE,
            run_id=run.run_id,
            package=certificate.package,
            certificate=certificate,
            verdict=None,
            created_at=change.now,
        )
        records.insert_version(change.connection, ws.name, made)
        change.record(
            run=run.run_id,
            package=made.package,
            certificate=digest_bytes(records.encode_certificate(certificate).encode()),
            commit=run.commit,
            data=run.data,
            metrics=certificate.metrics,
        )
    return made


def get_version(ws: Workspace, model: str, version: int) -> ModelVersion:
    """Return a version.

    Raises:
        NotFoundError: there is no such version.
    """
    with reading(ws.engine) as connection:
        found = records.find_version(connection, ws.name, model, version)
    if found is None:
        raise _unknown(model, version)
    return found


def find_version_of_run(ws: Workspace, model: str, run_id: int) -> ModelVersion | None:
    """Return the version that a run made, or None."""
    with reading(ws.engine) as connection:
        return records.find_by_run(connection, ws.name, model, run_id)


def find_champion(ws: Workspace, model: str) -> ModelVersion | None:
    """Return the version in production, or None."""
    with reading(ws.engine) as connection:
        return records.find_in_state(connection, ws.name, model, State.PRODUCTION)


def list_versions(ws: Workspace, model: str | None = None, limit: int = 50) -> list[ModelVersion]:
    """Return versions: by model, the newest first."""
    with reading(ws.engine) as connection:
        return records.list_versions(connection, ws.name, model, limit)


def list_needed(ws: Workspace) -> Needed:
    """Return what model versions need so that each can be served, and made again unless it was rejected."""
    versions = list_versions(ws, limit=1_000_000)
    objects = [name for version in versions for name in list_objects(ws.objects, version.package)]
    kept = [version.certificate for version in versions if version.state is not State.REJECTED]
    return Needed(tuple(objects), frozenset(digest for certificate in kept for digest in certificate.data.values()))


def move(change: Change, project: str, model: str, version: int, to: State) -> None:
    """Move a version to another state within a caller's change.

    Raises:
        NotFoundError: there is no such version.
        ConflictError: the table of moves does not have this one, or somebody else moved it first.
    """
    found = records.find_version(change.connection, project, model, version)
    if found is None:
        raise _unknown(model, version)
    require_move(f"{model}:{version}", found.state, to)
    if not records.update_state(change.connection, project, found, to):
        raise ConflictError(f"model {model}:{version} was moved by somebody else at the same moment", hint="look again")
    _record(change, f"{model}:{version}", {"from": found.state, "to": to})


def restore(change: Change, project: str, version: ModelVersion, state: State) -> None:
    """Add a version as it was elsewhere, in a state, within a caller's change."""
    records.insert_version(change.connection, project, msgspec.structs.replace(version, state=state))
    certificate = digest_bytes(records.encode_certificate(version.certificate).encode())
    said = {"package": version.package, "state": state, "certificate": certificate}
    if version.verdict is not None:
        records.update_verdict(change.connection, project, (version.model, version.version), version.verdict)
        said["verdict"] = digest_bytes(version.verdict)
    _record(change, f"{version.model}:{version.version}", said)


def set_verdict(change: Change, project: str, model: str, version: int, verdict: bytes) -> None:
    """Keep a verdict, as JSON, within a caller's change.

    Raises:
        NotFoundError: there is no such version.
    """
    if not records.update_verdict(change.connection, project, (model, version), verdict):
        raise _unknown(model, version)
    _record(change, f"{model}:{version}", {"verdict": digest_bytes(verdict)})


def require_explained(ws: Workspace, version: ModelVersion) -> None:
    """Accept a version only if its state and its package are what the signed audit entries say.

    Raises:
        CorruptError: they are not; the message says what differs.
    """
    witness = ws.ledger.recall(f"{version.model}:{version.version}")
    witness.require(version.model, version.version, state=version.state, package=version.package)


def _with_named_package(ws: Workspace, certificate: Certificate, version: int) -> Certificate:
    try:
        package, seal = name_package(ws, certificate.package, version)
    except (NotFoundError, ValueError):
        # No such object, or no digest at all. What cannot be loaded is refused when it is to be judged or deployed.
        return certificate
    return msgspec.structs.replace(certificate, package=package, seal=seal)


def _record(change: Change, name: str, said: dict[str, str]) -> None:
    """Add facts about a version to those that the entry has of it already."""
    change.record(**{name: {**change.details.get(name, {}), **said}})


def _unknown(model: str, version: int) -> NotFoundError:
    return NotFoundError(
        f"there is no model version {model}:{version}", hint="see 'petla models list'", field="version"
    )
