"""`petla run` and `petla runs`: from data to a judged candidate, and what earlier runs gave."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from petla.cli.faults import NO
from petla.cli.output import AsJson, leave, note, print_json, print_table, say
from petla.cli.parts import workspace_of
from petla.core.errors import InvalidError

if TYPE_CHECKING:
    from petla.gates.training import TrainResult
    from petla.pipeline.plan import RunRequest
    from petla.pipeline.result import RunResult
    from petla.storage.workspace import Workspace


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("run", epilog="Example: petla run --set trees=200")(run)
    app.command("run-request", hidden=True, epilog="Example: petla run-request request.json")(run_request)
    group = typer.Typer(help="Earlier runs.", no_args_is_help=True)
    group.command("list", epilog="Example: petla runs list")(list_all)
    group.command("show", epilog="Example: petla runs show 3")(show_one)
    app.add_typer(group, name="runs")


def run(
    context: typer.Context,
    model: Annotated[str | None, typer.Option(help="A model of petla.toml; may be left out if there is one.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A parameter: name=value.")] = None,
    step: Annotated[str | None, typer.Option(help="Stop after this step.")] = None,
    accept_data: Annotated[str | None, typer.Option(help="Train although the data checks object; say why.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the pipeline, package the model, judge it: prints the run, the gates and the candidate."""
    from petla.pipeline.plan import RunRequest

    workspace = workspace_of(context)
    workspace.require_files()
    name, _ = workspace.get_model(model)
    if accept_data is not None and not accept_data.strip():
        raise InvalidError("--accept-data has no reason", hint="write --accept-data REASON", field="--accept-data")
    request = RunRequest(parameters=_pairs(set_ or [], "--set"), only_step=step, accept_data=accept_data or "")
    if step is None:
        _train(workspace, name, request, as_json=as_json)
    else:
        _run_step(workspace, name, request, as_json=as_json)


def run_request(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="JSON with the keys `model` and `request`.")],
) -> None:
    """Run what a file asks for: how the controller starts a retraining in a process of its own."""
    from petla.pipeline.plan import decode_request

    workspace = workspace_of(context)
    model, request = decode_request(file.read_bytes())
    workspace.get_model(model)
    _train(workspace, model, request, as_json=True)


def _run_step(workspace: "Workspace", name: str, request: "RunRequest", *, as_json: bool) -> None:
    from petla.cli.progress import progress_on
    from petla.pipeline.runs import run_pipeline

    done = run_pipeline(workspace, name, request, progress_on())
    if as_json:
        print_json(done)
        return
    _print_run(done)
    say("no candidate was made, since only a step was asked for; next: petla run")


def _train(workspace: "Workspace", name: str, request: "RunRequest", *, as_json: bool) -> None:
    from petla.cli.progress import progress_on
    from petla.gates.training import train

    result = train(workspace, name, request, progress_on())
    if as_json:
        print_json(result)
    else:
        _print_result(name, result)
    if not result.verdict.passed:
        leave(NO)


def list_all(
    context: typer.Context,
    model: Annotated[str | None, typer.Option(help="Only runs of this model.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest runs."""
    from petla.pipeline.runs import list_runs

    found = list_runs(workspace_of(context), model, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [(r.id, r.model, r.state, r.started_at[:19], r.cause, r.commit[:8], _figures(r.metrics)) for r in found]
    print_table(("run", "model", "state", "at (UTC)", "cause", "commit", "metrics"), rows, empty="next: petla run")


def show_one(context: typer.Context, run_id: Annotated[int, typer.Argument()], as_json: AsJson = False) -> None:
    """Show one run: steps, parameters, data, metrics."""
    from petla.pipeline.runs import get_run

    found = get_run(workspace_of(context), run_id)
    if as_json:
        print_json(found)
        return
    say(f"run {found.id} of {found.model}: {found.state}, started {found.started_at[:19]} by {found.started_by}")
    say(f"commit {found.commit or 'none'}{' with uncommitted changes' if found.is_dirty else ''}")
    for title, values in (("data", found.data), ("parameters", found.parameters), ("metrics", found.metrics)):
        say(f"{title}: {_figures(values) or 'none'}")
    rows = [(s.name, "cached" if s.is_cached else "done", round(s.seconds, 3), s.key[:12]) for s in found.steps]
    print_table(("step", "how", "seconds", "key"), rows, empty="no step was finished")
    if found.error:
        say(found.error)


def _print_result(name: str, result: "TrainResult") -> None:
    if result.is_unchanged:
        say(f"run {result.run.run_id} of {name} stands: nothing changed since ({len(result.run.steps)} steps)")
        _print_warnings(result.run)
    else:
        _print_run(result.run)
    say(f"  {result.verdict.packaged}")
    if result.metrics:
        say(f"on the holdout: {_figures(result.metrics)}")
    for check in result.verdict.checks:
        say(f"  {'passed' if check.passed else 'FAILED'}  {check.name}: {check.message}")
    if result.verdict.passed:
        say(f"candidate {name}:{result.version} passed its gates; next: petla deploy {name}:{result.version}")
    else:
        say(f"candidate {name}:{result.version} was rejected; next: improve the pipeline, then petla run")


def _print_run(done: "RunResult") -> None:
    cached = sum(step.is_cached for step in done.steps)
    say(f"run {done.run_id} of {done.model} is done: {len(done.steps)} steps, {cached} from the cache")
    if done.metrics:
        say(f"metrics: {_figures(done.metrics)}")
    _print_warnings(done)


def _print_warnings(done: "RunResult") -> None:
    for warning in done.warnings:
        note(f"warning: {warning}")


def _pairs(words: list[str], option: str) -> dict[str, str]:
    pairs = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key:
            raise InvalidError(f"{option} {word!r} is no name=value", hint=f"write {option} name=value", field=option)
        pairs[key] = value
    return pairs


def _figures(values: Mapping[str, object]) -> str:
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {str(v)[:12]}" for k, v in values.items())
