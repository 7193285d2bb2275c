"""Rows of second answers, each beside the decision that it is about.

A shadow answers once more what the champion decided; the champion answers once more what an arm decided.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select

from petla.core.clock import to_text
from petla.decisions.record import RULE, ShadowAnswer
from petla.deployments.beside.rollout import Rollout, RolloutKind
from petla.monitoring.rollouts.comparison import Pair
from petla.monitoring.rollouts.disagreement import Opinion
from petla.storage.tables import decisions, shadows

_IDS_PER_QUERY = 500

# NOTE: a shadow's answer has the moment of its decision, which finds the day.
_is_about = and_(
    decisions.c.project == shadows.c.project, decisions.c.id == shadows.c.decision_id, decisions.c.at == shadows.c.at
)


def list_newest_pairs(connection: Connection, project: str, rollout: Rollout, arm: str, limit: int) -> list[Pair]:
    """Return the newest decisions to which the champion and an arm, or the shadow, said something."""
    query = select(decisions, *_second()).select_from(shadows.join(decisions, _is_about))
    mine = (*_of(project, rollout), *(() if _is_shadow(rollout) else (decisions.c.arm == arm,)))
    order = (shadows.c.at.desc(), shadows.c.seq.desc())
    found = connection.execute(query.where(*mine).order_by(*order).limit(limit))
    return [_pair_of(row, is_shadow=_is_shadow(rollout)) for row in found]


def list_opinions(
    connection: Connection, project: str, rollout: Rollout, answers: Sequence[ShadowAnswer]
) -> list[Opinion]:
    """Return what the champion and the arms, or the shadow, said to the same requests, in the order of the answers.

    Args:
        answers: second ones, of any model and version, whose rows are there.
    """
    second = rollout.arms[0].version if _is_shadow(rollout) else rollout.champion
    mine = [each for each in answers if (each.model, each.version) == (rollout.model, second)]
    query = (
        select(shadows.c.error, decisions.c.arm, decisions.c.label, decisions.c.score, *_second())
        .select_from(shadows.join(decisions, _is_about))
        .order_by(shadows.c.seq)
    )
    found: list[Opinion] = []
    for place in range(0, len(mine), _IDS_PER_QUERY):
        page = mine[place : place + _IDS_PER_QUERY]
        # NOTE: without the moments all that the version has said since the rollout began is read, in all its days.
        seconds = [each.at_ns // 1_000_000_000 for each in page]
        since, until = (to_text(datetime.fromtimestamp(at, UTC)) for at in (min(seconds), max(seconds) + 1))
        is_then = (decisions.c.at >= since, decisions.c.at < until, shadows.c.at < until)
        is_one = shadows.c.decision_id.in_([each.decision_id for each in page])
        rows = connection.execute(query.where(*_of(project, rollout, since), *is_then, is_one))
        found += [_opinion_of(row, rollout) for row in rows]
    return found


def _is_shadow(rollout: Rollout) -> bool:
    return rollout.kind is RolloutKind.SHADOW


def _of(project: str, rollout: Rollout, since: str = "") -> tuple[ColumnElement[bool], ...]:
    """Which rows are a rollout's; where a rule of the project answered, or the champion failed, there is no pair."""
    # NOTE: one lower end, for SQLite looks for the first of several alone in an index.
    is_mine = and_(
        shadows.c.project == project,
        shadows.c.model == rollout.model,
        shadows.c.at >= max(since, rollout.started_at),
        decisions.c.served_by != RULE,
    )
    if _is_shadow(rollout):
        return is_mine, shadows.c.version == rollout.arms[0].version, decisions.c.version == rollout.champion
    is_asked = or_(*(and_(decisions.c.arm == arm.name, decisions.c.version == arm.version) for arm in rollout.arms))
    return is_mine, shadows.c.version == rollout.champion, shadows.c.error == "", is_asked


def _second() -> list[ColumnElement[Any]]:
    return [getattr(shadows.c, name).label(f"second_{name}") for name in ("label", "score", "latency_us")]


def _opinion_of(row: Row[Any], rollout: Rollout) -> Opinion:
    first, second = (row.label, row.score), (row.second_label, row.second_score)
    (champion, champion_score), (other, other_score) = (first, second) if _is_shadow(rollout) else (second, first)
    return Opinion(
        arm=rollout.arms[0].name if _is_shadow(rollout) else row.arm,
        champion=champion,
        champion_score=champion_score,
        other=other,
        other_score=other_score,
        is_failed=bool(row.error),
    )


def _pair_of(row: Row[Any], *, is_shadow: bool) -> Pair:
    decided = msgspec.json.decode(row.label), row.score, row.latency_us
    second = msgspec.json.decode(row.second_label), row.second_score, row.second_latency_us
    champion, other = (decided, second) if is_shadow else (second, decided)
    return Pair(
        decision_id=row.id,
        inputs=msgspec.json.decode(row.inputs),
        label=champion[0],
        score=champion[1],
        latency_us=champion[2],
        other_label=other[0],
        other_score=other[1],
        other_latency_us=other[2],
    )
