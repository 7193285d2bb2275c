"""The approval: one question to a person, with everything needed to answer it."""

from petla.core.project import ModelTable
from petla.gates.verdict import Verdict, find_verdict
from petla.incidents.incidents import get_incident
from petla.loop.approvals import Approval, ApprovalState, get_approval, list_approvals
from petla.loop.retraining.retrainings import list_retrainings
from petla.models.registry import Certificate, ModelVersion, get_version
from petla.storage.workspace import Workspace
from petla.web import figures
from petla.web.blocks import explain_cause, find_moment, make_moment, make_verdict, metric_name
from petla.web.charts import draw_interval
from petla.web.contexts import ApprovalLine, ApprovalPage, ApprovalsPage, Contest, MetricLine
from petla.web.pieces import Badge, Figure, Row

_TONES: dict[ApprovalState, str] = {
    ApprovalState.WAITING: "warm",
    ApprovalState.GRANTED: "good",
    ApprovalState.REFUSED: "bad",
    ApprovalState.WITHDRAWN: "calm",
}
_RETRAININGS_SEARCHED = 100


def make_approvals(ws: Workspace) -> ApprovalsPage:
    """Return all requests, those that wait first."""
    lines = [(approval, _make_line(ws, approval)) for approval in list_approvals(ws, limit=100)]
    is_waiting = ApprovalState.WAITING
    return ApprovalsPage(
        waiting=tuple(line for approval, line in lines if approval.state is is_waiting),
        answered=tuple(line for approval, line in lines if approval.state is not is_waiting),
    )


def make_approval(ws: Workspace, approval_id: int, *, fault: str = "", typed: str = "") -> ApprovalPage:
    """Gather the evidence of one request.

    Args:
        ws: the project.
        approval_id: which request.
        fault: what was wrong with the answer just given.
        typed: the reason that was given with it, so that nobody types it twice.

    Raises:
        NotFoundError: there is no such request.
    """
    approval = get_approval(ws, approval_id)
    now = ws.clock()
    challenger = get_version(ws, approval.model, approval.version)
    champion = None if approval.champion is None else get_version(ws, approval.model, approval.champion)
    table = ws.project.models.get(approval.model)
    verdict = find_verdict(challenger)
    return ApprovalPage(
        id=approval.id,
        title=_make_title(approval),
        question=approval.question,
        badge=_badge(approval),
        is_waiting=approval.state is ApprovalState.WAITING,
        asked_by=approval.asked_by,
        asked_at=make_moment(approval.asked_at, now),
        decided_by=approval.decided_by,
        decided_at=find_moment(approval.decided_at, now),
        reason=approval.reason,
        challenger=_name_of(challenger),
        challenger_href=_href_of(challenger),
        champion=_name_of(champion) if champion else "",
        champion_href=_href_of(champion) if champion else "",
        contest=_make_contest(verdict, table, challenger, champion),
        verdict=make_verdict(verdict, now),
        metrics=_compare(challenger.certificate, champion.certificate if champion else None),
        origin=_make_origin(ws, approval, challenger),
        fault=fault,
        typed=typed,
    )


def _make_line(ws: Workspace, approval: Approval) -> ApprovalLine:
    now = ws.clock()
    decided = f"{approval.decided_by}: {approval.reason}" if approval.reason else approval.decided_by
    return ApprovalLine(
        id=approval.id,
        href=f"/approvals/{approval.id}",
        title=_make_title(approval),
        question=approval.question,
        badge=_badge(approval),
        asked_at=make_moment(approval.asked_at, now),
        decided=decided,
    )


def _make_title(approval: Approval) -> str:
    name = f"{approval.model}:{approval.version}"
    match approval.state:
        case ApprovalState.WAITING:
            return f"Should {name} go live?"
        case ApprovalState.GRANTED:
            return f"{name} may go live"
        case ApprovalState.REFUSED:
            return f"{name} was refused"
        case ApprovalState.WITHDRAWN:
            return f"The question about {name} was withdrawn"


def _badge(approval: Approval) -> Badge:
    word = "waits for you" if approval.state is ApprovalState.WAITING else str(approval.state)
    return Badge(word, _TONES[approval.state])


def _make_contest(
    verdict: Verdict | None, table: ModelTable | None, challenger: ModelVersion, champion: ModelVersion | None
) -> Contest | None:
    check = next((check for check in verdict.checks if check.name == "champion"), None) if verdict else None
    if check is None or table is None or champion is None or "difference" not in check.figures:
        return None
    given = check.figures
    unit = metric_name(table.gate_metric)
    note = f"on the same {figures.count(int(given['rows']))} held-out rows"
    margin, confidence = given["margin"], figures.share(given["confidence"])
    interval = f"{figures.signed(given['low'])} to {figures.signed(given['high'])}"
    return Contest(
        metric=unit,
        challenger=Figure(figures.metric(given["candidate"]), unit, note, _href_of(challenger)),
        champion=Figure(figures.metric(given["champion"]), unit, note, _href_of(champion)),
        gain=figures.signed(given["difference"]),
        is_better=given["difference"] > 0,
        interval=draw_interval(low=given["low"], high=given["high"], middle=given["difference"], margin=margin),
        interval_text=f"{confidence} interval of the gain, paired bootstrap: {interval}",
        margin_text=f"margin {figures.signed(-margin)}" if margin else "",
    )


def _compare(challenger: Certificate, champion: Certificate | None) -> tuple[MetricLine, ...]:
    theirs = champion.metrics if champion else {}
    return tuple(
        MetricLine(
            metric_name(name),
            figures.metric(value),
            figures.metric(theirs[name]) if name in theirs else "",
        )
        for name, value in challenger.metrics.items()
    )


def _make_origin(ws: Workspace, approval: Approval, challenger: ModelVersion) -> tuple[Row, ...]:
    certificate = challenger.certificate
    rows = [Row("Started by", explain_cause(certificate.cause))]
    known = list_retrainings(ws, model=approval.model, limit=_RETRAININGS_SEARCHED)
    retraining = next((found for found in known if found.approval_id == approval.id), None)
    if retraining is not None:
        incident = get_incident(ws, retraining.incident_id)
        href = f"/incidents/{incident.id}"
        rows = [Row("Made because", incident.title, f"incident {incident.id}", href)]
        if retraining.dataset_version is not None:
            note = "newest labelled decisions"
            rows.append(Row("Fresh data", f"dataset version {retraining.dataset_version}", note))
    rows += [
        Row("Trained on", f"{figures.count(certificate.training_rows)} rows"),
        Row("Tested on", f"{figures.count(certificate.holdout_rows)} rows", "held out; training never saw them"),
        Row("Code", figures.digest(certificate.commit) or "not in Git", is_code=True),
    ]
    return tuple(rows)


def _name_of(version: ModelVersion) -> str:
    return f"{version.model}:{version.version}"


def _href_of(version: ModelVersion) -> str:
    return f"/models/{version.model}/versions/{version.version}"
