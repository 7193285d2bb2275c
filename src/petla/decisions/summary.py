"""The decision log in figures: what it holds, what feedback was, what waits in the spools, what was damaged or lost."""

import time
from pathlib import Path

import msgspec

from petla.decisions import records
from petla.decisions.feedback import records as labels
from petla.decisions.losses import Losses, count_losses
from petla.decisions.spool import (
    DAMAGED_FOLDER,
    DECISIONS,
    FEEDBACK,
    SHADOWS,
    SPOOL_FOLDER,
    Places,
    age_of,
    measure,
)
from petla.storage.database import reading
from petla.storage.workspace import Workspace


class Backlog(msgspec.Struct, frozen=True):
    """What one stream of a worker holds that was not shipped yet."""

    worker: str
    stream: str
    size_bytes: int
    # since the oldest record of it was made
    age_s: float


class Summary(msgspec.Struct, frozen=True):
    """The decision log in figures."""

    decisions: int
    # status -> pieces of feedback
    feedback: dict[str, int]
    # when the feedback was reported that waits longest for its decision; empty: none waits
    oldest_waiting: str
    backlog: tuple[Backlog, ...]
    # segments and refused records that were kept aside
    damaged: tuple[str, ...]
    # what was answered and not recorded
    lost: Losses


def summarise(ws: Workspace) -> Summary:
    """Return the decision log in figures."""
    spool = ws.state / SPOOL_FOLDER
    folders = sorted(path for path in spool.iterdir() if path.is_dir()) if spool.is_dir() else []
    with reading(ws.engine) as connection:
        found = labels.count_statuses(connection, ws.name)
        backlog = []
        for folder in folders:
            for stream in (DECISIONS, FEEDBACK, SHADOWS):
                shipped = records.list_positions(connection, ws.name, folder, stream)
                backlog.append(_describe(folder, stream, shipped))
        return Summary(
            decisions=records.count_decisions(connection, ws.name, None, None),
            feedback={status.value: n for status, n in sorted(found.items())},
            oldest_waiting=labels.get_oldest_waiting(connection, ws.name),
            backlog=tuple(each for each in backlog if each.size_bytes),
            damaged=tuple(str(path) for folder in folders for path in sorted((folder / DAMAGED_FOLDER).glob("*.log"))),
            lost=count_losses(ws.state),
        )


def _describe(folder: Path, stream: str, shipped: Places) -> Backlog:
    waiting = measure(folder, stream, shipped)
    return Backlog(folder.name, stream, waiting.size_bytes, age_of(folder, stream, waiting, time.time()))
