"""Reviews: decisions that a guard put before a person, each with its inputs beside what training saw."""

from collections.abc import Sequence
from typing import Any

from petla.core.errors import ConflictError, CorruptError, NotFoundError
from petla.data.profile.columns import ColumnProfile, Profile
from petla.decisions.log import get_decision
from petla.decisions.record import LoggedDecision
from petla.decisions.reviews.reviewing import Outcome, Review, ReviewState, count_waiting, get_review, list_reviews
from petla.models.package import load_version
from petla.models.registry import get_version
from petla.models.version import ModelVersion
from petla.storage.workspace import Workspace
from petla.web import figures
from petla.web.blocks import explain, find_moment, make_moment
from petla.web.forms import WordsForm
from petla.web.pieces import Badge, Row
from petla.web.review_contexts import InputLine, OutcomeLine, ReviewLine, ReviewPage, ReviewsPage

_SHOWN = 50
_CATEGORIES_SHOWN = 12
_NOTHING = WordsForm()
_BECAUSE = {
    "range": "a number is far outside what training saw",
    "unseen": "a category that training did not have",
    "missing": "many inputs are missing",
    "prediction": "the score is unlike those of the holdout",
    "confidence": "the model is not sure",
}


def make_reviews(
    ws: Workspace, outcomes: Sequence[Outcome] = (), *, given: WordsForm = _NOTHING, fault: str = ""
) -> ReviewsPage:
    """Return the queue, the longest waiting first, and what was decided last.

    Args:
        ws: the project.
        outcomes: what came of the word just given for several.
        given: that word, so that nobody types it twice.
        fault: what was wrong with it.
    """
    waiting = list_reviews(ws, ReviewState.WAITING, limit=_SHOWN)
    return ReviewsPage(
        waiting=tuple(_make_line(ws, review, is_ticked=review.id in given.ticked) for review in waiting),
        total=figures.count(count_waiting(ws)),
        decided=tuple(_make_line(ws, review) for review in list_reviews(ws, ReviewState.DECIDED, limit=_SHOWN)),
        choices=_list_choices(ws, waiting),
        outcomes=tuple(map(_make_outcome, outcomes)),
        fault=fault,
        typed=given.reason,
        chosen=given.answer,
    )


def make_review(ws: Workspace, decision_id: str, *, fault: str = "", typed: str = "", chosen: str = "") -> ReviewPage:
    """Gather what a person needs to decide.

    Args:
        ws: the project.
        decision_id: which decision.
        fault: what was wrong with the word just given.
        typed: the reason that was given with it, so that nobody types it twice.
        chosen: the answer that was given with it.

    Raises:
        NotFoundError: no guard sent this decision to a person.
    """
    review, decision = get_review(ws, decision_id), get_decision(ws, decision_id)
    version = get_version(ws, review.model, review.version)
    now = ws.clock()
    name = f"{review.model}:{review.version}"
    profile = _find_profile(ws, version)
    facts = [
        Row("Score", figures.metric(decision.score)),
        Row("Request", decision.request_id, is_code=True),
        Row("Decision", review.id, href=f"/decisions/{review.id}"),
        Row("Answered by", name, f"as {decision.served_by}", f"/models/{review.model}/versions/{review.version}"),
    ]
    return ReviewPage(
        id=review.id,
        title=_make_title(review),
        badge=_badge(review),
        is_waiting=review.state is ReviewState.WAITING,
        at=make_moment(review.at, now),
        model=name,
        model_href=f"/models/{review.model}",
        because=_explain(review),
        provisional=figures.value(review.label),
        facts=tuple(facts),
        inputs=tuple(_make_input(decision, field, profile) for field in decision.inputs),
        is_explained=bool(decision.explanation),
        choices=tuple(map(figures.value, version.certificate.signature.classes)),
        answer="" if review.answer is None else figures.value(review.answer),
        decided_by=review.decided_by,
        decided_at=find_moment(review.decided_at, now),
        reason=review.reason,
        delivery=_tell_delivery(review),
        fault=fault,
        typed=typed,
        chosen=chosen,
    )


def _make_outcome(outcome: Outcome) -> OutcomeLine:
    name, result = outcome
    if isinstance(result, Review):
        said = f"{figures.value(result.answer)}, says {result.decided_by}" if result.decided_by else "still waits"
        return OutcomeLine(name, f"/reviews/{name}", said, _badge(result))
    href = "" if isinstance(result, NotFoundError) else f"/reviews/{name}"
    # its hint is a command that lists what waits, which stands below
    said = result.message if isinstance(result, ConflictError) else explain(result)
    return OutcomeLine(name, href, said, Badge("not taken", "bad"))


def _list_choices(ws: Workspace, reviews: Sequence[Review]) -> tuple[str, ...]:
    models = dict.fromkeys((review.model, review.version) for review in reviews)
    classes = [get_version(ws, model, version).certificate.signature.classes for model, version in models]
    return tuple(dict.fromkeys(figures.value(each) for some in classes for each in some)) if all(classes) else ()


def _make_line(ws: Workspace, review: Review, *, is_ticked: bool = False) -> ReviewLine:
    by = f"{review.decided_by} decided {figures.value(review.answer)}: {review.reason}" if review.decided_by else ""
    return ReviewLine(
        id=review.id,
        href=f"/reviews/{review.id}",
        title=_make_title(review),
        badge=_badge(review),
        at=make_moment(review.at, ws.clock()),
        because=_explain(review),
        decided=by,
        is_ticked=is_ticked,
    )


def _make_title(review: Review) -> str:
    if review.state is ReviewState.WAITING:
        return f"Was {figures.value(review.label)} right?"
    if review.answer == review.label:
        return f"{figures.value(review.label)} was confirmed"
    return f"{figures.value(review.label)} was changed to {figures.value(review.answer)}"


def _badge(review: Review) -> Badge:
    return Badge("waits for you", "warm") if review.state is ReviewState.WAITING else Badge("decided", "good")


def _explain(review: Review) -> str:
    said = [_BECAUSE.get(flag, f"rule {flag}") for flag in review.flags]
    return f"{review.model}:{review.version}: {'; '.join(said)}"


def _find_profile(ws: Workspace, version: ModelVersion) -> Profile | None:
    try:
        return load_version(ws.objects, ws.keys, version.package, version.model, version.version).profile
    except (NotFoundError, CorruptError):
        return None  # the decision can be judged without it


def _make_input(decision: LoggedDecision, name: str, profile: Profile | None) -> InputLine:
    value = decision.inputs[name]
    known = decision.explanation.get(name)
    effect = "" if known is None else figures.signed(known)
    column = profile.find(name) if profile is not None else None
    if column is None:
        return InputLine(name, figures.value(value), "", effect, is_outside=False)
    return InputLine(name, figures.value(value), _tell_seen(column), effect, is_outside=_is_outside(value, column))


def _tell_seen(column: ColumnProfile) -> str:
    missing = f", {figures.share(column.missing_share)} missing" if column.missing else ""
    if column.minimum is not None and column.maximum is not None:
        middle = f", median {column.median:,.6g}" if column.median is not None else ""
        return f"{column.minimum:,.6g} to {column.maximum:,.6g}{middle}{missing}"
    shown = ", ".join(column.categories[:_CATEGORIES_SHOWN])
    more = max(column.distinct - _CATEGORIES_SHOWN, 0)
    return shown + (f" and {figures.count(more)} more" if shown and more else "") + missing


def _is_outside(value: Any, column: ColumnProfile) -> bool:  # noqa: ANN401 - a JSON value
    if value is None:
        return column.missing == 0
    if column.minimum is not None and column.maximum is not None and isinstance(value, int | float):
        return not column.minimum <= value <= column.maximum
    is_whole = bool(column.categories) and column.distinct <= len(column.categories)
    return is_whole and figures.value(value) not in column.categories


def _tell_delivery(review: Review) -> str:
    if review.delivered_at is not None:
        return f"The webhook took it at call {review.attempts}."
    if review.deliver_at is None:
        return ""
    if review.delivery_error:
        calls, when = figures.plural(review.attempts, "call"), figures.moment(review.deliver_at)
        return f"The webhook did not take it in {calls}: {review.delivery_error}. The next call is at {when}."
    return "The webhook is told within seconds, as long as petla up runs."
