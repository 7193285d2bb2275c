"""Decisions of the champion, and what a shadow said about each, in a worker's spool."""

from petla.core.ids import uuid7_source
from petla.decisions.record import Decision, ShadowAnswer
from petla.decisions.spool import DECISIONS, SHADOWS, SPOOL_FOLDER, SpoolWriter
from petla.storage.workspace import Workspace
from tests.deployments.tiny import MODEL

_make_id = uuid7_source()


def spool_pairs(ws: Workspace, n: int, *, flipped: int = 0, failed: int = 0) -> None:
    """Write decisions of the champion, and what the shadow said about each."""
    at_ns = int(ws.clock().timestamp() * 1e9) + 1_000_000
    made = [
        Decision(_make_id(), "r", at_ns, MODEL, 1, (1.0, 1, "pl"), False, 0.2, "champion", 90, "0") for _ in range(n)
    ]
    said = [
        ShadowAnswer(each.id, at_ns, MODEL, 2, None, 0.0, 40, "0", "boom")
        if i < failed
        else ShadowAnswer(each.id, at_ns, MODEL, 2, i < failed + flipped, 0.3, 40, "0")
        for i, each in enumerate(made)
    ]
    folder = ws.state / SPOOL_FOLDER / "0"
    for stream, records in ((DECISIONS, made), (SHADOWS, said)):
        writer = SpoolWriter(folder, stream)
        writer.append(records)
        writer.close()
