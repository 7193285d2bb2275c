"""Rollouts in the controller's hands: ramps, automatic stops, and a kill at any point. Decisions come from spools."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from petla.core.errors import UnavailableError
from petla.core.ids import uuid7_source
from petla.decisions.record import Decision, Feedback
from petla.decisions.spool import DECISIONS, FEEDBACK, SPOOL_FOLDER, SpoolWriter
from petla.deployments.beside.rollout import Rollout, RolloutArm, plan_canary, plan_experiment
from petla.deployments.beside.rollouts import list_rollouts, start
from petla.deployments.deploy import deploy
from petla.deployments.snapshot import Route, read_snapshot
from petla.loop.controller import Controller
from petla.monitoring.rollouts.counting import find_evidence
from petla.monitoring.rollouts.evidence import quantile_us
from petla.storage.workspace import Workspace
from tests.deployments.tiny import MODEL, PROJECT, actions_of, add_version, open_shop, states_of

LIMITS = """
[models.fraud.deploy]
minimum_rows = 100
step_minutes = 30
"""
RAMP = plan_canary(2, (0.05, 0.5, 1.0), step_minutes=30)
_make_id = uuid7_source()


class Stage:
    """A project with version 1 live, a clock that is set by hand, and a worker's spool."""

    def __init__(self, folder: Path) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        opened = open_shop(folder, PROJECT + LIMITS)
        self.ws = Workspace(folder, opened.project, opened.settings, clock=lambda: self.now)
        for bias in (-4.0, -3.0, -2.0):
            add_version(self.ws, bias)
        deploy(self.ws, MODEL, 1, actor="ada")
        worker = self.ws.state / SPOOL_FOLDER / "0"
        self._decisions, self._feedback = SpoolWriter(worker, DECISIONS), SpoolWriter(worker, FEEDBACK)
        self._controller = Controller(self.ws)

    def decide(
        self,
        n: int,
        arm: str = "champion",
        version: int = 1,
        *,
        failed: int = 0,
        latency_us: int = 900,
        wrong: int = -1,
    ) -> None:
        """Spool decisions of an arm; the champion answered the first of them, and with labels the first are wrong."""
        at_ns = int(self.now.timestamp() * 1e9) + 1_000_000
        made = [
            Decision(
                *(_make_id(), "r", at_ns, MODEL, 1 if i < failed else version, (1.0, 1, "pl"), False, 0.2),
                *("champion" if i < failed else arm, latency_us, "0", "", arm),
            )
            for i in range(n)
        ]
        self._decisions.append(made)
        if wrong >= 0:
            self._feedback.append([Feedback(each.id, i < wrong, at_ns + 1) for i, each in enumerate(made)])

    def tick(self, minutes: float = 0) -> None:
        self.now += timedelta(minutes=minutes)
        self._controller.tick()

    @property
    def rollout(self) -> Rollout:
        return list_rollouts(self.ws)[0]

    @property
    def route(self) -> Route:
        snapshot = read_snapshot(self.ws.state)
        assert snapshot is not None
        return snapshot.routes[MODEL]

    def close(self) -> None:
        self._decisions.close()
        self._feedback.close()
        self._controller.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()


def test_ramp_takes_its_steps_and_is_promoted(stage: Stage) -> None:
    start(stage.ws, MODEL, RAMP, actor="ada")
    shares = []
    for _ in range(3):
        stage.decide(100, "canary", 2)
        stage.decide(500)
        stage.tick(31)
        shares.append(stage.route.split.arms[0].share if stage.route.split else None)

    assert shares == [0.5, None, None]
    assert states_of(stage.ws) == {1: "retired", 2: "production", 3: "testing"}
    *_, stepped, promoted = stage.ws.ledger.list_entries()
    assert (stepped.actor, stepped.action) == ("controller", "canary.stepped")
    assert (promoted.action, promoted.reason) == ("model.deployed", "100 decisions at 50% without a sign of harm")


def test_step_needs_its_time_and_its_decisions(stage: Stage) -> None:
    start(stage.ws, MODEL, RAMP, actor="ada")
    stage.decide(99, "canary", 2)
    stage.tick(31)
    assert stage.rollout.arms[0].share == 0.05

    stage.decide(1, "canary", 2)
    stage.tick()
    assert stage.rollout.arms[0].share == 0.5

    stage.decide(100, "canary", 2)
    stage.tick(29)
    assert stage.rollout.arms[0].share == 0.5


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda stage: stage.decide(50, "canary", 2, failed=25), r"fraud:2 25 of 50 decisions \(50%\) failed"),
        (lambda stage: stage.decide(50, "canary", 2, latency_us=80_000), "50 of 50 .* took longer than 50 ms"),
        (lambda stage: stage.decide(50, "canary", 2, wrong=40), "40 of 50 decisions .* were wrong"),
    ],
)
def test_canary_that_is_shown_to_be_worse_is_rolled_back(
    stage: Stage, harm: Callable[[Stage], None], reason: str
) -> None:
    start(stage.ws, MODEL, RAMP, actor="ada")
    stage.decide(1_000, failed=0, wrong=50)
    harm(stage)

    stage.tick()

    assert (stage.rollout.state, stage.route.split) == ("rolled back", None)
    assert states_of(stage.ws) == {1: "production", 2: "testing", 3: "testing"}
    assert actions_of(stage.ws)[-1] == "canary.rolled_back"
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(stage.rollout.outcome)


def test_bad_hour_for_both_stops_nobody(stage: Stage) -> None:
    start(stage.ws, MODEL, RAMP, actor="ada")
    stage.decide(50, "canary", 2, latency_us=80_000, wrong=25)
    stage.decide(1_000, latency_us=80_000, wrong=500)

    stage.tick()

    assert stage.rollout.state == "running"


def test_requests_that_named_the_champion_are_in_no_comparison(stage: Stage) -> None:
    start(stage.ws, MODEL, RAMP, actor="ada")
    stage.decide(50, "canary", 2, wrong=25)
    stage.decide(50, wrong=25)
    # whoever asks the champion by its name asks what it is always right about
    stage.decide(1_000, "named", wrong=0)
    # the canary failed, and the champion answered
    stage.decide(20, "canary", 2, failed=20, wrong=0)

    stage.tick()

    champion = find_evidence(stage.ws, stage.rollout).tallies["champion"]
    assert (champion.rows, champion.labelled, champion.wrong) == (50, 50, 25)


def test_worse_arm_ends_an_experiment(stage: Stage) -> None:
    arms = [RolloutArm("blue", 2, 0.3), RolloutArm("green", 3, 0.3)]
    start(stage.ws, MODEL, plan_experiment(arms), actor="ada")
    for arm, version, failed in (("blue", 2, 0), ("green", 3, 60)):
        stage.decide(100, arm, version, failed=failed)
    stage.decide(100)

    stage.tick()

    assert states_of(stage.ws) == {1: "production", 2: "testing", 3: "testing"}
    assert stage.rollout.outcome.startswith("of fraud:3 60 of 100 decisions (60%) failed, of the champion 0 of 100")


def test_decisions_before_the_rollout_are_not_counted(stage: Stage) -> None:
    stage.decide(70)
    stage.now += timedelta(minutes=1)
    start(stage.ws, MODEL, RAMP, actor="ada")
    stage.decide(30)

    stage.tick()

    tally = find_evidence(stage.ws, stage.rollout).tallies["champion"]
    assert (tally.rows, quantile_us(tally, 0.5)) == (30, 1024)


def test_controller_that_was_killed_between_rows_and_file_is_taken_up(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        # stands for a kill after the commit
        raise KeyboardInterrupt

    start(stage.ws, MODEL, RAMP, actor="ada")
    stage.decide(100, "canary", 2)
    with monkeypatch.context() as patch:
        patch.setattr("petla.deployments.publishing._publish", die)
        with pytest.raises(KeyboardInterrupt):
            stage.tick(31)
    assert (stage.rollout.arms[0].share, stage.route.split and stage.route.split.arms[0].share) == (0.5, 0.05)

    Controller(stage.ws).tick()

    assert stage.route.split is not None
    assert stage.route.split.arms[0].share == 0.5
    assert actions_of(stage.ws).count("canary.stepped") == 1


def test_step_that_fails_is_tried_again_after_a_rest(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def refuse(*_: object, **__: object) -> None:
        calls.append(1)
        raise UnavailableError("no worker took it")

    start(stage.ws, MODEL, RAMP, actor="ada")
    stage.decide(100, "canary", 2)
    with monkeypatch.context() as patch:
        patch.setattr("petla.loop.rollouts.steps.step", refuse)
        stage.tick(31)
        stage.tick()
    assert (len(calls), stage.rollout.arms[0].share) == (1, 0.05)

    Controller(stage.ws).tick()

    assert stage.rollout.arms[0].share == 0.5
