"""Disagreement on the same requests: whom it stops, whom it does not, and after how many of them."""

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petla.core.project import DeployTable
from petla.data.profile.columns import ColumnProfile, Kind
from petla.deployments.beside.rollout import (
    RolloutArm,
    RolloutKind,
    plan_canary,
    plan_experiment,
    plan_shadow,
)
from petla.deployments.beside.rollouts import list_rollouts, start
from petla.deployments.deploy import deploy
from petla.loop.controller import Controller
from petla.models.package import ONNX_FILE, store_package
from petla.monitoring.rollouts.counting import find_evidence
from petla.monitoring.rollouts.disagreement import Opinion, Pairs, describe_excess
from petla.monitoring.rollouts.evidence import Evidence, list_alarms
from petla.storage.workspace import Workspace
from tests.deployments.tiny import (
    MODEL,
    PROJECT,
    SIGNATURE,
    add_version,
    make_onnx,
    make_package,
    open_shop,
    register,
    states_of,
)
from tests.monitoring.rollouts.pairs import make_rollout, spool_arm, spool_pairs

LIMITS = """
[models.fraud.deploy]
disagreement = 0.02
"""
ALPHA, LIMIT = 0.05, 0.02


def make_opinions(champion: Sequence[object], other: Sequence[object]) -> list[Opinion]:
    texts = ([msgspec.json.encode(answer).decode() for answer in side] for side in (champion, other))
    return [
        Opinion(arm="canary", champion=ours, other=theirs, champion_score=0.0, other_score=0.0, is_failed=False)
        for ours, theirs in zip(*texts, strict=True)
    ]


def count(champion: Sequence[object], other: Sequence[object], *, batch: int = 50) -> int | None:
    """Return after how many pairs the other was stopped, looking after each batch; None: it was not."""
    pairs, opinions = Pairs(), make_opinions(champion, other)
    for place in range(0, len(opinions), batch):
        pairs.add(opinions[place : place + batch], None)
        if describe_excess(pairs, "fraud:2", LIMIT, ALPHA):
            return place + batch
    return None


@settings(max_examples=30)
@given(st.lists(st.sampled_from([False, True, 3, "cat"]), max_size=200), st.integers(1, 200))
def test_version_that_decides_alike_is_never_stopped(answers: list[object], batch: int) -> None:
    """Whatever is asked, by whomever, in whatever order: a population that drifts while the share grows, too."""
    assert count(answers, answers, batch=batch) is None


def test_version_that_disagrees_as_often_as_is_allowed_is_rarely_stopped() -> None:
    """It flips only positive answers, in a population that becomes more positive while the canary's share grows."""
    random = np.random.default_rng(1)
    runs, stopped = 100, 0
    for _ in range(runs):
        # the canary's rows of each step: ever more of them, and ever more of them positive
        positive = np.concatenate([random.random(n) < share for n, share in ((50, 0.05), (250, 0.3), (500, 0.6))])
        # a flip is as likely at any time, and never likelier than the limit
        flipped = random.random(len(positive)) < LIMIT
        stopped += count(positive.tolist(), (positive ^ flipped).tolist(), batch=100) is not None
    assert stopped / runs <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)


@pytest.mark.parametrize("is_both_ways", [False, True])
def test_version_that_flips_every_tenth_decision_is_stopped_soon(is_both_ways: bool) -> None:
    """Also where it flips as many one way as the other, so that the shares of its answers stay what they are."""
    random = np.random.default_rng(2)
    found = []
    for _ in range(40):
        champion = random.random(1_000) < 0.5
        flipped = random.random(1_000) < (0.1 if is_both_ways else 0.2 * ~champion)
        found.append(count(champion.tolist(), (champion ^ flipped).tolist()))
    needed = [rows for rows in found if rows is not None]
    assert len(needed) == 40
    assert np.median(needed) <= 250


def test_alarm_names_the_answer_both_shares_and_the_limit() -> None:
    pairs = Pairs()
    pairs.add(make_opinions([False] * 90 + [True] * 10, [False] * 50 + [True] * 50), None)

    said = describe_excess(pairs, "fraud:2", LIMIT, ALPHA)

    assert said.startswith("fraud:2 decided 40 of 100 decisions otherwise: more than 2")
    assert said.endswith("%, and 2% is allowed; it answered false in 50% of them, the champion in 90%")


def test_thousands_of_classes_keep_the_document_small() -> None:
    pairs = Pairs()
    pairs.add(make_opinions(range(5_000), range(1, 5_001)), None)

    assert (pairs.disagreed.n, pairs.answered, len(pairs.answers)) == (5_000, 5_000, 50)
    assert len(msgspec.json.encode(pairs)) < 2_000


def test_failure_of_the_other_is_a_disagreement_and_no_answer() -> None:
    pairs = Pairs()
    pairs.add([msgspec.structs.replace(each, is_failed=True) for each in make_opinions([True], [None])], None)

    assert (pairs.disagreed.total, pairs.answered, pairs.answers) == (1.0, 0, {})


def open_stage(folder: Path) -> Workspace:
    ws = open_shop(folder, PROJECT + LIMITS)
    for bias in (-4.0, -3.0, -2.0):
        add_version(ws, bias)
    deploy(ws, MODEL, 1, actor="ada")
    return ws


def tick(ws: Workspace) -> None:
    controller = Controller(ws)
    controller.tick()
    controller.close()


def test_arm_that_answers_otherwise_ends_an_experiment(tmp_path: Path) -> None:
    ws = open_stage(tmp_path)
    arms = [RolloutArm("blue", 2, 0.3), RolloutArm("green", 3, 0.3)]
    start(ws, MODEL, plan_experiment(arms), actor="ada")
    spool_arm(ws, 200, arm="blue", version=2)
    spool_arm(ws, 200, arm="green", version=3, flipped=40)

    tick(ws)

    (rollout,) = list_rollouts(ws)
    assert {name: pairs.disagreed.total for name, pairs in find_evidence(ws, rollout).pairs.items()} == {
        "blue": 0.0,
        "green": 40.0,
    }
    assert (rollout.state, rollout.outcome.split(" decided")[0]) == ("rolled back", "fraud:3")


def test_what_says_nothing_about_the_arm_is_not_counted(tmp_path: Path) -> None:
    ws = open_stage(tmp_path)
    start(ws, MODEL, plan_shadow(3), actor="ada")
    start(ws, MODEL, plan_canary(2, (0.05,)), actor="ada")
    # the champion has no answer; a rule of the project answered; the version was asked by its name; an older shadow
    spool_arm(ws, 200, failed=200)
    spool_arm(ws, 200, flipped=200, served_by="rule")
    spool_arm(ws, 200, flipped=200, arm="named")
    spool_pairs(ws, 200, flipped=200)

    tick(ws)

    canary, shadow = list_rollouts(ws)
    assert [(each.state, find_evidence(ws, each).pairs) for each in (canary, shadow)] == [("running", {})] * 2


def test_numbers_are_judged_by_their_distance_in_the_range_of_scores(tmp_path: Path) -> None:
    """Two numbers are hardly ever the same: as labels every one of these would be decided otherwise."""
    ws = open_shop(tmp_path, PROJECT + LIMITS.replace("0.02", "0.04"))
    signature = msgspec.structs.replace(SIGNATURE, task="regression", classes=())
    score = ColumnProfile(name="score", kind=Kind.NUMBER, rows=9, missing=0, distinct=9, minimum=0.0, maximum=2.0)
    package = msgspec.structs.replace(make_package(), signature=signature, score_profile=score, golden=())
    for bias in (-4.0, -3.0):
        register(ws, package, store_package(ws, package, {ONNX_FILE: make_onnx(bias)}))
    deploy(ws, MODEL, 1, actor="ada")
    start(ws, MODEL, plan_canary(2, (0.5,)), actor="ada")
    # 0.2 where the champion says 0.3: a twentieth of the range
    spool_arm(ws, 300, flipped=300)
    tick(ws)
    assert states_of(ws)[2] == "canary"

    spool_arm(ws, 2_200)
    tick(ws)

    (rollout,) = list_rollouts(ws)
    said = "fraud:2 answered 2,500 requests 5% of the range of scores away from the champion on average: more than 4"
    assert (rollout.state, rollout.outcome[: len(said)]) == ("rolled back", said)


def test_documents_from_before_arms_were_compared_are_judged_where_there_is_a_limit() -> None:
    mean = b'{"n":200,"total":88.0,"spread":40.0}'
    before = b'{"tallies":{"champion":{"rows":200}},"disagreed":%b,"shadow_failed":3,"last_shadow":200}' % mean
    rollout = make_rollout(RolloutKind.SHADOW, plan_shadow(2).arms)

    evidence = msgspec.json.decode(before, type=Evidence)

    (alarm,) = list_alarms(evidence, rollout, DeployTable(disagreement=LIMIT))
    assert alarm.reason.startswith("fraud:2 decided 88 of 200 decisions otherwise or failed at them")
    assert list(list_alarms(evidence, rollout, DeployTable())) == []
