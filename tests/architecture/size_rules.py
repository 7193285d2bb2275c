"""How large a file, a function and a signature may grow."""

import ast
from collections.abc import Iterator

from tests.architecture.source import AnyFunction, Source, list_functions

FILE_LINES = 400
FUNCTION_LINES = 40
PARAMETERS = 6


def file_length(source: Source) -> Iterator[str]:
    n_lines = len(source.text.splitlines())
    if n_lines > FILE_LINES:
        yield f"{source.path}: {n_lines} lines, at most {FILE_LINES}"


def function_length(source: Source) -> Iterator[str]:
    for function in list_functions(source.tree):
        n_lines = _count_lines(function)
        if n_lines > FUNCTION_LINES:
            yield source.at(function, f"{function.name}: {n_lines} lines, at most {FUNCTION_LINES}")


def parameter_count(source: Source) -> Iterator[str]:
    for function in list_functions(source.tree):
        names = [each.arg for each in _list_parameters(function)]
        n_own = len(names) - (names[:1] in (["self"], ["cls"]))
        if n_own > PARAMETERS:
            yield source.at(function, f"{function.name}: {n_own} parameters, at most {PARAMETERS}")


def _count_lines(function: AnyFunction) -> int:
    """Lines from `def` to the end, without the docstring: explaining more must not cost code."""
    first = function.body[0]
    is_docstring = ast.get_docstring(function) is not None
    return _span(function) - (_span(first) if is_docstring else 0)


def _span(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _list_parameters(function: AnyFunction) -> list[ast.arg]:
    arguments = function.args
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
