"""What to do about a rollout: wait, take the next step, or end it. Rules only.

- What was shown to be worse ends at once; whether anything was shown may be asked at any time.
- A step lasts at least as long as the ramp says and needs so many decisions as the project file says.
"""

from datetime import datetime, timedelta

import msgspec

from petla.core.clock import from_text
from petla.core.project import DeployTable
from petla.deployments.beside.rollout import Rollout, RolloutKind
from petla.monitoring.rollouts.evidence import Evidence, Tally, list_alarms


class Wait(msgspec.Struct, frozen=True):
    """Nothing is to be done yet."""

    reason: str


class Step(msgspec.Struct, frozen=True):
    """The canary gets its next share."""

    share: float
    reason: str


class End(msgspec.Struct, frozen=True):
    """A version was shown to be worse."""

    reason: str


Action = Wait | Step | End


def decide(rollout: Rollout, evidence: Evidence, table: DeployTable, now: datetime) -> Action:
    """Return what to do about a rollout that runs."""
    alarms = list(list_alarms(evidence, rollout, table))
    if alarms:
        said = "; ".join(alarm.reason for alarm in alarms)
        return End(f"{said} (shown at {100 * table.confidence:g}% over all looks)")
    if rollout.kind is not RolloutKind.CANARY or rollout.next_share is None:
        return Wait("a person decides")
    left = from_text(rollout.stepped_at) + timedelta(minutes=rollout.step_minutes) - now
    if left > timedelta(0):
        return Wait(f"the step lasts {left.total_seconds() / 60:.1f} more minutes")
    rows = evidence.tallies.get(rollout.arms[0].name, Tally()).step_rows
    if evidence.stepped_at != rollout.stepped_at:
        rows = 0
    if rows < table.minimum_rows:
        return Wait(f"{rows:,} of {table.minimum_rows:,} decisions of this step have come")
    said = f"{rows:,} decisions at {100 * rollout.arms[0].share:g}% without a sign of harm"
    return Step(rollout.next_share, said)
