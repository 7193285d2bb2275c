"""Units: has a column of numbers been converted into another one?

A season moves a column and leaves its spread about as it was. A conversion multiplies the spread. So three things are
told apart:

- The spread is `scale_factor` times larger or smaller, by every way to measure it: another unit, whatever the location.
- A well-known conversion makes the former data look like the fresh data, and without it they look nothing alike: that
  unit.
- The spread changed by less than that: worth a look.
"""

import math
from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from petla.core.project import CheckTable
from petla.data.profile.columns import ColumnProfile
from petla.data.rules.finding import DataFinding, count_present, show_number, show_range

# positions of 5, 10, 25, 75, 90 and 95 per cent among the 21 quantiles
_SPANS = ((5, 15), (2, 18), (1, 19))
# where most values are one and the same, at least this share of the rows is something else
_TAIL_SHARE = 0.05
# fewer values than this in a tail say nothing
_TAIL_ROWS = 30
# Kolmogorov's distance exceeds this many times sqrt(1/n + 1/m) once in 100 pairs of samples
# Source: Smirnov (1948), Table for estimating the goodness of fit of empirical distributions.
_SMIRNOV = 1.63
# an offset smaller than this part of the spread is lost in it: the numbers are too large for temperatures
_OFFSET_MATTERS = 0.25
# the middle eight tenths of a normal distribution are 2.563 standard deviations wide
_SD_PER_WIDTH = 2.563


class _Conversion(msgspec.Struct, frozen=True):
    """fresh = factor * former + offset."""

    name: str
    factor: float
    offset: float = 0.0

    @property
    def is_temperature(self) -> bool:
        """Whether it moves and stretches at once."""
        return self.offset != 0 and self.factor != 1


# Those whose factor is too small for `scale_factor` to notice, or to notice in few rows.
_CONVERSIONS = (
    _Conversion("Fahrenheit to Celsius", 5 / 9, -160 / 9),
    _Conversion("Celsius to Fahrenheit", 9 / 5, 32),
    _Conversion("Celsius to kelvin", 1, 273.15),
    _Conversion("kelvin to Celsius", 1, -273.15),
    _Conversion("miles to kilometres", 1.609344),
    _Conversion("kilometres to miles", 1 / 1.609344),
    _Conversion("metres to feet", 1 / 0.3048),
    _Conversion("feet to metres", 0.3048),
    _Conversion("kilograms to pounds", 2.2046226),
    _Conversion("pounds to kilograms", 1 / 2.2046226),
    _Conversion("inches to centimetres", 2.54),
    _Conversion("centimetres to inches", 1 / 2.54),
)


def check_unit(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> DataFinding | None:
    """Say whether a column of numbers looks converted."""
    if not (fresh.quantiles and reference.quantiles):
        return None
    conversion = _find_conversion(fresh, reference)
    is_tail = _is_tail(fresh) or _is_tail(reference)
    factor, n_rows = _factor_of(fresh, reference, is_tail=is_tail)
    size = abs(math.log(factor))
    # Rain falls in showers: the little that is not zero varies by a factor of 5 from month to month, seen in flights.
    largest = math.log(limits.scale_factor) * (2 if is_tail else 1)
    if size > largest + 3 / math.sqrt(n_rows):
        message = f"column {fresh.name!r} is about {_show_factor(factor)} than before: its unit looks changed"
        return _finding(fresh, reference, message, is_sure=True)
    if conversion is not None:
        message = f"column {fresh.name!r} looks converted, as from {conversion.name}"
        return _finding(fresh, reference, message, is_sure=True)
    # worth a look: a temperature in another season and another unit gets here
    if size > 0.4 * largest + 4 / math.sqrt(n_rows):
        message = f"column {fresh.name!r} is spread about {_show_factor(factor)} than before"
        return _finding(fresh, reference, message, is_sure=False)
    return None


def _finding(fresh: ColumnProfile, reference: ColumnProfile, message: str, *, is_sure: bool) -> DataFinding:
    return DataFinding(
        column=fresh.name,
        rule="scale",
        severity="block" if is_sure else "warn",
        message=message,
        before=show_range(reference),
        after=show_range(fresh),
    )


def _show_factor(factor: float) -> str:
    size = max(factor, 1 / factor)
    power = round(math.log10(size))
    if power > 0 and abs(math.log10(size) - power) < 0.05:
        size = 10.0**power
    elif size >= 9.5:
        size = round(size)
    return f"{show_number(float(f'{size:.2g}'))} times {'larger' if factor > 1 else 'smaller'}"


def _is_tail(column: ColumnProfile) -> bool:
    """Whether most values are one and the same, so that all that is known of the rest is in the tails."""
    return _span(column, 5, 15) <= 0


def _factor_of(fresh: ColumnProfile, reference: ColumnProfile, *, is_tail: bool) -> tuple[float, float]:
    """Return the factor between the spreads that every measure of them agrees to, and the rows that it rests on.

    One measure alone is easily fooled: where a quarter of the values is far from the rest, the quartile falls on this
    side of the gap or on that by chance. A change of unit changes all of them alike.
    """
    n_rows = float(min(count_present(fresh), count_present(reference)))
    ratios = list(_list_ratios(fresh, reference, _SPANS))
    if is_tail:
        n_rows *= _TAIL_SHARE
        ratios += _list_tail_ratios(fresh, reference)
    if not ratios or n_rows < _TAIL_ROWS or min(ratios) < 1 < max(ratios):
        return 1.0, max(n_rows, 1.0)
    return min(ratios, key=lambda ratio: abs(math.log(ratio))), n_rows


def _list_ratios(fresh: ColumnProfile, reference: ColumnProfile, spans: tuple[tuple[int, int], ...]) -> Iterator[float]:
    for low, high in spans:
        now, before = _span(fresh, low, high), _span(reference, low, high)
        if now > 0 and before > 0 and math.isfinite(now / before) and now / before > 0:
            yield now / before


def _list_tail_ratios(fresh: ColumnProfile, reference: ColumnProfile) -> list[float]:
    pairs = [
        (fresh.sd, reference.sd),
        (_span(fresh, 0, 20), _span(reference, 0, 20)),
        (_above_minimum(fresh), _above_minimum(reference)),
    ]
    return [now / before for now, before in pairs if now and before and math.isfinite(now / before)]


def _span(column: ColumnProfile, low: int, high: int) -> float:
    return column.quantiles[high] - column.quantiles[low]


def _above_minimum(column: ColumnProfile) -> float | None:
    if column.mean is None or column.minimum is None:
        return None
    return column.mean - column.minimum


def _find_conversion(fresh: ColumnProfile, reference: ColumnProfile) -> _Conversion | None:
    """Return the conversion that makes the reference look like the fresh data, where it does not as it stands."""
    n_fresh, n_reference = count_present(fresh), count_present(reference)
    noise = _SMIRNOV * math.sqrt(1 / n_fresh + 1 / n_reference)
    quantiles, former = np.array(fresh.quantiles), np.array(reference.quantiles)
    apart = distance(quantiles, former)
    if apart < 0.15 + 2 * noise or min(_span(fresh, 2, 18), _span(reference, 2, 18)) <= 0:
        return None
    for c in _CONVERSIONS:
        if 0 < abs(c.offset) < _OFFSET_MATTERS * _span(fresh, 2, 18):
            continue
        converted = former * c.factor + c.offset
        if _is_same(quantiles, converted, apart, noise) or (
            c.is_temperature and _is_near(quantiles, converted, former, noise)
        ):
            return c
    return None


def _is_same(fresh: NDArray[np.float64], converted: NDArray[np.float64], apart: float, noise: float) -> bool:
    """Whether the fresh data are the converted ones but for chance: everything that grows is multiplied, too."""
    # noise is a little less than the standard error of a spread's logarithm
    is_likely = abs(math.log(_width(fresh) / _width(converted))) <= 0.05 + noise
    return is_likely and distance(fresh, converted) <= min(0.02 + noise, apart / 3)


def _is_near(
    fresh: NDArray[np.float64], converted: NDArray[np.float64], former: NDArray[np.float64], noise: float
) -> bool:
    """Whether the fresh data are the converted ones but for the weather; hardly anything else moves and shrinks so.

    Seen in New York: from one month to the next a spread changes by 20%, and a median by one and a half deviations.
    """
    if abs(math.log(_width(fresh) / _width(converted))) > 0.2 + noise:
        return False
    moved = abs(fresh[10] - converted[10]) / _width(converted) * _SD_PER_WIDTH
    moved_as_it_stands = abs(fresh[10] - former[10]) / _width(former) * _SD_PER_WIDTH
    aligned = converted - converted[10] + fresh[10]
    return bool(moved <= 1.5 and moved_as_it_stands > moved + 1.5) and distance(fresh, aligned) <= 0.1 + noise


def _width(quantiles: NDArray[np.float64]) -> float:
    """The range of the middle eight tenths."""
    return float(quantiles[18] - quantiles[2])


def distance(fresh: NDArray[np.float64], former: NDArray[np.float64]) -> float:
    """Return about Kolmogorov's distance between two columns, from their quantiles, leaving out the outer tenths.

    Many equal values make one quantile stand for a range of shares; ranges that touch have no distance.
    """
    shares = np.linspace(0, 1, fresh.size)
    inner = former[2:-2]
    first, last = np.searchsorted(former, inner, "left"), np.searchsorted(former, inner, "right") - 1
    low, high = np.searchsorted(fresh, inner, "left"), np.searchsorted(fresh, inner, "right")
    is_met = high > low
    step = 1 / (fresh.size - 1)
    between = np.interp(inner, fresh, shares)
    fresh_low = np.where(is_met, (low - 1) * step, between)
    fresh_high = np.where(is_met, high * step, between)
    gaps = np.maximum(shares[first] - fresh_high, fresh_low - shares[last])
    return float(max(gaps.max(), 0.0))
