"""What pages and the command line show of the monitors."""

from datetime import timedelta
from typing import Literal

import msgspec

from petla.core.clock import to_text
from petla.decisions.records import count_since
from petla.models.registry import get_version
from petla.models.runtime.labels import describe_unknown, make_reader
from petla.monitoring import records
from petla.monitoring.finding import Finding, FindingKind
from petla.monitoring.judging import JENSEN_SHANNON, PSI, UNKNOWN_SHARE, list_fresh
from petla.monitoring.windows import QualityWindow, Window
from petla.storage.database import reading
from petla.storage.workspace import Workspace

# over limit: bad, but not for as many windows in a row as an alarm needs
DriftState = Literal["alarm", "over limit", "ok", "not enough data", "not watched"]


class VersionTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions of one model version."""

    version: int
    # decisions counted so far
    rows: int
    closed_windows: int
    # decisions in the window that is still open, and how many will close it
    open_rows: int
    window_rows: int
    first_at: str
    last_at: str


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions of one model."""

    model: str
    # decisions counted so far, of all versions
    total: int
    # newest version first
    versions: tuple[VersionTraffic, ...]
    # decisions of the last minute
    last_minute: int
    # moment of the newest decision; empty: there is none
    last_at: str


class OpenLabels(msgspec.Struct, frozen=True, kw_only=True):
    """Labels that wait for their window to fill."""

    rows: int
    # of them, those that are no class of the model, or no number
    unusable: int
    # what is wrong with these; empty: nothing
    what: str


class FeatureDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One feature in the newest judged window."""

    feature: str
    state: DriftState
    psi: float
    # Jensen-Shannon distance, 0 to 1
    js: float
    # None: not judged
    limit: float | None
    # why it is not judged; empty: it is, or nothing says so
    note: str
    # share of values that training never had; None: there were none, or it is not known
    unknown: float | None
    # PSI of the last windows, oldest first, the newest judged one included
    trend: tuple[float, ...]


class DriftTable(msgspec.Struct, frozen=True, kw_only=True):
    """Drift of every feature in the newest judged window, strongest first."""

    model: str
    version: int
    # None: no window was judged yet
    window: int | None
    rows: int
    started_at: str
    ended_at: str
    features: tuple[FeatureDrift, ...]


def count_traffic(ws: Workspace, model: str) -> Traffic:
    """Return a model's traffic, by version."""
    size = ws.get_model(model)[1].monitor.window_rows
    with reading(ws.engine) as connection:
        sums = records.sum_windows(connection, ws.name, model)
        last_minute = count_since(connection, ws.name, model, to_text(ws.clock() - timedelta(minutes=1)))
    versions = tuple(
        VersionTraffic(
            version=version,
            rows=rows,
            closed_windows=closed,
            open_rows=open_rows,
            window_rows=size,
            first_at=first_at,
            last_at=last_at,
        )
        for version, rows, closed, open_rows, first_at, last_at in sums
    )
    return Traffic(
        model=model,
        total=sum(each.rows for each in versions),
        versions=versions,
        last_minute=last_minute,
        last_at=max((each.last_at for each in versions), default=""),
    )


def list_windows(ws: Workspace, model: str, *, version: int | None = None, limit: int = 50) -> tuple[Window, ...]:
    """Return windows, newest first."""
    with reading(ws.engine) as connection:
        return tuple(records.list_window_rows(connection, ws.name, model, version, limit))


def list_quality(
    ws: Workspace, model: str, *, version: int | None = None, limit: int = 50
) -> tuple[QualityWindow, ...]:
    """Return quality windows, newest first."""
    with reading(ws.engine) as connection:
        return tuple(records.list_quality_rows(connection, ws.name, model, version, limit))


def count_open_labels(ws: Workspace, model: str, version: int) -> OpenLabels:
    """Return the labels of a version that no quality window holds yet."""
    rows, _ = list_fresh(ws, model, version)
    signature = get_version(ws, model, version).certificate.signature
    read = make_reader(signature)
    unusable = [row.truth for row in rows if read(row.truth) is None]
    what = describe_unknown(signature, len(unusable), unusable[0]) if unusable else ""
    return OpenLabels(rows=len(rows), unusable=len(unusable), what=what)


def latest_findings(ws: Workspace, model: str, version: int, kind: FindingKind) -> tuple[Finding, ...]:
    """Return the findings of the newest judged window, alarms first, then by value, largest first.

    Of drift the population stability index only, which is what is judged; `make_drift_table` has the other measure too.
    """
    with reading(ws.engine) as connection:
        newest = records.newest_judged(connection, ws.name, model, version, kind)
        found = records.list_findings(connection, ws.name, model, version, kind=kind, windows=[newest])
    shown = [each for each in found if each.measure != JENSEN_SHANNON]
    return tuple(sorted(shown, key=lambda each: (not each.is_alarm, -each.value, each.what)))


def make_drift_table(ws: Workspace, model: str, version: int, *, trend: int = 20) -> DriftTable:
    """Return the drift of every feature in the newest judged window, with its trend over so many windows."""
    with reading(ws.engine) as connection:
        newest = records.newest_judged(connection, ws.name, model, version, "drift")
        numbers = range(max(newest - trend, 0) + 1, newest + 1)
        found = records.list_findings(connection, ws.name, model, version, kind="drift", windows=numbers)
        span = records.find_span_of(connection, ws.name, model, version, kind="drift", number=newest)
    if span is None:
        return DriftTable(model=model, version=version, window=None, rows=0, started_at="", ended_at="", features=())
    ignored = ws.get_model(model)[1].monitor.ignore
    names = [each.what for each in found if each.window == newest and each.measure == PSI]
    features = [_make_feature(name, [each for each in found if each.what == name], ignored) for name in names]
    return DriftTable(
        model=model,
        version=version,
        window=newest,
        rows=found[-1].rows,
        started_at=span[0],
        ended_at=span[1],
        features=tuple(sorted(features, key=lambda each: (each.state != "alarm", -each.psi))),
    )


def find_span(ws: Workspace, finding: Finding) -> tuple[str, str] | None:
    """Return the moments of the first and last decision in a finding's window, or None if it is gone."""
    with reading(ws.engine) as connection:
        return records.find_span_of(
            connection, ws.name, finding.model, finding.version, kind=finding.kind, number=finding.window
        )


def list_new_alarms(ws: Workspace, model: str, version: int, kind: FindingKind, *, after: int) -> tuple[Finding, ...]:
    """Return alarms with a row number above `after`, oldest first, at most 500."""
    with reading(ws.engine) as connection:
        return tuple(records.list_alarms(connection, ws.name, model, version, kind=kind, after=after))


def _make_feature(name: str, found: list[Finding], ignored: tuple[str, ...]) -> FeatureDrift:
    psis = [each for each in found if each.measure == PSI]
    newest = psis[-1]
    js = next(each.value for each in reversed(found) if each.measure == JENSEN_SHANNON)
    unknown = next((each for each in found if each.measure == UNKNOWN_SHARE and each.window == newest.window), None)
    return FeatureDrift(
        feature=name,
        state="alarm" if unknown and unknown.is_alarm else _state_of(newest, is_watched=name not in ignored),
        psi=newest.value,
        js=js,
        limit=newest.limit,
        note=newest.note,
        unknown=unknown.value if unknown else None,
        trend=tuple(each.value for each in psis),
    )


def _state_of(finding: Finding, *, is_watched: bool) -> DriftState:
    if finding.is_alarm:
        return "alarm"
    if finding.limit is None:
        is_watched &= not finding.note.startswith("not watched")
        return "not enough data" if is_watched else "not watched"
    return "over limit" if finding.value >= finding.limit else "ok"
