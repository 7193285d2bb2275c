"""The retraining policy, rule by rule."""

import pytest

from petla.core.errors import ConflictError
from petla.core.project import RetrainTable
from petla.loop.retraining.policy import Nothing, Situation, Start, Wait, decide
from petla.loop.retraining.states import FINAL, MOVES, Retraining, RetrainingState, require_move
from petla.monitoring.finding import FindingKind

TABLE = RetrainTable(dataset="flights", minimum_rows=1_000)


def situation(labels: int = 5_000, last: RetrainingState | None = None, kind: FindingKind = "drift") -> Situation:
    return Situation(kind=kind, last=None if last is None else retraining(last), labels=labels)


def retraining(state: RetrainingState) -> Retraining:
    return Retraining(
        id=3,
        model="delay",
        incident_id=1,
        state=state,
        dataset_version=None,
        commit="",
        candidate=None,
        approval_id=None,
        last_feedback=7,
        outcome="",
        started_at="",
        changed_at="",
    )


def test_alarm_with_enough_labels_starts() -> None:
    assert decide(TABLE, situation()) == Start()


def test_project_without_a_dataset_leaves_it_to_a_person() -> None:
    assert isinstance(decide(RetrainTable(), situation()), Nothing)


def test_kind_that_the_project_does_not_name_starts_nothing() -> None:
    table = RetrainTable(dataset="flights", on=("quality",))

    assert decide(table, situation(kind="drift")) == Nothing("the project does not retrain on drift")
    assert decide(table, situation(kind="quality")) == Start()


@pytest.mark.parametrize("state", sorted(set(RetrainingState) - FINAL))
def test_one_retraining_at_a_time(state: RetrainingState) -> None:
    assert decide(TABLE, situation(last=state)) == Wait("retraining 3 is under way")


def test_too_few_labels_wait() -> None:
    assert decide(TABLE, situation(labels=999)) == Wait("999 of 1,000 labelled decisions have come")


@pytest.mark.parametrize("state", sorted(FINAL))
def test_after_any_end_fresh_labels_are_needed(state: RetrainingState) -> None:
    reason = f"12 of 1,000 labelled decisions have come since retraining 3 ({state})"

    assert decide(TABLE, situation(labels=12, last=state)) == Wait(reason)
    assert decide(TABLE, situation(labels=1_000, last=state)) == Start()


def test_table_of_moves_ends_only_in_final_states() -> None:
    assert set(MOVES) == set(RetrainingState)
    assert {RetrainingState.DONE, RetrainingState.REFUSED, RetrainingState.LOST, RetrainingState.FAILED} == FINAL
    reached = {target for targets in MOVES.values() for target in targets}
    assert reached == set(RetrainingState) - {RetrainingState.WANTED}


@pytest.mark.parametrize("now", RetrainingState)
@pytest.mark.parametrize("to", RetrainingState)
def test_move_that_is_not_in_the_table_is_refused(now: RetrainingState, to: RetrainingState) -> None:
    if to in MOVES[now]:
        require_move(retraining(now), to)
    else:
        with pytest.raises(ConflictError, match=f"is {now} and cannot become {to}"):
            require_move(retraining(now), to)
