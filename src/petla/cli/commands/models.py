"""`petla models`: the registry."""

from typing import TYPE_CHECKING, Annotated

import typer

from petla.cli.faults import NO
from petla.cli.output import AsJson, leave, print_json, print_table, say
from petla.cli.parts import workspace_of
from petla.core.errors import InvalidError
from petla.core.ids import ModelRef, parse_model_ref

if TYPE_CHECKING:
    from petla.models.package import Parity
    from petla.models.registry import ModelVersion

Reference = Annotated[str, typer.Argument(help="MODEL or MODEL:VERSION.", metavar="MODEL[:VERSION]")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(help="Model versions and their birth certificates.", no_args_is_help=True)
    group.command("list", epilog="Example: petla models list")(list_all)
    group.command("show", epilog="Example: petla models show delay:2")(show)
    group.command("reproduce", epilog="Example: petla models reproduce delay:1")(reproduce)
    app.add_typer(group, name="models")


def list_all(
    context: typer.Context,
    model: Annotated[str | None, typer.Option(help="Only versions of this model.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List the model versions, the newest first."""
    from petla.models.registry import list_versions

    found = list_versions(workspace_of(context), model, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (f"{v.model}:{v.version}", v.state, v.certificate.kind, v.created_at[:19], v.run_id, v.package[:12])
        for v in found
    ]
    head = ("model", "state", "kind", "at (UTC)", "run", "package")
    print_table(head, rows, empty="no model yet; next: petla run")


def show(context: typer.Context, reference: Reference, as_json: AsJson = False) -> None:
    """Show a version's birth certificate: who, which code, data, parameters, environment, figures, gates."""
    from petla.models.registry import get_version, list_versions

    workspace = workspace_of(context)
    ref = parse_model_ref(reference)
    workspace.get_model(ref.name)
    if ref.version is None:
        newest = list_versions(workspace, ref.name, limit=1)
        if not newest:
            raise InvalidError(f"{ref.name} has no version yet", hint="make one with 'petla run'", field="model")
        ref = ModelRef(ref.name, newest[0].version)
    found = get_version(workspace, ref.name, ref.version or 0)
    if as_json:
        print_json(found)
    else:
        _print_version(found)


def reproduce(context: typer.Context, reference: Reference, as_json: AsJson = False) -> None:
    """Build a version again from its certificate and compare the metrics: exit status 1 if they differ."""
    from petla.cli.progress import progress_on
    from petla.gates.reproduce import reproduce as build_again

    workspace = workspace_of(context)
    name, version = require_version(reference)
    done = build_again(workspace, name, version, progress_on())
    if as_json:
        print_json(done)
    else:
        rows = [(metric, value, done.metrics_now.get(metric)) for metric, value in done.metrics_then.items()]
        print_table(("metric", "then", "now"), rows, empty="the certificate holds no metrics")
        say("the same package, byte for byte" if done.is_identical else "the packages differ in their bytes")
        for package, (then, now) in done.changed_environment.items():
            say(f"environment: {package} was {then or 'absent'}, is {now or 'absent'}")
    if not done.is_same:
        leave(NO)


def require_version(reference: str) -> tuple[str, int]:
    """Read MODEL:VERSION where a version must be said.

    Raises:
        InvalidError: the version is missing.
    """
    ref = parse_model_ref(reference)
    if ref.version is None:
        raise InvalidError(f"{reference!r} names no version", hint="write MODEL:VERSION; see 'petla models list'")
    return ref.name, ref.version


def _print_version(found: "ModelVersion") -> None:
    from petla.gates.verdict import decode_verdict

    certificate = found.certificate
    say(f"{found.model}:{found.version} is in state {found.state}")
    dirty = " with uncommitted changes" if certificate.is_dirty else ""
    lines = {
        "made by": f"{certificate.who}, {certificate.when[:19]} UTC, run {found.run_id} ({certificate.cause})",
        "commit": f"{certificate.commit or 'none'}{dirty}",
        "data": ", ".join(f"{name} {digest[:16]}" for name, digest in certificate.data.items()),
        "parameters": ", ".join(f"{name}={value}" for name, value in certificate.parameters.items()),
        "metrics": ", ".join(f"{name} {value:.4f}" for name, value in certificate.metrics.items()),
        "package": f"{certificate.kind}, signed, {found.package}",
        "python": f"{certificate.python}, {len(certificate.environment)} packages recorded (--json lists them)",
    }
    for name, value in lines.items():
        say(f"  {name + ':':<12}{value or 'none'}")
    say(f"  {'parity:':<12}{_show_parity(certificate.parity)}")
    if found.verdict:
        for check in decode_verdict(found.verdict).checks:
            say(f"  {'passed' if check.passed else 'FAILED'}  {check.name}: {check.message}")


def _show_parity(parity: "Parity | None") -> str:
    if parity is None:
        return "not measured"
    if parity.largest_difference is None:
        return parity.reason
    allowed = f"(allowed {parity.tolerance:g})"
    return (
        f"largest difference {parity.largest_difference:.2g} on {parity.rows:,} rows {allowed}. {parity.reason}".strip()
    )
