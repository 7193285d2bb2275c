"""Rows of reviews."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, or_, select, update

from petla.decisions.record import Truth
from petla.decisions.reviews.review import Review, ReviewState
from petla.storage.tables import reviews

_JSON = ("label", "answer")


def add_reviews(connection: Connection, project: str, found: Sequence[Review]) -> None:
    """Put reviews into the queue."""
    if found:
        connection.execute(insert(reviews), [_values_of(review) | {"project": project} for review in found])


def find_review(connection: Connection, project: str, review_id: str) -> Review | None:
    """Return one review, or None."""
    row = connection.execute(select(reviews).where(_is(project, review_id))).one_or_none()
    return None if row is None else _review_of(row)


def list_review_rows(
    connection: Connection, project: str, state: ReviewState | None, model: str | None, limit: int
) -> list[Review]:
    """Return reviews: those that wait oldest first, the others newest first."""
    query = select(reviews).where(reviews.c.project == project)
    if state is not None:
        query = query.where(reviews.c.state == state.value)
    if model is not None:
        query = query.where(reviews.c.model == model)
    order = reviews.c.seq if state is ReviewState.WAITING else reviews.c.seq.desc()
    return [_review_of(row) for row in connection.execute(query.order_by(order).limit(limit))]


def count_waiting(connection: Connection, project: str, model: str | None) -> int:
    """Return how many reviews wait."""
    query = select(func.count()).where(reviews.c.project == project, reviews.c.state == ReviewState.WAITING.value)
    if model is not None:
        query = query.where(reviews.c.model == model)
    return connection.execute(query).scalar() or 0


def find_oldest_open(connection: Connection, project: str) -> str | None:
    """Return the moment of the oldest decision that waits for a person, or for its webhook; None: none does."""
    is_open = or_(reviews.c.state == ReviewState.WAITING.value, reviews.c.deliver_at.is_not(None))
    query = select(func.min(reviews.c.at)).where(reviews.c.project == project, is_open)
    moment: str | None = connection.execute(query).scalar()
    return moment


def count_waiting_until(connection: Connection, project: str, until: str) -> int:
    """Return how many reviews of decisions made before a moment wait for a person."""
    waits = and_(reviews.c.project == project, reviews.c.state == ReviewState.WAITING.value, reviews.c.at < until)
    return connection.execute(select(func.count()).where(waits)).scalar() or 0


def delete_reviews(connection: Connection, project: str, until: str, limit: int) -> int:
    """Remove reviews of decisions made before a moment, so many at most; return how many went."""
    is_old = and_(reviews.c.project == project, reviews.c.at < until)
    numbers = select(reviews.c.seq).where(is_old).limit(limit)
    return connection.execute(delete(reviews).where(reviews.c.seq.in_(numbers))).rowcount


def decide_review(connection: Connection, project: str, review: Review) -> bool:
    """Write down a person's answer to a review that still waits; return whether it did."""
    query = update(reviews).where(_is(project, review.id), reviews.c.state == ReviewState.WAITING.value)
    return connection.execute(query.values(_values_of(review))).rowcount == 1


def list_due(connection: Connection, project: str, now: str, limit: int) -> list[Review]:
    """Return reviews whose delivery is due, the longest due first."""
    query = select(reviews).where(reviews.c.project == project, reviews.c.deliver_at <= now)
    return [_review_of(row) for row in connection.execute(query.order_by(reviews.c.deliver_at).limit(limit))]


def save_delivery(connection: Connection, project: str, review: Review, before: Review) -> bool:
    """Write down how far a delivery is if it still is where it was; return whether it was."""
    values = {name: getattr(review, name) for name in ("deliver_at", "attempts", "delivered_at", "delivery_error")}
    here = (_is(project, review.id), reviews.c.deliver_at == before.deliver_at, reviews.c.attempts == before.attempts)
    return connection.execute(update(reviews).where(*here).values(values)).rowcount == 1


def _is(project: str, review_id: str) -> ColumnElement[bool]:
    return (reviews.c.project == project) & (reviews.c.id == review_id)


def _values_of(review: Review) -> dict[str, Any]:
    values = msgspec.structs.asdict(review) | {"state": review.state.value}
    values["flags"] = msgspec.json.encode(review.flags).decode()
    return values | {name: _encode(values[name]) for name in _JSON}


def _review_of(row: Row[Any]) -> Review:
    values = {name: getattr(row, name) for name in Review.__struct_fields__}
    values |= {name: None if values[name] is None else _decode(values[name]) for name in _JSON}
    flags = msgspec.json.decode(row.flags, type=tuple[str, ...])
    return Review(**values | {"state": ReviewState(row.state), "flags": flags})


def _encode(value: Truth | None) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _decode(text: str) -> Truth:
    value: Truth = msgspec.json.decode(text, type=Truth)
    return value
