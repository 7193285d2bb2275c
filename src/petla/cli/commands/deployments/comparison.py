"""`petla deployments compare`: what the versions beside the champion did, and where they decide otherwise."""

from typing import TYPE_CHECKING, Annotated

import typer

from petla.cli.output import AsJson, print_json, print_table, say
from petla.cli.parts import workspace_of

if TYPE_CHECKING:
    from petla.monitoring.rollouts.comparison import AnswerShare, Comparison, Rate
    from petla.monitoring.rollouts.report import RolloutReport


def register(group: typer.Typer) -> None:
    """Add the command of this file."""
    group.command("compare", epilog="Example: petla deployments compare delay")(compare)


def compare(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A model of petla.toml.")],
    rollout: Annotated[
        int | None, typer.Option(help="Its number; without it the one that runs, else the last.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare a shadow, a canary or the arms of an experiment with the champion."""
    from petla.deployments.beside.rollouts import list_rollouts
    from petla.monitoring.rollouts.report import make_report

    workspace = workspace_of(context)
    report = make_report(workspace, model, rollout)
    if as_json:
        print_json(report)
        return
    _print_report(report)
    for other in list_rollouts(workspace, model, is_running=True):
        if other.id != report.rollout.id:
            say(f"{other.kind} {other.id} runs too: petla deployments compare {model} --rollout {other.id}")


def show_rate(rate: "Rate") -> str:
    """Write a share with its numerator, denominator and interval."""
    if not rate.of:
        return "not known yet"
    return f"{rate.n:,} of {rate.of:,} ({100 * rate.share:.3g}%, {100 * rate.low:.3g} to {100 * rate.high:.3g}%)"


def _print_report(report: "RolloutReport") -> None:
    found = report.rollout
    model = found.model
    names = ", ".join(f"{model}:{arm.version} at {100 * arm.share:g}%" for arm in found.arms)
    say(f"{found.kind} {found.id} of {model} is {found.state}: {names} beside {model}:{found.champion}")
    if found.outcome:
        say(f"why: {found.outcome}")
    rows = [
        (
            arm.name,
            arm.version,
            arm.decisions,
            *(show_rate(each) for each in (arm.failed, arm.slow, arm.wrong)),
            _ms(arm.p50_us),
            _ms(arm.p99_us),
        )
        for arm in report.arms
    ]
    print_table(("arm", "version", "decisions", "failed", "slow", "wrong", "p50 ms", "p99 ms"), rows, empty="")
    if report.comparison is not None:
        _print_comparison(report.comparison, "shadow", "champion ms", "its model ms")
    for arm in report.arms:
        if arm.comparison is not None:
            _print_comparison(arm.comparison, arm.name, "champion's model ms", "its ms")
    for alarm in report.alarms:
        say(f"shown at {100 * report.confidence:g}%: {alarm}")
    if not report.alarms:
        say("nothing was shown against it")
    if found.ended_at is None:
        say(f"next: petla promote {model}, or petla deployments stop {model}")


def _print_comparison(it: "Comparison", name: str, champion: str, other: str) -> None:
    """Print how two versions differ; `champion` and `other` head the columns of their times."""
    if not it.pairs:
        nothing = (
            "has answered nothing yet" if name == "shadow" else "has no decision yet that the champion was asked too"
        )
        say(f"the {name} {nothing}")
        return
    say(f"of the newest {it.pairs:,} decisions of the {name} that both were asked:")
    for what, found in (("identical", it.identical), ("decided otherwise", it.flipped), ("failed", it.failed)):
        say(f"  {what + ':':<20}{show_rate(found)}")
    say(f"  {'score shifted by:':<20}{it.mean_shift:+.3g} on average")
    rows = [(f"{100 * q.share:g}%", q.difference, q.champion_us / 1e3, q.challenger_us / 1e3) for q in it.quantiles]
    print_table(("quantile", "difference of scores", champion, other), rows, empty="")
    if it.answers:
        answers = [(str(a.answer), show_rate(a.champion), show_rate(a.other), _show_difference(a)) for a in it.answers]
        print_table(("answer", "champion", name, "difference, points"), answers, empty="")
    if it.directions:
        print_table(("from", "to", "decisions"), [(str(d.before), str(d.after), d.n) for d in it.directions], empty="")
    if it.segments:
        segments = [(each.input, each.value, show_rate(each.flipped)) for each in it.segments]
        print_table(("input", "value", "decided otherwise"), segments, empty="")
    cases = [(p.decision_id, str(p.label), str(p.other_label), p.score, p.other_score) for p in it.changed]
    print_table(("most changed", "from", "to", "score", "its score"), cases, empty="no decision changed")


def _show_difference(it: "AnswerShare") -> str:
    return f"{100 * it.difference:+.3g} ({100 * it.low:+.3g} to {100 * it.high:+.3g})"


def _ms(us: int | None) -> float | None:
    return None if us is None else us / 1e3
