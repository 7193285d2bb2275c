"""Where documentation, broad `except`, SQL, `async` and `print` may and must stand."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache

from tests.architecture.source import ROOT, Source, list_functions

ASYNC_ROOMS = {"serving", "api"}
PRINT_ROOMS = {"cli"}
# Use cases hand a connection on; they build no statement.
SQL_NAMES_ANYWHERE = {"Connection", "Engine"}
SQL_MODULES = {"sqlalchemy", "sqlite3", "psycopg", "alembic"}
SQL_START = re.compile(r"\s*(SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM|(CREATE|DROP) TABLE)\b")


def docstrings(source: Source) -> Iterator[str]:
    if ast.get_docstring(source.tree) is None:
        yield f"{source.path}: the module has no docstring"
    for node in source.tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if not node.name.startswith("_") and ast.get_docstring(node) is None:
            yield source.at(node, f"{node.name} has no docstring")


def broad_except(source: Source) -> Iterator[str]:
    """Everything may be caught at a border, or to be raised again after cleaning up."""
    if source.path.as_posix() in list_border_files():
        return
    for node in find_broad_handlers(source):
        yield source.at(node, "catches everything, and this file is no border")


def find_broad_handlers(source: Source) -> Iterator[ast.ExceptHandler]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and _is_broad(node) and not _raises_again(node):
            yield node


def statements_of_sql(source: Source) -> Iterator[str]:
    if source.room == "storage" or source.path.name == "records.py":
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (source.at(node, f"imports {name}") for name in _list_sql_imports(node))
        elif isinstance(node, ast.Constant) and SQL_START.match(str(node.value)):
            yield source.at(node, f"SQL outside records.py: {str(node.value).strip()[:40]!r}")


def async_functions(source: Source) -> Iterator[str]:
    if source.room in ASYNC_ROOMS:
        return
    for function in list_functions(source.tree):
        if isinstance(function, ast.AsyncFunctionDef):
            yield source.at(function, f"async def {function.name} outside {sorted(ASYNC_ROOMS)}")


def prints(source: Source) -> Iterator[str]:
    if source.room in PRINT_ROOMS:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print":
            yield source.at(node, "prints; only the command line does")


@cache
def list_border_files() -> frozenset[str]:
    """The files that ruff lets catch everything: one list, kept in pyproject.toml."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    per_file: dict[str, list[str]] = settings["tool"]["ruff"]["lint"]["per-file-ignores"]
    borders = (path for path, codes in per_file.items() if "BLE001" in codes)
    return frozenset(path.removeprefix("src/petla/") for path in borders)


def _is_broad(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(ast.unparse(each) in {"Exception", "BaseException"} for each in caught)


def _raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _list_sql_imports(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [each.name for each in node.names if each.name.split(".")[0] in SQL_MODULES]
    if (node.module or "").split(".")[0] not in SQL_MODULES:
        return []
    names = [each.name for each in node.names if each.name not in SQL_NAMES_ANYWHERE]
    return [f"{node.module}.{name}" for name in names]
