"""Versions are numbered, move only as the table says, and are registered once."""

import math
from pathlib import Path

import msgspec
import pytest

from petla.core.errors import ConflictError, NotFoundError
from petla.models import registry
from petla.models.package import Parity
from petla.models.signature import Signature
from petla.models.states import MOVES, State, require_move
from petla.models.version import Certificate, ModelVersion
from petla.pipeline.result import RunResult
from petla.storage.workspace import Workspace
from tests.models.examples import open_workspace


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path)


def make_run(run_id: int, model: str = "delay") -> RunResult:
    return RunResult(
        run_id=run_id,
        model=model,
        plan_key="k",
        steps=(),
        parameters={"depth": 3},
        data={"flights": "d1"},
        metrics={},
        commit="c0ffee",
        is_dirty=False,
    )


def make_certificate() -> Certificate:
    return Certificate(
        who="ada",
        when="2026-01-01T00:00:00.000000Z",
        cause="person",
        commit="c0ffee",
        is_dirty=False,
        data={"flights": "d1"},
        parameters={"depth": 3},
        environment={"numpy": "2.4"},
        python="3.11.7",
        metrics={"auc": 0.7},
        reported={"loss": 0.5},
        training_rows=400,
        holdout_rows=200,
        kind="onnx",
        parity=Parity(rows=200, tolerance=1e-4, largest_difference=1e-7),
        signature=Signature(inputs=(), target="late", task="binary", classes=(False, True)),
        package="p1",
        seal="00",
    )


def register(ws: Workspace, run_id: int, model: str = "delay") -> ModelVersion:
    return registry.register(ws, make_run(run_id, model), make_certificate())


def move(ws: Workspace, version: int, to: State) -> None:
    with ws.ledger.change(actor="ada", action="model.moved", subject=f"delay:{version}") as change:
        registry.move(change, ws.name, "delay", version, to)


def test_versions_are_numbered_for_each_model(ws: Workspace) -> None:
    made = [register(ws, 1), register(ws, 2), register(ws, 3, "price")]

    assert [(each.model, each.version, each.state) for each in made] == [
        *(("delay", 1, State.CANDIDATE), ("delay", 2, State.CANDIDATE), ("price", 1, State.CANDIDATE))
    ]


def test_same_run_does_not_become_two_versions(ws: Workspace) -> None:
    first = register(ws, 1)

    assert register(ws, 1) == first
    assert len(ws.ledger.list_entries()) == 1


def test_version_comes_back_with_its_certificate(ws: Workspace) -> None:
    made = register(ws, 1)

    found = registry.get_version(ws, "delay", 1)

    assert found == made
    assert found.certificate == make_certificate()
    assert found.verdict is None


def test_unknown_version_is_named(ws: Workspace) -> None:
    with pytest.raises(NotFoundError, match="no model version delay:7"):
        registry.get_version(ws, "delay", 7)


def test_registration_is_in_the_ledger(ws: Workspace) -> None:
    register(ws, 4)

    entry = ws.ledger.list_entries()[0]
    assert (entry.action, entry.subject, entry.actor) == ("model.registered", "delay:1", "ada")
    assert entry.details["run"] == 4


def test_registration_that_lost_a_race_is_refused(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    # another command commits between our look and our change; that moment is made by answering the first look late
    numbers = iter([0, 1])
    monkeypatch.setattr("petla.models.records.newest_version", lambda *_: next(numbers))

    with pytest.raises(ConflictError, match="at the same moment"):
        register(ws, 1)

    assert registry.list_versions(ws) == []


def test_champion_is_the_version_in_production(ws: Workspace) -> None:
    register(ws, 1)
    assert registry.find_champion(ws, "delay") is None

    move(ws, 1, State.TESTING)
    move(ws, 1, State.PRODUCTION)

    champion = registry.find_champion(ws, "delay")
    assert champion is not None
    assert champion.version == 1


def test_move_is_recorded_from_where_to_where(ws: Workspace) -> None:
    register(ws, 1)

    move(ws, 1, State.REJECTED)

    assert ws.ledger.list_entries()[-1].details == {"delay:1": {"from": "candidate", "to": "rejected"}}


def test_forbidden_move_changes_nothing(ws: Workspace) -> None:
    register(ws, 1)

    with pytest.raises(ConflictError, match="delay:1 is candidate and cannot become production"):
        move(ws, 1, State.PRODUCTION)

    assert registry.get_version(ws, "delay", 1).state is State.CANDIDATE
    assert len(ws.ledger.list_entries()) == 1


def test_move_of_unknown_version_is_refused(ws: Workspace) -> None:
    with pytest.raises(NotFoundError):
        move(ws, 1, State.TESTING)


def test_verdict_is_kept(ws: Workspace) -> None:
    register(ws, 1)

    with ws.ledger.change(actor="ada", action="model.judged", subject="delay:1") as change:
        registry.set_verdict(change, ws.name, "delay", 1, b'{"passed":true}')

    assert registry.get_version(ws, "delay", 1).verdict == b'{"passed":true}'


def test_list_has_the_newest_first_and_a_limit(ws: Workspace) -> None:
    for run_id in (1, 2, 3):
        register(ws, run_id)
    register(ws, 4, "price")

    assert [each.version for each in registry.list_versions(ws, "delay", limit=2)] == [3, 2]
    assert [each.model for each in registry.list_versions(ws)] == ["delay", "delay", "delay", "price"]


@pytest.mark.parametrize("now", State)
@pytest.mark.parametrize("to", State)
def test_only_moves_of_the_table_are_accepted(now: State, to: State) -> None:
    if to in MOVES[now]:
        require_move("delay:1", now, to)
    else:
        with pytest.raises(ConflictError, match="cannot become"):
            require_move("delay:1", now, to)


def test_nothing_returns_to_candidate_and_rejected_is_final() -> None:
    assert not MOVES[State.REJECTED]
    assert all(State.CANDIDATE not in targets for targets in MOVES.values())


def test_version_with_a_figure_that_was_not_finite_stays_readable(ws: Workspace) -> None:
    register(ws, 1)
    bad = msgspec.structs.replace(
        make_certificate(), metrics={"rmse": math.nan, "mae": 2.0}, reported={"own": math.inf, "better": 1.0}
    )
    registry.register(ws, make_run(2), bad)

    found = registry.list_versions(ws, "delay")

    assert [each.version for each in found] == [2, 1]
    assert (found[0].certificate.metrics, found[0].certificate.reported) == ({"mae": 2.0}, {"better": 1.0})
