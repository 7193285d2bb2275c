"""The two trails: what was changed and by whom, and what was decided."""

from collections.abc import Iterator
from typing import Any

import msgspec

from petla.decisions.log import count_decisions, list_decisions
from petla.decisions.record import CHAMPION, LoggedDecision, Wanted
from petla.storage.ledger import Entry
from petla.storage.workspace import Workspace
from petla.web import figures
from petla.web.blocks import make_moment
from petla.web.contexts import AuditLine, AuditPage, DecisionLine, DecisionsPage
from petla.web.pieces import Row

_ENTRIES_SHOWN = 100
_DECISIONS_SHOWN = 50
_VALUE_LENGTH = 120


def make_audit(ws: Workspace) -> AuditPage:
    """Return the newest entries of the audit trail, newest first."""
    entries = ws.ledger.list_newest(limit=_ENTRIES_SHOWN)
    return AuditPage(tuple(_make_entry(ws, entry) for entry in reversed(entries)))


def make_decisions(ws: Workspace, model: str) -> DecisionsPage:
    """Return the newest decisions of a model, newest first.

    Raises:
        NotFoundError: the project file has no such model.
    """
    name, _ = ws.get_model(model)
    decisions = list_decisions(ws, Wanted(model=name), limit=_DECISIONS_SHOWN)
    return DecisionsPage(
        model=name,
        model_href=f"/models/{name}",
        total=figures.count(count_decisions(ws, name)),
        decisions=tuple(_make_decision(ws, decision) for decision in decisions),
    )


def _make_entry(ws: Workspace, entry: Entry) -> AuditLine:
    details = tuple(Row(name.replace("_", " "), _show(value)) for name, value in entry.details.items())
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


def _make_decision(ws: Workspace, decision: LoggedDecision) -> DecisionLine:
    truth = decision.truth
    return DecisionLine(
        id=decision.id,
        at=make_moment(decision.at, ws.clock()),
        version=f"{decision.model}:{decision.version}",
        label=_show(decision.label),
        score=figures.metric(decision.score),
        truth="not known yet" if truth is None else _show(truth),
        is_wrong=None if truth is None or isinstance(truth, float) else truth != decision.label,
        latency=f"{decision.latency_us / 1_000:.2f} ms",
        arm="" if decision.arm == CHAMPION else decision.arm,
        stand_in="" if decision.served_by == decision.arm else decision.served_by,
        flags=decision.flags,
        inputs=tuple(_make_inputs(decision)),
        context=tuple(_make_context(decision)),
    )


def _make_inputs(decision: LoggedDecision) -> Iterator[Row]:
    for name, value in decision.inputs.items():
        effect = decision.explanation.get(name)
        note = "" if effect is None else f"effect on the score {figures.signed(effect)}"
        yield Row(name, _show(value), note, is_code=True)


def _make_context(decision: LoggedDecision) -> Iterator[Row]:
    known = {
        "id": decision.id,
        "subject": decision.subject,
        "request": decision.request_id,
        "trace": decision.trace_id,
        "worker": decision.worker,
        "package": figures.digest(decision.package) if decision.package else "",
        "commit": decision.commit[:12],
    }
    yield from (Row(name, value, is_code=True) for name, value in known.items() if value)


def _show(value: Any) -> str:  # noqa: ANN401 - a JSON value
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _VALUE_LENGTH else f"{text[: _VALUE_LENGTH - 1]}…"
