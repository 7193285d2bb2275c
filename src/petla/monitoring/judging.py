"""Verdicts: the findings of every window that closed since the last time.

- Every closed window is judged once; judging again finds nothing left to do.
- An alarm needs `monitor.patience` bad windows in a row, this one included.
"""

from collections.abc import Iterator, Sequence

import msgspec
from sqlalchemy import Connection

from petla.core.clock import to_text
from petla.core.project import MonitorTable
from petla.data.profile.columns import ColumnProfile
from petla.decisions.feedback.records import list_reported
from petla.decisions.log import newest_feedback
from petla.decisions.record import Labelled
from petla.models.signature import Signature
from petla.monitoring import records
from petla.monitoring.drift import MINIMUM_ROWS, DriftFigures, measure_drift
from petla.monitoring.finding import Finding
from petla.monitoring.quality import BASE_RATE, MOST_UNUSABLE, is_worse, measure_quality
from petla.monitoring.reference import (
    Reference,
    ReferenceSource,
    explain_unwatched,
    feature_of,
    find_readable,
    open_references,
    unknown_name,
)
from petla.monitoring.windows import QualityWindow, Window
from petla.storage.database import reading, writing
from petla.storage.workspace import Workspace

PSI = "psi"
JENSEN_SHANNON = "js"
UNKNOWN_SHARE = "unknown share"
# share of a feature's values that training never had, from which it is an alarm
UNKNOWN_LIMIT = 0.1
_IGNORED = "not watched: monitor.ignore names it"
_WINDOWS_AT_ONCE = 100

# (model, version) -> number of the feedback row before which no further window can be full
NotBefore = dict[tuple[str, int], int]


def judge_drift(ws: Workspace, references: ReferenceSource | None = None) -> tuple[Finding, ...]:
    """Judge each closed window that was not judged yet; return the findings that are new."""
    find_reference = references or open_references(ws)
    found: list[Finding] = []
    for window in _list_unjudged(ws):
        reference = find_readable(find_reference, window.model, window.version)
        if reference is None:
            continue
        table = ws.project.models[window.model].monitor
        findings = list(_judge_window(window, reference, table, ws))
        with writing(ws.engine) as connection:
            if records.newest_judged(connection, ws.name, window.model, window.version, "drift") < window.number:
                judged = _with_patience(connection, ws.name, findings, table.patience)
                records.add_findings(connection, ws.name, judged)
                found += judged
    return tuple(found)


def judge_quality(
    ws: Workspace, references: ReferenceSource | None = None, not_before: NotBefore | None = None
) -> tuple[Finding, ...]:
    """Close each quality window that has enough labels and judge it; return the findings that are new.

    A window takes labels in the order in which they arrived. A repeated or corrected label counts as the decision log
    lists it.

    Args:
        ws: whose labels are judged.
        references: finds a version's signature; None: in its signed package.
        not_before: kept by the caller from call to call, so that labels are not read again while they cannot be enough.
    """
    find_reference = references or open_references(ws)
    waits = {} if not_before is None else not_before
    newest = newest_feedback(ws)
    found: list[Finding] = []
    with reading(ws.engine) as connection:
        counted = records.list_counted_versions(connection, ws.name)
    for model, version, _ in counted:
        if model not in ws.project.models:
            continue
        while newest >= waits.get((model, version), 0):
            rows, last = list_fresh(ws, model, version)
            lacking = ws.project.models[model].monitor.window_rows - len(rows)
            if lacking > 0:
                # feedback rows are numbered one by one: so many more at least, whichever version they are about
                waits[model, version] = newest + lacking
                break
            reference = find_readable(find_reference, model, version)
            if reference is None:
                break
            window = _make_quality(model, version, (last.number if last else 0) + 1, reference.signature, rows)
            found += _close_quality(ws, window)
    return tuple(found)


def find_oldest_unjudged(ws: Workspace) -> str | None:
    """Return the moment of the oldest decision with a label that no quality window holds yet; None: there is none."""
    with reading(ws.engine) as connection:
        counted = records.list_counted_versions(connection, ws.name)
    fresh = (list_fresh(ws, model, version)[0] for model, version, _ in counted if model in ws.project.models)
    return min((row.at for rows in fresh for row in rows), default=None)


def list_fresh(ws: Workspace, model: str, version: int) -> tuple[list[Labelled], QualityWindow | None]:
    """Return the labels that no quality window of a version holds yet, as many as fill one, and its newest window."""
    size = ws.project.models[model].monitor.window_rows
    with reading(ws.engine) as connection:
        last = records.find_newest_quality(connection, ws.name, model, version)
        after = last.last_feedback if last else 0
        rows = list_reported(connection, ws.name, model, version, after_feedback=after, limit=size)
    return rows, last


def _list_unjudged(ws: Workspace) -> list[Window]:
    found = []
    with reading(ws.engine) as connection:
        for model, version, newest in records.list_counted_versions(connection, ws.name):
            judged = records.newest_judged(connection, ws.name, model, version, "drift")
            if model in ws.project.models and newest > judged:
                found += records.list_closed(connection, ws.name, model, version, after=judged, limit=_WINDOWS_AT_ONCE)
    return found


def _judge_window(window: Window, reference: Reference, table: MonitorTable, ws: Workspace) -> Iterator[Finding]:
    for name, counts in window.counts.items():
        feature = feature_of(name)
        if feature is not None:
            yield from _judge_unknown(window, feature, table, ws)
            continue
        column = reference.by_name[name]
        figures = measure_drift(column.counts, counts, limit=table.drift_limit)
        note = _explain_unjudged(column, figures, is_ignored=name in table.ignore)
        finding = Finding(
            model=window.model,
            version=window.version,
            kind="drift",
            window=window.number,
            what=name,
            measure=PSI,
            value=figures.psi,
            limit=None if note else figures.limit,
            rows=window.rows,
            is_alarm=not note and figures.is_over,
            at=to_text(ws.clock()),
            note=note,
        )
        yield finding
        yield msgspec.structs.replace(finding, measure=JENSEN_SHANNON, value=figures.js, limit=None, is_alarm=False)


def _explain_unjudged(column: ColumnProfile, figures: DriftFigures, *, is_ignored: bool) -> str:
    """Return why a feature is not judged; empty: it is. What is watched for missing values only is never fine."""
    if is_ignored:
        return _IGNORED
    if figures.limit is None:
        return f"not enough data: fewer than {MINIMUM_ROWS} rows"
    unwatched = explain_unwatched(column)
    return f"not watched: {unwatched}" if unwatched and not figures.is_over else ""


def _judge_unknown(window: Window, feature: str, table: MonitorTable, ws: Workspace) -> Iterator[Finding]:
    """Yield the share of a feature's values that training never had."""
    n_values = sum(window.counts[feature][:-1])
    share = window.counts[unknown_name(feature)][0] / n_values
    is_ignored, is_enough = feature in table.ignore, n_values >= MINIMUM_ROWS
    enough = "" if is_enough else f"not enough data: fewer than {MINIMUM_ROWS} rows"
    note = _IGNORED if is_ignored else enough
    yield Finding(
        model=window.model,
        version=window.version,
        kind="drift",
        window=window.number,
        what=feature,
        measure=UNKNOWN_SHARE,
        value=share,
        limit=None if note else UNKNOWN_LIMIT,
        rows=window.rows,
        is_alarm=not note and share >= UNKNOWN_LIMIT,
        at=to_text(ws.clock()),
        note=note,
    )


def _make_quality(
    model: str, version: int, number: int, signature: Signature, rows: Sequence[Labelled]
) -> QualityWindow:
    quality = measure_quality(signature, rows)
    return QualityWindow(
        model=model,
        version=version,
        number=number,
        rows=len(rows),
        metrics=quality.metrics,
        absent=quality.absent,
        unusable=quality.unusable,
        last_feedback=rows[-1].feedback_seq,
        started_at=min(row.at for row in rows),
        ended_at=max(row.at for row in rows),
    )


def _close_quality(ws: Workspace, window: QualityWindow) -> list[Finding]:
    table = ws.project.models[window.model].monitor
    with writing(ws.engine) as connection:
        last = records.find_newest_quality(connection, ws.name, window.model, window.version)
        if (last.number if last else 0) != window.number - 1:
            return []
        records.add_quality_window(connection, ws.name, window)
        judged = _with_patience(connection, ws.name, list(_judge_quality_window(ws, window)), table.patience)
        labels = _with_patience(connection, ws.name, list(_judge_labels(ws, window)), table.patience)
        records.add_findings(connection, ws.name, [*judged, *labels])
    return [*judged, *labels]


def _judge_quality_window(ws: Workspace, window: QualityWindow) -> Iterator[Finding]:
    model = ws.project.models[window.model]
    metric, limit = model.quality_metric, model.monitor.quality_limit
    for name, value in window.metrics.items():
        is_limited = name == metric and limit is not None
        yield Finding(
            model=window.model,
            version=window.version,
            kind="quality",
            window=window.number,
            what=name,
            measure=name if name != BASE_RATE else "share",
            value=value,
            limit=limit if is_limited else None,
            rows=window.rows,
            is_alarm=name == metric and limit is not None and is_worse(metric, value, limit),
            at=to_text(ws.clock()),
        )


def _judge_labels(ws: Workspace, window: QualityWindow) -> Iterator[Finding]:
    """Yield the share of the labels that cannot be used, if there are such: with most of them, nobody sees quality."""
    if window.unusable:
        share = window.unusable / window.rows
        yield Finding(
            model=window.model,
            version=window.version,
            kind="labels",
            window=window.number,
            what="labels",
            measure="unusable share",
            value=share,
            limit=MOST_UNUSABLE,
            rows=window.rows,
            is_alarm=share > MOST_UNUSABLE,
            at=to_text(ws.clock()),
        )


def _with_patience(connection: Connection, project: str, findings: Sequence[Finding], patience: int) -> list[Finding]:
    """Take back the alarms that were not bad for long enough."""
    alarms = [finding for finding in findings if finding.is_alarm]
    if patience == 1 or not alarms:
        return list(findings)
    first = alarms[0]
    before = range(first.window - patience + 1, first.window)
    past = records.list_findings(connection, project, first.model, first.version, kind=first.kind, windows=before)
    bad = {(each.window, each.what, each.measure) for each in past if _is_bad(each)}
    return [
        msgspec.structs.replace(
            each, is_alarm=each.is_alarm and all((n, each.what, each.measure) in bad for n in before)
        )
        for each in findings
    ]


def _is_bad(finding: Finding) -> bool:
    if finding.limit is None:
        return False
    if finding.kind == "drift":
        return finding.value >= finding.limit
    if finding.kind == "labels":
        return finding.value > finding.limit
    return is_worse(finding.measure, finding.value, finding.limit)
