"""`petla monitor`: what the monitors see."""

from typing import TYPE_CHECKING, Annotated

import typer

from petla.cli.output import AsJson, count, print_json, print_table, say
from petla.cli.parts import workspace_of

if TYPE_CHECKING:
    from petla.monitoring.finding import Finding
    from petla.monitoring.views import Traffic
    from petla.monitoring.windows import QualityWindow
    from petla.storage.workspace import Workspace


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(help="Traffic, quality and drift of the live models.", no_args_is_help=True)
    group.command("show", epilog="Example: petla monitor show delay")(show)
    app.add_typer(group, name="monitor")


def show(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(help="A model of petla.toml; all of them if it is left out.")] = None,
    version: Annotated[int | None, typer.Option(help="Of this version; else of the one that is live.", min=1)] = None,
    limit: Annotated[int, typer.Option(help="Windows of quality to show.", min=1)] = 10,
    as_json: AsJson = False,
) -> None:
    """Show the newest windows: quality against its limit, and the features that drifted most."""
    from petla.deployments.deploy import find_deployment

    workspace = workspace_of(context)
    if model is None and version is None and len(workspace.project.models) > 1:
        _show_all(workspace, as_json=as_json)
        return
    name, _ = workspace.get_model(model)
    deployment = find_deployment(workspace, name)
    if deployment is None and version is None:
        say(f"{name} is not live; next: petla deploy {name}:VERSION")
        return
    live = deployment.live if deployment else None
    _show_one(workspace, name, live, version or live or 0, limit, as_json=as_json)


def _show_all(workspace: "Workspace", *, as_json: bool) -> None:
    from petla.deployments.deploy import find_deployment
    from petla.monitoring.views import count_traffic, latest_findings, list_quality

    rows: list[tuple[object, ...]] = []
    for name, table in workspace.project.models.items():
        deployment = find_deployment(workspace, name)
        if deployment is None:
            rows.append((name, None, 0, "", "", "", "not live"))
            continue
        live, traffic = deployment.live, count_traffic(workspace, name)
        quality = next(iter(list_quality(workspace, name, version=live, limit=1)), None)
        figure = _figure_of(quality, table.quality_metric) if quality else "no window is full yet"
        drift = latest_findings(workspace, name, live, "drift")
        alarms = [finding.what for finding in drift if finding.is_alarm]
        word = ("ALARM: " + ", ".join(dict.fromkeys(alarms)) if alarms else "no alarm") if drift else "not judged yet"
        rows.append((name, live, traffic.total, traffic.last_at[:19], table.quality_metric, figure, word))
    head = ("model", "live", "decisions", "last (UTC)", "metric", "newest window", "drift")
    if as_json:
        print_json([dict(zip(head, row, strict=True)) for row in rows])
        return
    print_table(head, rows, empty="petla.toml names no model yet")
    say("next: petla monitor show MODEL")


def _show_one(workspace: "Workspace", name: str, live: int | None, version: int, limit: int, *, as_json: bool) -> None:
    from petla.monitoring.views import count_open_labels, count_traffic, latest_findings, list_quality

    _, table = workspace.get_model(name)
    labels = count_open_labels(workspace, name, version)
    traffic = count_traffic(workspace, name)
    quality = list_quality(workspace, name, version=None if version == live else version, limit=limit)
    drift = latest_findings(workspace, name, version, "drift")
    if as_json:
        known = {"model": name, "live": live, "version": version, "traffic": traffic, "quality": quality}
        print_json(known | {"labels": labels, "drift": drift})
        return
    said = "is live" if version == live else "is not live"
    say(f"{name}:{version} {said}; {count(traffic.total, 'decision')} in all, {_describe_pace(workspace, traffic)}")
    if labels.unusable:
        say(f"of {count(labels.rows, 'label')} in the open window, {labels.unusable:,} cannot be used: {labels.what}")
    metric = table.quality_metric
    rows = [(w.version, w.number, w.rows, _figure_of(w, metric), w.ended_at[:19]) for w in quality]
    head = ("version", "window", "labelled rows", metric, "until (UTC)")
    print_table(head, rows, empty=f"no window of {table.monitor.window_rows:,} labelled decisions is full yet")
    say()
    worst = sorted(drift, key=lambda finding: (not finding.is_alarm, -finding.value))[:10]
    alarmed = {finding.what for finding in drift if finding.is_alarm}
    shown = [(f.what, f.measure, f.value, f.limit, _word_for(f, is_alarmed=f.what in alarmed)) for f in worst]
    empty = f"no window of {table.monitor.window_rows:,} decisions is full yet"
    print_table(("feature", "measure", "value", "limit", ""), shown, empty=empty)
    before = [found.version for found in traffic.versions if found.version != version]
    if before and not drift:
        say(f"next: petla monitor show {name} --version {before[0]}, which answered before")


def _describe_pace(workspace: "Workspace", traffic: "Traffic") -> str:
    from petla.core.clock import from_text

    if traffic.last_minute or not traffic.last_at:
        return f"{traffic.last_minute:,} in the last minute"
    minutes = (workspace.clock() - from_text(traffic.last_at)).total_seconds() / 60
    length = f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"
    return f"last decision {length} ago"


def _figure_of(window: "QualityWindow", metric: str) -> object:
    """Return a window's figure, or why it has none."""
    return window.metrics.get(metric, window.absent.get(metric, "not enough data"))


def _word_for(finding: "Finding", *, is_alarmed: bool) -> str:
    if finding.limit is None:
        return finding.note or "not enough data, or not watched"
    if finding.is_alarm:
        return "ALARM"
    if finding.value >= finding.limit:
        return "over limit"
    # another figure of the same feature is an alarm
    return "below its limit" if is_alarmed else "fine"
