"""`petla decisions`: what was answered."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from petla.cli.output import AsJson, count, print_json, print_table, say, show_bytes
from petla.cli.parts import workspace_of

Model = Annotated[str | None, typer.Option(help="Only this model's: MODEL or MODEL:VERSION.")]
Where = Annotated[
    list[str] | None,
    typer.Option(
        help="Only those with this: arm=NAME, flag=NAME, served_by=NAME, subject=TEXT, labelled=yes|no, since=TIME, "
        "until=TIME, older_than=PLACE, newer_than=PLACE."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(help="The decision log.", no_args_is_help=True)
    group.command("list", epilog="Example: petla decisions list --where arm=canary --where labelled=no")(list_all)
    group.command("show", epilog="Example: petla decisions show 01a20244-9eb0-71f0-99cc-4b616246aa9d")(show)
    group.command("export", epilog="Example: petla decisions export --from 2026-11-01 november.parquet")(export)
    group.command("summary", epilog="Example: petla decisions summary")(summary)
    group.command("trust-clock", epilog="Example: petla decisions trust-clock --reason 'was off for a month'")(trust)
    app.add_typer(group, name="decisions")


def list_all(
    context: typer.Context,
    model: Model = None,
    where: Where = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest decisions."""
    from petla.decisions.log import list_page
    from petla.decisions.record import Place
    from petla.decisions.spans.wanted import decode_wanted, split_pairs

    wanted = decode_wanted(({"model": model} if model else {}) | split_pairs(where or []))
    workspace = workspace_of(context)
    page = list_page(workspace, wanted, limit=limit)
    found = page.decisions
    # the log may have models that petla.toml names no more; a name that neither has is mistyped
    if not found and wanted.model is not None:
        workspace.get_model(wanted.model)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            *(d.id, d.at[:19], f"{d.model}:{d.version}", d.arm, d.served_by, _word(d.label), d.score, _word(d.truth)),
            *(", ".join(d.flags), d.subject, d.latency_us),
        )
        for d in found
    ]
    empty = "no such decision; next: petla up, then POST /predict/MODEL"
    head = ("id", "at (UTC)", "model", "arm", "by", "label", "score", "truth", "flags", "subject", "µs")
    print_table(head, rows, empty=empty)
    if found and page.has_older:
        say(f"next: older ones with --where older_than={Place(found[-1].at, found[-1].seq)}")


def show(
    context: typer.Context,
    decision_id: Annotated[str, typer.Argument(help="The id that came with the answer.")],
) -> None:
    """Show one decision with its inputs, all feedback, what shadows would have answered, and what a person decided."""
    from petla.decisions.log import get_decision
    from petla.decisions.reviews.reviewing import find_review

    workspace = workspace_of(context)
    found, review = get_decision(workspace, decision_id), find_review(workspace, decision_id)
    print_json(found if review is None else msgspec.to_builtins(found) | {"review": review})


def export(
    context: typer.Context,
    target: Annotated[Path, typer.Argument(help="The file to write: .parquet, .csv or .jsonl.")],
    since: Annotated[str | None, typer.Option("--from", help="Made at this time or later.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Made before this time.")] = None,
    model: Model = None,
    where: Where = None,
) -> None:
    """Write a span of the log to a file, oldest first; see docs/decision-log.md for its fields."""
    from petla.decisions.spans.files import export_span
    from petla.decisions.spans.wanted import decode_wanted, split_pairs

    given = {"model": model, "since": since, "until": until}
    wanted = decode_wanted({name: value for name, value in given.items() if value} | split_pairs(where or []))
    n_rows = export_span(workspace_of(context), wanted, target)
    say(f"wrote {count(n_rows, 'decision')} to {target} ({show_bytes(target.stat().st_size)})")


def trust(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why the machine's clock is right; for the audit trail.")],
) -> None:
    """Let `decisions.keep_days` go by the machine's clock again after it has jumped."""
    from petla.decisions.trusted_clock import trust_clock

    workspace = workspace_of(context)
    trust_clock(workspace, actor=workspace.settings.actor, reason=reason)
    say("decisions are removed by the machine's clock from now on")


def summary(context: typer.Context, as_json: AsJson = False) -> None:
    """Count what the log holds, what feedback was, and what waits, was damaged or lost."""
    from petla.decisions.losses import describe_losses
    from petla.decisions.summary import summarise

    found = summarise(workspace_of(context))
    if as_json:
        print_json(found)
        return
    say(f"{count(found.decisions, 'decision')} in the log")
    rows = [(status, n) for status, n in found.feedback.items()]
    print_table(("feedback", "pieces"), rows, empty="no feedback yet; next: POST /feedback")
    if found.oldest_waiting:
        say(f"feedback waits for its decision since {found.oldest_waiting[:19]} (UTC)")
    waiting = [(each.worker, each.stream, show_bytes(each.size_bytes), round(each.age_s, 1)) for each in found.backlog]
    print_table(("worker", "stream", "waits", "seconds"), waiting, empty="nothing waits in the spools")
    for path in found.damaged:
        say(f"damaged and kept aside: {path}")
    if lost := describe_losses(found.lost):
        say(f'{lost}: serving.spool_full = "serve"')


def _word(label: object) -> object:
    """Return a boolean as JSON writes it: yes and no may be classes."""
    return str(label).lower() if isinstance(label, bool) else label
