"""What the rules look at: our files, parsed once, and the questions every rule asks of them."""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "petla"

AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One Python file; `path` is relative to the folder it was listed from."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The room it stands in; empty for a file directly under the package."""
        return self.path.parts[0] if len(self.path.parts) > 1 else ""

    def at(self, node: ast.AST, what: str) -> str:
        """One line that leads to the fault."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {what}"


Rule = Callable[[Source], Iterator[str]]


def parse(path: str, text: str) -> Source:
    return Source(Path(path), text, ast.parse(text, filename=path))


@cache
def list_sources(folder: Path) -> tuple[Source, ...]:
    """Every Python file under the folder; never none, so that no rule passes by seeing nothing."""
    found = [path for path in sorted(folder.rglob("*.py")) if "__pycache__" not in path.parts]
    assert found, f"no Python file under {folder}"
    return tuple(parse(str(path.relative_to(folder)), path.read_text("utf-8")) for path in found)


def list_functions(tree: ast.AST) -> Iterator[AnyFunction]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def list_words(name: str) -> list[str]:
    """The lower-case words of a snake_case or CamelCase name.

    >>> list_words("_HTTPBaseHandler"), list_words("new_id")
    (['http', 'base', 'handler'], ['new', 'id'])
    """
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+\d*|\d+", name)]
