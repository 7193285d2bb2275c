"""Evidence of a quiet service: decisions and labels that come one by one."""

from petla.core.ids import DecisionId
from petla.core.project import DeployTable
from petla.decisions.record import CANARY, CHAMPION, Decision, Labelled
from petla.deployments.beside.rollout import RolloutKind, plan_canary
from petla.monitoring.rollouts.evidence import Evidence, Labels, add_decisions, add_labelled, list_alarms
from tests.deployments.tiny import MODEL
from tests.monitoring.rollouts.pairs import make_rollout

ROLLOUT = make_rollout(RolloutKind.CANARY, plan_canary(2, (0.25,)).arms)
TABLE = DeployTable()


def make_decision(arm: str, *, served_by: str = "") -> Decision:
    return Decision(DecisionId("id"), "r", 5, MODEL, 1, (1.0, 1, "pl"), False, 0.2, served_by or arm, 900, "0", "", arm)


def make_label(*, is_right: bool) -> Labelled:
    return Labelled(feedback_seq=1, decision_seq=1, at="", label=True, score=0.9, truth=is_right)


def list_measures(evidence: Evidence) -> list[str]:
    return [alarm.measure for alarm in list_alarms(evidence, ROLLOUT, TABLE)]


def test_failures_that_come_one_by_one_are_shown() -> None:
    evidence = Evidence()
    for n in range(100):
        failed = make_decision(CANARY, served_by=CHAMPION)
        add_decisions(evidence, ROLLOUT, [make_decision(CHAMPION) if n % 4 else failed], TABLE)

    assert list_measures(evidence) == ["failed"]
    assert (evidence.tallies[CHAMPION].rows, evidence.tallies[CANARY].rows) == (75, 25)


def test_labels_that_come_one_by_one_are_shown() -> None:
    evidence = Evidence()
    for n in range(100):
        name, label = (CHAMPION, make_label(is_right=True)) if n % 4 else (CANARY, make_label(is_right=False))
        add_labelled(evidence, {name: Labels([label], n)}, TABLE, None)

    assert list_measures(evidence) == ["wrong"]


def test_what_comes_one_by_one_and_is_no_worse_shows_nothing() -> None:
    evidence = Evidence()
    for n in range(400):
        arm = CHAMPION if n % 4 else CANARY
        add_decisions(evidence, ROLLOUT, [make_decision(arm, served_by="standby" if n % 3 else "")], TABLE)
        add_labelled(evidence, {arm: Labels([make_label(is_right=n % 5 == 0)], n)}, TABLE, None)

    assert list_measures(evidence) == []
