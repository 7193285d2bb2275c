"""What was decided: the newest decisions of a model, and one decision with all that is known of it."""

from collections.abc import Iterator

from petla.decisions.log import count_decisions, get_decision, list_decisions
from petla.decisions.losses import count_losses, describe_losses
from petla.decisions.record import CHAMPION, LoggedDecision, LoggedShadow, Wanted
from petla.decisions.reviews.reviewing import ReviewState, find_review
from petla.storage.workspace import Workspace
from petla.web import figures
from petla.web.blocks import make_moment
from petla.web.contexts import DecisionLine, DecisionPage, DecisionsPage
from petla.web.pieces import Row

_DECISIONS_SHOWN = 50


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
        decisions=tuple(_make_line(ws, decision) for decision in decisions),
        lost=describe_losses(count_losses(ws.state)),
    )


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
        line=_make_line(ws, decision),
        model=decision.model,
        model_href=f"/models/{decision.model}",
        decisions_href=f"/models/{decision.model}/decisions",
        version_href=f"/models/{decision.model}/versions/{decision.version}",
        feedback=tuple(
            (figures.value(each.truth), make_moment(each.at, now), str(each.status)) for each in decision.feedback
        ),
        shadows=tuple(map(_show_shadow, decision.shadows)),
        review_href="" if review is None else f"/reviews/{review.id}",
        review=said,
    )


def _make_line(ws: Workspace, decision: LoggedDecision) -> DecisionLine:
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
    yield from (Row(name, value, is_code=True) for name, value in known.items() if value)


def _show_shadow(it: LoggedShadow) -> tuple[str, str, str, str]:
    answer = it.error if it.label is None else figures.value(it.label)
    return f"{it.model}:{it.version}", answer, figures.metric(it.score), f"{it.latency_us / 1_000:.2f} ms"
