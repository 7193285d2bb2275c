"""Drift of one feature: how far its counts in a window are from those in training.

Judged by effect size: with many rows every difference is significant, and hardly any matters. Chance is kept out by a
second bar, the largest PSI that equal distributions reach.

- A window is an alarm only above the project's limit *and* above what chance explains.
- A window or a reference of fewer than `MINIMUM_ROWS` rows is not judged.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

# fewer rows say nothing about the share of a bin
MINIMUM_ROWS = 100
# chance that one feature of one window without any change is above the second bar
CHANCE = 1e-4
# rows added per bin, spread as both samples together are, so that equal shares stay equal; half a row: Krichevsky and
# Trofimov (1981), The performance of universal encoding, IEEE Transactions on Information Theory 27(2)
_PRIOR = 0.5


class DriftFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One feature of one window, measured."""

    # population stability index, 0 and up
    psi: float
    # Jensen-Shannon distance, 0 to 1
    js: float
    # from which PSI it is an alarm; None: not enough data
    limit: float | None

    @property
    def is_over(self) -> bool:
        """Whether it drifted."""
        return self.limit is not None and self.psi >= self.limit


def psi(reference: ArrayLike, counts: ArrayLike) -> float:
    """Return the population stability index of a window against its reference.

    PSI = sum over bins of (p - q) ln(p / q). The usual thresholds: below 0.1 no change, from 0.25 a large one. Both
    sides get half a row per bin, spread as the two together are: a bin that is empty on one side has a finite weight, a
    small window with many rare bins does not look like a change, and equal shares give 0.

    Shapes:
        reference, counts: (n_bins,), rows per bin.

    Source: Siddiqi (2006), Credit Risk Scorecards (formula and thresholds); it is the symmetrised divergence of
    Jeffreys (1946).

    Example:
        >>> round(psi([5000, 3000, 2000], [4000, 3000, 3000]), 3)
        0.063
        >>> psi([5000, 3000, 2000], [500, 300, 200]) < 1e-6
        True
    """
    p, q = _smooth(reference, counts)
    return float(np.sum((p - q) * np.log(p / q)))


def jensen_shannon(reference: ArrayLike, counts: ArrayLike) -> float:
    """Return the Jensen-Shannon distance: 0 for equal shares, 1 for shares that nowhere overlap.

    Shapes:
        reference, counts: (n_bins,), rows per bin.

    Source: Lin (1991), Divergence measures based on the Shannon entropy, IEEE Transactions on Information Theory 37(1);
    its root, with logarithms of base 2, is a metric: Endres and Schindelin (2003).

    Example:
        >>> jensen_shannon([10, 0], [0, 10])
        1.0
    """
    p, q = _shares(reference), _shares(counts)
    middle = (p + q) / 2
    divergence = (_kullback_leibler(p, middle) + _kullback_leibler(q, middle)) / 2
    return math.sqrt(min(max(divergence, 0.0), 1.0))


def chance_psi(n_bins: int, reference_rows: int, rows: int, *, chance: float = CHANCE) -> float:
    """Return the PSI that equal distributions exceed with probability `chance`.

    Without a change PSI is distributed as (1 / rows + 1 / reference_rows) times a chi-squared with n_bins - 1 degrees
    of freedom. Bins that are empty on both sides make the bar too high rather than too low.

    Source: Yurdakul (2018), Statistical Properties of Population Stability Index, dissertation, Western Michigan
    University; the quantile of chi-squared by Wilson and Hilferty (1931), The distribution of chi-square, PNAS 17(12).
    """
    freedom = max(n_bins - 1, 1)
    spread = 2 / (9 * freedom)
    z = NormalDist().inv_cdf(1 - chance)
    return freedom * float(1 - spread + z * math.sqrt(spread)) ** 3 * (1 / rows + 1 / reference_rows)


def measure_drift(reference: Sequence[int], counts: Sequence[int], *, limit: float) -> DriftFigures:
    """Measure one feature of one window and find the limit that holds for so many rows.

    Args:
        reference: rows per bin in training.
        counts: rows per bin in the window.
        limit: the project's limit of PSI.

    Raises:
        ValueError: the two have different bins.
    """
    if len(reference) != len(counts):
        raise ValueError(f"{len(counts)} bins cannot be held against {len(reference)}")
    reference_rows, rows = sum(reference), sum(counts)
    figures = (psi(reference, counts), jensen_shannon(reference, counts)) if rows and reference_rows else (0.0, 0.0)
    if min(rows, reference_rows) < MINIMUM_ROWS:
        return DriftFigures(psi=figures[0], js=figures[1], limit=None)
    used = sum(1 for pair in zip(reference, counts, strict=True) if any(pair))
    bar = max(limit, chance_psi(used, reference_rows, rows))
    return DriftFigures(psi=figures[0], js=figures[1], limit=bar)


def _smooth(reference: ArrayLike, counts: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    known, seen = np.asarray(reference, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    used = known + seen > 0
    known, seen = known[used], seen[used]
    pooled = (known + seen) / (known + seen).sum() * _PRIOR * len(known)
    p, q = seen + pooled, known + pooled
    return p / p.sum(), q / q.sum()


def _shares(counts: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(counts, dtype=np.float64)
    shares: NDArray[np.float64] = values / values.sum()
    return shares


def _kullback_leibler(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    held = p > 0
    return float(np.sum(p[held] * np.log2(p[held] / q[held])))
