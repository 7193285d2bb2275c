"""Gates on quality: the candidate against its minimum, and against the champion on the same rows."""

import msgspec

from petla.core.project import LOWER_IS_BETTER, GateTable, Metric
from petla.gates.verdict import Check
from petla.models.compare import Interval, paired_bootstrap
from petla.models.metrics import Outcome, measure

_SEED = 0


class Contender(msgspec.Struct, frozen=True):
    """A version and what it answered on the holdout."""

    # such as delay:7
    name: str
    outcome: Outcome


def check_minimum(metric: Metric, gates: GateTable, candidate: Contender) -> Check:
    """Compare the candidate's figure with the worst one that passes."""
    value = measure(metric, candidate.outcome)
    rows = len(candidate.outcome.truth)
    if value is None:
        return _not_enough("minimum", metric, rows)
    figures = {"value": value, "rows": float(rows)}
    shown = f"{metric} is {value:.4g} on {rows:,} holdout rows"
    if gates.minimum is None:
        return Check(name="minimum", passed=True, message=f"{shown}; no minimum is set", figures=figures)
    is_lower = metric in LOWER_IS_BETTER
    passed = value <= gates.minimum if is_lower else value >= gates.minimum
    demand = f"at {'most' if is_lower else 'least'} {gates.minimum:.4g} is demanded"
    return Check(
        name="minimum", passed=passed, message=f"{shown}; {demand}", figures=figures | {"minimum": gates.minimum}
    )


def check_champion(metric: Metric, gates: GateTable, candidate: Contender, champion: Contender) -> Check:
    """Let a candidate pass that is shown to be better or, with a margin, not to be worse by more than that.

    With the margin 0 a tie does not pass: it shows no gain that would be worth a change of production.
    """
    value, reference = measure(metric, candidate.outcome), measure(metric, champion.outcome)
    interval = paired_bootstrap(metric, candidate.outcome, champion.outcome, confidence=gates.confidence, seed=_SEED)
    if value is None or reference is None or interval is None:
        return _not_enough("champion", metric, len(candidate.outcome.truth))
    passed = interval.low > -gates.margin
    shown = (
        f"{metric} is {value:.4g} against {reference:.4g} of the champion {champion.name} "
        f"on the same {interval.n:,} rows: "
        f"{_gain(interval)} ({gates.confidence:.0%} interval {interval.low:+.4g} to {interval.high:+.4g})"
    )
    return Check(
        name="champion",
        passed=passed,
        message=f"{shown}; {_judgement(interval, gates.margin)}",
        figures={
            "champion": reference,
            "candidate": value,
            "difference": interval.difference,
            "low": interval.low,
            "high": interval.high,
            "rows": float(interval.n),
            "margin": gates.margin,
            "confidence": gates.confidence,
            "seed": float(_SEED),
        },
    )


def pass_without_champion(metric: Metric, candidate: Contender) -> Check:
    """Say that there was nothing to compare with."""
    value = measure(metric, candidate.outcome)
    figures = {} if value is None else {"candidate": value}
    message = "there is no champion to be compared with; this would be the first version in production"
    return Check(name="champion", passed=True, message=message, figures=figures)


def _gain(interval: Interval) -> str:
    if interval.difference == 0:
        return "no difference"
    return f"{'better' if interval.difference > 0 else 'worse'} by {abs(interval.difference):.4g}"


def _judgement(interval: Interval, margin: float) -> str:
    if interval.low > 0:
        return "it is shown to be better"
    if interval.low > -margin:
        return f"it is shown not to be worse by more than the margin of {margin:.4g}"
    if interval.high < 0:
        return "it is shown to be worse"
    if margin:
        return f"it may be worse by more than the margin of {margin:.4g}"
    return "that is a tie: it is not shown to be better"


def _not_enough(name: str, metric: Metric, rows: int) -> Check:
    message = f"not enough data: {metric} cannot be measured on these {rows:,} holdout rows"
    return Check(name=name, passed=False, message=message, figures={"rows": float(rows)})
