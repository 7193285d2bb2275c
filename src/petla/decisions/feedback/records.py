"""Rows of feedback, and feedback joined to its decisions."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, delete, exists, func, insert, select

from petla.decisions import records
from petla.decisions.feedback.arrivals import EFFECTIVE, Arrival, Judged, Reader, judge_arrivals
from petla.decisions.record import FeedbackStatus, Labelled, LabelledInputs, LoggedFeedback, Truth
from petla.models import records as versions
from petla.models.runtime.labels import make_reader
from petla.storage.tables import decisions, feedback

_PAGE_ROWS = 5_000
_IDS_PER_QUERY = 500

_newer = feedback.alias("newer")
# the last word about a decision: corrections replace what they correct
_is_newest = ~exists().where(
    _newer.c.project == feedback.c.project,
    _newer.c.decision_id == feedback.c.decision_id,
    _newer.c.status.in_(EFFECTIVE),
    _newer.c.seq > feedback.c.seq,
)


def add_feedback(
    connection: Connection, project: str, arrivals: Sequence[Arrival], kept_since: datetime | None = None
) -> dict[FeedbackStatus, int]:
    """Insert feedback in the order given; return how many rows of each status it was.

    Args:
        kept_since: older decisions were removed; None: none was.
    """
    if not arrivals:
        return {}
    ids = sorted({arrival.decision_id for arrival in arrivals})
    truths = _list_truths(connection, project, ids)
    makers = records.list_makers(connection, project, ids)
    decided_at = {name: maker.at for name, maker in makers.items()}
    readers = _list_readers(connection, project, makers)
    judged = judge_arrivals(arrivals, decided_at, truths, kept_since, readers)
    connection.execute(insert(feedback), [_row_of(project, each) for each in judged])
    counts: dict[FeedbackStatus, int] = {}
    for each in judged:
        counts[each.status] = counts.get(each.status, 0) + 1
    return counts


def take_waiting(connection: Connection, project: str, ids: Sequence[str]) -> int:
    """Give feedback that waited for these decisions, which have come, its place at the end; return how many rows."""
    waits = and_(feedback.c.project == project, feedback.c.decided_at.is_(None))
    if connection.execute(select(feedback.c.seq).where(waits).limit(1)).first() is None:
        return 0
    taken: list[Any] = []
    for start in range(0, len(ids), _IDS_PER_QUERY):
        about = and_(waits, feedback.c.decision_id.in_(ids[start : start + _IDS_PER_QUERY]))
        found = connection.execute(select(feedback).where(about)).all()
        if found:
            connection.execute(delete(feedback).where(about))
            taken += found
    taken.sort(key=lambda row: row.seq)
    add_feedback(connection, project, [Arrival(row.decision_id, _value(row.truth), row.at) for row in taken])
    return len(taken)


def list_feedback(connection: Connection, project: str, decision_id: str, limit: int = 100) -> list[LoggedFeedback]:
    """Return what was said about a decision, in order."""
    about = and_(feedback.c.project == project, feedback.c.decision_id == decision_id)
    query = select(feedback).where(about).order_by(feedback.c.seq).limit(limit)
    return [LoggedFeedback(_value(row.truth), row.at, FeedbackStatus(row.status)) for row in connection.execute(query)]


def count_statuses(connection: Connection, project: str) -> dict[FeedbackStatus, int]:
    """Return how many pieces of feedback there are of each status."""
    query = select(feedback.c.status, func.count()).where(feedback.c.project == project).group_by(feedback.c.status)
    return {FeedbackStatus(status): n for status, n in connection.execute(query)}


def get_oldest_waiting(connection: Connection, project: str) -> str:
    """Return when the feedback was reported that waits longest for its decision; empty: none waits."""
    waits = and_(feedback.c.project == project, feedback.c.decided_at.is_(None))
    return connection.execute(select(func.min(feedback.c.at)).where(waits)).scalar() or ""


def get_newest_feedback(connection: Connection, project: str) -> int:
    """Return the number of the newest feedback row; 0 for none."""
    return _count(connection, select(func.max(feedback.c.seq)).where(feedback.c.project == project))


def count_labelled(connection: Connection, project: str, model: str, after_feedback: int, limit: int | None) -> int:
    """Return the number of a model's decisions with feedback newer than `after_feedback`, counted up to `limit`."""
    query = select(feedback.c.seq).select_from(_labelled())
    found = query.where(records.belongs(project, model), _is_after(project, after_feedback), _is_newest).limit(limit)
    return _count(connection, select(func.count()).select_from(found.subquery()))


def list_labelled(
    connection: Connection, project: str, model: str, version: int, *, after_feedback: int, limit: int
) -> list[Labelled]:
    """Return the newest feedback of each decision, joined to it, in feedback order.

    Args:
        after_feedback: only feedback rows with a number above this.
    """
    is_wanted = and_(records.belongs(project, model, version), _is_after(project, after_feedback))
    return _list_joined(connection, is_wanted, limit)


def list_reported(
    connection: Connection, project: str, model: str, version: int, *, after_feedback: int, limit: int
) -> list[Labelled]:
    """Do the same as `list_labelled` with the labels that cannot be used among the others."""
    statuses = (*EFFECTIVE, FeedbackStatus.UNKNOWN_CLASS)
    is_wanted = and_(records.belongs(project, model, version), _is_after(project, after_feedback, statuses))
    return _list_joined(connection, is_wanted, limit)


def list_newest_labelled(connection: Connection, project: str, model: str, rows: int) -> Iterator[list[LabelledInputs]]:
    """Yield pages of a model's newest `rows` labelled decisions, in decision order."""
    wanted = and_(records.belongs(project, model), records.is_labelled)
    order = (decisions.c.at.desc(), decisions.c.seq.desc())
    newest = select(decisions.c.at, decisions.c.seq).where(wanted).order_by(*order)
    first = connection.execute(newest.offset(rows - 1).limit(1)).one_or_none()
    after = ("", 0) if first is None else (first.at, first.seq - 1)
    while True:
        query = (
            select(decisions.c.at, decisions.c.seq, decisions.c.id, decisions.c.inputs, records.truth.label("truth"))
            .where(wanted, records.is_behind(*after))
            .order_by(decisions.c.at, decisions.c.seq)
            .limit(_PAGE_ROWS)
        )
        page = connection.execute(query).all()
        if not page:
            return
        yield [LabelledInputs(row.id, msgspec.json.decode(row.inputs), _value(row.truth)) for row in page]
        after = page[-1].at, page[-1].seq


def delete_feedback(connection: Connection, project: str, until: str, limit: int) -> int:
    """Remove feedback about decisions made before a moment, and what has waited since before it; return the rows."""
    is_old = and_(feedback.c.project == project, feedback.c.decided_at < until)
    waits = and_(feedback.c.project == project, feedback.c.decided_at.is_(None), feedback.c.at < until)
    n_rows = 0
    for which in (is_old, waits):
        numbers = select(feedback.c.seq).where(which).limit(limit)
        n_rows += connection.execute(delete(feedback).where(feedback.c.seq.in_(numbers))).rowcount
    return n_rows


def _list_joined(connection: Connection, is_wanted: ColumnElement[bool], limit: int) -> list[Labelled]:
    d, f = decisions.c, feedback.c
    query = (
        select(f.seq.label("feedback_seq"), d.seq.label("decision_seq"), d.at, d.arm, d.label, d.score, f.truth)
        .select_from(_labelled())
        .where(is_wanted, _is_newest)
        .order_by(f.seq)
        .limit(limit)
    )
    return [
        Labelled(
            feedback_seq=row.feedback_seq,
            decision_seq=row.decision_seq,
            at=row.at,
            arm=row.arm,
            label=_value(row.label),
            score=row.score,
            truth=_value(row.truth),
        )
        for row in connection.execute(query)
    ]


def _list_truths(connection: Connection, project: str, ids: Sequence[str]) -> dict[str, Truth]:
    truths: dict[str, Truth] = {}
    for start in range(0, len(ids), _IDS_PER_QUERY):
        about = and_(feedback.c.project == project, feedback.c.decision_id.in_(ids[start : start + _IDS_PER_QUERY]))
        query = select(feedback.c.decision_id, feedback.c.truth).where(about, feedback.c.status.in_(EFFECTIVE))
        truths |= {name: _value(text) for name, text in connection.execute(query.order_by(feedback.c.seq))}
    return truths


def _list_readers(connection: Connection, project: str, makers: Mapping[str, records.Maker]) -> dict[str, Reader]:
    """Return id -> what reads a label of the version that decided; a version that is not registered has none."""
    readers: dict[tuple[str, int], Reader] = {}
    for model, version in {(maker.model, maker.version) for maker in makers.values()}:
        found = versions.find_version(connection, project, model, version)
        if found is not None:
            readers[model, version] = make_reader(found.certificate.signature)
    pairs = ((name, readers.get((maker.model, maker.version))) for name, maker in makers.items())
    return {name: reader for name, reader in pairs if reader is not None}


def _row_of(project: str, judged: Judged) -> dict[str, Any]:
    arrival, status, decided_at = judged
    return {
        "project": project,
        "decision_id": arrival.decision_id,
        "truth": msgspec.json.encode(arrival.truth).decode(),
        "at": arrival.at,
        "decided_at": decided_at,
        "status": status.value,
    }


def _labelled() -> Any:  # noqa: ANN401 - SQLAlchemy's join
    return feedback.join(decisions, records.is_about)


def _is_after(project: str, feedback_seq: int, statuses: Sequence[FeedbackStatus] = EFFECTIVE) -> ColumnElement[bool]:
    # NOTE: the project once more, although the join says it: only so the index of what came after a row is used.
    return and_(feedback.c.project == project, feedback.c.seq > feedback_seq, feedback.c.status.in_(statuses))


def _value(text: str) -> Truth:
    value: Truth = msgspec.json.decode(text, type=Truth)
    return value


def _count(connection: Connection, query: Select[Any]) -> int:
    return connection.execute(query).scalar() or 0
