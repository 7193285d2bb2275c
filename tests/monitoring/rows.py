"""A small project with hand-made references, decisions and labels; no pipeline, no package."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from petla.core.clock import to_text, utc_now
from petla.core.ids import DecisionId
from petla.core.project import MonitorTable, decode_project
from petla.core.settings import Settings
from petla.data.profile.columns import ColumnProfile, Kind, Profile
from petla.decisions.feedback.arrivals import Arrival
from petla.decisions.feedback.records import add_feedback
from petla.decisions.record import Decision, Truth
from petla.decisions.records import DecisionRow, add_decisions
from petla.models.signature import InputField, Signature
from petla.monitoring.counting import count_column
from petla.monitoring.reference import Reference
from petla.storage.database import writing
from petla.storage.partitions import day_of, has_days, make_days
from petla.storage.workspace import Workspace

PROJECT = """
[project]
name = "flights"
owner = "olga"

[data.flights]
path = "data/flights.parquet"

[models.delay]
target = "late"

[models.delay.retrain]
dataset = "flights"
minimum_rows = 500
"""
SIGNATURE = Signature(
    inputs=(
        InputField("wind", Kind.NUMBER, True),
        InputField("carrier", Kind.CATEGORY, True),
        InputField("holiday", Kind.BOOLEAN, False),
    ),
    target="late",
    task="binary",
    classes=(False, True),
)
CARRIERS = ("AA", "DL", "UA")
START_NS = 1_372_680_000_000_000_000


def make_workspace(folder: Path, *, database: str = "", **monitor: object) -> Workspace:
    """Open the project, its monitor table changed as asked; without an address its database is SQLite."""
    project = decode_project(PROJECT)
    table = msgspec.structs.replace(project.models["delay"].monitor, **{"window_rows": 500, **monitor})
    assert isinstance(table, MonitorTable)
    model = msgspec.structs.replace(project.models["delay"], monitor=table)
    project = msgspec.structs.replace(project, models={"delay": model})
    return Workspace(folder, project, Settings(database=database), clock=utc_now)


def make_column(name: str, kind: Kind, values: Sequence[object], bins: int = 10) -> ColumnProfile:
    """Profile a column the short way: edges at the quantiles, categories as they come."""
    numbers = [value for value in values if isinstance(value, float)]
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, bins + 1)[1:-1])) if kind.is_numeric else ()
    texts = {str(value).lower() if isinstance(value, bool) else str(value) for value in values if value is not None}
    column = ColumnProfile(
        name=name,
        kind=kind,
        rows=len(values),
        missing=sum(value is None for value in values),
        distinct=len(set(values)),
        edges=tuple(float(edge) for edge in edges),
        categories=() if kind.is_numeric else tuple(sorted(texts)),
    )
    return msgspec.structs.replace(column, counts=tuple(count_column(column, values).tolist()))


def make_reference(rows: int = 20_000) -> Reference:
    """Return the reference of decisions as `make_decisions` makes them without a shift."""
    made = make_decisions(rows, seed=99)
    columns = [
        make_column(field.name, field.kind, [decision.inputs[place] for decision in made])
        for place, field in enumerate(SIGNATURE.inputs)
    ]
    score = make_column("score", Kind.NUMBER, [decision.score for decision in made])
    return Reference(signature=SIGNATURE, profile=Profile(rows=rows, columns=tuple(columns)), score=score)


def make_decisions(n: int, *, seed: int = 0, version: int = 1, shift: float = 0.0, start: int = 0) -> list[Decision]:
    """Return decisions; `shift` moves the wind by so many standard deviations."""
    chance = np.random.default_rng(seed)
    wind, score = chance.normal(shift, 1, n), chance.beta(2, 4, n)
    carriers, holidays = chance.integers(0, len(CARRIERS), n), chance.random(n) < 0.1
    missing = chance.random(n) < 0.02
    return [
        Decision(
            id=DecisionId(f"{version}-{start + i}"),
            request_id="",
            at_ns=START_NS + (start + i) * 1_000_000_000,
            model="delay",
            version=version,
            inputs=(None if missing[i] else float(wind[i]), CARRIERS[carriers[i]], bool(holidays[i])),
            label=bool(score[i] >= 0.5),
            score=float(score[i]),
            served_by="live",
            latency_us=200,
            worker="0",
        )
        for i in range(n)
    ]


def store_decisions(ws: Workspace, made: Sequence[Decision]) -> None:
    """Put decisions into the log, as the shipper does."""
    rows = [_row_of(ws, decision) for decision in made]
    with writing(ws.engine) as connection:
        if has_days(ws.engine):
            make_days(connection, "decisions", ws.name, {day_of(row.at) for row in rows})
        add_decisions(connection, rows)


def store_truths(ws: Workspace, truths: Sequence[tuple[Decision, Truth]]) -> None:
    """Put labels into the log, in this order."""
    now = to_text(ws.clock())
    with writing(ws.engine) as connection:
        add_feedback(connection, ws.name, [Arrival(decision.id, truth, now) for decision, truth in truths])


def _row_of(ws: Workspace, decision: Decision) -> DecisionRow:
    inputs = dict(zip((field.name for field in SIGNATURE.inputs), decision.inputs, strict=True))
    return DecisionRow(
        id=decision.id,
        project=ws.name,
        request_id=decision.request_id,
        at=to_text(datetime.fromtimestamp(decision.at_ns / 1e9, UTC)),
        model=decision.model,
        version=decision.version,
        inputs=msgspec.json.encode(inputs).decode(),
        label=msgspec.json.encode(decision.label).decode(),
        score=decision.score,
        served_by=decision.served_by,
        latency_us=decision.latency_us,
        worker=decision.worker,
    )
