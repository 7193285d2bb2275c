"""`petla data check`: is this version fit to train on, and which expectations would suit it."""

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from petla.cli.faults import NO
from petla.cli.output import AsJson, count, leave, note, print_json, say
from petla.cli.parts import workspace_of
from petla.cli.progress import byte_progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petla.data.checks import DataFinding
    from petla.data.history.records import DatasetVersion
    from petla.storage.workspace import Workspace

DatasetName = Annotated[str | None, typer.Argument(help="A dataset of petla.toml; may be left out if there is one.")]


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a check, as `--json` prints it."""

    dataset: str
    version: int
    # None: there was none
    reference: int | None
    # why that version is the reference
    because: str
    findings: "tuple[DataFinding, ...]"


def register(group: typer.Typer) -> None:
    """Add the commands of this file."""
    group.command("check", epilog="Example: petla data check flights; petla data check flights --propose")(check)


def check(
    context: typer.Context,
    dataset: DatasetName = None,
    against: Annotated[int | None, typer.Option(help="Reference version; else what the champion learnt from.")] = None,
    propose: Annotated[
        bool, typer.Option("--propose", help="Show expectations that would suit it, as a diff.")
    ] = False,
    write: Annotated[bool, typer.Option("--write", help="With --propose: write them into petla.toml.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the present version with what the champion was trained on: exit status 1 if something blocks training."""
    workspace = workspace_of(context)
    name, _ = workspace.get_dataset(dataset)
    if propose or write:
        _propose(workspace, name, is_written=write, as_json=as_json)
        return
    checked = _check(workspace, name, against)
    if as_json:
        print_json(checked)
    else:
        _tell(checked)
    if any(finding.is_blocking for finding in checked.findings):
        leave(NO)


def print_findings(findings: "Sequence[DataFinding]") -> None:
    """Print what was found on stderr, the worst first."""
    order = {"block": 0, "warn": 1, "record": 2}
    for finding in sorted(findings, key=lambda found: (bool(found.waived_by), order[found.severity])):
        word = f"waived by {finding.waived_by} until {finding.waived_until}" if finding.waived_by else finding.severity
        note(f"{word}: {finding.message} ({finding.before} -> {finding.after})")


def _check(workspace: "Workspace", name: str, against: int | None) -> Checked:
    from petla.data.checkouts import get_pointed
    from petla.data.versions import check as compare

    version = get_pointed(workspace, name)
    reference, because = _choose_reference(workspace, version, against)
    with byte_progress() as progress:
        findings = compare(workspace, name, against=reference, progress=progress)
    return Checked(dataset=name, version=version.version, reference=reference, because=because, findings=findings)


def _choose_reference(workspace: "Workspace", version: "DatasetVersion", against: int | None) -> tuple[int | None, str]:
    """Return the version to compare with, and why it is that one."""
    if against is not None:
        return against, "as asked"
    champions = _list_trained_on(workspace, version.dataset)
    if champions:
        number, names = max(champions.items())
        return number, f"what the champion {', '.join(names)} was trained on"
    if version.version > 1:
        return version.version - 1, "the version before; no champion was trained on this dataset"
    return None, "the first version"


def _list_trained_on(workspace: "Workspace", dataset: str) -> dict[int, list[str]]:
    """Return the versions of a dataset that champions were trained on, each with their names."""
    from petla.data.checkouts import find_version
    from petla.models.registry import find_champion

    found: dict[int, list[str]] = {}
    for model in workspace.project.models:
        champion = find_champion(workspace, model)
        digest = champion.certificate.data.get(dataset) if champion is not None else None
        version = find_version(workspace, dataset, digest=digest) if digest else None
        if champion is not None and version is not None:
            found.setdefault(version.version, []).append(f"{model}:{champion.version}")
    return found


def _tell(checked: Checked) -> None:
    compared = f"against version {checked.reference}, {checked.because}" if checked.reference else checked.because
    if checked.reference == checked.version:
        compared = f"which is itself {checked.because}: only what petla.toml declares was checked"
    counts = [(sum(_word_of(finding) == word for finding in checked.findings), word) for word in _WORDS]
    told = ", ".join(f"{number} {_WORDS[word]}" for number, word in counts if number) or "nothing stands out"
    say(f"{checked.dataset} version {checked.version}, {compared}: {told}")
    print_findings(checked.findings)
    if any(finding.is_blocking for finding in checked.findings):
        say("next: correct the data and add it again; or, if it is right, waive it in petla.toml with owner and expiry")
    else:
        say("next: petla run")


_WORDS = {"block": "blocking", "warn": "to look at", "record": "recorded", "waived": "waived"}


def _word_of(finding: "DataFinding") -> str:
    return "waived" if finding.waived_by else finding.severity


def _propose(workspace: "Workspace", name: str, *, is_written: bool, as_json: bool) -> None:
    from petla.core.errors import InvalidError
    from petla.data.checkouts import get_pointed
    from petla.data.rules.declared import proposals
    from petla.data.versions import load_profile

    _, table = workspace.get_dataset(name)
    with byte_progress() as progress:
        profile = load_profile(workspace, get_pointed(workspace, name), progress=progress)
    if profile is None:
        raise InvalidError(f"{name} is no table", hint="expectations are for tables", field=name)
    proposal = proposals.draft(workspace.root, name, proposals.propose(profile, table.checks))
    if is_written and proposal.columns:
        workspace.project = proposals.write(workspace.root, proposal)
    if as_json:
        print_json({"dataset": name, "columns": proposal.columns, "diff": proposal.diff, "written": is_written})
        return
    if not proposal.columns:
        say(f"every column of {name} has its expectations already; next: petla data check {name}")
        return
    say(proposal.diff.rstrip("\n"))
    columns = count(len(proposal.columns), "column")
    if is_written:
        say(f"wrote expectations for {columns} into petla.toml; next: petla data check {name}")
    else:
        say(f"expectations for {columns}; next: petla data check {name} --propose --write")
