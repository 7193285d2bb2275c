"""Rollouts; and decisions, and what another version said about each, in a worker's spool."""

from collections.abc import Sequence

from petla.core.ids import uuid7_source
from petla.decisions.record import Decision, ShadowAnswer
from petla.decisions.spool import DECISIONS, SHADOWS, SPOOL_FOLDER, SpoolWriter
from petla.deployments.beside.rollout import Rollout, RolloutArm, RolloutKind, RolloutState
from petla.storage.workspace import Workspace
from tests.deployments.tiny import MODEL

_make_id = uuid7_source()


def make_rollout(kind: RolloutKind, arms: Sequence[RolloutArm]) -> Rollout:
    """Return one that runs beside version 1, without a ramp."""
    return Rollout(
        id=1,
        model=MODEL,
        kind=kind,
        state=RolloutState.RUNNING,
        champion=1,
        arms=tuple(arms),
        salt="",
        steps=(),
        step_minutes=0,
        started_at="",
        started_by="ada",
        stepped_at="",
    )


def spool_pairs(ws: Workspace, n: int, *, flipped: int = 0, failed: int = 0) -> None:
    """Write decisions of the champion, and what the shadow, version 2, said about each."""
    _spool(ws, n, ("champion", 1, 2), served_by="champion", flipped=flipped, failed=failed)


def spool_arm(
    ws: Workspace,
    n: int,
    *,
    arm: str = "canary",
    version: int = 2,
    served_by: str = "",
    flipped: int = 0,
    failed: int = 0,
) -> None:
    """Write decisions of an arm, and what the champion, version 1, said about each; where it `failed`, it is it."""
    _spool(ws, n, (arm, version, 1), served_by=served_by or arm, flipped=flipped, failed=failed)


def _spool(
    ws: Workspace, n: int, who: tuple[str, int, int], *, served_by: str, flipped: int = 0, failed: int = 0
) -> None:
    arm, version, second = who
    at_ns = int(ws.clock().timestamp() * 1e9) + 1_000_000
    made = [
        Decision(
            *(_make_id(), "r", at_ns, MODEL, version, (1.0, 1, "pl"), False, 0.2),
            *(served_by, 90, "0", "", arm),
        )
        for _ in range(n)
    ]
    said = [
        ShadowAnswer(each.id, at_ns, MODEL, second, None, 0.0, 40, "0", "boom")
        if i < failed
        else ShadowAnswer(each.id, at_ns, MODEL, second, i < failed + flipped, 0.3, 40, "0")
        for i, each in enumerate(made)
    ]
    folder = ws.state / SPOOL_FOLDER / "0"
    for stream, records in ((DECISIONS, made), (SHADOWS, said)):
        writer = SpoolWriter(folder, stream)
        writer.append(records)
        writer.close()
