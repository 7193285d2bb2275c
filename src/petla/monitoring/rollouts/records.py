"""Rows of shadow answers, each beside the decision that it is about."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, and_, select

from petla.deployments.beside.rollout import Rollout
from petla.monitoring.rollouts.comparison import Pair
from petla.storage.tables import decisions, shadows

# NOTE: a shadow's answer has the moment of its decision, which finds the day.
_is_about = and_(
    decisions.c.project == shadows.c.project, decisions.c.id == shadows.c.decision_id, decisions.c.at == shadows.c.at
)


def list_newest_pairs(connection: Connection, project: str, rollout: Rollout, limit: int) -> list[Pair]:
    """Return the newest decisions of the champion that a shadow was asked as well."""
    query = select(decisions, *_others()).select_from(shadows.join(decisions, _is_about))
    found = connection.execute(query.where(*_of(project, rollout)).order_by(shadows.c.seq.desc()).limit(limit))
    return [_pair_of(row) for row in found]


def list_answers(
    connection: Connection, project: str, rollout: Rollout, *, after: int, limit: int
) -> Sequence[tuple[int, bool, bool]]:
    """Return what a shadow answered, oldest first: number of the row, whether it failed, whether it decided otherwise.

    Args:
        after: only rows with a number above this.
    """
    query = (
        select(shadows.c.seq, shadows.c.error, shadows.c.label, decisions.c.label.label("decided"))
        .select_from(shadows.join(decisions, _is_about))
        .where(*_of(project, rollout), shadows.c.seq > after)
        .order_by(shadows.c.seq)
        .limit(limit)
    )
    return [(row.seq, bool(row.error), row.label != row.decided) for row in connection.execute(query)]


def _of(project: str, rollout: Rollout) -> tuple[ColumnElement[bool], ...]:
    return (
        shadows.c.project == project,
        shadows.c.model == rollout.model,
        shadows.c.version == rollout.arms[0].version,
        shadows.c.at >= rollout.started_at,
        decisions.c.version == rollout.champion,
    )


def _others() -> list[ColumnElement[Any]]:
    return [getattr(shadows.c, name).label(f"other_{name}") for name in ("label", "score", "latency_us")]


def _pair_of(row: Row[Any]) -> Pair:
    return Pair(
        decision_id=row.id,
        inputs=msgspec.json.decode(row.inputs),
        label=msgspec.json.decode(row.label),
        score=row.score,
        latency_us=row.latency_us,
        other_label=msgspec.json.decode(row.other_label),
        other_score=row.other_score,
        other_latency_us=row.other_latency_us,
    )
