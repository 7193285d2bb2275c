"""Rows of decisions and feedback, and how far each spool was read."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, exists, func, insert, select

from petla.decisions.record import Labelled, LoggedDecision, Truth
from petla.decisions.spool import Position
from petla.storage.tables import decisions, feedback, spool_positions

_PAGE_ROWS = 5_000
_IDS_PER_QUERY = 500

_newer = feedback.alias("newer")
# NOTE: the project is part of every such pair, since the indexes begin with it.
_is_about = (feedback.c.project == decisions.c.project) & (feedback.c.decision_id == decisions.c.id)
# the last word about a decision: corrections replace what they correct
_is_newest = ~exists().where(
    _newer.c.project == feedback.c.project,
    _newer.c.decision_id == feedback.c.decision_id,
    _newer.c.seq > feedback.c.seq,
)
_truth = select(feedback.c.truth).where(_is_about).order_by(feedback.c.seq.desc()).limit(1).scalar_subquery()


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


def get_position(connection: Connection, project: str, stream: str) -> Position:
    """Return how far a stream was shipped; its very beginning if it never was."""
    query = select(spool_positions.c.segment, spool_positions.c.offset).where(_is_stream(project, stream))
    found = connection.execute(query).one_or_none()
    return Position(0, 0) if found is None else Position(found.segment, found.offset)


def set_position(connection: Connection, project: str, stream: str, position: Position) -> None:
    """Remember how far a stream was shipped."""
    row = {"project": project, "stream": stream, "segment": position.segment, "offset": position.offset}
    connection.execute(delete(spool_positions).where(_is_stream(project, stream)))
    connection.execute(insert(spool_positions).values(row))


def add_decisions(connection: Connection, rows: Sequence[DecisionRow]) -> None:
    """Insert decisions in the order given."""
    # The driver's own statement: SQLAlchemy's look at each parameter would cost a third of the shipper's time.
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    columns = DecisionRow._fields
    statement = f"INSERT INTO {decisions.name} ({', '.join(columns)}) VALUES ({', '.join([mark] * len(columns))})"  # noqa: S608 - names of ours
    connection.exec_driver_sql(statement, rows)


def add_feedback(connection: Connection, project: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert feedback in the order given; return how many of the rows are about a decision that is not in the log."""
    if not rows:
        return 0
    before = get_newest_feedback(connection, project)
    connection.execute(insert(feedback), rows)
    is_known = exists().where(decisions.c.id == feedback.c.decision_id, decisions.c.project == project)
    added = and_(feedback.c.project == project, feedback.c.seq > before)
    return _count(connection, select(func.count()).select_from(feedback).where(added, ~is_known))


def get_newest_feedback(connection: Connection, project: str) -> int:
    """Return the number of the newest feedback row; 0 for none."""
    return _count(connection, select(func.max(feedback.c.seq)).where(feedback.c.project == project))


def list_decisions(connection: Connection, project: str, model: str | None, limit: int) -> list[LoggedDecision]:
    """Return decisions, newest first."""
    query = _decisions().where(_belongs(project, model)).order_by(decisions.c.seq.desc()).limit(limit)
    return [_decision_of(row) for row in connection.execute(query)]


def find_decision(connection: Connection, project: str, decision_id: str) -> LoggedDecision | None:
    """Return one decision, or None."""
    query = _decisions().where(_belongs(project), decisions.c.id == decision_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else _decision_of(row)


def count_decisions(connection: Connection, project: str, model: str | None, version: int | None) -> int:
    """Return the number of decisions."""
    query = select(func.count()).select_from(decisions)
    return _count(connection, query.where(_belongs(project, model, version)))


def count_known(connection: Connection, project: str, ids: Sequence[str]) -> int:
    """Return how many of the decisions with these ids are there."""
    query = select(func.count()).select_from(decisions)
    pages = (ids[start : start + _IDS_PER_QUERY] for start in range(0, len(ids), _IDS_PER_QUERY))
    return sum(_count(connection, query.where(_belongs(project), decisions.c.id.in_(page))) for page in pages)


def count_labelled(connection: Connection, project: str, model: str, after_feedback: int, limit: int | None) -> int:
    """Return the number of a model's decisions with feedback newer than `after_feedback`, counted up to `limit`."""
    query = select(feedback.c.seq).select_from(_labelled())
    found = query.where(_belongs(project, model), _is_after(project, after_feedback), _is_newest).limit(limit)
    return _count(connection, select(func.count()).select_from(found.subquery()))


def list_labelled(
    connection: Connection, project: str, model: str, version: int, *, after_feedback: int, limit: int
) -> list[Labelled]:
    """Return the newest feedback of each decision, joined to it, in feedback order.

    Args:
        after_feedback: only feedback rows with a number above this.
    """
    d, f = decisions.c, feedback.c
    query = (
        select(f.seq.label("feedback_seq"), d.seq.label("decision_seq"), d.at, d.label, d.score, f.truth)
        .select_from(_labelled())
        .where(_belongs(project, model, version), _is_after(project, after_feedback), _is_newest)
        .order_by(f.seq)
        .limit(limit)
    )
    return [
        Labelled(
            feedback_seq=row.feedback_seq,
            decision_seq=row.decision_seq,
            at=row.at,
            label=_value(row.label),
            score=row.score,
            truth=_value(row.truth),
        )
        for row in connection.execute(query)
    ]


def list_newest_labelled(
    connection: Connection, project: str, model: str, rows: int
) -> Iterator[list[tuple[dict[str, Any], Truth]]]:
    """Yield pages of inputs and truth of a model's newest `rows` labelled decisions, in decision order."""
    is_labelled = exists().where(_is_about)
    newest = (
        select(decisions.c.seq)
        .where(_belongs(project, model), is_labelled)
        .order_by(decisions.c.seq.desc())
        .limit(rows)
        .subquery()
    )
    last = _count(connection, select(func.min(newest.c.seq))) - 1
    left = rows if last >= 0 else 0
    while left > 0:
        query = (
            select(decisions.c.seq, decisions.c.inputs, _truth.label("truth"))
            .where(_belongs(project, model), is_labelled, decisions.c.seq > last)
            .order_by(decisions.c.seq)
            .limit(min(left, _PAGE_ROWS))
        )
        page = connection.execute(query).all()
        if not page:
            return
        yield [(msgspec.json.decode(row.inputs), _value(row.truth)) for row in page]
        last, left = page[-1].seq, left - len(page)


def _labelled() -> Any:  # noqa: ANN401 - SQLAlchemy's join
    return feedback.join(decisions, _is_about)


def _decisions() -> Select[Any]:
    return select(decisions, _truth.label("truth"))


def _belongs(project: str, model: str | None = None, version: int | None = None) -> ColumnElement[bool]:
    wanted = [decisions.c.project == project]
    if model is not None:
        wanted.append(decisions.c.model == model)
    if version is not None:
        wanted.append(decisions.c.version == version)
    return and_(*wanted)


def _is_after(project: str, feedback_seq: int) -> ColumnElement[bool]:
    # NOTE: the project once more, although the join says it: only so the index of what came after a row is used.
    return and_(feedback.c.project == project, feedback.c.seq > feedback_seq)


def _is_stream(project: str, stream: str) -> ColumnElement[bool]:
    return and_(spool_positions.c.project == project, spool_positions.c.stream == stream)


def _decision_of(row: Row[Any]) -> LoggedDecision:
    values = {name: getattr(row, name) for name in LoggedDecision.__struct_fields__}
    decoded = {"inputs": msgspec.json.decode(row.inputs), "label": _value(row.label)}
    truth = None if row.truth is None else _value(row.truth)
    return LoggedDecision(**values | decoded | {"truth": truth})


def _value(text: str) -> Truth:
    value: Truth = msgspec.json.decode(text, type=Truth)
    return value


def _count(connection: Connection, query: Select[Any]) -> int:
    return connection.execute(query).scalar() or 0
