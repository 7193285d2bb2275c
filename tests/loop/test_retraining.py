"""What becomes of a retraining when its training ends, whichever way it ends."""

from pathlib import Path

import pytest

from petla.core.errors import BusyError, PetlaError, UnavailableError
from petla.incidents.incidents import get_incident
from petla.loop.retraining.retrainings import get_retraining
from petla.loop.retraining.states import Retraining, RetrainingState
from petla.loop.retraining.steps import advance
from petla.loop.retraining.trainer import Fault, Trainer, TrainingAnswer, TrainingEnd
from petla.pipeline.plan import RunRequest
from petla.storage.workspace import Workspace
from tests.loop.stage import commit_retraining, make_verdict
from tests.monitoring.rows import make_workspace


class Ended(Trainer):
    """A trainer whose process has ended; real processes end in these ways too rarely to wait for."""

    def __init__(self, ws: Workspace, end: TrainingEnd) -> None:
        super().__init__(ws)
        self.end = end

    def poll(self, _retraining: Retraining, _request: RunRequest) -> TrainingEnd:
        return self.end


def end(
    status: int = 0, *, answer: TrainingAnswer | None = None, fault: Fault | None = None, tail: str = ""
) -> TrainingEnd:
    return TrainingEnd(status=status, answer=answer, fault=fault, tail=tail)


@pytest.mark.parametrize(
    ("ended", "state", "outcome"),
    [
        (end(answer=TrainingAnswer(version=2, verdict=make_verdict())), RetrainingState.TRAINED, ""),
        (
            end(1, answer=TrainingAnswer(version=2, verdict=make_verdict(passed=False))),
            RetrainingState.LOST,
            "delay:2 failed its gates: champion: worse by 0.02; the champion stays",
        ),
        (
            end(answer=TrainingAnswer(version=1, verdict=make_verdict(version=1, champion=None))),
            RetrainingState.LOST,
            "fresh data gave the champion delay:1 again",
        ),
        (
            end(1, fault=Fault("gate_failed", "column carrier was re-coded")),
            RetrainingState.LOST,
            "the fresh data did not pass: column carrier was re-coded",
        ),
        (
            end(1, fault=Fault("user_code", "step model failed: KeyError: 'wind'")),
            RetrainingState.FAILED,
            "training failed: step model failed: KeyError: 'wind'",
        ),
    ],
    ids=["passed", "gates failed", "nothing gained", "data refused", "user code"],
)
def test_end_decides_the_state_and_says_why(
    tmp_path: Path, ended: TrainingEnd, state: RetrainingState, outcome: str
) -> None:
    ws = make_workspace(tmp_path)
    retraining = commit_retraining(ws)

    moved = advance(ws, retraining, Ended(ws, ended))

    assert (moved.state, moved.outcome) == (state, outcome)
    incident = get_incident(ws, moved.incident_id)
    assert incident.outcome == (f"retraining {moved.id}: {outcome}" if outcome else "")
    assert not incident.is_resolved


@pytest.mark.parametrize(
    ("ended", "family", "words"),
    [
        (end(1, fault=Fault("busy", "petla run (pid 7) is still at work")), BusyError, "still at work"),
        (end(3, tail="petla: the disk is full"), UnavailableError, "the disk is full"),
        (end(-9), UnavailableError, "status -9 and said nothing"),
    ],
    ids=["busy", "disk full", "killed"],
)
def test_end_that_may_pass_leaves_the_retraining_where_it_is(
    tmp_path: Path, ended: TrainingEnd, family: type[PetlaError], words: str
) -> None:
    ws = make_workspace(tmp_path)
    retraining = commit_retraining(ws)

    with pytest.raises(family, match=words):
        advance(ws, retraining, Ended(ws, ended))

    assert get_retraining(ws, retraining.id).state is RetrainingState.COMMITTED
