"""Pictures: everything lies inside, limits and swaps are marked, and the words say what is drawn."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petla.web.charts import STOPS, Point, draw_interval, draw_line, draw_loop, draw_spark, nice_ticks

VALUES = st.lists(st.floats(-1e9, 1e9).map(lambda value: round(value, 6)), min_size=1, max_size=40)


def make_points(values: list[float], group: str = "delay:1") -> list[Point]:
    return [Point(value=value, label=f"window {i}", at="", rows=500, group=group) for i, value in enumerate(values, 1)]


@given(VALUES)
def test_ticks_enclose_all_values_evenly(values: list[float]) -> None:
    ticks = nice_ticks(values)

    assert 2 <= len(ticks) <= 6
    assert ticks[0] <= min(values)
    assert ticks[-1] >= max(values)
    steps = [later - earlier for earlier, later in pairwise(ticks)]
    assert max(steps) == pytest.approx(min(steps), rel=1e-4)


@given(VALUES, st.none() | st.floats(-1e6, 1e6), st.booleans())
def test_everything_drawn_lies_inside(values: list[float], limit: float | None, higher: bool) -> None:
    chart = draw_line(make_points(values), what="auc", limit=limit, higher_is_better=higher)

    assert chart is not None
    assert len(chart.dots) == len(values)
    places = [float(text) for dot in chart.dots for text in (dot.x, dot.y)]
    places += [float(level.y) for level in chart.levels] + ([float(chart.limit.y)] if chart.limit else [])
    assert all(0 <= place <= 100 for place in places)


def test_nothing_is_drawn_of_nothing() -> None:
    assert draw_line([], what="auc", limit=None, higher_is_better=True) is None
    assert draw_spark([1.0]) == ""


@pytest.mark.parametrize(("higher", "zone"), [(True, ("50.00", "50.00")), (False, ("0", "50.00"))])
def test_zone_of_alarms_is_on_the_worse_side(higher: bool, zone: tuple[str, str]) -> None:
    chart = draw_line(make_points([0.7, 0.8]), what="auc", limit=0.75, higher_is_better=higher)

    assert chart is not None
    assert chart.zone == zone


def test_new_version_begins_its_own_line_behind_a_mark() -> None:
    points = make_points([0.7] * 5, "delay:1") + make_points([0.8] * 5, "delay:2")

    chart = draw_line(points, what="auc", limit=None, higher_is_better=True)

    assert chart is not None
    assert len(chart.lines) == 2
    assert [(mark.x, mark.text) for mark in chart.boundaries] == [("50.00", "delay:2")]


def test_marks_that_are_near_share_one_name() -> None:
    points = [*make_points([0.7] * 8), *make_points([0.7], "delay:2"), *make_points([0.7], "delay:1")]

    chart = draw_line(points, what="auc", limit=None, higher_is_better=True)

    assert chart is not None
    assert [(mark.text, mark.is_right) for mark in chart.boundaries] == [("delay:2", False), ("", False)]


def test_summary_says_what_is_drawn() -> None:
    points = [*make_points([0.8]), Point(value=0.7, label="window 2", at="", rows=5000, is_bad=True)]

    chart = draw_line(points, what="accuracy", limit=0.74, higher_is_better=True)

    assert chart is not None
    assert chart.summary == "accuracy over 2 windows, limit 0.740, 1 beyond it; newest 0.700 on 5,000 rows"


def test_interval_shows_zero_and_margin_in_order() -> None:
    chart = draw_interval(low=0.031, high=0.055, middle=0.043, margin=0.005)

    assert chart.margin is not None
    places = [float(chart.margin), float(chart.zero), float(chart.low), float(chart.middle)]
    assert places == sorted(places)
    assert float(chart.low) + float(chart.width) <= 100
    assert chart.summary == "gain +0.043, interval +0.031 to +0.055"


@pytest.mark.parametrize("current", [None, *range(len(STOPS))])
def test_loop_has_one_current_stop_and_the_ones_before_are_done(current: int | None) -> None:
    loop = draw_loop(current)

    states = [stop.state for stop in loop.stops]
    n_done = current or 0
    assert states == ["done"] * n_done + ["current"] * (current is not None) + ["ahead"] * states.count("ahead")
    assert 0 <= float(loop.done) < float(loop.whole)
