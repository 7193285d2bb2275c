"""`petla monitor`: what the monitors see."""

from typing import TYPE_CHECKING, Annotated

import typer

from petla.cli.output import AsJson, count, print_json, print_table, say
from petla.cli.parts import workspace_of

if TYPE_CHECKING:
    from petla.monitoring.finding import Finding


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(help="Traffic, quality and drift of the live models.", no_args_is_help=True)
    group.command("show", epilog="Example: petla monitor show delay")(show)
    app.add_typer(group, name="monitor")


def show(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(help="A model of petla.toml.")] = None,
    limit: Annotated[int, typer.Option(help="Windows of quality to show.", min=1)] = 10,
    as_json: AsJson = False,
) -> None:
    """Show the newest windows: quality against its limit, and the features that drifted most."""
    from petla.deployments.deploy import find_deployment
    from petla.monitoring.views import count_traffic, latest_findings, list_quality

    workspace = workspace_of(context)
    name, table = workspace.get_model(model)
    deployment = find_deployment(workspace, name)
    if deployment is None:
        say(f"{name} is not live; next: petla deploy {name}:VERSION")
        return
    traffic = count_traffic(workspace, name)
    quality = list_quality(workspace, name, limit=limit)
    drift = latest_findings(workspace, name, deployment.live, "drift")
    if as_json:
        print_json({"model": name, "live": deployment.live, "traffic": traffic, "quality": quality, "drift": drift})
        return
    say(f"{name}:{deployment.live} is live; {count(traffic.total, 'decision')} in all")
    metric = table.quality_metric
    rows = [(w.version, w.number, w.rows, w.metrics.get(metric), w.ended_at[:19]) for w in quality]
    head = ("version", "window", "labelled rows", metric, "until (UTC)")
    print_table(head, rows, empty=f"no window of {table.monitor.window_rows:,} labelled decisions is full yet")
    say()
    worst = sorted(drift, key=lambda finding: -finding.value)[:10]
    shown = [(f.what, f.measure, f.value, f.limit, _word_for(f)) for f in worst]
    empty = f"no window of {table.monitor.window_rows:,} decisions is full yet"
    print_table(("feature", "measure", "value", "limit", ""), shown, empty=empty)


def _word_for(finding: "Finding") -> str:
    if finding.limit is None:
        return "not enough data, or not watched"
    return "ALARM" if finding.is_alarm else "fine"
