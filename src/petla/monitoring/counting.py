"""Counting: each batch of shipped decisions is added to the windows of its model versions.

- A window holds exactly `monitor.window_rows` decisions of one version, in the order in which they were shipped; a
  batch that is larger than what a window lacks is split at the border.
- Counts are written with the shipper's own connection, so that log and counts are the same transaction.
- A version whose package cannot be read is logged and not counted: shipping goes on.
"""

from collections import Counter as Tally
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from petla.core.clock import to_text
from petla.core.project import MonitorTable
from petla.data.profile.binning import count_numbers
from petla.data.profile.columns import ColumnProfile, Kind
from petla.decisions.record import DEFAULT, Decision
from petla.decisions.store import Counter
from petla.models.runtime.labels import is_missing
from petla.monitoring.records import find_open_window, newest_window, save_window
from petla.monitoring.reference import (
    Reference,
    ReferenceSource,
    find_readable,
    is_listed,
    open_references,
    unknown_name,
)
from petla.monitoring.windows import Window
from petla.storage.workspace import Workspace


def make_counter(ws: Workspace, references: ReferenceSource | None = None) -> Counter:
    """Return a counter for the shipper.

    Args:
        ws: whose windows are counted.
        references: finds a version's bins; None: in its signed package.
    """
    find_reference = references or open_references(ws)

    def count(connection: Connection, batch: Sequence[Decision]) -> None:
        def key(decision: Decision) -> tuple[str, int]:
            return decision.model, decision.version

        # a default answer is no version's word, and has no score
        made = [decision for decision in batch if decision.served_by != DEFAULT]
        # sorting is stable, so decisions of one version stay in their order
        for (model, version), group in groupby(sorted(made, key=key), key=key):
            reference = find_readable(find_reference, model, version)
            if reference is not None:
                table = ws.project.models.get(model)
                size = (table.monitor if table else MonitorTable()).window_rows
                _fill(connection, ws.name, reference, list(group), size)

    return count


def count_batch(reference: Reference, batch: Sequence[Decision]) -> dict[str, NDArray[np.int64]]:
    """Return the counts of decisions along the reference's bins, by feature, the score beside them.

    Values of a feature that training never had are counted once more under `unknown_name`, if there are such.
    """
    counts: dict[str, NDArray[np.int64]] = {}
    values = zip(*(decision.inputs for decision in batch), strict=True)
    for column, value in zip(reference.columns, values, strict=True):
        if column is None:
            continue
        counts[column.name] = count_column(column, value)
        # an unknown value is counted with the rare ones, in the last bin but one
        if is_listed(column) and counts[column.name][-2] and (n := count_unknown(column, value)):
            counts[unknown_name(column.name)] = np.array([n], dtype=np.int64)
    return counts | {reference.score_name: count_column(reference.score, [d.score for d in batch])}


def count_column(column: ColumnProfile, values: Sequence[object]) -> NDArray[np.int64]:
    """Return how many values fall into each bin of a column, laid out as `ColumnProfile.counts`."""
    if column.kind.is_numeric:
        return count_numbers(column.edges, _to_numbers(values))
    if column.kind in (Kind.TENSOR, Kind.IMAGE):
        missing = sum(value is None for value in values)
        return np.array([len(values) - missing, missing], dtype=np.int64)
    return _count_texts(column, values)


def count_unknown(column: ColumnProfile, values: Sequence[object]) -> int:
    """Return how many values of a column of categories training never had."""
    known = {*column.categories, *column.rare}
    tally = _tally(values).items()
    return sum(n for value, n in tally if not is_missing(value) and _to_text(value) not in known)


def _fill(connection: Connection, project: str, reference: Reference, batch: list[Decision], size: int) -> None:
    model, version = batch[0].model, batch[0].version
    window = find_open_window(connection, project, model, version)
    if window is None:
        window = _begin(batch[0], newest_window(connection, project, model, version) + 1)
    while batch:
        # NOTE: the project's window size may have shrunk below what the window holds already
        room = max(size - window.rows, 1)
        part, batch = batch[:room], batch[room:]
        window = _add(window, reference, part, size)
        save_window(connection, project, window)
        if batch:
            window = _begin(batch[0], window.number + 1)


def _begin(first: Decision, number: int) -> Window:
    at = _moment(first.at_ns)
    return Window(
        model=first.model,
        version=first.version,
        number=number,
        rows=0,
        counts={},
        is_closed=False,
        started_at=at,
        ended_at=at,
    )


def _add(window: Window, reference: Reference, part: list[Decision], size: int) -> Window:
    counts = {
        name: (found + np.asarray(window.counts[name]) if name in window.counts else found).tolist()
        for name, found in count_batch(reference, part).items()
    }
    rows = window.rows + len(part)
    # workers' batches arrive one after the other, so the last shipped need not be the last made
    moments = [decision.at_ns for decision in part]
    return msgspec.structs.replace(
        window,
        rows=rows,
        counts=counts,
        is_closed=rows >= size,
        started_at=min(window.started_at, _moment(min(moments))),
        ended_at=max(window.ended_at, _moment(max(moments))),
    )


def _moment(at_ns: int) -> str:
    return to_text(datetime.fromtimestamp(at_ns / 1e9, UTC))


def _to_numbers(values: Sequence[object]) -> NDArray[np.float64]:
    try:
        # None becomes NaN
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        # the signature lets no such value through; an older spool may hold one, and shipping must not stop for it
        return np.array([_to_number(value) for value in values], dtype=np.float64)


def _to_number(value: object) -> float:
    try:
        return float(value) if isinstance(value, int | float) else float("nan")
    except OverflowError:
        return float("inf")


def _count_texts(column: ColumnProfile, values: Sequence[object]) -> NDArray[np.int64]:
    places = {category: place for place, category in enumerate(column.categories)}
    counts = np.zeros(len(places) + 2, dtype=np.int64)
    for value, n in _tally(values).items():
        if is_missing(value):
            counts[-1] += n
        else:
            counts[places.get(_to_text(value), len(places))] += n
    return counts


def _tally(values: Sequence[object]) -> Tally[object]:
    try:
        return Tally(values)
    except TypeError:
        return Tally(map(repr, values))


def _to_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
