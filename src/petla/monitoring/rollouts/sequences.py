"""Confidence sequences: intervals and tests that hold however often one looks, and whenever one stops.

An interval of fixed size is right once; looked at every second it is wrong sooner or later. These are right at all
times together with probability 1 - alpha.

Sources:
    Howard, Ramdas, McAuliffe, Sekhon (2021), Time-uniform, nonparametric, nonasymptotic confidence sequences, Annals of
    Statistics 49(2): theorem 1 (stitched boundary of a sub-gamma process), theorem 4 (empirical Bernstein).
    Lindon, Malek (2022), Anytime-valid inference for multinomial count data, NeurIPS 35: counts divided among arms, by
    a mixture of likelihood ratios.
    Robbins (1970), Statistical methods related to the law of the iterated logarithm: mixtures for one proportion.
    Hoeffding (1963), Probability inequalities for sums of bounded random variables, theorem 4: drawing without
    replacement spreads less than drawing with it, which makes the test of counts hold for batches of any size.
"""

import math
from collections.abc import Callable, Sequence

import msgspec

# how many times as often an event may come on an arm, relative to what is allowed: the alternatives of the mixture
_STEP, _ALTERNATIVES = 1.25, 24
RATIOS = tuple(_STEP**k for k in range(1, _ALTERNATIVES + 1))

# of the stitched boundary, theorem 1: geometric spacing, and exponent of the weights of the epochs
_ETA, _S = 2.0, 1.4
# the zeta function at 1.4
_ZETA = 3.1055472779775815
_K1 = (_ETA**0.25 + _ETA**-0.25) / math.sqrt(2)
_K2 = (math.sqrt(_ETA) + 1) / 2
_ROUNDS = 60


class Span(msgspec.Struct, frozen=True):
    """An interval."""

    low: float
    high: float


class Mean(msgspec.Struct):
    """What a confidence sequence for the mean of values in [0, 1] needs to know of them; grows value by value."""

    n: int = 0
    total: float = 0.0
    # sum of squared distances of each value from the mean of those before it
    spread: float = 0.0

    def add(self, values: Sequence[float]) -> None:
        """Take in values, in the order in which they came."""
        n, total, spread = self.n, self.total, self.spread
        for value in values:
            expected = (total + 0.5) / (n + 1)
            spread += (value - expected) ** 2
            n, total = n + 1, total + value
        self.n, self.total, self.spread = n, total, spread


def mean_span(mean: Mean, alpha: float) -> Span:
    """Return the interval of the mean of values in [0, 1].

    Source: Howard and others (2021), theorem 4, with the stitched boundary of theorem 1; a union over both sides.

    Example:
        >>> mean = Mean()
        >>> mean.add([0.0, 1.0] * 5_000)
        >>> span = mean_span(mean, 0.05)
        >>> round(span.low, 2), round(span.high, 2)
        (0.48, 0.52)
    """
    if not mean.n:
        return Span(0.0, 1.0)
    middle, half = mean.total / mean.n, _boundary(mean.spread, alpha / 2) / mean.n
    return Span(max(0.0, middle - half), min(1.0, middle + half))


def rate_span(events: int, n: int, alpha: float) -> Span:
    """Return the interval of the rate of an event that came in `events` of `n` independent rows.

    All rates are in it of which the data are less than 1/alpha times as unlikely as under an even mixture of all rates.

    Source: Robbins (1970); Lindon and Malek (2022) for two categories.

    Example:
        >>> span = rate_span(50, 1_000, 0.05)
        >>> round(span.low, 3), round(span.high, 3)
        (0.028, 0.08)
    """
    if not n:
        return Span(0.0, 1.0)
    mixture = math.lgamma(events + 1) + math.lgamma(n - events + 1) - math.lgamma(n + 2)
    least = mixture - math.log(1 / alpha)

    def is_inside(rate: float) -> bool:
        return _times_log(events, rate) + _times_log(n - events, 1 - rate) > least

    middle = events / n
    return Span(
        0.0 if events == 0 else _find_edge(is_inside, middle, 0.0),
        1.0 if events == n else _find_edge(is_inside, middle, 1.0),
    )


def add_counts(logs: Sequence[float], arm: tuple[int, int], champion: tuple[int, int], factor: float) -> list[float]:
    """Return the logarithms of the likelihood ratios with one more batch.

    Under the hypothesis an event comes at most `factor` times as often on the arm as on the champion. Of the events of
    a batch a certain part is then the arm's, whatever the rate in this batch is: an hour that is bad for both tells
    nothing.

    Args:
        logs: of the batches before, one for each of `RATIOS`; empty: there was none.
        arm: events and rows of the batch on the arm.
        champion: the same on the champion.
        factor: how many times as often is allowed.
    """
    (events, rows), (others, other_rows) = arm, champion
    before = list(logs) or [0.0] * len(RATIOS)
    if not rows or not other_rows or not events + others:
        return before
    expected = _share(rows, other_rows, factor)
    return [
        log
        + events * math.log(_share(rows, other_rows, factor * ratio) / expected)
        + others * math.log((1 - _share(rows, other_rows, factor * ratio)) / (1 - expected))
        for log, ratio in zip(before, RATIOS, strict=True)
    ]


def has_shown(logs: Sequence[float], alpha: float) -> bool:
    """Say whether the counts have shown that an event comes more often on the arm than is allowed.

    Source: Lindon and Malek (2022), with a mixture over `RATIOS`; Ville's inequality.
    """
    return bool(logs) and weigh(logs) >= math.log(1 / alpha)


def weigh(logs: Sequence[float]) -> float:
    """Return the logarithm of the evidence against the hypothesis: of the mean of the likelihood ratios."""
    largest = max(logs)
    return largest + math.log(sum(math.exp(log - largest) for log in logs) / len(logs))


def _share(rows: int, other_rows: int, ratio: float) -> float:
    return rows * ratio / (rows * ratio + other_rows)


def _boundary(variance: float, alpha: float) -> float:
    """Return how far a sum may stray from its mean, at all times together, with probability `alpha` at most."""
    v = max(variance, 1.0)
    epoch = _S * math.log(math.log(_ETA * v, _ETA)) + math.log(_ZETA / alpha)
    return math.sqrt(_K1**2 * v * epoch + _K2**2 * epoch**2) + _K2 * epoch


def _find_edge(is_inside: Callable[[float], bool], inside: float, outside: float) -> float:
    for _ in range(_ROUNDS):
        middle = (inside + outside) / 2
        if is_inside(middle):
            inside = middle
        else:
            outside = middle
    return outside


def _times_log(count: int, value: float) -> float:
    if not count:
        return 0.0
    return count * math.log(value) if value > 0 else -math.inf
