"""Rows of decisions and shadow answers, and how far each spool was read."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    text,
    tuple_,
)

from petla.core.clock import to_text
from petla.core.ids import find_moment
from petla.decisions.feedback.arrivals import EFFECTIVE
from petla.decisions.record import LoggedDecision, LoggedShadow, Truth, Wanted
from petla.decisions.spool import Position, list_segments
from petla.models import records as versions
from petla.storage.tables import audit, decisions, feedback, shadows, spool_positions, trusted_clocks

PAGE_ROWS = 5_000
_IDS_PER_QUERY = 500
# between the moment of a decision, its request's arrival, and that of its id; more only where a clock was set back
_ID_SLACK = timedelta(days=1)

# NOTE: the project is part of every such pair, since the indexes begin with it; the moment finds the day.
is_about = and_(
    feedback.c.project == decisions.c.project,
    feedback.c.decision_id == decisions.c.id,
    feedback.c.decided_at == decisions.c.at,
)
is_labelled = exists().where(is_about, feedback.c.status.in_(EFFECTIVE))
truth = (
    select(feedback.c.truth)
    .where(is_about, feedback.c.status.in_(EFFECTIVE))
    .order_by(feedback.c.seq.desc())
    .limit(1)
    .scalar_subquery()
)
# written as in the index of flagged rows, which is used only so
_is_flagged = text("decisions.flags <> '[]'")
_has_subject = text("decisions.subject <> ''")


class DecisionRow(NamedTuple):
    """One row of the decisions, values as the database takes them; fields are its columns."""

    id: str
    project: str
    request_id: str
    at: str
    model: str
    version: int
    inputs: str
    label: str
    score: float
    served_by: str
    latency_us: int
    worker: str
    trace_id: str = ""
    arm: str = ""
    flags: str = "[]"
    subject: str = ""
    explanation: str = "[]"


class ShadowRow(NamedTuple):
    """One row of the shadow answers, in the same way."""

    project: str
    decision_id: str
    at: str
    model: str
    version: int
    label: str
    score: float
    latency_us: int
    worker: str
    error: str


class Origin(NamedTuple):
    """What a version was made of, as its certificate says."""

    package: str = ""
    data: Mapping[str, str] = {}
    commit: str = ""


def list_positions(connection: Connection, project: str, folder: Path, stream: str) -> dict[str, Position]:
    """Return how far each origin of a worker's stream was shipped; one is left out of which nothing was."""
    origins = {segment.origin for segment in list_segments(folder, stream)}
    names = {_name_of(f"{folder.name}/{stream}", origin): origin for origin in origins}
    query = select(spool_positions).where(spool_positions.c.project == project)
    found: dict[str, Position] = {}
    for start in range(0, len(names), _IDS_PER_QUERY):
        page = list(names)[start : start + _IDS_PER_QUERY]
        for row in connection.execute(query.where(spool_positions.c.stream.in_(page))):
            origin = names[row.stream]
            found[origin] = Position(row.segment, row.offset, origin)
    return found


def set_position(connection: Connection, project: str, stream: str, position: Position) -> None:
    """Remember how far what one origin wrote was shipped."""
    stream = _name_of(stream, position.origin)
    row = {"project": project, "stream": stream, "segment": position.segment, "offset": position.offset}
    connection.execute(delete(spool_positions).where(_is_stream(project, stream)))
    connection.execute(insert(spool_positions).values(row))


def find_trusted(connection: Connection, project: str) -> datetime | None:
    """Return up to when time is trusted to have passed; None: nobody has looked yet."""
    at = connection.execute(select(trusted_clocks.c.at).where(trusted_clocks.c.project == project)).scalar()
    return None if at is None else datetime.fromisoformat(at)


def set_trusted(connection: Connection, project: str, at: datetime) -> None:
    """Remember up to when time is trusted to have passed."""
    connection.execute(delete(trusted_clocks).where(trusted_clocks.c.project == project))
    connection.execute(insert(trusted_clocks).values(project=project, at=to_text(at)))


def find_newest(connection: Connection, project: str) -> datetime | None:
    """Return when the newest decision was made or the newest entry of the audit trail written; None: there is none."""
    newest = [
        connection.execute(
            select(table.c.at).where(table.c.project == project).order_by(order.desc()).limit(1)
        ).scalar()
        for table, order in ((decisions, decisions.c.at), (audit, audit.c.seq))
    ]
    return max((datetime.fromisoformat(at) for at in newest if at), default=None)


def add_decisions(connection: Connection, rows: Sequence[DecisionRow]) -> None:
    """Insert decisions in the order given."""
    _add(connection, decisions, DecisionRow._fields, rows)


def add_shadows(connection: Connection, rows: Sequence[ShadowRow]) -> None:
    """Insert shadow answers in the order given."""
    _add(connection, shadows, ShadowRow._fields, rows)


def list_decisions(connection: Connection, project: str, wanted: Wanted, limit: int) -> list[LoggedDecision]:
    """Return decisions, newest first: the newest of them, or those next to the place that they are newer than."""
    is_upwards = wanted.newer_than is not None
    order = [column if is_upwards else column.desc() for column in (decisions.c.at, decisions.c.seq)]
    query = _decisions().where(meets(project, wanted)).order_by(*order).limit(limit)
    found = _decisions_of(connection, connection.execute(query))
    return found[::-1] if is_upwards else found


def list_pages(connection: Connection, project: str, wanted: Wanted) -> Iterator[list[LoggedDecision]]:
    """Yield pages of decisions, oldest first."""
    query = _decisions().where(meets(project, wanted)).order_by(decisions.c.at, decisions.c.seq).limit(PAGE_ROWS)
    page = _decisions_of(connection, connection.execute(query))
    while page:
        yield page
        behind = is_behind(page[-1].at, page[-1].seq)
        page = _decisions_of(connection, connection.execute(query.where(behind)))


def find_decision(connection: Connection, project: str, decision_id: str) -> LoggedDecision | None:
    """Return one decision, or None."""
    query = _decisions().where(belongs(project), decisions.c.id == decision_id)
    for span in _spans([decision_id]):
        row = connection.execute(query.where(*span)).one_or_none()
        if row is not None:
            return _decisions_of(connection, [row])[0]
    return None


def list_shadows(connection: Connection, project: str, decision_id: str, limit: int = 100) -> list[LoggedShadow]:
    """Return what other versions would have answered to a decision's input."""
    about = and_(shadows.c.project == project, shadows.c.decision_id == decision_id)
    query = select(shadows).where(about).order_by(shadows.c.at, shadows.c.seq).limit(limit)
    names = LoggedShadow.__struct_fields__
    found = ({name: getattr(row, name) for name in names} for row in connection.execute(query))
    return [LoggedShadow(**each | {"label": msgspec.json.decode(each["label"])}) for each in found]


class Maker(NamedTuple):
    """When a decision was made, and by what."""

    at: str
    model: str
    version: int


def list_makers(connection: Connection, project: str, ids: Sequence[str]) -> dict[str, Maker]:
    """Return id -> maker of those decisions that are in the log."""
    found: dict[str, Maker] = {}
    d = decisions.c
    query = select(d.id, d.at, d.model, d.version).where(belongs(project))
    for start in range(0, len(ids), _IDS_PER_QUERY):
        page = ids[start : start + _IDS_PER_QUERY]
        for span in _spans(page):
            left = [each for each in page if each not in found]
            if left:
                rows = connection.execute(query.where(d.id.in_(left), *span))
                found |= {row.id: Maker(row.at, row.model, row.version) for row in rows}
    return found


def count_decisions(connection: Connection, project: str, model: str | None, version: int | None) -> int:
    """Return the number of decisions."""
    query = select(func.count()).select_from(decisions)
    return _count(connection, query.where(belongs(project, model, version)))


def count_since(connection: Connection, project: str, model: str, since: str) -> int:
    """Return the number of a model's decisions made at a moment or later."""
    query = select(func.count()).select_from(decisions)
    return _count(connection, query.where(belongs(project, model), decisions.c.at >= since))


def count_known(connection: Connection, project: str, ids: Sequence[str]) -> int:
    """Return how many of the decisions with these ids are there."""
    query = select(func.count()).select_from(decisions)
    pages = (ids[start : start + _IDS_PER_QUERY] for start in range(0, len(ids), _IDS_PER_QUERY))
    return sum(_count(connection, query.where(belongs(project), decisions.c.id.in_(page))) for page in pages)


def count_until(connection: Connection, project: str, until: str) -> tuple[int, int]:
    """Return how many decisions were made before a moment, and how many of them have their truth."""
    old = and_(belongs(project), decisions.c.at < until)
    count = select(func.count()).select_from(decisions)
    return _count(connection, count.where(old)), _count(connection, count.where(old, is_labelled))


def delete_until(connection: Connection, project: str, until: str, limit: int) -> int:
    """Remove the oldest decisions and shadow answers made before a moment, so many at most; return how many went."""
    n_rows = 0
    for table in (decisions, shadows):
        is_old = and_(table.c.project == project, table.c.at < until)
        oldest = select(table.c.seq).where(is_old).order_by(table.c.at, table.c.seq).limit(limit)
        n_rows += connection.execute(delete(table).where(table.c.seq.in_(oldest))).rowcount
    return n_rows


def belongs(project: str, model: str | None = None, version: int | None = None) -> ColumnElement[bool]:
    """Whether a decision is a project's, a model's, a version's."""
    wanted = [decisions.c.project == project]
    if model is not None:
        wanted.append(decisions.c.model == model)
    if version is not None:
        wanted.append(decisions.c.version == version)
    return and_(*wanted)


def is_behind(at: str, seq: int) -> ColumnElement[bool]:
    """Whether a decision comes after a place in the order of moments."""
    # NOTE: the first half alone says where to begin in an index, and which days to leave out.
    return and_(decisions.c.at >= at, tuple_(decisions.c.at, decisions.c.seq) > tuple_(at, seq))


def is_ahead(at: str, seq: int) -> ColumnElement[bool]:
    """Whether a decision comes before a place in the order of moments."""
    return and_(decisions.c.at <= at, tuple_(decisions.c.at, decisions.c.seq) < tuple_(at, seq))


def meets(project: str, wanted: Wanted) -> ColumnElement[bool]:
    """Whether a decision is one of those that are meant."""
    asked = {name: value for name, value in msgspec.structs.asdict(wanted).items() if value is not None}
    return and_(belongs(project), *(_CONDITIONS[name](value) for name, value in asked.items()))


def _has_flag(flag: str) -> ColumnElement[bool]:
    name = msgspec.json.encode(flag).decode()
    return and_(_is_flagged, decisions.c.flags.contains(name, autoescape=True))


# each field of Wanted
_CONDITIONS: dict[str, Callable[[Any], ColumnElement[bool]]] = {
    "model": lambda model: decisions.c.model == model,
    "version": lambda version: decisions.c.version == version,
    "arm": lambda arm: decisions.c.arm == arm,
    "flag": _has_flag,
    "served_by": lambda name: decisions.c.served_by == name,
    "subject": lambda subject: and_(decisions.c.subject == subject, _has_subject),
    "since": lambda moment: decisions.c.at >= moment,
    "until": lambda moment: decisions.c.at < moment,
    "labelled": lambda is_known: is_labelled if is_known else ~is_labelled,
    "older_than": lambda place: is_ahead(place.at, place.seq),
    "newer_than": lambda place: is_behind(place.at, place.seq),
}


def _add(connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    # The driver's own ways: SQLAlchemy's look at each parameter would cost a third of the shipper's time.
    names = ", ".join(columns)
    if connection.dialect.name == "postgresql":
        cursor: Any = connection.connection.cursor()
        with cursor, cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        return
    marks = ", ".join(["?"] * len(columns))
    statement = f"INSERT INTO {table.name} ({names}) VALUES ({marks})"  # noqa: S608 - names of ours
    connection.exec_driver_sql(statement, list(rows))


def _decisions() -> Select[Any]:
    return select(decisions, truth.label("truth"))


def _spans(ids: Sequence[str]) -> list[list[ColumnElement[bool]]]:
    """Return where to look for ids: first in the days that they were made in, then everywhere."""
    moments = [moment for moment in map(find_moment, ids) if moment is not None]
    if not moments:
        return [[]]
    start, end = to_text(min(moments) - _ID_SLACK), to_text(max(moments) + _ID_SLACK)
    return [[decisions.c.at >= start, decisions.c.at < end], [or_(decisions.c.at < start, decisions.c.at >= end)]]


def _name_of(stream: str, origin: str) -> str:
    # without an origin it is the name that was in use before there were any
    return f"{stream}/{origin}" if origin else stream


def _is_stream(project: str, stream: str) -> ColumnElement[bool]:
    return and_(spool_positions.c.project == project, spool_positions.c.stream == stream)


def _decisions_of(connection: Connection, rows: Iterable[Row[Any]]) -> list[LoggedDecision]:
    origins: dict[tuple[str, int], Origin] = {}
    found = []
    for row in list(rows):
        key = row.model, row.version
        if key not in origins:
            version = versions.find_version(connection, row.project, *key)
            known = version.certificate if version is not None else None
            origins[key] = Origin() if known is None else Origin(known.package, known.data, known.commit)
        found.append(_decision_of(row, origins[key]))
    return found


def _decision_of(row: Row[Any], origin: Origin) -> LoggedDecision:
    decode = msgspec.json.decode
    kept = {column.name: getattr(row, column.name) for column in decisions.columns if column.name != "project"}
    inputs = decode(row.inputs)
    decoded = {
        "inputs": inputs,
        "label": _value(row.label),
        "flags": tuple(decode(row.flags)),
        "explanation": dict(zip(inputs, decode(row.explanation), strict=False)),
        "truth": None if row.truth is None else _value(row.truth),
    }
    return LoggedDecision(**kept | decoded | origin._asdict())


def _value(text: str) -> Truth:
    value: Truth = msgspec.json.decode(text, type=Truth)
    return value


def _count(connection: Connection, query: Select[Any]) -> int:
    return connection.execute(query).scalar() or 0
