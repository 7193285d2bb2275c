"""What happens when something is wrong: `[models.NAME.serving]`, `.fallback` and `.guards` of the project file."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from petla.core.project.checking import Share, Text

# flag: only said; default: the fallback's answer; rule: the answer stated here; review: a person decides afterwards
Action = Literal["off", "flag", "default", "rule", "review"]
Stated = bool | int | float | Text
_Margin = Annotated[float, Meta(ge=0)]

# the names of the guards, which are also their flags
RANGE, UNSEEN, MISSING, PREDICTION, CONFIDENCE = "range", "unseen", "missing", "prediction", "confidence"
# beside the flags of the guards: a person decides about it
REVIEW = "review"
TAKEN_FLAGS = (RANGE, UNSEEN, MISSING, PREDICTION, CONFIDENCE, REVIEW)


class LimitTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[models.NAME.serving]`: how long and how often a version may fail."""

    # a request that its version has not answered after so long is answered by what stands in for it; 0: it waits
    timeout_s: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    # failures in a row after which a version is left alone for a while
    failures: Annotated[int, Meta(ge=1)] = 5
    # for how long it is left alone at first; doubles each time that it fails again
    rest_s: Annotated[float, Meta(gt=0, le=3600)] = 1.0
    # a Python package: a batch that its process has not answered after so long is given up, and the process ended
    hang_s: Annotated[float, Meta(gt=0, le=3600)] = 30.0
    # a Python package: memory that its process may take, MiB; 0: as much as there is
    memory_mib: Annotated[int, Meta(ge=0)] = 0
    # a Python package: threads that its libraries may use for one batch; more slow single rows down
    model_threads: Annotated[int, Meta(ge=1, le=1024)] = 1


class FallbackTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[models.NAME.fallback]`: what answers when the version that was asked cannot."""

    # the version before, if it takes the same inputs
    standby: bool = True
    # the default, when no version can answer; None: there is none
    answer: Stated | None = None
    # the probability that goes with it; None: that of certainty
    probability: Share | None = None


class RangeTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[models.NAME.guards.range]`: a number is far outside what training saw."""

    action: Action = "off"
    answer: Stated | None = None
    # how far outside, as a share of the distance between the smallest and the largest value of training
    margin: _Margin = 0.1
    # inputs that are not looked at
    ignore: tuple[Text, ...] = ()


class UnseenTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[models.NAME.guards.unseen]`: a category that training did not have."""

    action: Action = "off"
    answer: Stated | None = None
    ignore: tuple[Text, ...] = ()


class MissingTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[models.NAME.guards.missing]`: too many inputs are null."""

    action: Action = "off"
    answer: Stated | None = None
    # largest share of the inputs that may be null
    share: Share = 0.5


class PredictionTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[models.NAME.guards.prediction]`: a score far outside those of the holdout."""

    action: Action = "off"
    answer: Stated | None = None
    margin: _Margin = 0.1


class ConfidenceTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[models.NAME.guards.confidence]`: the model is not sure."""

    action: Action = "off"
    answer: Stated | None = None
    # binary: how near to the threshold; multiclass: how little above one half
    band: Share = 0.05


class RuleTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[[models.NAME.guards.rules]]`: a rule of one's own."""

    # its flag
    name: Text
    # a condition on the inputs, such as `amount > 10000 and country == 'XX'`
    when: Text
    action: Action = "flag"
    answer: Stated | None = None


class GuardTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[models.NAME.guards]`: what is looked at before an answer leaves."""

    range: RangeTable = field(default_factory=RangeTable)
    unseen: UnseenTable = field(default_factory=UnseenTable)
    missing: MissingTable = field(default_factory=MissingTable)
    prediction: PredictionTable = field(default_factory=PredictionTable)
    confidence: ConfidenceTable = field(default_factory=ConfidenceTable)
    rules: tuple[RuleTable, ...] = ()
    # where a person's decisions are sent; empty: nowhere
    webhook: str = ""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The three tables together, as they travel to the workers."""

    serving: LimitTable = field(default_factory=LimitTable)
    fallback: FallbackTable = field(default_factory=FallbackTable)
    guards: GuardTable = field(default_factory=GuardTable)


AnyGuard = RangeTable | UnseenTable | MissingTable | PredictionTable | ConfidenceTable | RuleTable


def list_guards(table: GuardTable) -> list[tuple[str, str, AnyGuard]]:
    """Return key, flag and table of each guard, a project's own rules first: their answers come before the others'."""
    own = [(f"rules.{number}", rule.name, rule) for number, rule in enumerate(table.rules, start=1)]
    names = (RANGE, UNSEEN, MISSING, PREDICTION, CONFIDENCE)
    return [*own, *((name, name, getattr(table, name)) for name in names)]
