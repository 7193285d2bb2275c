"""Everything that is checked of a dataset version: its profile, its rows, and what the project file says about both."""

from collections.abc import Iterable

from petla.core.errors import NotFoundError
from petla.core.progress import SILENT, Progress
from petla.core.project import CheckTable
from petla.data.checkouts import get_pointed
from petla.data.checks import check_profile
from petla.data.history.profiling import load_profile
from petla.data.history.records import DatasetVersion
from petla.data.profile.columns import Profile
from petla.data.rules.declared.expectations import check_columns, check_rows, list_open
from petla.data.rules.declared.verdicts import settle
from petla.data.rules.files import check_flaws
from petla.data.rules.finding import DataFinding, soften
from petla.data.rules.rows.keys import check_key
from petla.data.rules.rows.leakage import find_leaks, list_suspects, tell_leaks
from petla.data.rules.rows.overlap import check_overlap
from petla.data.rules.rows.scanning import Rows, opened_rows
from petla.data.rules.rows.schemas import check_schema
from petla.data.versions import BY_PERSON
from petla.storage.workspace import Workspace


def judge_profile(ws: Workspace, version: DatasetVersion, reference: DatasetVersion | None) -> tuple[DataFinding, ...]:
    """Return what the profiles alone say about a version; its rows are not read."""
    profile = load_profile(ws, version)
    if profile is None:
        return ()
    _, table = ws.get_dataset(version.dataset)
    findings = [*_compare(ws, version, profile, reference), *check_columns(profile, table.checks.columns)]
    return _conclude(ws, version, reference, findings)


def judge(
    ws: Workspace, version: DatasetVersion, reference: DatasetVersion | None, progress: Progress = SILENT
) -> tuple[DataFinding, ...]:
    """Return all that there is to say about a version.

    A version that is its own reference was let through before: only what the project file declares is checked again.

    Args:
        ws: the project.
        version: what is judged.
        reference: the version that it is compared with; None: it is the first.
        progress: is told of the bytes that are read.

    Raises:
        NotFoundError: the files of one of them are not in the store, or the schema of pandera is not there.
        InvalidError, UserCodeError: the schema of pandera cannot be used.
    """
    checks = ws.get_dataset(version.dataset)[1].checks
    is_known = reference is not None and reference.digest == version.digest
    is_asked = bool(checks.key or checks.disjoint or checks.pandera or checks.columns)
    profile = load_profile(ws, version, progress=progress) if is_asked or not is_known else None
    if profile is None:
        return _conclude(ws, version, reference, [])
    findings = list(check_columns(profile, checks.columns))
    if not is_known:
        findings = [*_compare(ws, version, profile, reference), *findings]
        findings += _find_leaks(ws, version, profile, reference, progress)
    if checks.key or checks.disjoint or checks.pandera or list_open(profile, checks.columns):
        with opened_rows(ws, version, progress) as rows:
            findings += _check_rows(ws, rows, profile, checks) if rows is not None else []
    return _conclude(ws, version, reference, findings)


def _compare(
    ws: Workspace, version: DatasetVersion, profile: Profile, reference: DatasetVersion | None
) -> Iterable[DataFinding]:
    known = load_profile(ws, reference) if reference is not None else None
    if known is None:
        flaw = check_flaws(profile, None)
        return [flaw] if flaw else []
    return check_profile(profile, known, ws.get_dataset(version.dataset)[1].checks)


def _find_leaks(
    ws: Workspace, version: DatasetVersion, profile: Profile, reference: DatasetVersion | None, progress: Progress
) -> list[DataFinding]:
    """Look for columns that tell the target of a model; a model uses the dataset where its target is a column of it."""
    checks = ws.get_dataset(version.dataset)[1].checks
    findings: list[DataFinding] = []
    for label in dict.fromkeys(model.target for model in ws.project.models.values()):
        suspects = [name for name in list_suspects(profile, label) if name not in checks.ignore]
        if not suspects or profile.rows < checks.minimum_rows:
            continue
        with opened_rows(ws, version, progress) as rows:
            leaks = find_leaks(rows, label, suspects) if rows is not None else {}
        known: dict[str, tuple[int, int]] = {}
        if leaks and reference is not None:
            with opened_rows(ws, reference, progress) as former:
                known = find_leaks(former, label, leaks) if former is not None else {}
        findings += tell_leaks(leaks, known, label, is_first=reference is None)
    return findings


def _check_rows(ws: Workspace, rows: Rows, profile: Profile, checks: CheckTable) -> list[DataFinding]:
    findings = check_key(rows, profile, checks.key) if checks.key else []
    for name in checks.disjoint:
        findings += _check_disjoint(ws, rows, profile, name, checks)
    findings += check_rows(rows, profile, checks.columns)
    if checks.pandera:
        findings += check_schema(rows, profile, ws.root, checks.pandera)
    return findings


def _check_disjoint(ws: Workspace, rows: Rows, profile: Profile, name: str, checks: CheckTable) -> list[DataFinding]:
    try:
        other = get_pointed(ws, name)
        counted = load_profile(ws, other)
        with opened_rows(ws, other) as others:
            if others is not None and counted is not None:
                return check_overlap(rows, others, name, max(profile.rows, counted.rows), checks)
    except NotFoundError as error:
        reason = error.message
    else:
        reason = f"dataset {name!r} is no table"
    message = f"whether rows are in dataset {name!r} as well was not checked: {reason}"
    return [
        DataFinding(
            column="", rule="overlap", severity="warn", message=message, before="to be apart", after="not known"
        )
    ]


def _conclude(
    ws: Workspace, version: DatasetVersion, reference: DatasetVersion | None, findings: Iterable[DataFinding]
) -> tuple[DataFinding, ...]:
    """Apply the project file's severities and waivers.

    What is exported from decisions has the columns that the model takes and no others, so a column that is missing
    there, or extra after it, is worth a warning only.
    """
    checks = ws.get_dataset(version.dataset)[1].checks
    settled = settle(list(findings), checks, ws.clock().date())
    expected = set() if version.source == BY_PERSON else {"missing_column"}
    expected |= set() if reference is None or reference.source == BY_PERSON else {"extra_column"}
    return tuple(soften(f) if f.rule in expected and f.severity == "block" else f for f in settled)
