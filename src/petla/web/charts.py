"""Charts as geometry: where lines, dots and bars go, in per cent of the picture. Templates draw them as inline SVG.

Per cent, so that a picture is as wide as its place while its text and its dots keep their size, without a script and
without inline styles, which the content security policy forbids.
"""

import math
from collections.abc import Sequence

import msgspec

from petla.web import figures

_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
# intervals between the lines of an axis, at most
_INTERVALS = 4
# room above and below the data, as a share of its range
_PADDING = 0.05
# values nearer to each other than this, or this share of them, are drawn as equal
_FLAT = 1e-4
# room that the name at a boundary needs, and the place from which it stands to the left, per cent
_NAME_ROOM = 25.0
_NAME_TURNS = 70.0


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One value to draw, with what a reader needs to know about it."""

    value: float
    # such as "window 12"
    label: str
    # moment of its last row
    at: str
    rows: int
    # what it belongs to, such as a model version; a change of it is marked
    group: str = ""
    is_bad: bool = False


class Dot(msgspec.Struct, frozen=True):
    """A value in its place."""

    x: str
    y: str
    is_bad: bool
    title: str


class Level(msgspec.Struct, frozen=True):
    """A horizontal line."""

    y: str
    text: str


class Boundary(msgspec.Struct, frozen=True):
    """A vertical line where another group begins."""

    x: str
    # empty: too near to the one before it for two names
    text: str
    # which side of the line the name stands on
    is_right: bool


class LineChart(msgspec.Struct, frozen=True, kw_only=True):
    """Values in their order, with the limit they are held against."""

    dots: tuple[Dot, ...]
    # one polyline per group, in a picture of 100 by 100
    lines: tuple[str, ...]
    # top to bottom, evenly spaced
    levels: tuple[Level, ...]
    limit: Level | None
    # the side of the limit where alarms are: its upper edge and its height
    zone: tuple[str, str] | None
    boundaries: tuple[Boundary, ...]
    begins: str
    ends: str
    # says in words what the picture shows
    summary: str


class IntervalChart(msgspec.Struct, frozen=True, kw_only=True):
    """A difference with its interval, beside zero and the margin."""

    low: str
    width: str
    middle: str
    zero: str
    # None: the margin is zero
    margin: str | None
    summary: str


class Loop(msgspec.Struct, frozen=True):
    """A model's place on the way round."""

    stops: tuple["Stop", ...]
    # length of the way that is behind, of the whole, both in the picture's units
    done: str
    whole: str
    is_alarmed: bool


class Stop(msgspec.Struct, frozen=True):
    """One station of the loop."""

    name: str
    x: int
    y: int
    text_y: int
    # done, current or ahead
    state: str


def draw_line(points: Sequence[Point], *, what: str, limit: float | None, higher_is_better: bool) -> LineChart | None:
    """Lay out values as a line; None: there is none yet.

    Args:
        points: oldest first.
        what: the measure, for the description.
        limit: the worst value that is no alarm.
        higher_is_better: on which side of the limit the alarms are.
    """
    if not points:
        return None
    ticks = nice_ticks([point.value for point in points] + ([limit] if limit is not None else []))
    low, high = ticks[0], ticks[-1]

    def height(value: float) -> float:
        return 100 * (high - value) / (high - low)

    places = [(100 * (i + 0.5) / len(points), height(point.value)) for i, point in enumerate(points)]
    dots = tuple(
        Dot(f"{x:.2f}", f"{y:.2f}", point.is_bad, _describe_point(point, what))
        for (x, y), point in zip(places, points, strict=True)
    )
    starts = [0] + [i for i in range(1, len(points)) if points[i].group != points[i - 1].group]
    spans = list(zip(starts, [*starts[1:], len(points)], strict=True))
    edge = None if limit is None else height(limit)
    return LineChart(
        dots=dots,
        lines=tuple(" ".join(f"{x:.2f},{y:.2f}" for x, y in places[begin:end]) for begin, end in spans),
        levels=tuple(Level(f"{height(tick):.2f}", _trim(tick, ticks)) for tick in reversed(ticks)),
        limit=None if edge is None else Level(f"{edge:.2f}", f"limit {figures.metric(limit or 0.0)}"),
        zone=None if edge is None else _make_zone(edge, higher_is_better=higher_is_better),
        boundaries=_make_boundaries(starts[1:], points),
        begins=points[0].label,
        ends=points[-1].label,
        summary=_describe_line(points, what, limit),
    )


def draw_interval(*, low: float, high: float, middle: float, margin: float) -> IntervalChart:
    """Lay out a gain and its interval on an axis that also shows zero and the margin."""
    ends = (low, high, 0.0, -margin)
    reach = (max(ends) - min(ends)) or 1.0
    start, length = min(ends) - 2 * _PADDING * reach, reach * (1 + 4 * _PADDING)

    def place(value: float) -> float:
        return 100 * (value - start) / length

    return IntervalChart(
        low=f"{place(low):.2f}",
        width=f"{place(high) - place(low):.2f}",
        middle=f"{place(middle):.2f}",
        zero=f"{place(0.0):.2f}",
        margin=f"{place(-margin):.2f}" if margin else None,
        summary=f"gain {figures.signed(middle)}, interval {figures.signed(low)} to {figures.signed(high)}",
    )


def draw_spark(values: Sequence[float]) -> str:
    """Lay out a small line without axes, in a picture of 100 by 100; empty: fewer than two values."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    step = 100 / (len(values) - 1)
    return " ".join(f"{i * step:.2f},{92 - 84 * (value - low) / span:.2f}" for i, value in enumerate(values))


def nice_ticks(values: Sequence[float]) -> list[float]:
    """Return evenly spaced round numbers that enclose all values, lowest first.

    Example:
        >>> nice_ticks([0.702, 0.79])
        [0.65, 0.7, 0.75, 0.8]
    """
    low, high = min(values), max(values)
    size = max(abs(low), abs(high))
    span = high - low
    if span < max(_FLAT, _FLAT * size):
        span = max(0.1 * size, 0.1)
        low, high = low - span / 2, high + span / 2
    low, high = low - _PADDING * span, high + _PADDING * span
    raw = (high - low) / _INTERVALS
    power = 10.0 ** math.floor(math.log10(raw))
    for factor in (*_NICE, 20.0, 25.0):
        step = factor * power
        first, last = math.floor(low / step), math.ceil(high / step)
        if last - first <= _INTERVALS:
            return [round(i * step, 10) for i in range(first, last + 1)]
    return [low, high]


# --- the loop --------------------------------------------------------------------------------

STOPS = ("Serve", "Watch", "Alarm", "Retrain", "Gates", "Approve")
_LEFT, _MIDDLE, _RIGHT = 84, 160, 236
_TOP, _BOTTOM = 38, 98
_TURN_X = 250
# way from the first stop along the top, round the right end and back along the bottom, in the picture's units
_ARC = math.pi * (_BOTTOM - _TOP) / 2
_TOP_RUN = _TURN_X - _LEFT
_WAY = (
    0.0,
    _MIDDLE - _LEFT,
    _RIGHT - _LEFT,
    _TOP_RUN + _ARC + (_TURN_X - _RIGHT),
    _TOP_RUN + _ARC + (_TURN_X - _MIDDLE),
    _TOP_RUN + _ARC + (_TURN_X - _LEFT),
)
_WHOLE = 2 * (_TURN_X - 70) + 2 * _ARC
_PLACES = ((_LEFT, _TOP), (_MIDDLE, _TOP), (_RIGHT, _TOP), (_RIGHT, _BOTTOM), (_MIDDLE, _BOTTOM), (_LEFT, _BOTTOM))


def draw_loop(current: int | None, *, is_alarmed: bool = False) -> Loop:
    """Lay out the way round with everything before the current stop done.

    Args:
        current: index into `STOPS`; None: nothing has been deployed yet.
        is_alarmed: whether an incident is open.
    """
    reached = -1 if current is None else current
    stops = tuple(
        Stop(
            name,
            x,
            y,
            y - 14 if y == _TOP else y + 22,
            "current" if i == reached else "done" if i < reached else "ahead",
        )
        for i, (name, (x, y)) in enumerate(zip(STOPS, _PLACES, strict=True))
    )
    done = 0.0 if current is None else _WAY[current]
    return Loop(stops, f"{done:.1f}", f"{_WHOLE:.1f}", is_alarmed)


def _make_zone(edge: float, *, higher_is_better: bool) -> tuple[str, str]:
    return (f"{edge:.2f}", f"{100 - edge:.2f}") if higher_is_better else ("0", f"{edge:.2f}")


def _make_boundaries(starts: Sequence[int], points: Sequence[Point]) -> tuple[Boundary, ...]:
    made, named = [], -100.0
    for start in starts:
        x = 100 * start / len(points)
        has_room = x - named >= _NAME_ROOM
        named = x if has_room else named
        name = points[start].group if has_room else ""
        made.append(Boundary(f"{x:.2f}", name, x <= _NAME_TURNS))
    return tuple(made)


def _trim(tick: float, ticks: Sequence[float]) -> str:
    step = ticks[1] - ticks[0]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    text = f"{tick:,.{decimals}f}" if round(step, decimals) == round(step, 8) else f"{tick:,.{decimals + 1}f}"
    return text.replace("-", figures.MINUS)


def _describe_point(point: Point, what: str) -> str:
    rows = figures.plural(point.rows, "row")
    group = f"{point.group}, " if point.group else ""
    return f"{group}{point.label}: {what} {figures.metric(point.value)}, {rows}"


def _describe_line(points: Sequence[Point], what: str, limit: float | None) -> str:
    last = points[-1]
    bad = sum(point.is_bad for point in points)
    held = "" if limit is None else f", limit {figures.metric(limit)}, {bad} beyond it"
    return (
        f"{what} over {figures.plural(len(points), 'window')}{held}; "
        f"newest {figures.metric(last.value)} on {figures.plural(last.rows, 'row')}"
    )
