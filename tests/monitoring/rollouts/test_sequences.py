"""Confidence sequences under continuous looking: false alarms stay rare, and true differences are found.

Every simulation looks after each batch and counts a run as wrong if a single look was wrong. Seeds are fixed. With a
true rate of at most alpha, fewer than alpha plus three standard errors of the runs may be wrong.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from petla.monitoring.rollouts.sequences import Mean, add_counts, has_shown, mean_span, rate_span

ALPHA = 0.1
RUNS = 200
# three standard errors above alpha
MOST = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
DRAWS: dict[str, tuple[Draw, float]] = {
    "coins": (lambda random, n: (random.random(n) < 0.3).astype(float), 0.3),
    "rare": (lambda random, n: (random.random(n) < 0.01).astype(float), 0.01),
    "skewed": (lambda random, n: random.beta(0.5, 4.5, n), 0.1),
    "two ends": (lambda random, n: random.choice([0.0, 1.0], n, p=[0.5, 0.5]), 0.5),
}


@pytest.mark.parametrize("name", DRAWS)
def test_mean_stays_inside_at_every_look(name: str) -> None:
    draw, truth = DRAWS[name]
    random = np.random.default_rng(1)
    wrong = 0
    for _ in range(RUNS):
        mean = Mean()
        for batch in np.array_split(draw(random, 1_000), 40):
            mean.add(batch.tolist())
            span = mean_span(mean, ALPHA)
            if not span.low <= truth <= span.high:
                wrong += 1
                break
    assert wrong / RUNS <= MOST


@pytest.mark.parametrize("rate", [0.0, 0.002, 0.05, 0.5])
def test_rate_stays_inside_at_every_look(rate: float) -> None:
    random = np.random.default_rng(2)
    wrong = 0
    for _ in range(RUNS):
        events = np.cumsum(random.random((60, 50)) < rate, dtype=int).reshape(60, 50)[:, -1]
        spans = [rate_span(int(total), 50 * (look + 1), ALPHA) for look, total in enumerate(events)]
        wrong += any(not span.low <= rate <= span.high for span in spans)
    assert wrong / RUNS <= MOST


@pytest.mark.parametrize(
    ("share", "rate", "factor", "batch"),
    [(0.05, 0.01, 1.0, 1_000), (0.5, 0.2, 1.0, 20), (0.25, 0.02, 1.2, 200), (0.5, 0.4, 1.2, 100), (0.05, 1.0, 1.0, 50)],
)
def test_arm_that_is_no_worse_is_rarely_stopped(share: float, rate: float, factor: float, batch: int) -> None:
    """The arm is exactly as bad as is allowed, in a service whose rate swings between nothing and twice the usual."""
    random = np.random.default_rng(3)
    stopped = sum(
        run_until_stopped(random, share, rate, min(1.0, rate * factor), factor=factor, batch=batch) is not None
        for _ in range(RUNS)
    )
    assert stopped / RUNS <= MOST


@pytest.mark.parametrize(
    ("share", "champion", "arm", "looks"),
    [(0.05, 0.001, 0.05, 40), (0.25, 0.02, 0.06, 60), (0.5, 0.1, 0.15, 60), (0.05, 0.0, 1.0, 5)],
)
def test_arm_that_is_worse_is_stopped(share: float, champion: float, arm: float, looks: int) -> None:
    random = np.random.default_rng(4)
    found = [run_until_stopped(random, share, champion, arm, looks=looks, batch=200) for _ in range(50)]
    assert sum(look is not None for look in found) >= 48


def run_until_stopped(
    random: np.random.Generator,
    share: float,
    champion: float,
    arm: float,
    *,
    factor: float = 1.0,
    batch: int,
    looks: int = 60,
) -> int | None:
    """Return the look at which an arm was stopped, or None."""
    logs: list[float] = []
    for look in range(looks):
        # both suffer from a bad hour
        mood = 1.0 if champion >= 1 else random.choice([0.5, 1.0, 1.5])
        rows = int(random.binomial(batch, share))
        events = int(random.binomial(rows, min(1.0, arm * mood)))
        others = int(random.binomial(batch - rows, min(1.0, champion * mood)))
        logs = add_counts(logs, (events, rows), (others, batch - rows), factor)
        if has_shown(logs, ALPHA):
            return look
    return None


def test_usual_interval_would_be_wrong_far_more_often() -> None:
    """The same looks with the interval of a textbook, which holds once: what the sequences are for."""
    random = np.random.default_rng(5)
    wrong = 0
    for _ in range(RUNS):
        events = np.cumsum(random.random((60, 50)) < 0.5, dtype=int).reshape(60, 50)[:, -1]
        n = 50 * np.arange(1, 61)
        half = 1.645 * np.sqrt(events / n * (1 - events / n) / n)
        wrong += bool((np.abs(events / n - 0.5) > half).any())
    assert wrong / RUNS > 2 * ALPHA


def test_counts_without_a_row_or_an_event_say_nothing() -> None:
    logs = add_counts([], (3, 10), (0, 10), 1.0)

    assert add_counts(logs, (0, 10), (0, 10), 1.0) == logs
    assert add_counts(logs, (5, 5), (0, 0), 1.0) == logs
    assert not has_shown([], ALPHA)


@pytest.mark.parametrize(("events", "n"), [(0, 0), (0, 10), (10, 10), (3, 10), (1, 1_000_000)])
def test_interval_of_a_rate_holds_the_share_seen(events: int, n: int) -> None:
    span = rate_span(events, n, 0.05)

    assert 0 <= span.low <= (events / n if n else 0.5) <= span.high <= 1
