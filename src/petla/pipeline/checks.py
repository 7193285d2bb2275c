"""Data checks before a run: the versions it uses against those they follow."""

import msgspec

from petla.core.errors import GateFailedError
from petla.data.checks import DataFinding
from petla.data.versions import DatasetVersion, check_version, get_version
from petla.pipeline.plan import Plan, RunRequest
from petla.pipeline.records import find_newest_data
from petla.storage.database import reading
from petla.storage.workspace import Workspace


class DatasetFinding(msgspec.Struct, frozen=True):
    """A finding, and where it was made."""

    dataset: str
    # version that was compared with; None: there was none
    before: int | None
    finding: DataFinding

    def __str__(self) -> str:
        found = self.finding
        former = f"version {self.before}" if self.before is not None else "expected"
        waived = f"; waived by {found.waived_by} until {found.waived_until}" if found.waived_by else ""
        return f"dataset {self.dataset}: {found.message} ({former}: {found.before}; now: {found.after}){waived}"


def check_data(ws: Workspace, plan: Plan, request: RunRequest) -> tuple[DatasetFinding, ...]:
    """Compare every dataset version of a run with the one the champion was trained on.

    Without a champion: with the one that the model's newest finished run used, so that a version that was refused is
    never what the next one is compared with; else with the version before.

    A version that is what the champion was trained on is asked only for what the project file declares.

    Returns:
        What was found, does not forbid the run, and is worth a warning.

    Raises:
        GateFailedError: a finding blocks, and the request does not accept the data; names the columns.
    """
    with reading(ws.engine) as connection:
        used = find_newest_data(connection, ws.name, plan.model)
    found: list[DatasetFinding] = []
    for name, digest in plan.data.items():
        version = get_version(ws, name, digest=digest)
        reference = _find_reference(ws, version, request.reference.get(name) or used.get(name))
        number = reference.version if reference is not None else None
        found.extend(DatasetFinding(name, number, each) for each in check_version(ws, version, reference))
    blocking = [each for each in found if each.finding.is_blocking]
    if blocking and not request.accept_data:
        lines = [f"  {each}" for each in blocking]
        raise GateFailedError(
            "\n".join(["the data was not accepted:", *lines]),
            hint="correct the data, or run again with '--accept-data REASON'",
            field=", ".join(dict.fromkeys(each.finding.column for each in blocking)),
        )
    return tuple(each for each in found if each.finding.severity != "record")


def _find_reference(ws: Workspace, version: DatasetVersion, digest: str | None) -> DatasetVersion | None:
    if digest is not None:
        return get_version(ws, version.dataset, digest=digest)
    return get_version(ws, version.dataset, version=version.version - 1) if version.version > 1 else None
