"""What is imported is declared, and the core imports nothing that only an extra brings."""

import ast
import functools
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import packages_distributions

from tests.architecture.source import PACKAGE, ROOT, list_sources

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# extras that a user may install; `dev` is not one of them
USER_EXTRAS = sorted(PROJECT["optional-dependencies"].keys() - {"dev"})


def test_what_a_module_imports_at_its_head_is_in_the_core() -> None:
    core = _list_declared(PROJECT["dependencies"])

    offenders = [
        source.at(node, f"{name} is not in the core; import it where it is used")
        for source in list_sources(PACKAGE)
        for node, name in _list_foreign_imports(source.tree.body)
        if not _bring(name) & core
    ]

    assert not offenders, "\n" + "\n".join(offenders)


def test_what_is_imported_anywhere_is_declared() -> None:
    extras = [line for extra in USER_EXTRAS for line in PROJECT["optional-dependencies"][extra]]
    declared = _list_declared(PROJECT["dependencies"] + extras)

    offenders = [
        source.at(node, f"{name} is not declared in pyproject.toml")
        for source in list_sources(PACKAGE)
        for node, name in _list_foreign_imports(ast.walk(source.tree))
        if not _bring(name) & declared
    ]

    assert not offenders, "\n" + "\n".join(offenders)


def test_every_declared_dependency_is_pinned() -> None:
    pinned = _list_declared((ROOT / "constraints.txt").read_text("utf-8").splitlines())
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]

    missing = set().union(*map(_list_declared, groups)) - pinned

    assert not missing, f"not in constraints.txt: {sorted(missing)}; next: make lock"


def _list_foreign_imports(nodes: Iterable[ast.AST]) -> Iterator[tuple[ast.AST, str]]:
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        tops = {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"petla"}
        yield from ((node, top) for top in sorted(tops))


def _bring(module: str) -> set[str]:
    """The distributions that bring a module."""
    return {_normalise(name) for name in _list_distributions().get(module, [module])}


@functools.cache
def _list_distributions() -> Mapping[str, list[str]]:
    # reads the record of every installed package: a second or more
    return packages_distributions()


def _list_declared(requirements: list[str]) -> set[str]:
    matches = (re.match(r"[A-Za-z0-9][\w.-]*", line) for line in requirements)
    return {_normalise(match[0]) for match in matches if match}


def _normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
