"""Rows of second answers: what it costs to find those of one batch."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from petla.core.clock import to_text
from petla.core.ids import DecisionId
from petla.decisions import records as log
from petla.decisions.record import ShadowAnswer
from petla.deployments.beside.rollout import Rollout, plan_canary
from petla.deployments.beside.rollouts import list_rollouts, start
from petla.monitoring.rollouts.records import list_opinions
from petla.storage.database import reading, writing
from petla.storage.workspace import Workspace
from tests.deployments.tiny import MODEL, open_live_shop

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    return open_live_shop(tmp_path)


def add_pairs(ws: Workspace, first: int, n: int) -> list[ShadowAnswer]:
    """Log decisions of a canary, one a second, and what the champion said; return the latter."""
    moments = {i: BEGUN + timedelta(seconds=i) for i in range(first, first + n)}
    made = [
        log.DecisionRow(
            f"id-{i}", ws.name, "r", to_text(at), MODEL, 2, "{}", "true", 0.2, "canary", 9, "0", "", "canary"
        )
        for i, at in moments.items()
    ]
    said = [
        log.ShadowRow(ws.name, f"id-{i}", to_text(at), MODEL, 1, "true", 0.3, 9, "0", "") for i, at in moments.items()
    ]
    with writing(ws.engine) as connection:
        log.add_decisions(connection, made)
        log.add_shadows(connection, said)
    at_ns = {i: int(at.timestamp()) * 1_000_000_000 for i, at in moments.items()}
    return [ShadowAnswer(DecisionId(f"id-{i}"), at_ns[i], MODEL, 1, True, 0.3, 9, "0") for i in moments]


def measure(ws: Workspace, rollout: Rollout, answers: list[ShadowAnswer]) -> int:
    """Return how many instructions SQLite needs to find all of them."""
    ticks: list[None] = []
    with reading(ws.engine) as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        driver.set_progress_handler(lambda: ticks.append(None), 100)
        assert len(list_opinions(connection, ws.name, rollout, answers)) == len(answers)
        driver.set_progress_handler(None, 0)
    return len(ticks)


def test_batch_costs_the_same_however_long_a_rollout_has_run(shop: Workspace) -> None:
    start(shop, MODEL, plan_canary(2, (0.5,)), actor="ada")
    (begun,) = list_rollouts(shop)
    rollout = msgspec.structs.replace(begun, started_at=to_text(BEGUN))
    early = measure(shop, rollout, add_pairs(shop, 0, 50))
    add_pairs(shop, 50, 4_000)

    late = measure(shop, rollout, add_pairs(shop, 4_050, 50))

    assert late < 2 * early
