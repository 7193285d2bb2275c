"""Decimal points shifted in a part of the rows: 12.50 in most of them, 1,250 in the others.

The fresh data are then a mixture of the former data and of the former data times 10, 100 or 1,000. The share of the
second part is fitted to the quantiles; it is believed where the mixture fits and the former data alone do not.
"""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from petla.core.project import CheckTable
from petla.data.profile.columns import ColumnProfile
from petla.data.rules.finding import DataFinding, chance, count_present, show_range

_FACTORS = (10.0, 100.0, 1000.0, 0.1, 0.01, 0.001)
# Kolmogorov's distance exceeds this many times sqrt(1/n + 1/m) once in 1,000 pairs of samples
# Source: Smirnov (1948), Table for estimating the goodness of fit of empirical distributions.
_SMIRNOV = 1.95
# with fewer rows than this, 21 quantiles are too rough
_LEAST_ROWS = 200
# more of the rows than this: the unit of the whole column has changed
_MOST = 0.9


class _Mixture(msgspec.Struct, frozen=True):
    """fresh = (1 - share) * former + share * (factor * former)."""

    factor: float
    share: float
    # largest difference between the mixture's distribution and the fresh one
    distance: float


def check_decimal(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> DataFinding | None:
    """Say whether part of a column's numbers are a power of ten away from the others."""
    n_fresh, n_reference = count_present(fresh), count_present(reference)
    if not (fresh.quantiles and reference.quantiles) or min(n_fresh, n_reference) < _LEAST_ROWS:
        return None
    if reference.quantiles[15] == reference.quantiles[5] or reference.quantiles[0] < 0 < reference.quantiles[5]:
        # Most values are one and the same, or signs differ: nothing to fit.
        return None
    noise = _SMIRNOV * math.sqrt(1 / n_fresh + 1 / n_reference)
    values, shares = _ends_of_ties(fresh)
    alone = _distribution(values, reference, 1.0)
    apart = float(np.abs(alone - shares).max(initial=0.0))
    if apart <= limits.decimal_share * 0.6 + noise / 2:
        return None
    best = min((_fit(values, shares, alone, reference, f) for f in _FACTORS), key=lambda mixture: mixture.distance)
    least = limits.decimal_share + chance(0.0, n_fresh, n_reference)
    is_fit = best.distance <= min(0.02 + noise / 2, apart / 2.5)
    if not is_fit or not least <= best.share <= _MOST or not _is_torn(fresh, reference, best):
        return None
    return _finding(fresh, reference, best)


def _ends_of_ties(column: ColumnProfile) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the quantiles, of equal ones the last, each with the share of values up to it; without the extremes."""
    values = np.array(column.quantiles)
    is_last = np.append(values[1:] != values[:-1], False)
    is_last[0] = False
    return values[is_last], np.linspace(0, 1, values.size)[is_last]


def _distribution(values: NDArray[np.float64], reference: ColumnProfile, factor: float) -> NDArray[np.float64]:
    """Return the share of the reference, times a factor, up to each of some values."""
    quantiles = np.array(reference.quantiles) * factor
    shares = np.linspace(0, 1, quantiles.size)
    is_last = np.append(quantiles[1:] != quantiles[:-1], True)
    found: NDArray[np.float64] = np.interp(values, quantiles[is_last], shares[is_last], left=0.0, right=1.0)
    return found


def _fit(
    values: NDArray[np.float64],
    shares: NDArray[np.float64],
    alone: NDArray[np.float64],
    reference: ColumnProfile,
    factor: float,
) -> _Mixture:
    """Return the mixture with the share that fits best, by least squares."""
    scaled = _distribution(values, reference, factor)
    apart = scaled - alone
    square = float(apart @ apart)
    share = min(max(float(apart @ (shares - alone)) / square, 0.0), 1.0) if square else 0.0
    distance = float(np.abs(alone + share * apart - shares).max(initial=0.0))
    return _Mixture(factor, share, distance)


def _is_torn(fresh: ColumnProfile, reference: ColumnProfile, mixture: _Mixture) -> bool:
    """Whether that part of the rows lies where the middle of the former values never was.

    A column that is only wider than before has such values, too, but few.
    """
    # magnitudes, smallest first; the former middle half lies between these two
    now = np.sort(np.abs(np.array(fresh.quantiles)))
    low, high = sorted((abs(reference.quantiles[2]), abs(reference.quantiles[18])))
    is_far = now > 1.5 * high if mixture.factor > 1 else now < low / 1.5
    return bool(is_far.mean() >= mixture.share / 2)


def _finding(fresh: ColumnProfile, reference: ColumnProfile, mixture: _Mixture) -> DataFinding:
    times = round(max(mixture.factor, 1 / mixture.factor))
    word = "larger" if mixture.factor > 1 else "smaller"
    return DataFinding(
        column=fresh.name,
        rule="decimal",
        severity="block",
        message=f"column {fresh.name!r} is {times:,} times {word} in about {mixture.share:.0%} of the rows: "
        "the decimal point looks shifted there",
        before=show_range(reference),
        after=f"{show_range(fresh)}, the extremes {fresh.quantiles[0]:.4g} and {fresh.quantiles[-1]:.4g}",
    )
