"""What was counted of a rollout, and what it shows. Rules only.

The evidence is a small document however long a rollout runs: sums, histograms, and the logarithms of the sequential
tests. It grows batch by batch, in the transaction that stores the batch.

- A decision failed on an arm if another version answered for it, which the decision itself says: so failures survive
  whatever a worker dies of, and are counted once. What a worker only counts in its memory would be lost with it.
- Every test compares an arm with the champion in the same batches, so that a bad hour for both stops nobody; and how
  often they disagree is seen on the same requests (`disagreement`).
- Batches of a few rows are put together first: alone they would say nothing, as a row is an arm's or the champion's.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from petla.core.project import DeployTable
from petla.decisions.record import CHAMPION, RULE, Decision, Labelled
from petla.deployments.beside.rollout import Rollout, RolloutKind
from petla.monitoring.rollouts.disagreement import Opinion, Pairs, describe_excess
from petla.monitoring.rollouts.sequences import Mean, add_counts, has_shown, mean_span

# what an arm is judged by
Measure = Literal["failed", "slow", "wrong", "loss", "disagreement"]
_MEASURES: tuple[Measure, ...] = ("failed", "slow", "wrong", "disagreement")
# upper bounds of the latency histogram, microseconds: four to an octave, up to half a minute
LATENCY_BOUNDS_US = tuple(int(16 * 2 ** (k / 4)) for k in range(84))


# fewer rows than this wait for others before they are compared; of so many a twentieth of what they say is lost
_COMPARED_ROWS = 20


class Tally(msgspec.Struct):
    """Counts of the champion or of one arm since the rollout began."""

    rows: int = 0
    # since the present shares began
    step_rows: int = 0
    # decisions that another version answered in its place
    failed: int = 0
    # slower than the project file allows
    slow: int = 0
    # along `LATENCY_BOUNDS_US`
    latency: dict[int, int] = {}
    # decisions whose truth is known, and those of them that were wrong
    labelled: int = 0
    wrong: int = 0
    # of a regression: absolute error as a part of the range of the champion's holdout scores, 1 at most
    loss: Mean = msgspec.field(default_factory=Mean)
    # newest feedback that was counted
    last_feedback: int = 0


class Evidence(msgspec.Struct):
    """All that was counted of a rollout."""

    # `champion` or name of the arm -> its counts
    tallies: dict[str, Tally] = {}
    # measure and arm -> logarithms of the likelihood ratios
    tests: dict[str, list[float]] = {}
    # measure -> `champion` or arm -> events and rows that no test has seen yet
    waiting: dict[str, dict[str, tuple[int, int]]] = {}
    # name of the arm, or `shadow` -> what it and the champion said to the same requests
    pairs: dict[str, Pairs] = {}
    # as shadows were counted before there were `pairs`
    disagreed: Mean = msgspec.field(default_factory=Mean)
    # when the shares began that `step_rows` counts from
    stepped_at: str = ""


class Labels(msgspec.Struct, frozen=True):
    """Decisions of one version whose truth has come, in the order of the feedback."""

    rows: Sequence[Labelled]
    # newest feedback that was looked at; 0: none
    last_feedback: int


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was shown at the confidence of the project file."""

    measure: Measure
    arm: str
    version: int
    # one sentence with the figures
    reason: str


def add_decisions(evidence: Evidence, rollout: Rollout, decisions: Sequence[Decision], table: DeployTable) -> None:
    """Count a batch of a model's decisions that were made while a rollout ran.

    Args:
        evidence: grows.
        rollout: whose arms are counted; of a shadow only the champion is.
        decisions: of its model, made since it began.
        table: says what is slow.
    """
    slow_us = table.slow_ms * 1e3
    batch = {name: Tally() for name in _names_of(rollout)}
    for decision in decisions:
        tally = batch.get(decision.arm)
        if tally is not None:
            tally.rows += 1
            tally.failed += decision.served_by not in (decision.arm, RULE)
            tally.slow += decision.latency_us > slow_us
            place = bisect_left(LATENCY_BOUNDS_US, decision.latency_us)
            tally.latency[place] = tally.latency.get(place, 0) + 1
    _compare(evidence, "failed", {name: (each.failed, each.rows) for name, each in batch.items()}, table.worse_factor)
    _compare(evidence, "slow", {name: (each.slow, each.rows) for name, each in batch.items()}, table.worse_factor)
    if evidence.stepped_at != rollout.stepped_at:
        evidence.stepped_at = rollout.stepped_at
        for tally in evidence.tallies.values():
            tally.step_rows = 0
    for name, new in batch.items():
        _merge(evidence.tallies.setdefault(name, Tally()), new)


def add_labelled(evidence: Evidence, found: dict[str, Labels], table: DeployTable, scale: float | None) -> None:
    """Count labels that have come since the last time.

    Args:
        evidence: grows.
        found: `champion` or name of an arm -> its labels of decisions since the rollout began.
        table: says how much worse is allowed.
        scale: of a regression, the range of the scores; None: the decisions are classes.
    """
    batch: dict[str, tuple[int, int]] = {}
    for name, labels in found.items():
        tally = evidence.tallies.setdefault(name, Tally())
        tally.last_feedback = max(tally.last_feedback, labels.last_feedback)
        if scale is None:
            wrong = sum(row.label != row.truth for row in labels.rows)
            batch[name] = wrong, len(labels.rows)
            tally.wrong += wrong
        else:
            tally.loss.add([loss for row in labels.rows if (loss := _loss_of(row, scale)) is not None])
        tally.labelled += len(labels.rows)
    _compare(evidence, "wrong", batch, table.worse_factor)


def add_opinions(evidence: Evidence, opinions: Sequence[Opinion], scale: float | None) -> None:
    """Count what two versions said to the same requests.

    Args:
        evidence: grows.
        opinions: of a batch, in its order.
        scale: as `add_labelled` has it.
    """
    by_arm: dict[str, list[Opinion]] = {}
    for opinion in opinions:
        by_arm.setdefault(opinion.arm, []).append(opinion)
    for name, mine in by_arm.items():
        pairs = evidence.pairs[name] = _pairs_of(evidence, name)
        pairs.add(mine, scale)


def list_alarms(evidence: Evidence, rollout: Rollout, table: DeployTable) -> Iterator[Alarm]:
    """Yield what speaks against the versions of a rollout, shown at the confidence of the project file.

    The probability of a mistake is divided among the measures and the arms (Bonferroni).
    """
    alpha = (1 - table.confidence) / (len(_MEASURES) * len(rollout.arms))
    yield from _judge_pairs(evidence, rollout, table, alpha)
    if rollout.kind is RolloutKind.SHADOW:
        return
    words = {"failed": "failed", "slow": f"took longer than {table.slow_ms:g} ms", "wrong": "were wrong"}
    champion = evidence.tallies.get(CHAMPION, Tally())
    for arm in rollout.arms:
        mine = evidence.tallies.get(arm.name, Tally())
        measures: tuple[Measure, ...] = ("failed", "slow", "wrong")
        for measure in measures:
            if has_shown(evidence.tests.get(f"{measure} {arm.name}", ()), alpha):
                name = f"{rollout.model}:{arm.version}"
                said = f"of {name} {_rate(mine, measure)} {words[measure]}, of the champion {_rate(champion, measure)}"
                yield Alarm(measure=measure, arm=arm.name, version=arm.version, reason=said)
        low, high = mean_span(mine.loss, alpha / 2).low, mean_span(champion.loss, alpha / 2).high
        if low > high * table.worse_factor:
            said = f"its mean error is above {low:.3g} of the range of scores, the champion's below {high:.3g}"
            yield Alarm(measure="loss", arm=arm.name, version=arm.version, reason=said)


def quantile_us(tally: Tally, share: float) -> int | None:
    """Return a quantile of the latencies, as the upper bound of its place in the histogram; None: there are none."""
    left = share * sum(tally.latency.values())
    for place in sorted(tally.latency):
        left -= tally.latency[place]
        if left <= 0:
            return LATENCY_BOUNDS_US[min(place, len(LATENCY_BOUNDS_US) - 1)]
    return None


def _judge_pairs(evidence: Evidence, rollout: Rollout, table: DeployTable, alpha: float) -> Iterator[Alarm]:
    if table.disagreement is None:
        return
    for arm in rollout.arms:
        name = f"{rollout.model}:{arm.version}"
        said = describe_excess(_pairs_of(evidence, arm.name), name, table.disagreement, alpha)
        if said:
            yield Alarm(measure="disagreement", arm=arm.name, version=arm.version, reason=said)


def _pairs_of(evidence: Evidence, name: str) -> Pairs:
    return evidence.pairs.get(name) or Pairs(disagreed=msgspec.structs.replace(evidence.disagreed))


def _compare(evidence: Evidence, measure: Measure, batch: dict[str, tuple[int, int]], factor: float) -> None:
    """Let the tests see the events and rows of a batch, once there are enough with those that wait."""
    waiting = evidence.waiting.setdefault(measure, {})
    for name, (events, rows) in batch.items():
        before = waiting.get(name, (0, 0))
        waiting[name] = before[0] + events, before[1] + rows
    if sum(rows for _, rows in waiting.values()) < _COMPARED_ROWS:
        return
    champion = waiting.pop(CHAMPION, (0, 0))
    for name, mine in waiting.items():
        key = f"{measure} {name}"
        evidence.tests[key] = add_counts(evidence.tests.get(key, ()), mine, champion, factor)
    waiting.clear()


def _names_of(rollout: Rollout) -> list[str]:
    arms = [] if rollout.kind is RolloutKind.SHADOW else [arm.name for arm in rollout.arms]
    return [CHAMPION, *arms]


def _merge(tally: Tally, new: Tally) -> None:
    tally.rows += new.rows
    tally.step_rows += new.rows
    tally.failed += new.failed
    tally.slow += new.slow
    for place, n in new.latency.items():
        tally.latency[place] = tally.latency.get(place, 0) + n


def _loss_of(row: Labelled, scale: float) -> float | None:
    """Return the bounded loss of a predicted number, or None where the truth is none."""
    if isinstance(row.truth, bool) or not isinstance(row.truth, int | float):
        return None
    return min(1.0, abs(row.score - row.truth) / scale)


def _rate(tally: Tally, measure: Measure) -> str:
    events, rows = getattr(tally, measure), tally.labelled if measure == "wrong" else tally.rows
    return f"{events:,} of {rows:,} decisions ({100 * events / rows if rows else 0:.3g}%)"
