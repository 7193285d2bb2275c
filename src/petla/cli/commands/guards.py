"""`petla guards` and `petla reviews`: what is looked at before an answer leaves, and what a person decides."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from petla.cli.faults import NO, document_of
from petla.cli.output import AsJson, count, format_json, leave, print_json, print_table, say
from petla.cli.parts import workspace_of
from petla.core.errors import PetlaError

if TYPE_CHECKING:
    from petla.decisions.reviews.reviewing import Outcome, Review

Reason = Annotated[str, typer.Option(help="Why; goes into the audit trail.")]
Id = Annotated[str, typer.Argument(help="The decision's id.", metavar="ID")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(help="Limits, fallbacks and guards of what serves.", no_args_is_help=True)
    group.command("show", epilog="Example: petla guards show delay")(show_policy)
    group.command("publish", epilog='Example: petla guards publish delay --reason "new limits"')(publish)
    app.add_typer(group, name="guards")
    queue = typer.Typer(help="Decisions that a guard put before a person.", no_args_is_help=True)
    queue.command("list", epilog="Example: petla reviews list --state waiting")(list_all)
    queue.command("show", epilog="Example: petla reviews show 01a20244-9eb0-71f0-99cc-4b616246aa9d")(show)
    queue.command(
        "decide",
        epilog='Example: petla reviews decide 01a20244-9eb0-71f0-99cc-4b616246aa9d --answer true --reason "called her"',
    )(decide)
    app.add_typer(queue, name="reviews")


def publish(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A model of petla.toml.")],
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Let the guards, limits and fallback of petla.toml count for what serves now."""
    from petla.deployments.deploy import publish_policy

    workspace = workspace_of(context)
    workspace.get_model(model)
    done = publish_policy(workspace, model, actor=workspace.actor, reason=reason)
    if as_json:
        print_json(done)
        return
    say(f"the policy of petla.toml counts for {done.model}:{done.live}")
    if done.took_ms is None:
        say("nothing is serving yet; next: petla up")
    else:
        say(f"{count(done.workers, 'worker')} took it up in {done.took_ms:.0f} ms; next: petla guards show {model}")


def show_policy(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A model of petla.toml.")],
    as_json: AsJson = False,
) -> None:
    """Show what was published for what serves now, beside what petla.toml says."""
    from petla.deployments.policy import list_settings, policy_of
    from petla.deployments.publishing import find_route

    workspace = workspace_of(context)
    workspace.get_model(model)
    route = find_route(workspace, model)
    if route is None:
        say(f"nothing is live for {model}; next: petla deploy {model}:VERSION")
        return
    settings = list_settings(route.policy, policy_of(workspace, model))
    if as_json:
        print_json(settings)
        return
    say(f"limits, fallback and guards of {model}:{route.live.version}; what has its default is not listed")
    rows = [(each.key, each.published, "the same" if each.is_same else each.written) for each in settings]
    print_table(("key", "counts now", "petla.toml"), rows, empty="everything has its default")
    if not all(each.is_same for each in settings):
        say(f"petla.toml says otherwise; next: petla guards publish {model}")


def list_all(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="waiting or decided.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: AsJson = False,
) -> None:
    """List the reviews; with --state waiting the longest waiting first."""
    from petla.decisions.reviews.reviewing import list_reviews

    found = list_reviews(workspace_of(context), state, model=model, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (r.id, r.at[:19], f"{r.model}:{r.version}", ", ".join(r.flags), r.label, r.answer, r.decided_by) for r in found
    ]
    head = ("id", "at (UTC)", "model", "because of", "provisional", "decided", "by")
    print_table(head, rows, empty="nothing waits for a person")


def show(context: typer.Context, decision_id: Id) -> None:
    """Show one review with its decision."""
    from petla.decisions.log import get_decision
    from petla.decisions.reviews.reviewing import get_review

    workspace = workspace_of(context)
    print_json({"review": get_review(workspace, decision_id), "decision": get_decision(workspace, decision_id)})


def decide(
    context: typer.Context,
    decision_ids: Annotated[list[str], typer.Argument(help="The decisions' ids.", metavar="ID...")],
    answer: Annotated[str, typer.Option(help="What it should be, in the model's own words, such as true.")],
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Decide in the place of the model; the webhook is told. Of several, each is decided for itself."""
    from petla.decisions.reviews.reviewing import decide_each, decide_typed

    workspace = workspace_of(context)
    settle = partial(decide_typed, workspace, text=answer, actor=workspace.actor, reason=reason)
    if len(decision_ids) > 1:
        _report(decide_each(decision_ids, settle), as_json=as_json)
        return
    done = settle(decision_ids[0])
    if as_json:
        print_json(done)
        return
    say(f"decision {done.id} is {_tell(done)}")
    say("next: petla reviews list --state waiting")


def _report(outcomes: "list[Outcome]", *, as_json: bool) -> None:
    """Print what came of each; end with status 1 if one was not decided."""
    n_done = sum(not isinstance(each.result, PetlaError) for each in outcomes)
    if as_json:
        print_json([_to_json(each) for each in outcomes])
    else:
        say(f"{n_done} of {count(len(outcomes), 'decision')} decided")
        rows = [(name, it.message if isinstance(it, PetlaError) else _tell(it)) for name, it in outcomes]
        print_table(("id", "what came of it"), rows, empty="")
        say("next: petla reviews list --state waiting")
    if n_done < len(outcomes):
        leave(NO)


def _to_json(outcome: "Outcome") -> dict[str, object]:
    if isinstance(outcome.result, PetlaError):
        return {"id": outcome.id, "review": None, **document_of(outcome.result)}
    return {"id": outcome.id, "review": outcome.result, "error": None}


def _tell(review: "Review") -> str:
    told = "; the webhook is told" if review.deliver_at is not None else ""
    return f"{format_json(review.answer)}, says {review.decided_by}{told}"
