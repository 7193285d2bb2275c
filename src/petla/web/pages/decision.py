"""What was decided: one decision with all that is known of it, and its line in a list."""

from collections.abc import Iterator
from urllib.parse import urlencode

from petla.decisions.log import get_decision
from petla.decisions.record import CHAMPION, LoggedDecision, LoggedShadow
from petla.decisions.reviews.reviewing import ReviewState, find_review
from petla.storage.workspace import Workspace
from petla.web import figures
from petla.web.blocks import make_moment
from petla.web.decision_contexts import DecisionLine, DecisionPage
from petla.web.pieces import Row


def make_decision(ws: Workspace, decision_id: str) -> DecisionPage:
    """Return one decision: what the model was asked, what it answered, what turned out, and who looked at it.

    Raises:
        NotFoundError: it is not in the log.
    """
    decision, review = get_decision(ws, decision_id), find_review(ws, decision_id)
    now = ws.clock()
    said = ""
    if review is not None:
        is_open = review.state is ReviewState.WAITING
        said = "waits for a person" if is_open else f"{figures.value(review.answer)}, says {review.decided_by}"
    return DecisionPage(
        line=make_line(ws, decision),
        model=decision.model,
        model_href=f"/models/{decision.model}",
        decisions_href=f"/decisions?model={decision.model}",
        version_href=f"/models/{decision.model}/versions/{decision.version}",
        feedback=tuple(
            (figures.value(each.truth), make_moment(each.at, now), str(each.status)) for each in decision.feedback
        ),
        shadows=tuple(map(_show_shadow, decision.shadows)),
        review_href="" if review is None else f"/reviews/{review.id}",
        review=said,
    )


def make_line(ws: Workspace, decision: LoggedDecision) -> DecisionLine:
    """Return a decision as a list shows it."""
    truth = decision.truth
    return DecisionLine(
        id=decision.id,
        at=make_moment(decision.at, ws.clock()),
        version=f"{decision.model}:{decision.version}",
        label=figures.value(decision.label),
        score=figures.metric(decision.score),
        truth="not known yet" if truth is None else figures.value(truth),
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
        yield Row(name, figures.value(value), note, is_code=True)


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
    ways = {"subject": f"/decisions?{urlencode({'subject': decision.subject})}"}
    yield from (Row(name, value, href=ways.get(name, ""), is_code=True) for name, value in known.items() if value)


def _show_shadow(it: LoggedShadow) -> tuple[str, str, str, str]:
    answer = it.error if it.label is None else figures.value(it.label)
    return f"{it.model}:{it.version}", answer, figures.metric(it.score), f"{it.latency_us / 1_000:.2f} ms"
