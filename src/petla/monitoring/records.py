"""Rows of windows and of findings."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Table, func, insert, select, update

from petla.monitoring.finding import Finding, FindingKind
from petla.monitoring.windows import QualityWindow, Window
from petla.storage.tables import findings, quality_windows, windows

_ALARMS_AT_ONCE = 500

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def find_open_window(connection: Connection, project: str, model: str, version: int) -> Window | None:
    """Return the window that is being filled, or None."""
    query = select(windows).where(_mine(windows, project, model, version), windows.c.closed.is_(False))
    row = connection.execute(query.order_by(windows.c.number.desc()).limit(1)).one_or_none()
    return None if row is None else _window_of(row)


def newest_window(connection: Connection, project: str, model: str, version: int) -> int:
    """Return the number of the newest window, open or closed; 0 for none."""
    return _newest(connection, windows.c.number, _mine(windows, project, model, version))


def save_window(connection: Connection, project: str, window: Window) -> None:
    """Insert a window, or replace what is known of it."""
    values = {
        "rows": window.rows,
        "counts": _encode(window.counts).decode(),
        "closed": window.is_closed,
        "started_at": window.started_at,
        "ended_at": window.ended_at,
    }
    here = _mine(windows, project, window.model, window.version) & (windows.c.number == window.number)
    if connection.execute(update(windows).where(here).values(values)).rowcount:
        return
    key = {"project": project, "model": window.model, "version": window.version, "number": window.number}
    connection.execute(insert(windows).values(key | values))


def list_window_rows(connection: Connection, project: str, model: str, version: int | None, limit: int) -> list[Window]:
    """Return windows, newest first."""
    query = select(windows).where(_mine(windows, project, model, version))
    order = (windows.c.version.desc(), windows.c.number.desc())
    return [_window_of(row) for row in connection.execute(query.order_by(*order).limit(limit))]


def list_closed(
    connection: Connection, project: str, model: str, version: int, *, after: int, limit: int
) -> list[Window]:
    """Return closed windows of a version with a number above `after`, oldest first."""
    wanted = windows.c.closed.is_(True) & (windows.c.number > after)
    query = select(windows).where(_mine(windows, project, model, version), wanted)
    return [_window_of(row) for row in connection.execute(query.order_by(windows.c.number).limit(limit))]


def list_counted_versions(connection: Connection, project: str) -> list[tuple[str, int, int]]:
    """Return every version that ever answered: model, version, number of its newest window."""
    query = (
        select(windows.c.model, windows.c.version, func.max(windows.c.number))
        .where(windows.c.project == project)
        .group_by(windows.c.model, windows.c.version)
        .order_by(windows.c.model, windows.c.version)
    )
    return [(str(model), int(version), int(newest)) for model, version, newest in connection.execute(query)]


def sum_windows(connection: Connection, project: str, model: str) -> list[tuple[int, int, int, int, str, str]]:
    """Return per version, newest first: version, rows, closed windows, rows of the open one, first and last moment."""
    open_rows = func.sum(windows.c.rows).filter(windows.c.closed.is_(False))
    n_closed = func.count().filter(windows.c.closed.is_(True))
    query = (
        select(
            windows.c.version,
            func.sum(windows.c.rows),
            n_closed,
            func.coalesce(open_rows, 0),
            func.min(windows.c.started_at),
            func.max(windows.c.ended_at),
        )
        .where(_mine(windows, project, model, None))
        .group_by(windows.c.version)
        .order_by(windows.c.version.desc())
    )
    return [
        (int(v), int(rows), int(closed), int(left), str(first), str(last))
        for v, rows, closed, left, first, last in connection.execute(query)
    ]


def find_newest_quality(connection: Connection, project: str, model: str, version: int) -> QualityWindow | None:
    """Return the newest quality window of a version, or None."""
    return next(iter(list_quality_rows(connection, project, model, version, 1)), None)


def add_quality_window(connection: Connection, project: str, window: QualityWindow) -> None:
    """Insert a quality window."""
    texts = {"metrics": _encode(window.metrics).decode(), "absent": _encode(window.absent).decode()}
    values = msgspec.structs.asdict(window) | {"project": project} | texts
    connection.execute(insert(quality_windows).values(values))


def list_quality_rows(
    connection: Connection, project: str, model: str, version: int | None, limit: int
) -> list[QualityWindow]:
    """Return quality windows, newest first."""
    query = select(quality_windows).where(_mine(quality_windows, project, model, version))
    order = (quality_windows.c.version.desc(), quality_windows.c.number.desc())
    return [_quality_of(row) for row in connection.execute(query.order_by(*order).limit(limit))]


def add_findings(connection: Connection, project: str, values: Iterable[Finding]) -> None:
    """Insert findings; the database numbers them."""
    rows = [msgspec.structs.asdict(value) | {"project": project} for value in values]
    for row in rows:
        del row["id"]
    if rows:
        connection.execute(insert(findings), rows)


def list_findings(
    connection: Connection, project: str, model: str, version: int, *, kind: FindingKind, windows: Sequence[int]
) -> list[Finding]:
    """Return the findings of some windows of a version, in the order in which they were stored."""
    wanted = (findings.c.kind == kind) & findings.c.window.in_(windows)
    query = select(findings).where(_mine(findings, project, model, version), wanted).order_by(findings.c.id)
    return [_finding_of(row) for row in connection.execute(query)]


def newest_judged(connection: Connection, project: str, model: str, version: int, kind: FindingKind) -> int:
    """Return the number of the newest window that has findings; 0 for none."""
    here = _mine(findings, project, model, version) & (findings.c.kind == kind)
    return _newest(connection, findings.c.window, here)


def list_alarms(
    connection: Connection, project: str, model: str, version: int, *, kind: FindingKind, after: int
) -> list[Finding]:
    """Return alarms of a version with a row number above `after`, oldest first, at most 500."""
    wanted = (findings.c.kind == kind) & findings.c.is_alarm.is_(True) & (findings.c.id > after)
    query = select(findings).where(_mine(findings, project, model, version), wanted)
    return [_finding_of(row) for row in connection.execute(query.order_by(findings.c.id).limit(_ALARMS_AT_ONCE))]


def find_span_of(
    connection: Connection, project: str, model: str, version: int, *, kind: FindingKind, number: int
) -> tuple[str, str] | None:
    """Return the first and last moment of a window, or None."""
    table = windows if kind == "drift" else quality_windows
    here = _mine(table, project, model, version) & (table.c.number == number)
    row = connection.execute(select(table.c.started_at, table.c.ended_at).where(here)).one_or_none()
    return None if row is None else (row.started_at, row.ended_at)


def _mine(table: Table, project: str, model: str, version: int | None) -> ColumnElement[bool]:
    here = (table.c.project == project) & (table.c.model == model)
    return here if version is None else here & (table.c.version == version)


def _newest(connection: Connection, column: ColumnElement[int], here: ColumnElement[bool]) -> int:
    return connection.execute(select(func.coalesce(func.max(column), 0)).where(here)).scalar_one()


def _window_of(row: Row[Any]) -> Window:
    return Window(
        model=row.model,
        version=row.version,
        number=row.number,
        rows=row.rows,
        counts=_decode(row.counts),
        is_closed=row.closed,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )


def _quality_of(row: Row[Any]) -> QualityWindow:
    values = {name: getattr(row, name) for name in QualityWindow.__struct_fields__}
    metrics = {name: value for name, value in _decode(row.metrics).items() if value is not None}
    return QualityWindow(**values | {"metrics": metrics, "absent": _decode(row.absent)})


def _finding_of(row: Row[Any]) -> Finding:
    return Finding(**{name: getattr(row, name) for name in Finding.__struct_fields__})
