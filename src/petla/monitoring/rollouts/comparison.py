"""Two versions on the same decisions: what they decided alike, what not, in which direction, and for whom. Rules only.

Intervals hold at any time (`sequences`): a report may be looked at as often as one likes.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from petla.data.profile.columns import Kind
from petla.models.signature import Signature
from petla.monitoring.rollouts.sequences import rate_span

QUANTILES = (0.5, 0.9, 0.99, 1.0)
# scores that differ by less are the same: versions are served on different processors
_SAME = 1e-6
_ANSWERS, _DIRECTIONS, _SEGMENTS, _CASES = 10, 10, 20, 10
# segments of fewer decisions say nothing
_SEGMENT_ROWS = 20


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """What the champion and another version said to one request; one of the two made the decision."""

    decision_id: str
    inputs: dict[str, Any]
    # of the champion
    label: Any
    score: float
    latency_us: int
    # None: the other failed
    other_label: Any
    other_score: float
    other_latency_us: int


class Rate(msgspec.Struct, frozen=True):
    """A share with its numerator, its denominator and its interval."""

    n: int
    of: int
    share: float
    low: float
    high: float


class AnswerShare(msgspec.Struct, frozen=True):
    """How often each of the two gives one answer."""

    answer: Any
    champion: Rate
    other: Rate
    # by how much more often the other gives it, with the interval
    difference: float
    low: float
    high: float


class Direction(msgspec.Struct, frozen=True):
    """How often one answer became another."""

    before: Any
    after: Any
    n: int


class Segment(msgspec.Struct, frozen=True):
    """The decisions in which one input has one value, and how many of them were decided otherwise."""

    input: str
    value: str
    flipped: Rate


class Quantile(msgspec.Struct, frozen=True):
    """A quantile of the distance between the scores, and of both latencies."""

    share: float
    difference: float
    champion_us: int
    challenger_us: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two versions on the same decisions."""

    pairs: int
    # same answer and same score
    identical: Rate
    # another answer
    flipped: Rate
    # no answer at all
    failed: Rate
    # how much higher the challenger's score is, on average
    mean_shift: float
    quantiles: tuple[Quantile, ...]
    # of classes, where both have an answer; those that differ most come first
    answers: tuple[AnswerShare, ...]
    # most frequent first
    directions: tuple[Direction, ...]
    # by the lower end of their interval, highest first
    segments: tuple[Segment, ...]
    # whose scores differ most
    changed: tuple[Pair, ...]


def compare(pairs: Sequence[Pair], signature: Signature, *, alpha: float = 0.05) -> Comparison:
    """Return how two versions differ on the decisions that both were asked.

    Args:
        pairs: the decisions.
        signature: says which inputs make segments: categories and booleans.
        alpha: of each interval.
    """
    answered = [pair for pair in pairs if pair.other_label is not None]
    flipped = [pair for pair in answered if _is_flipped(pair)]
    distances = sorted(abs(pair.other_score - pair.score) for pair in answered)
    same = sum(not _is_flipped(pair) and abs(pair.other_score - pair.score) <= _SAME for pair in answered)
    shift = sum(pair.other_score - pair.score for pair in answered) / len(answered) if answered else 0.0
    directions = Counter((repr(pair.label), repr(pair.other_label)) for pair in flipped)
    values = {repr(value): value for pair in flipped for value in (pair.label, pair.other_label)}
    return Comparison(
        pairs=len(pairs),
        identical=rate(same, len(pairs), alpha),
        flipped=rate(len(flipped), len(pairs), alpha),
        failed=rate(len(pairs) - len(answered), len(pairs), alpha),
        mean_shift=shift,
        quantiles=tuple(_list_quantiles(answered, distances)),
        answers=tuple(_list_answers(answered, alpha) if signature.classes else ()),
        directions=tuple(
            Direction(values[before], values[after], n)
            for (before, after), n in (directions.most_common(_DIRECTIONS) if signature.classes else ())
        ),
        segments=tuple(_list_segments(answered, signature, alpha)),
        changed=tuple(
            sorted(answered, key=lambda pair: (-abs(pair.other_score - pair.score), pair.decision_id))[:_CASES]
        ),
    )


def rate(n: int, of: int, alpha: float) -> Rate:
    """Return a share with its interval; of nothing, any share is possible."""
    span = rate_span(n, of, alpha)
    return Rate(n, of, n / of if of else 0.0, span.low, span.high)


def _is_flipped(pair: Pair) -> bool:
    if isinstance(pair.label, float) and isinstance(pair.other_label, int | float):
        return not math.isclose(pair.label, pair.other_label, rel_tol=_SAME, abs_tol=_SAME)
    return bool(pair.label != pair.other_label)


def _list_answers(answered: Sequence[Pair], alpha: float) -> Iterable[AnswerShare]:
    ours, theirs = (Counter(map(repr, side)) for side in _labels_of(answered))
    lost, gained = (Counter(map(repr, side)) for side in _labels_of([pair for pair in answered if _is_flipped(pair)]))
    values = {repr(value): value for side in _labels_of(answered) for value in side}
    n = len(answered)
    for name in sorted(values, key=lambda name: (-abs(theirs[name] - ours[name]), -ours[name], name))[:_ANSWERS]:
        more, less = rate_span(gained[name], n, alpha / 2), rate_span(lost[name], n, alpha / 2)
        yield AnswerShare(
            answer=values[name],
            champion=rate(ours[name], n, alpha),
            other=rate(theirs[name], n, alpha),
            difference=(theirs[name] - ours[name]) / n,
            low=more.low - less.high,
            high=more.high - less.low,
        )


def _labels_of(pairs: Sequence[Pair]) -> tuple[list[Any], list[Any]]:
    """Return what the champion said, and what the other did."""
    return [pair.label for pair in pairs], [pair.other_label for pair in pairs]


def _list_quantiles(answered: Sequence[Pair], distances: Sequence[float]) -> Iterable[Quantile]:
    if not answered:
        return
    ours = sorted(pair.latency_us for pair in answered)
    theirs = sorted(pair.other_latency_us for pair in answered)
    for share in QUANTILES:
        place = min(len(answered) - 1, int(share * len(answered)))
        yield Quantile(share, distances[place], ours[place], theirs[place])


def _list_segments(answered: Sequence[Pair], signature: Signature, alpha: float) -> list[Segment]:
    names = [field.name for field in signature.inputs if field.kind in (Kind.CATEGORY, Kind.BOOLEAN)]
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for pair in answered:
        is_flipped = _is_flipped(pair)
        for name in names:
            value = pair.inputs.get(name)
            found = counts[name, "null" if value is None else str(value)]
            found[0] += is_flipped
            found[1] += 1
    segments = [
        Segment(name, value, rate(n, of, alpha)) for (name, value), (n, of) in counts.items() if of >= _SEGMENT_ROWS
    ]
    return sorted(segments, key=lambda each: (-each.flipped.low, -each.flipped.of, each.input, each.value))[:_SEGMENTS]
