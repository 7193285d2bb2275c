"""Columns of points in time: backward steps, gaps, and clocks of another time zone.

Order is judged only where the reference's rows go forward in time, and the fresh rows mostly do: shuffled rows say
nothing about the clock.
"""

import math

import numpy as np
from numpy.typing import NDArray

from petla.core.project import CheckTable
from petla.data.profile.columns import ColumnProfile
from petla.data.rules.finding import DataFinding, chance, count_present, show_share, soften

# more steps than this go backward: the rows are in another order
_SHUFFLED = 0.15
_LEAST_STEPS = 5
# a zone is another one where the hours of the day differ by more than the first, and turned by less than the second
_TURNED, _MATCHED = 0.1, 0.05


def check_times(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> list[DataFinding]:
    """Say what is wrong with a column's clock."""
    found = (
        _check_backward(fresh, reference, limits),
        _check_gap(fresh, reference, limits),
        _check_zone(fresh, reference),
    )
    return [finding for finding in found if finding is not None]


def _check_backward(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> DataFinding | None:
    n_fresh, n_reference = count_present(fresh), count_present(reference)
    share, former = fresh.backward / n_fresh, reference.backward / n_reference
    # Where no step goes forward, the rows were turned round.
    is_ordered = share <= _SHUFFLED and bool(fresh.step_maximum_s)
    if not is_ordered or former > limits.backward_share:
        return None
    by_chance = chance(former, n_fresh, n_reference) if reference.backward else 0.0
    # A few steps back are files in another order.
    if fresh.backward < _LEAST_STEPS or share <= limits.backward_share / 10 + former + by_chance:
        return None
    finding = DataFinding(
        column=fresh.name,
        rule="time_backward",
        severity="block",
        message=f"column {fresh.name!r} goes backward in time in {show_share(fresh.backward, n_fresh)} rows",
        before=f"backward in {show_share(reference.backward, n_reference)}",
        after=f"backward in {show_share(fresh.backward, n_fresh)}",
    )
    return finding if share > limits.backward_share + former + by_chance else soften(finding)


def _check_gap(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> DataFinding | None:
    longest, former = fresh.step_maximum_s, reference.step_maximum_s
    if longest is None or not former or not (_is_forward(fresh, limits) and _is_forward(reference, limits)):
        return None
    # The longest of n steps of chance is about ln(n) times the mean; 10 more of them come once in 20,000 samples.
    by_chance = _mean_step_s(fresh) * (math.log(count_present(fresh)) + 10)
    if longest <= max(limits.gap_factor / 3 * former, by_chance):
        return None
    finding = DataFinding(
        column=fresh.name,
        rule="time_gap",
        severity="block",
        message=f"column {fresh.name!r} has a gap of {_show_span(longest)}: rows are missing there",
        before=f"at most {_show_span(former)} from one row to the next",
        after=f"at most {_show_span(longest)}, usually {_show_span(fresh.step_median_s or 0.0)}",
    )
    return finding if longest > limits.gap_factor * former else soften(finding)


def _is_forward(column: ColumnProfile, limits: CheckTable) -> bool:
    return column.backward <= limits.backward_share * count_present(column)


def _mean_step_s(column: ColumnProfile) -> float:
    if not (column.earliest and column.latest):
        return 0.0
    span = np.datetime64(column.latest) - np.datetime64(column.earliest)
    return float(span / np.timedelta64(1, "s")) / max(count_present(column) - 1, 1)


def _check_zone(fresh: ColumnProfile, reference: ColumnProfile) -> DataFinding | None:
    if sum(fresh.hours) == 0 or sum(reference.hours) == 0:
        return None
    now, before = (np.array(column.hours) / sum(column.hours) for column in (fresh, reference))
    # What chance alone puts between two samples of 24 bins is about 0.4 of this, and varies by a tenth of that.
    noise = math.sqrt(24 * (1 / sum(fresh.hours) + 1 / sum(reference.hours)))
    apart = _difference(now, before)
    turns = range(-11, 13)
    turn = min((turn for turn in turns if turn), key=lambda turn: _difference(now, np.roll(before, turn)))
    matched = _difference(now, np.roll(before, turn))
    if apart <= _TURNED + noise / 2 or matched > min(_MATCHED + noise / 2, apart / 3):
        return None
    hours = f"{abs(turn)} {'hour' if abs(turn) == 1 else 'hours'}"
    reason = "summer time, or another time zone" if abs(turn) == 1 else "it looks like another time zone"
    finding = DataFinding(
        column=fresh.name,
        rule="time_zone",
        severity="block",
        message=f"column {fresh.name!r} is {hours} {'later' if turn > 0 else 'earlier'} in the day: {reason}",
        before=_show_hours(reference),
        after=_show_hours(fresh),
    )
    return soften(finding) if abs(turn) == 1 else finding


def _difference(now: NDArray[np.float64], before: NDArray[np.float64]) -> float:
    return float(np.abs(now - before).sum()) / 2


def _show_hours(column: ColumnProfile) -> str:
    busiest = max(range(24), key=lambda hour: column.hours[hour])
    return f"busiest hour {busiest}:00 with {show_share(column.hours[busiest], sum(column.hours))}"


def _show_span(seconds: float) -> str:
    """Write a length of time.

    Example:
        >>> _show_span(90_000)
        '1.04 days'
    """
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 1.5 * size or (unit == "days" and seconds >= size):
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} seconds"
