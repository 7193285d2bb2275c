"""What a finding does in the end: the project file's severities, and waivers that somebody answers for."""

from collections.abc import Sequence
from datetime import date

import msgspec

from petla.core.project import CheckTable, Severity, WaiverTable
from petla.data.rules.finding import DataFinding


def settle(findings: Sequence[DataFinding], checks: CheckTable, today: date) -> tuple[DataFinding, ...]:
    """Return findings with the severities and waivers of the project file.

    A waiver counts up to and including the day that it names. One that does not count any more is named itself: it
    warns where it would still be needed, and is recorded where it would not.
    """
    settled = [_waive(_rank(finding, checks), checks.waivers, today) for finding in findings]
    expired = [waiver for waiver in checks.waivers if waiver.expires < today]
    return (*settled, *(_rank(_name_expired(waiver, findings), checks) for waiver in expired))


def _rank(finding: DataFinding, checks: CheckTable) -> DataFinding:
    severity: Severity | None = getattr(checks.severity, finding.rule)
    return finding if severity is None else msgspec.structs.replace(finding, severity=severity)


def _waive(finding: DataFinding, waivers: Sequence[WaiverTable], today: date) -> DataFinding:
    for waiver in waivers:
        if waiver.expires >= today and _is_meant(waiver, finding):
            return msgspec.structs.replace(
                finding, waived_by=waiver.owner, waived_until=waiver.expires.isoformat(), waived_because=waiver.reason
            )
    return finding


def _is_meant(waiver: WaiverTable, finding: DataFinding) -> bool:
    return waiver.rule == finding.rule and waiver.column in (None, finding.column)


def _name_expired(waiver: WaiverTable, findings: Sequence[DataFinding]) -> DataFinding:
    is_needed = any(_is_meant(waiver, finding) for finding in findings)
    of = f" for column {waiver.column!r}" if waiver.column else ""
    return DataFinding(
        column=waiver.column or "",
        rule="waiver_expired",
        severity="warn" if is_needed else "record",
        message=f"the waiver of rule {waiver.rule!r}{of} by {waiver.owner} has expired and does not count: "
        + ("renew it, or correct the data" if is_needed else "nothing needs it any more, take it out"),
        before=f"waived until {waiver.expires}: {waiver.reason}",
        after="not waived",
    )
