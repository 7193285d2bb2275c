"""Which names say too little, mislead, or belong to somebody else."""

import ast
import sys
from collections.abc import Iterator
from typing import TypeGuard

from tests.architecture.source import Source, list_words

# words that say nothing about what is inside
EMPTY_WORDS = {"utils", "helpers", "common", "misc", "base", "manager", "handler", "processor"}
EMPTY_WORDS |= {word.removesuffix("s") for word in EMPTY_WORDS} | {f"{w}s" for w in EMPTY_WORDS}
# words that date a name
DATED_WORDS = {"v2", "legacy"}
DATED_STARTS = {"new", "old"}


def banned_words(source: Source) -> Iterator[str]:
    for part in source.path.with_suffix("").parts:
        yield from (f"{source.path}: {fault}" for fault in _list_faults(part))
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from (source.at(node, fault) for fault in _list_faults(node.name))


def standard_module_hidden(source: Source) -> Iterator[str]:
    stem = source.path.stem
    if not stem.startswith("__") and stem in sys.stdlib_module_names:
        yield f"{source.path}: hides the standard module {stem!r}"


def private_name_imported(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom):
            names = [*(node.module or "").split("."), *(each.name for each in node.names)]
        elif isinstance(node, ast.Import):
            names = [part for each in node.names for part in each.name.split(".")]
        else:
            continue
        yield from (source.at(node, f"imports private {name}") for name in names if _private(name))


def error_name(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if is_error(node) and not node.name.endswith("Error"):
            yield source.at(node, f"error {node.name} does not end in 'Error'")


def is_error(node: ast.AST) -> TypeGuard[ast.ClassDef]:
    """Whether it is a class that derives from an exception, as far as names tell."""
    return isinstance(node, ast.ClassDef) and any(
        ast.unparse(parent).endswith(("Error", "Exception", "Warning")) for parent in node.bases
    )


def _list_faults(name: str) -> Iterator[str]:
    words = list_words(name)
    yield from (f"{name!r} has the banned word {word!r}" for word in words if _is_banned(word))
    if len(words) > 1 and words[0] in DATED_STARTS:
        yield f"{name!r} starts with {words[0]!r}, which will not stay true"


def _is_banned(word: str) -> bool:
    return word in EMPTY_WORDS or word in DATED_WORDS


def _private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")
