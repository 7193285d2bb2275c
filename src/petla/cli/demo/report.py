"""What the demo found: one document, and the table made of it."""

import shutil
import textwrap
from collections.abc import Sequence

import msgspec

from petla.cli.output import say

# columns of a terminal that does not say; columns that the evidence gets in any case
_WIDTH = 110
_LEAST_EVIDENCE = 40


class Stage(msgspec.Struct, frozen=True):
    """One stage of the loop."""

    name: str
    ok: bool
    seconds: float
    # what was seen, with its figures
    evidence: str


class Alarm(msgspec.Struct, frozen=True, omit_defaults=True):
    """The alarm that started the retraining."""

    value: float
    limit: float | None
    feature: str | None = None
    metric: str | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The whole demo."""

    stages: tuple[Stage, ...]
    requests_sent: int
    requests_failed: int
    decisions_answered: int
    # of those answered, how many are in the log exactly once
    decisions_logged: int
    alarm: Alarm | None
    # figure of the gates' metric on the same held-out flights
    champion_metric: float | None
    challenger_metric: float | None
    swap_ms: float | None
    rollback_ms: float | None
    seconds: float
    folder: str

    @property
    def is_whole(self) -> bool:
        """Whether every stage went well, no request failed and no decision is missing."""
        is_complete = self.decisions_answered == self.decisions_logged
        return all(stage.ok for stage in self.stages) and self.requests_failed == 0 and is_complete


def print_report(report: Report) -> None:
    """Print the table of stages and the figures under it."""
    say()
    _print_stages(report.stages)
    say()
    say(f"requests sent {report.requests_sent:,}, failed {report.requests_failed:,}")
    say(f"decisions answered {report.decisions_answered:,}, found in the log {report.decisions_logged:,}")
    if report.swap_ms is not None and report.rollback_ms is not None:
        say(f"swap under load {report.swap_ms:.0f} ms, rollback under load {report.rollback_ms:.0f} ms")
    say(f"the whole loop took {report.seconds:.0f} s; the project is in {report.folder}")
    say("next: petla init my-project" if report.is_whole else "not everything went well: see the stages above")


def _print_stages(stages: Sequence[Stage]) -> None:
    name_width = max((len(stage.name) for stage in stages), default=0)
    room = max(_LEAST_EVIDENCE, shutil.get_terminal_size((_WIDTH, 0)).columns - name_width - 16)
    say(f"{'stage':<{name_width}}  ok   seconds  evidence")
    for stage in stages:
        first, *others = textwrap.wrap(stage.evidence, room) or [""]
        say(f"{stage.name:<{name_width}}  {'yes' if stage.ok else 'NO ':<3}  {stage.seconds:>7.1f}  {first}")
        for line in others:
            say(f"{'':<{name_width + 16}}{line}")
