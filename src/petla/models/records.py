"""Rows of the registry."""

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, func, insert, select, update

from petla.models.states import State
from petla.models.version import Certificate, ModelVersion
from petla.storage.tables import model_versions as table


def insert_version(connection: Connection, project: str, version: ModelVersion) -> None:
    """Add a version."""
    connection.execute(
        insert(table).values(
            project=project,
            model=version.model,
            version=version.version,
            state=version.state.value,
            run_id=version.run_id,
            package=version.package,
            certificate=encode_certificate(version.certificate),
            verdict="",
            created_at=version.created_at,
        )
    )


def encode_certificate(certificate: Certificate) -> str:
    """Return a certificate as its row has it."""
    return msgspec.json.encode(certificate).decode()


def newest_version(connection: Connection, project: str, model: str) -> int:
    """Return the number of a model's newest version; 0 if it has none."""
    newest = select(func.max(table.c.version)).where(table.c.project == project, table.c.model == model)
    return connection.execute(newest).scalar() or 0


def find_version(connection: Connection, project: str, model: str, version: int) -> ModelVersion | None:
    """Return one version, or None."""
    return _find(connection, _of(project, model).where(table.c.version == version))


def find_by_run(connection: Connection, project: str, model: str, run_id: int) -> ModelVersion | None:
    """Return the version that a run made, or None."""
    return _find(connection, _of(project, model).where(table.c.run_id == run_id))


def find_in_state(connection: Connection, project: str, model: str, state: State) -> ModelVersion | None:
    """Return the newest version in a state, or None."""
    return _find(connection, _of(project, model).where(table.c.state == state.value))


def list_versions(connection: Connection, project: str, model: str | None, limit: int) -> list[ModelVersion]:
    """Return versions by model, the newest first."""
    query = select(table).where(table.c.project == project).order_by(table.c.model, table.c.version.desc())
    if model is not None:
        query = query.where(table.c.model == model)
    return [_version_of(row) for row in connection.execute(query.limit(limit))]


def update_state(connection: Connection, project: str, version: ModelVersion, to: State) -> bool:
    """Move a version if it is still in the state it was read in; return whether it was."""
    is_same = (table.c.project == project) & (table.c.model == version.model) & (table.c.version == version.version)
    query = update(table).where(is_same, table.c.state == version.state.value).values(state=to.value)
    return connection.execute(query).rowcount == 1


def update_verdict(connection: Connection, project: str, version: tuple[str, int], verdict: bytes) -> bool:
    """Keep a verdict; return whether the version exists."""
    model, number = version
    is_it = (table.c.project == project) & (table.c.model == model) & (table.c.version == number)
    return connection.execute(update(table).where(is_it).values(verdict=verdict.decode())).rowcount == 1


def _of(project: str, model: str) -> Select[Any]:
    mine = (table.c.project == project) & (table.c.model == model)
    return select(table).where(mine).order_by(table.c.version.desc())


def _find(connection: Connection, query: Select[Any]) -> ModelVersion | None:
    row = connection.execute(query.limit(1)).one_or_none()
    return None if row is None else _version_of(row)


def _version_of(row: Row[Any]) -> ModelVersion:
    return ModelVersion(
        model=row.model,
        version=row.version,
        state=State(row.state),
        run_id=row.run_id,
        package=row.package,
        certificate=_certificate_of(row.certificate),
        verdict=row.verdict.encode() or None,
        created_at=row.created_at,
    )


def _certificate_of(text: str) -> Certificate:
    """Return a certificate; one of before figures were finite or absent may hold null, which is absent."""
    try:
        return msgspec.json.decode(text, type=Certificate)
    except msgspec.ValidationError:
        values = msgspec.json.decode(text)
        for key in ("metrics", "reported"):
            values[key] = {name: figure for name, figure in values[key].items() if figure is not None}
        return msgspec.convert(values, type=Certificate)
