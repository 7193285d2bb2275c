"""The comparison of two versions, on hand-made pairs and on rows that came through the spools."""

from pathlib import Path

import msgspec
import pytest

from petla.core.errors import NotFoundError
from petla.decisions.shipper import ship
from petla.deployments.beside.rollout import plan_canary, plan_shadow
from petla.deployments.beside.rollouts import list_rollouts, start
from petla.deployments.deploy import deploy
from petla.loop.controller import Controller
from petla.monitoring.rollouts.comparison import Pair, compare
from petla.monitoring.rollouts.counting import find_evidence
from petla.monitoring.rollouts.report import make_report
from petla.storage.workspace import Workspace
from tests.deployments.tiny import MODEL, PROJECT, SIGNATURE, add_version, open_shop, states_of
from tests.monitoring.rollouts.pairs import spool_arm, spool_pairs

LIMITS = """
[models.fraud.deploy]
disagreement = 0.1
"""


def make_pair(label: bool, other: bool | None, *, shift: float = 0.0, country: str = "pl", number: int = 0) -> Pair:
    return Pair(
        decision_id=f"id-{number}",
        inputs={"amount": 1.0, "items": 1, "country": country},
        label=label,
        score=0.4,
        latency_us=100,
        other_label=other,
        other_score=0.4 + shift,
        other_latency_us=200,
    )


def test_pairs_are_told_apart() -> None:
    pairs = [make_pair(False, False) for _ in range(60)]
    pairs += [make_pair(False, False, shift=0.1) for _ in range(20)]
    pairs += [make_pair(False, True, shift=0.3, number=n) for n in range(15)]
    pairs += [make_pair(True, False, shift=-0.2) for _ in range(3)]
    pairs += [make_pair(False, None) for _ in range(2)]

    found = compare(pairs, SIGNATURE)

    assert (found.identical.n, found.flipped.n, found.failed.n, found.pairs) == (60, 18, 2, 100)
    assert found.flipped.low < 0.18 < found.flipped.high
    assert [(each.answer, each.champion.n, each.other.n, each.champion.of) for each in found.answers] == [
        (False, 95, 83, 98),
        (True, 3, 15, 98),
    ]
    assert found.answers[1].difference == pytest.approx(12 / 98)
    assert found.answers[1].low < 12 / 98 < found.answers[1].high
    assert [(each.before, each.after, each.n) for each in found.directions] == [(False, True, 15), (True, False, 3)]
    assert [round(each.difference, 6) for each in found.quantiles] == [0.0, 0.3, 0.3, 0.3]
    assert (found.quantiles[0].champion_us, found.quantiles[0].challenger_us) == (100, 200)
    assert found.mean_shift == pytest.approx((20 * 0.1 + 15 * 0.3 - 3 * 0.2) / 98)
    assert [each.decision_id for each in found.changed] == [f"id-{n}" for n in (0, 1, 10, 11, 12, 13, 14, 2, 3, 4)]


def test_segment_in_which_versions_differ_comes_first() -> None:
    pairs = [make_pair(False, n % 2 == 0, country="de") for n in range(40)]
    pairs += [make_pair(False, False, country="pl") for _ in range(400)]
    pairs += [make_pair(False, True, country="fr") for _ in range(5)]

    segments = compare(pairs, SIGNATURE).segments

    # five decisions are too few to say anything about a segment
    assert [(each.input, each.value, each.flipped.n, each.flipped.of) for each in segments] == [
        ("country", "de", 20, 40),
        ("country", "pl", 0, 400),
    ]
    assert segments[0].flipped.low > segments[1].flipped.high


def test_predicted_numbers_are_compared_by_their_distance() -> None:
    signature = msgspec.structs.replace(SIGNATURE, task="regression", classes=())
    same = msgspec.structs.replace(make_pair(False, False), label=2.0, other_label=2.0)
    other = msgspec.structs.replace(make_pair(False, False, shift=0.5), label=2.0, other_label=2.5)

    found = compare([same, other], signature)

    assert (found.identical.n, found.flipped.n, found.directions) == (1, 1, ())


def test_nothing_compared_is_not_the_same_as_no_difference() -> None:
    found = compare([], SIGNATURE)

    assert (found.flipped.of, found.flipped.low, found.flipped.high, found.quantiles) == (0, 0.0, 1.0, ())


def open_stage(folder: Path) -> Workspace:
    ws = open_shop(folder, PROJECT + LIMITS)
    for bias in (-4.0, -3.0):
        add_version(ws, bias)
    deploy(ws, MODEL, 1, actor="ada")
    return ws


def test_report_of_a_shadow_reads_the_log(tmp_path: Path) -> None:
    ws = open_stage(tmp_path)
    start(ws, MODEL, plan_shadow(2), actor="ada")
    spool_pairs(ws, 50, flipped=10, failed=5)
    ship(ws)

    report = make_report(ws, MODEL)

    assert report.comparison is not None
    assert (report.comparison.pairs, report.comparison.flipped.n, report.comparison.failed.n) == (50, 10, 5)
    assert report.comparison.changed[0].inputs == {"amount": 1.0, "items": 1, "country": "pl"}


def test_shadow_that_disagrees_too_often_is_ended(tmp_path: Path) -> None:
    ws = open_stage(tmp_path)
    start(ws, MODEL, plan_shadow(2), actor="ada")
    spool_pairs(ws, 100, flipped=8)
    controller = Controller(ws)
    controller.tick()
    assert find_evidence(ws, list_rollouts(ws)[0]).pairs["shadow"].disagreed.n == 100
    assert states_of(ws)[2] == "shadow"

    spool_pairs(ws, 100, flipped=60, failed=20)
    controller.tick()
    controller.close()

    (rollout,) = list_rollouts(ws)
    assert (rollout.state, states_of(ws)[2]) == ("rolled back", "testing")
    assert "fraud:2 decided 88 of 200 decisions otherwise or failed at them" in rollout.outcome
    assert make_report(ws, MODEL, rollout.id).alarms


def test_report_of_a_canary_says_what_each_arm_did(tmp_path: Path) -> None:
    ws = open_stage(tmp_path)
    start(ws, MODEL, plan_canary(2, (0.25,)), actor="ada")

    report = make_report(ws, MODEL)

    assert [(arm.name, arm.version, arm.share, arm.decisions) for arm in report.arms] == [
        ("champion", 1, 0.75, 0),
        ("canary", 2, 0.25, 0),
    ]
    assert (report.comparison, report.alarms, report.arms[0].p50_us) == (None, (), None)


def test_report_of_a_canary_compares_it_with_the_champion_on_its_own_decisions(tmp_path: Path) -> None:
    ws = open_stage(tmp_path)
    start(ws, MODEL, plan_canary(2, (0.25,)), actor="ada")
    spool_arm(ws, 50, flipped=10, failed=5)
    ship(ws)

    champion, canary = make_report(ws, MODEL).arms

    assert (champion.comparison, canary.comparison is not None) == (None, True)
    assert canary.comparison is not None
    # where the champion failed, nobody knows whether they agree
    assert (canary.comparison.pairs, canary.comparison.flipped.n, canary.comparison.failed.n) == (45, 10, 0)
    assert [(each.before, each.after, each.n) for each in canary.comparison.directions] == [(True, False, 10)]
    changed = canary.comparison.changed[0]
    assert (changed.score, changed.other_score, changed.latency_us, changed.other_latency_us) == (0.3, 0.2, 40, 90)


def test_report_needs_a_rollout(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="model fraud has no rollout"):
        make_report(open_stage(tmp_path), MODEL)
