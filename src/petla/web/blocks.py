"""Parts that several pages show: moments, badges, verdicts, quality, drift and traffic of a model."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from petla.core.clock import from_text
from petla.core.errors import PetlaError
from petla.core.project import LOWER_IS_BETTER, ModelTable
from petla.gates.verdict import Check, Verdict
from petla.models.registry import list_versions
from petla.models.states import State
from petla.monitoring.views import (
    DriftTable,
    FeatureDrift,
    Traffic,
    count_traffic,
    list_quality,
    list_windows,
    make_drift_table,
)
from petla.monitoring.windows import QualityWindow, Window
from petla.storage.workspace import Workspace
from petla.web import figures
from petla.web.charts import Point, draw_line, draw_spark
from petla.web.pieces import (
    Badge,
    Bar,
    CheckLine,
    Drift,
    Figure,
    Moment,
    Quality,
    QualityRow,
    Row,
    TrafficBlock,
    VerdictBlock,
)

WINDOWS_SHOWN = 30
# They come by version, and an older version may be the live one: enough to find the newest by time.
_WINDOWS_READ = 200
# figures of a verdict that are counts
_WHOLE_FIGURES = frozenset({"rows", "failed", "seed"})
# how far the limit stands along a bar, in per cent, while nothing is far beyond it
_LIMIT_AT = 62.0

# states of a version that is or was champion
_CHAMPIONS = frozenset({State.PRODUCTION, State.RETIRED})

STATE_TONES: dict[State, str] = {
    State.CANDIDATE: "calm",
    State.TESTING: "warm",
    State.SHADOW: "warm",
    State.CANARY: "warm",
    State.PRODUCTION: "good",
    State.RETIRED: "calm",
    State.REJECTED: "bad",
}
# what people call the metrics, where it differs from the key
_METRIC_NAMES = {"auc": "AUC", "f1": "F1", "log_loss": "log loss", "mae": "MAE", "rmse": "RMSE", "r2": "R²"}


def make_moment(text: str, now: datetime) -> Moment:
    """Return a stored moment for a page."""
    return Moment(text, figures.moment(text), figures.ago(text, now))


def find_moment(text: str | None, now: datetime) -> Moment | None:
    """Return a stored moment for a page, or None if it has not come yet."""
    return make_moment(text, now) if text else None


def metric_name(metric: str) -> str:
    """Return what people call a metric."""
    return _METRIC_NAMES.get(metric, metric)


def explain_cause(cause: str) -> str:
    """Say who or what a run was started by.

    Example:
        >>> explain_cause("retraining:7"), explain_cause("person")
        ('retraining 7', 'a person')
    """
    return "a person" if cause == "person" else cause.replace(":", " ")


def explain(error: PetlaError) -> str:
    """Return what was wrong with an input and what to do about it, as a sentence beside the input."""
    text = f"{error.message}: {error.hint}" if error.hint else error.message
    return f"{text[:1].upper()}{text[1:]}"


def split_title(title: str) -> tuple[str, str]:
    """Return what happened, and the figures that follow it.

    Example:
        >>> split_title("delay:2 lost quality: accuracy 0.702, limit 0.74")
        ('delay:2 lost quality', 'accuracy 0.702, limit 0.74')
    """
    what, _, rest = title.partition(": ")
    return what, rest


def state_badge(state: State) -> Badge:
    """Return a version's state as a badge."""
    return Badge("live" if state is State.PRODUCTION else str(state), STATE_TONES[state])


def verdict_badge(verdict: Verdict | None) -> Badge:
    """Return a verdict as a badge."""
    if verdict is None:
        return Badge("not judged yet", "calm")
    n_passed = sum(check.passed for check in verdict.checks)
    word = f"{n_passed} of {figures.plural(len(verdict.checks), 'gate')} passed"
    return Badge(word, "good" if verdict.passed else "bad")


def make_verdict(verdict: Verdict | None, now: datetime) -> VerdictBlock | None:
    """Return a verdict with all its checks; None: not judged yet."""
    if verdict is None:
        return None
    checks = tuple(_make_check(check) for check in verdict.checks)
    return VerdictBlock(badge=verdict_badge(verdict), checks=checks, at=make_moment(verdict.at, now))


def make_quality(ws: Workspace, model: str, table: ModelTable, live: int | None) -> Quality:
    """Return quality over the last windows of those that were champion, in the order of time.

    What runs beside the champion has a page of its own. The figure is of the newest window of the live version, if it
    has one.
    """
    metric = table.quality_metric
    limit = table.monitor.quality_limit
    lower = metric in LOWER_IS_BETTER
    beside = {found.version for found in list_versions(ws, model) if found.state not in _CHAMPIONS}
    read = list_quality(ws, model, limit=_WINDOWS_READ)
    closed = sorted((window for window in read if window.version not in beside), key=_by_time)
    unjudged = _describe_unjudged(closed, table, live)
    windows = [window for window in closed if metric in window.metrics][-WINDOWS_SHOWN:]
    rows = table.monitor.window_rows
    empty = f"The first window closes after {figures.count(rows)} decisions whose truth came in by POST /feedback."
    if not windows:
        return Quality(figure=None, chart=None, rows=(), empty=unjudged or empty, unjudged=unjudged)

    def is_bad(value: float) -> bool:
        return limit is not None and (value > limit if lower else value < limit)

    points = [_make_point(window, metric, is_bad=is_bad(window.metrics[metric])) for window in windows]
    chart = draw_line(points, what=metric_name(metric), limit=limit, higher_is_better=not lower)
    now = ws.clock()
    shown = tuple(_make_quality_row(window, point, now) for window, point in zip(windows, points, strict=True))
    newest = max(range(len(windows)), key=lambda i: (windows[i].version == live, i))
    has_closed = any(window.version == live for window in closed)
    figure = _make_quality_figure(windows[newest], points[newest], table, live, has_closed=has_closed)
    return Quality(figure=figure, chart=chart, rows=shown[::-1], empty="", unjudged=unjudged)


def make_drift(ws: Workspace, model: str, version: int | None, *, shown: int | None = None) -> Drift:
    """Return the drift of a version's features, strongest first, at most `shown` of them."""
    table = None if version is None else make_drift_table(ws, model, version)
    size = ws.get_model(model)[1].monitor.window_rows
    if table is None or table.window is None:
        whose = model if version is None else f"{model}:{version}"
        empty = f"The first window of {whose} closes after {figures.count(size)} decisions by POST /predict/{model}."
        return Drift(window="", bars=(), others=0, n_over=0, limit="", empty=empty, unwatched=())
    watched = [feature for feature in table.features if feature.state != "not watched"]
    others = [(f.feature, f.note.removeprefix("not watched: ")) for f in table.features if f.state == "not watched"]
    bars = tuple(_make_bar(feature, _reach(watched)) for feature in watched[:shown])
    limits = [feature.limit for feature in watched if feature.limit is not None]
    return Drift(
        window=_describe_window(table),
        bars=bars,
        others=len(watched) - len(bars),
        n_over=sum(feature.state in ("alarm", "over limit") for feature in watched),
        limit=figures.metric(limits[0]) if limits else "",
        empty="" if watched else "No feature is watched.",
        unwatched=tuple(f"{name} ({note})" if note else name for name, note in others),
    )


def make_traffic(ws: Workspace, model: str, live: int | None) -> TrafficBlock:
    """Return how many decisions a model has made, how fast, and how far the live version's window is."""
    traffic = count_traffic(ws, model)
    windows = [window for window in list_windows(ws, model, limit=_WINDOWS_READ) if window.is_closed]
    windows = sorted(windows, key=_by_time)[-WINDOWS_SHOWN:]
    open_window, filled = _make_open_window(traffic, live)
    return TrafficBlock(
        total=Figure(
            figures.count(traffic.total), "decisions", "counted so far, of all versions", f"/decisions?model={model}"
        ),
        speed=_make_speed(traffic, ws.clock()),
        open_window=open_window,
        filled=filled,
        trend=draw_spark([window.rows / max(_span(window).total_seconds(), 1e-3) for window in windows]),
    )


def _describe_unjudged(closed: Sequence[QualityWindow], table: ModelTable, live: int | None) -> str:
    """Say why the newest closed window, of the live version if it has one, has no figure; empty: it has one."""
    newest = max(closed, key=lambda window: (window.version == live, _by_time(window)), default=None)
    if newest is None or table.quality_metric in newest.metrics:
        return ""
    reason = newest.absent.get(table.quality_metric, "not enough data")
    what = (
        f"Window {newest.number} of {newest.model}:{newest.version}, {figures.count(newest.rows)} labelled decisions,"
    )
    return f"{what} has no {metric_name(table.quality_metric)}: {reason}."


def _make_speed(traffic: Traffic, now: datetime) -> Figure | None:
    if not traffic.last_at:
        return None
    note = f"last decision {figures.ago(traffic.last_at, now)}"
    speed = figures.rate(traffic.last_minute, timedelta(minutes=1)) if traffic.last_minute else None
    if speed is None:
        return Figure("0", "decisions in the last minute", note)
    return Figure(speed[0], f"decisions {speed[1]}", f"over the last minute; {note}")


def _make_check(check: Check) -> CheckLine:
    rows = tuple(_make_figure(name, value) for name, value in check.figures.items())
    return CheckLine(check.name, check.passed, check.message, rows)


def _make_figure(name: str, value: float) -> Row:
    if name.endswith("_ms"):
        return Row(name.removesuffix("_ms"), f"{value:.3g} ms")
    text = figures.count(int(value)) if name in _WHOLE_FIGURES else figures.metric(value)
    return Row(name.replace("_", " "), text)


def _make_point(window: QualityWindow, metric: str, *, is_bad: bool) -> Point:
    return Point(
        value=window.metrics[metric],
        label=f"window {window.number}",
        at=window.ended_at,
        rows=window.rows,
        group=f"{window.model}:{window.version}",
        is_bad=is_bad,
    )


def _make_quality_row(window: QualityWindow, point: Point, now: datetime) -> QualityRow:
    return QualityRow(
        point.group,
        window.number,
        figures.metric(point.value),
        figures.count(window.rows),
        make_moment(window.ended_at, now),
        point.is_bad,
    )


def _make_quality_figure(
    window: QualityWindow, point: Point, table: ModelTable, live: int | None, *, has_closed: bool
) -> Figure:
    note = f"window {window.number} · {figures.count(window.rows)} labelled decisions of {point.group}"
    is_live = window.version == live
    if not is_live and live is not None and not has_closed:
        note += f"; {window.model}:{live} has no closed window yet"
    unit = metric_name(table.quality_metric)
    href = f"/models/{window.model}#quality"
    return Figure(figures.metric(point.value), unit, note, href, point.is_bad and is_live)


def _reach(features: Sequence[FeatureDrift]) -> float:
    """Return the PSI that fills a whole bar."""
    strongest = max((feature.psi for feature in features), default=0.0)
    limits = [feature.limit for feature in features if feature.limit is not None]
    return max([strongest, *(100 * limit / _LIMIT_AT for limit in limits)], default=1.0) or 1.0


def _make_bar(feature: FeatureDrift, reach: float) -> Bar:
    return Bar(
        feature=feature.feature,
        value=figures.metric(feature.psi) if feature.unknown is None else _show_unknown(feature),
        width=f"{max(100 * feature.psi / reach, 0.6):.2f}",
        limit_x="" if feature.limit is None else f"{100 * feature.limit / reach:.2f}",
        state=feature.state,
        is_over=feature.state in ("alarm", "over limit"),
        trend=draw_spark(feature.trend),
    )


def _show_unknown(feature: FeatureDrift) -> str:
    return f"{figures.metric(feature.psi)}, {figures.share(feature.unknown or 0.0)} unknown"


def _describe_window(table: DriftTable) -> str:
    return f"window {table.window} · {figures.count(table.rows)} decisions of {table.model}:{table.version}"


def _make_open_window(traffic: Traffic, live: int | None) -> tuple[Figure | None, int]:
    if not traffic.versions:
        return None, 0
    newest = traffic.versions[0]
    version, rows = (newest.version, newest.open_rows) if live is None else (live, 0)
    rows = next((found.open_rows for found in traffic.versions if found.version == version), rows)
    note = f"of {figures.count(newest.window_rows)} in the open window of {traffic.model}:{version}"
    return Figure(figures.count(rows), "decisions", note), round(100 * rows / newest.window_rows)


def _by_time(window: Window | QualityWindow) -> tuple[str, int, int]:
    return window.ended_at, window.version, window.number


def _span(window: Window) -> timedelta:
    return from_text(window.ended_at) - from_text(window.started_at)
