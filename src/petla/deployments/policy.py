"""The policy of a project file as it meets one version: what its guards may say and look at.

The project file is read before there is a model; only a version's signature knows the inputs and the classes. So this
is checked when a version is deployed or a policy is published, before anything is changed.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from petla.core.errors import Fault
from petla.core.expressions import ExpressionError, Holds, compile_expression
from petla.core.names import suggest
from petla.core.project import Policy, Stated, refuse_project
from petla.core.project.guarding import list_guards
from petla.data.profile.columns import Kind
from petla.models.signature import Signature

if TYPE_CHECKING:
    from petla.storage.workspace import Workspace

_HOLDS: dict[Kind, Holds] = {
    Kind.NUMBER: "number",
    Kind.INTEGER: "number",
    Kind.BOOLEAN: "boolean",
    Kind.CATEGORY: "text",
    Kind.TEXT: "text",
    Kind.TIMESTAMP: "text",
}


def policy_of(ws: "Workspace", model: str) -> Policy:
    """Return the policy of the project file; the usual one for a model that it no longer names."""
    table = ws.project.models.get(model)
    return table.policy if table is not None else Policy()


class Setting(msgspec.Struct, frozen=True):
    """One key of a policy: what was published, and what the project file says."""

    # within [models.NAME], such as `guards.range.action`
    key: str
    published: str
    written: str

    @property
    def is_same(self) -> bool:
        """Whether publishing would change nothing here."""
        return self.published == self.written


def list_settings(published: Policy, written: Policy) -> list[Setting]:
    """Return the keys that have not their default in both, in the order of the tables."""
    usual, now, then = (dict(_flatten(msgspec.to_builtins(each), "")) for each in (Policy(), published, written))
    return [Setting(key, now[key], then[key]) for key in usual if not usual[key] == now[key] == then[key]]


def _flatten(value: dict[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, part in value.items():
        if isinstance(part, dict):
            yield from _flatten(part, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "" if part is None else msgspec.json.encode(part).decode()


def fields_of(signature: Signature) -> dict[str, Holds]:
    """Return what each input holds, as conditions see it."""
    return {field.name: _HOLDS.get(field.kind, "any") for field in signature.inputs}


def find_answer(signature: Signature, stated: Stated | None) -> Stated | None:
    """Return a stated answer as the model's own value; None: the model cannot answer so.

    Example:
        >>> find_answer(Signature(inputs=(), target="y", task="binary", classes=(0, 1)), True)
        1
    """
    if signature.task == "regression":
        is_number = isinstance(stated, int | float) and not isinstance(stated, bool)
        return float(stated) if is_number and stated is not None else None
    return next((value for value in signature.classes if value == stated), None)


def require_fit(policy: Policy, model: str, signature: Signature) -> None:
    """See that a policy fits a version.

    Raises:
        InvalidError: with every answer that the model cannot give, and every rule that names what it does not have.
    """
    faults = [*_check_answers(policy, signature), *_check_inputs(policy, fields_of(signature))]
    if faults:
        raise refuse_project([Fault(f"models.{model}.{f.field}", f.message, f.hint) for f in faults])


def may_stand_in(signature: Signature, asked: Signature) -> bool:
    """Whether a version takes whatever another one takes, and answers in the same way."""
    is_same_kind = (signature.target, signature.task, signature.classes) == (asked.target, asked.task, asked.classes)
    return (
        is_same_kind
        and len(signature.inputs) == len(asked.inputs)
        and all(
            (one.name, one.kind) == (other.name, other.kind) and one.is_nullable >= other.is_nullable
            for one, other in zip(signature.inputs, asked.inputs, strict=True)
        )
    )


def _check_answers(policy: Policy, signature: Signature) -> Iterator[Fault]:
    stated = {f"guards.{key}.answer": guard.answer for key, _, guard in list_guards(policy.guards)}
    for key, answer in ({"fallback.answer": policy.fallback.answer} | stated).items():
        if answer is not None and find_answer(signature, answer) is None:
            classes = ", ".join(map(str, signature.classes)) or "a number"
            yield Fault(key, f"is {answer!r}, which the model does not answer", f"it answers {classes}")


def _check_inputs(policy: Policy, inputs: Mapping[str, Holds]) -> Iterator[Fault]:
    for key, _, guard in list_guards(policy.guards):
        unknown = [name for name in getattr(guard, "ignore", ()) if name not in inputs]
        for name in unknown:
            yield Fault(f"guards.{key}.ignore", f"names {name!r}, which is no input", suggest(name, inputs))
    for number, rule in enumerate(policy.guards.rules, start=1):
        try:
            compile_expression(rule.when, inputs)
        except ExpressionError as error:
            for said in error.mistakes:
                yield Fault(f"guards.rules.{number}.when", f"is {rule.when!r}: {said}")
