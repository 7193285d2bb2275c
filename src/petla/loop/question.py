"""The question to a person: one sentence with the figures of the verdict."""

from collections.abc import Mapping

from petla.core.project import Metric, ModelTable
from petla.gates.verdict import Verdict

# metrics that people read as a percentage, so that a difference is in points
_SHARES: frozenset[Metric] = frozenset({"accuracy", "auc", "f1", "precision", "recall"})


def write_question(verdict: Verdict, table: ModelTable) -> str:
    """Return the sentence that a person says yes or no to."""
    passed = sum(check.passed for check in verdict.checks)
    gates = f"passed {passed} of {len(verdict.checks)} gates"
    subject = f"{verdict.model}:{verdict.version}"
    comparison = next((check for check in verdict.checks if check.name == "champion"), None)
    if verdict.champion is None or comparison is None:
        return f"{subject} {gates}, and nothing is live that it could be compared with: deploy?"
    champion = f"{verdict.model}:{verdict.champion}"
    if not comparison.figures.keys() >= _FIGURES:
        return f"{subject} {gates}; compared with {champion}: {comparison.message}: deploy?"
    return f"{subject} {_compare(comparison.figures, champion, table)} and {gates}: deploy?"


# what the champion gate gives where both models could be measured; difference: above 0 is better
_FIGURES = {"candidate", "champion", "difference", "low", "high", "rows"}


def _compare(figures: Mapping[str, float], champion: str, table: ModelTable) -> str:
    metric = table.gate_metric
    difference, low, high = figures["difference"], figures["low"], figures["high"]
    against = f"{_number(figures['candidate'])} against {_number(figures['champion'])}"
    interval = f"{table.gates.confidence:.0%} interval {_signed(low, metric)} to {_signed(high, metric)}"
    evidence = f"({against}, {interval}, {figures['rows']:,.0f} rows)"
    if low <= 0 <= high:
        return f"is not clearly better or worse than {champion} on {metric} {evidence}"
    word = "better" if difference > 0 else "worse"
    return f"is {_size(abs(difference), metric)} {word} than {champion} on {metric} {evidence}"


def _size(value: float, metric: Metric) -> str:
    if metric in _SHARES:
        return f"{value * 100:.1f} points"
    return _number(value)


def _signed(value: float, metric: Metric) -> str:
    return f"{value * 100:+.1f}" if metric in _SHARES else f"{value:+.3g}"


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"
