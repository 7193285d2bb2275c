"""The report of a rollout: what each version did, and where it decides otherwise than the champion."""

import msgspec

from petla.core.errors import NotFoundError
from petla.decisions.record import CHAMPION
from petla.deployments.beside.rollout import Rollout, RolloutKind
from petla.deployments.beside.rollouts import list_rollouts
from petla.models.registry import get_version
from petla.models.signature import Signature
from petla.monitoring.rollouts import records
from petla.monitoring.rollouts.comparison import Comparison, Rate, compare, rate
from petla.monitoring.rollouts.counting import find_evidence
from petla.monitoring.rollouts.evidence import Tally, list_alarms, quantile_us
from petla.storage.database import reading
from petla.storage.workspace import Workspace

# the newest decisions that are compared, of each arm
_PAIRS = 20_000


class ArmFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What the champion or one arm did since the rollout began."""

    name: str
    version: int
    # of the subjects; the champion has what is left
    share: float
    decisions: int
    failed: Rate
    slow: Rate
    # of those whose truth is known
    wrong: Rate
    # from a request's arrival to its answer; None: no decision yet
    p50_us: int | None
    p99_us: int | None
    # on the same decisions as the champion; None: it is the champion
    comparison: Comparison | None = None


class RolloutReport(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a rollout."""

    rollout: Rollout
    # the champion first; of a shadow, which decides nothing, only the champion
    arms: tuple[ArmFigures, ...]
    # of a shadow on the same decisions as the champion; None: no shadow
    comparison: Comparison | None
    # what was shown against its versions; empty: nothing
    alarms: tuple[str, ...]
    # of each interval
    confidence: float


def make_report(ws: Workspace, model: str, rollout: int | None = None) -> RolloutReport:
    """Return the report of a rollout.

    Args:
        ws: the project.
        model: the model.
        rollout: its number; None: the newest that runs, else the newest.

    Raises:
        NotFoundError: there is no such rollout, or the project file has no such model.
    """
    _, table = ws.get_model(model)
    found = _find(ws, model, rollout)
    evidence = find_evidence(ws, found)
    alpha = 1 - table.deploy.confidence
    signature = get_version(ws, model, found.champion).certificate.signature
    compared = {arm.name: _compare(ws, found, arm.name, signature, alpha) for arm in found.arms}
    shares = {} if found.kind is RolloutKind.SHADOW else {arm.name: arm for arm in found.arms}
    left = 1 - sum(arm.share for arm in shares.values())
    figures = [_make_figures(CHAMPION, found.champion, left, evidence.tallies.get(CHAMPION, Tally()), alpha)]
    for name, arm in shares.items():
        mine = _make_figures(name, arm.version, arm.share, evidence.tallies.get(name, Tally()), alpha)
        figures.append(msgspec.structs.replace(mine, comparison=compared[name]))
    return RolloutReport(
        rollout=found,
        arms=tuple(figures),
        comparison=next(iter(compared.values())) if found.kind is RolloutKind.SHADOW else None,
        alarms=tuple(alarm.reason for alarm in list_alarms(evidence, found, table.deploy)),
        confidence=table.deploy.confidence,
    )


def _find(ws: Workspace, model: str, rollout: int | None) -> Rollout:
    known = list_rollouts(ws, model, limit=1_000)
    if rollout is None:
        known = [each for each in known if each.ended_at is None] or known
        found = next(iter(known), None)
    else:
        found = next((each for each in known if each.id == rollout), None)
    if found is None:
        which = f"rollout {rollout}" if rollout is not None else "rollout"
        hint = f"start one with 'petla deploy {model}:VERSION --shadow'"
        raise NotFoundError(f"model {model} has no {which}", hint=hint, field="rollout")
    return found


def _compare(ws: Workspace, rollout: Rollout, arm: str, signature: Signature, alpha: float) -> Comparison:
    with reading(ws.engine) as connection:
        pairs = records.list_newest_pairs(connection, ws.name, rollout, arm, _PAIRS)
    return compare(pairs, signature, alpha=alpha)


def _make_figures(name: str, version: int, share: float, tally: Tally, alpha: float) -> ArmFigures:
    return ArmFigures(
        name=name,
        version=version,
        share=share,
        decisions=tally.rows,
        failed=rate(tally.failed, tally.rows, alpha),
        slow=rate(tally.slow, tally.rows, alpha),
        wrong=rate(tally.wrong, tally.labelled, alpha),
        p50_us=quantile_us(tally, 0.5),
        p99_us=quantile_us(tally, 0.99),
    )
