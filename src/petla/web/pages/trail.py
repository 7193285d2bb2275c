"""The audit trail: what was changed, by whom and why."""

from petla.storage.ledger import Entry
from petla.storage.workspace import Workspace
from petla.web import figures
from petla.web.blocks import make_moment
from petla.web.contexts import AuditLine, AuditPage
from petla.web.pieces import Row

_ENTRIES_SHOWN = 100


def make_audit(ws: Workspace) -> AuditPage:
    """Return the newest entries of the audit trail, newest first."""
    entries = ws.ledger.list_newest(limit=_ENTRIES_SHOWN)
    return AuditPage(tuple(_make_entry(ws, entry) for entry in reversed(entries)))


def _make_entry(ws: Workspace, entry: Entry) -> AuditLine:
    details = tuple(Row(name.replace("_", " "), figures.value(value)) for name, value in entry.details.items())
    return AuditLine(
        seq=entry.seq,
        at=make_moment(entry.at, ws.clock()),
        actor=entry.actor,
        action=entry.action,
        subject=entry.subject,
        reason=entry.reason,
        details=details,
        hash=figures.digest(entry.hash),
    )
