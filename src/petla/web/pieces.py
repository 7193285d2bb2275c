"""Pieces that several contexts are made of: figures, moments, badges, and what the monitors and gates say."""

import msgspec

from petla.web.charts import LineChart


class Figure(msgspec.Struct, frozen=True):
    """A number with its unit, its window, and the rows behind it."""

    value: str
    unit: str
    note: str = ""
    href: str = ""
    is_bad: bool = False


class Moment(msgspec.Struct, frozen=True):
    """A moment, for machines and for people."""

    iso: str
    text: str
    ago: str


class Badge(msgspec.Struct, frozen=True):
    """A state as a word and a tone: good, bad, warm or calm."""

    word: str
    tone: str


class Row(msgspec.Struct, frozen=True):
    """One line of a list of facts."""

    name: str
    value: str
    note: str = ""
    href: str = ""
    is_code: bool = False


class QualityRow(msgspec.Struct, frozen=True):
    """One closed window of labelled decisions."""

    version: str
    window: int
    value: str
    rows: str
    ended_at: Moment
    is_bad: bool


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """Quality over the closed windows of labelled decisions."""

    # None: no window closed yet
    figure: Figure | None
    chart: LineChart | None
    rows: tuple[QualityRow, ...]
    # what to do while there is none
    empty: str
    # why the newest closed window has no figure; empty: it has one
    unjudged: str


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One feature's drift beside its limit."""

    feature: str
    value: str
    # per cent of the bar's place
    width: str
    # empty: not held against a limit
    limit_x: str
    state: str
    is_over: bool
    # polyline of the last windows
    trend: str


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """Drift of the features in the newest judged window."""

    window: str
    bars: tuple[Bar, ...]
    # features that are not among the bars
    others: int
    n_over: int
    limit: str
    empty: str
    # features that are not watched, with the reason
    unwatched: tuple[str, ...]


class TrafficBlock(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions of a model."""

    total: Figure
    speed: Figure | None
    open_window: Figure | None
    # filled share of the open window, 0 to 100
    filled: int
    trend: str


class CheckLine(msgspec.Struct, frozen=True):
    """One gate's answer."""

    name: str
    passed: bool
    message: str
    figures: tuple[Row, ...]


class VerdictBlock(msgspec.Struct, frozen=True, kw_only=True):
    """All gates of one version."""

    badge: Badge
    checks: tuple[CheckLine, ...]
    at: Moment
