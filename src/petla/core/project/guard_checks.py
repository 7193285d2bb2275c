"""Faults of `[models.NAME.fallback]` and `[models.NAME.guards]` that one key alone does not show."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from petla.core.errors import Fault
from petla.core.expressions import ExpressionError, compile_expression
from petla.core.project.addresses import split_address
from petla.core.project.guarding import TAKEN_FLAGS, list_guards

if TYPE_CHECKING:
    from petla.core.project.tables import ModelTable


def check_guards(model: "ModelTable", _: Mapping[str, Any]) -> list[Fault]:
    """Return the faults, their places relative to the model's table."""
    return [
        *_check_fallback(model),
        *_check_actions(model),
        *_check_rules(model),
        *_check_webhook(model.guards.webhook),
    ]


def _check_fallback(model: "ModelTable") -> Iterator[Fault]:
    table = model.fallback
    yield from _check_answer(model, "fallback.answer", table.answer)
    if table.probability is not None and (table.answer is None or model.task == "regression"):
        reason = "a regression has none" if model.task == "regression" else "there is no answer that it belongs to"
        yield Fault("fallback.probability", f"is {table.probability:g}, but {reason}")


def _check_actions(model: "ModelTable") -> Iterator[Fault]:
    for key, _, guard in list_guards(model.guards):
        place = f"guards.{key}"
        yield from _check_answer(model, f"{place}.answer", guard.answer)
        if guard.action == "rule" and guard.answer is None:
            yield Fault(f"{place}.answer", "is missing; the action 'rule' needs it")
        if guard.action != "rule" and guard.answer is not None:
            yield Fault(f"{place}.answer", f"is {guard.answer!r}, but the action is {guard.action!r}", "use 'rule'")
        if guard.action == "default" and model.fallback.answer is None:
            hint = f"state the default in [models.NAME.fallback] answer, or give {place} an answer of its own"
            yield Fault(f"{place}.action", "is 'default', but there is no default answer", hint)
    if model.task == "regression" and model.guards.confidence.action != "off":
        yield Fault("guards.confidence.action", "is set, but a regression has no confidence")


def _check_answer(model: "ModelTable", place: str, answer: Any) -> Iterator[Fault]:  # noqa: ANN401 - any value
    is_number = isinstance(answer, int | float) and not isinstance(answer, bool)
    if model.task == "regression" and answer is not None and not is_number:
        yield Fault(place, f"is {answer!r}, but a regression answers with a number")


def _check_rules(model: "ModelTable") -> Iterator[Fault]:
    seen = set(TAKEN_FLAGS)
    for number, rule in enumerate(model.guards.rules, start=1):
        place = f"guards.rules.{number}"
        if rule.name in seen:
            yield Fault(f"{place}.name", f"is {rule.name!r}, which is taken", "choose another word")
        seen.add(rule.name)
        try:
            compile_expression(rule.when)
        except ExpressionError as error:
            yield from (Fault(f"{place}.when", f"is {rule.when!r}: {mistake}") for mistake in error.mistakes)


def _check_webhook(address: str) -> Iterator[Fault]:
    try:
        if address:
            split_address(address)
    except ValueError:
        yield Fault("guards.webhook", f"is {address!r}, but must be an address such as https://example.com/reviews")
