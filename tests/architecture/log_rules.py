"""How events are logged: a constant name, everything else a field."""

import ast
import re
from collections.abc import Iterator

from tests.architecture.source import Source

LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
EVENT = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
# Past forms that do not end in -ed.
IRREGULAR = {
    *(
        "begun",
        "bound",
        "broken",
        "built",
        "caught",
        "cut",
        "drawn",
        "fallen",
        "forgotten",
        "found",
    ),
    *("gone", "held", "kept", "left", "lost", "made", "met", "overrun", "put", "read", "reset"),
    *("run", "sent", "set", "shut", "split", "stuck", "swept", "taken", "torn", "withdrawn"),
    *("written", "won"),
}


def log_events(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if not (isinstance(node, ast.Call) and _is_log_call(node.func)):
            continue
        fault = _find_fault(node.args[1:] if ast.unparse(node.func).endswith(".log") else node.args)
        if fault:
            yield source.at(node, fault)


def _is_log_call(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and function.attr in LEVELS
        and ast.unparse(function.value).split(".")[-1].strip("_") in {"logger", "log", "logging"}
    )


def _find_fault(arguments: list[ast.expr]) -> str:
    message = arguments[0] if arguments else None
    if not (isinstance(message, ast.Constant) and isinstance(message.value, str)):
        return "the message is not a constant string"
    if len(arguments) > 1:
        return f"{message.value!r} takes arguments; they belong into extra={{...}}"
    if not EVENT.fullmatch(message.value) or not _has_past_verb(message.value):
        return f"{message.value!r} is not noun.past_verb"
    return ""


def _has_past_verb(event: str) -> bool:
    words = event.rsplit(".", 1)[-1].split("_")
    return any(word.endswith("ed") or word in IRREGULAR for word in words)
