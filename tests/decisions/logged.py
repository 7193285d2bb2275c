"""Decisions of the tiny model, in a worker's spool."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from petla.core.ids import DecisionId
from petla.decisions.record import Decision, Feedback, ShadowAnswer, Truth
from petla.decisions.spool import (
    DECISIONS,
    FEEDBACK,
    SHADOWS,
    SPOOL_FOLDER,
    Segment,
    SpoolWriter,
    list_segments,
    segment_path,
)
from petla.storage.workspace import Workspace
from tests.deployments.tiny import MODEL

STREAMS = {Decision: DECISIONS, Feedback: FEEDBACK, ShadowAnswer: SHADOWS}
SECOND_NS = 1_000_000_000
# the number of a segment that no clock reaches
FAR = 10**15
NOON_NS = 1_767_268_800 * SECOND_NS  # 2026-01-01T12:00:00Z


def make_decision(number: int, *, version: int = 1) -> Decision:
    return Decision(
        DecisionId(f"id-{number}"),
        f"request-{number // 2}",
        NOON_NS + number * SECOND_NS,
        MODEL,
        version,
        (number + 0.5, None if number % 2 else number, "pl"),
        number % 3 == 0,
        0.25,
        "champion",
        120,
        "0",
    )


def make_feedback(number: int, truth: Truth = True) -> Feedback:
    return Feedback(DecisionId(f"id-{number}"), truth, NOON_NS + number * SECOND_NS + 7_000)


def make_shadow(number: int, *, version: int = 2, error: str = "") -> ShadowAnswer:
    label = None if error else number % 2 == 0
    name = DecisionId(f"id-{number}")
    return ShadowAnswer(name, NOON_NS + number * SECOND_NS + 5_000, MODEL, version, label, 0.75, 90, "0", error)


def spool(ws: Workspace, *batches: Sequence[Decision | Feedback | ShadowAnswer], worker: str = "0") -> None:
    for batch in batches:
        stream = STREAMS[type(batch[0])]
        writer = SpoolWriter(ws.state / SPOOL_FOLDER / worker, stream)
        records: Sequence[msgspec.Struct] = batch
        writer.append(records)
        writer.close()


def oldest_segment(folder: Path, stream: str) -> Path:
    """Return where a stream's oldest segment lies."""
    return segment_path(folder, stream, list_segments(folder, stream)[0])


def fix_numbers(folder: Path, stream: str) -> None:
    """Let the next writer of a stream number its segments from a place that is known."""
    folder.mkdir(parents=True, exist_ok=True)
    segment_path(folder, stream, Segment(FAR)).touch()


def next_segments(folder: Path, stream: str, n: int) -> list[Path]:
    """Return where the next segments of a stream will lie, if its numbers were fixed and its writer has just begun."""
    origin = (folder / f"{stream}.writer").read_text()
    return [segment_path(folder, stream, Segment(FAR + i, origin)) for i in range(1, n + 1)]
