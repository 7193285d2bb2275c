"""A rollout: versions that run beside the champion, as its shadow, its canary or arms of an experiment. Rules only.

- A share is of the subjects; what no arm takes is the champion's. A canary's share grows step by step.
- A version has one place: it is live, an arm, or the shadow, never two of them.
- Whoever stands beside the champion takes the same inputs, by name and kind, and answers the same classes.
"""

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise

import msgspec

from petla.core.errors import ConflictError, InvalidError
from petla.core.ids import parse_model_ref
from petla.core.project import is_name
from petla.models.signature import Signature

# the names of the one arm of a canary and of a shadow
CANARY, SHADOW = "canary", "shadow"
# what else an answer may say that it came from
_TAKEN = frozenset({"champion", CANARY, SHADOW, "standby", "default", "rule", "named"})
# shares written in per cent need not add up to the last bit
_SLACK = 1e-9


class RolloutKind(StrEnum):
    """What the versions beside the champion do."""

    # is asked the same, and nobody sees its answers
    SHADOW = "shadow"
    # answers a share that may grow by itself
    CANARY = "canary"
    # several versions answer a share each, until a person decides
    EXPERIMENT = "experiment"


class RolloutState(StrEnum):
    """Where a rollout is in its life; all but the first are ends."""

    RUNNING = "running"
    # one of its versions became the champion
    PROMOTED = "promoted"
    # a person ended it, or changed the champion below it
    STOPPED = "stopped"
    # the controller ended it: the version was shown to be worse
    ROLLED_BACK = "rolled back"
    # the workers could not serve it
    REFUSED = "refused"


class RolloutArm(msgspec.Struct, frozen=True):
    """One version beside the champion."""

    name: str
    version: int
    # of the subjects; a shadow's: of the answered decisions
    share: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to run beside the champion."""

    kind: RolloutKind
    arms: tuple[RolloutArm, ...]
    # shares that a canary goes through, the present one first; 1 at the end: it is promoted there
    steps: tuple[float, ...] = ()
    # shortest time on a step
    step_minutes: float = 30.0


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """Versions that run, or ran, beside the champion."""

    id: int
    model: str
    kind: RolloutKind
    state: RolloutState
    # version that they are compared with
    champion: int
    arms: tuple[RolloutArm, ...]
    # divides the subjects, and stays the same from step to step
    salt: str
    steps: tuple[float, ...]
    step_minutes: float
    started_at: str
    started_by: str
    # when the present shares began
    stepped_at: str
    ended_at: str | None = None
    # why it ended
    outcome: str = ""

    @property
    def next_share(self) -> float | None:
        """The canary's next step; None: it has none."""
        return next((share for share in self.steps if share > self.arms[0].share + _SLACK), None)


def plan_shadow(version: int, share: float = 1.0) -> Plan:
    """Return the plan of a shadow.

    Raises:
        InvalidError: the share is not above 0 and at most 1.
    """
    _require_share(share, "shadow")
    return Plan(kind=RolloutKind.SHADOW, arms=(RolloutArm(SHADOW, version, share),))


def plan_canary(version: int, steps: Sequence[float], step_minutes: float = 30.0) -> Plan:
    """Return the plan of a canary that goes through steps.

    Raises:
        InvalidError: the shares do not grow, or are not above 0 and at most 1.
    """
    if not steps or steps[0] >= 1:
        raise InvalidError("a canary begins below 100%", hint="such as --canary 5%", field="canary")
    for share in steps:
        _require_share(share, "canary")
    if any(later <= earlier for earlier, later in pairwise(steps)):
        written = ",".join(f"{100 * share:g}" for share in steps)
        raise InvalidError(f"the steps {written} do not grow", hint="such as --canary 5,25,50,100", field="canary")
    if not step_minutes >= 0:
        raise InvalidError(f"a step cannot take {step_minutes:g} minutes", field="step_minutes")
    arm = RolloutArm(CANARY, version, steps[0])
    return Plan(kind=RolloutKind.CANARY, arms=(arm,), steps=tuple(steps), step_minutes=step_minutes)


def plan_experiment(arms: Sequence[RolloutArm]) -> Plan:
    """Return the plan of an experiment with any number of arms beside the champion.

    Raises:
        InvalidError: a name or a version comes twice, a name is taken, or the shares are not above 0 or exceed 1.
    """
    if not arms:
        raise InvalidError("an experiment needs an arm", hint="such as blue=3:30%", field="arm")
    for arm in arms:
        if not is_name(arm.name) or arm.name in _TAKEN:
            hint = "use lower-case letters, digits and _, and none of " + ", ".join(sorted(_TAKEN))
            raise InvalidError(f"{arm.name!r} is no name for an arm", hint=hint, field="arm")
        _require_share(arm.share, "arm")
    for what in ("name", "version"):
        values = [getattr(arm, what) for arm in arms]
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise InvalidError(f"the {what} {twice} comes twice", hint="give each arm its own", field="arm")
    total = sum(arm.share for arm in arms)
    if total > 1 + _SLACK:
        hint = "what is left over is the champion's"
        raise InvalidError(f"the arms take {100 * total:g}% together, which is more than all", hint=hint, field="arm")
    return Plan(kind=RolloutKind.EXPERIMENT, arms=tuple(arms))


def parse_share(text: str, field: str) -> float:
    """Read a share in per cent, with or without the sign.

    Raises:
        InvalidError: it is none.

    Example:
        >>> parse_share("5%", "canary"), parse_share("12.5", "canary")
        (0.05, 0.125)
    """
    try:
        share = float(text.strip().removesuffix("%")) / 100
    except ValueError as error:
        raise InvalidError(f"{text!r} is no share", hint="write per cent, such as 5%", field=field) from error
    _require_share(share, field)
    return share


def parse_steps(text: str) -> tuple[float, ...]:
    """Read the steps of a ramp.

    Raises:
        InvalidError: one of them is no share.

    Example:
        >>> parse_steps("5,25,100")
        (0.05, 0.25, 1.0)
    """
    return tuple(parse_share(part, "canary") for part in text.split(","))


def parse_arm(text: str) -> RolloutArm:
    """Read an arm of an experiment.

    Raises:
        InvalidError: it is not written as NAME=VERSION:SHARE.

    Example:
        >>> parse_arm("blue=3:30%")
        RolloutArm(name='blue', version=3, share=0.3)
    """
    name, _, rest = text.partition("=")
    number, colon, share = rest.partition(":")
    if not name or not colon or not number.isdigit():
        raise InvalidError(f"{text!r} is no arm", hint="write NAME=VERSION:SHARE, such as blue=3:30%", field="arm")
    version = parse_model_ref(f"{name}:{number}").version or 0
    return RolloutArm(name, version, parse_share(share, "arm"))


def require_same_inputs(model: str, champion: tuple[int, Signature], challenger: tuple[int, Signature]) -> None:
    """Accept only a version that can be asked what the champion is asked, and whose answers mean the same.

    Args:
        model: the model.
        champion: its number and its signature.
        challenger: the same of the version that is to run beside it.

    Raises:
        ConflictError: an input or the answer differs; with the reason.
    """
    (live, ours), (version, theirs) = champion, challenger
    reason = _find_difference(ours, theirs)
    if reason:
        raise ConflictError(
            f"model {model}:{version} cannot run beside {model}:{live}: {reason}",
            hint=f"deploy it for everybody with 'petla deploy {model}:{version}', once its clients send what it takes",
        )


def _find_difference(ours: Signature, theirs: Signature) -> str:
    kinds, others = ({field.name: field for field in each.inputs} for each in (ours, theirs))
    for name, field in others.items():
        if name not in kinds:
            return f"it takes the input {name}, which the champion does not take"
        if field.kind is not kinds[name].kind:
            return f"its input {name} is of the kind {field.kind}, the champion's of the kind {kinds[name].kind}"
        if kinds[name].is_nullable and not field.is_nullable:
            return f"its input {name} may not be null, the champion's may"
    missing = next((name for name in kinds if name not in others), "")
    if missing:
        return f"it lacks the input {missing}, which the champion takes"
    if (ours.task, ours.classes, ours.target) != (theirs.task, theirs.classes, theirs.target):
        return "it answers something else: task, target or classes differ"
    return ""


def _require_share(share: float, field: str) -> None:
    if not 0 < share <= 1:
        raise InvalidError(f"{100 * share:g}% is no share", hint="above 0% and at most 100%", field=field)
