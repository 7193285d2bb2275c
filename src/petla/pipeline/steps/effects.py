"""What a module does when it is imported, beside defining functions and constants.

In doubt a statement does something: then the steps run again when it changes, which costs time and no correctness.
"""

import ast
import builtins
from collections.abc import Iterator, Mapping

import msgspec


class Imported(msgspec.Struct, frozen=True):
    """What an imported name stands for."""

    module: str
    # the name within the module; empty: the module itself
    name: str = ""

    @property
    def full_name(self) -> str:
        """The name with that of its module."""
        return f"{self.module}.{self.name}" if self.name else self.module


Imports = Mapping[str, tuple[Imported, ...]]

# decorators and bases that only give back what they were given
_HARMLESS = frozenset(
    {
        *("abc.ABC", "abc.abstractmethod", "contextlib.contextmanager", "dataclasses.dataclass"),
        *("enum.Enum", "enum.IntEnum", "enum.StrEnum", "functools.cache", "functools.cached_property"),
        *("functools.lru_cache", "functools.total_ordering", "functools.wraps"),
        *("typing.Generic", "typing.NamedTuple", "typing.Protocol", "typing.TypedDict", "typing.final"),
        *("typing.overload", "typing.override"),
        *("sklearn.base.BaseEstimator", "sklearn.base.ClassifierMixin", "sklearn.base.RegressorMixin"),
        *("sklearn.base.TransformerMixin", "sklearn.base.OneToOneFeatureMixin"),
    }
)


def acts_on_import(statement: ast.stmt, imports: Imports) -> bool:
    """Whether a statement at the top of a module, or of a class, does more than define."""
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Expr(value=ast.Constant()):
            return False
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()]), orelse=[]):
            return False
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            outer = [statement.args, *filter(None, [statement.returns])]
            return any(map(_runs, outer)) or not _are_harmless(statement.decorator_list, imports)
        case ast.ClassDef():
            used = [*statement.decorator_list, *statement.bases]
            acts = (acts_on_import(each, imports) for each in statement.body)
            return bool(statement.keywords) or not _are_harmless(used, imports) or any(acts)
        case ast.Assign():
            return not all(map(_is_plain_target, statement.targets)) or _runs(statement.value)
        case ast.AnnAssign():
            value = statement.value
            return not _is_plain_target(statement.target) or (value is not None and _runs(value))
    return True


def _are_harmless(used: list[ast.expr], imports: Imports) -> bool:
    return all(_is_harmless(each, imports) for each in used)


def _is_harmless(node: ast.expr, imports: Imports) -> bool:
    match node:
        case ast.Call():
            return _is_harmless(node.func, imports) and not any(map(_runs, node.args))
        case ast.Subscript():
            return _is_harmless(node.value, imports)
        case ast.Name() if node.id not in imports:
            kind = getattr(builtins, node.id, None)
            is_error = isinstance(kind, type) and issubclass(kind, BaseException)
            return is_error or node.id in {"object", "property", "staticmethod", "classmethod"}
        case ast.Name() | ast.Attribute():
            first, _, rest = ast.unparse(node).partition(".")
            names = {".".join(filter(None, (each.full_name, rest))) for each in imports.get(first, ())}
            return bool(names) and names <= _HARMLESS
    return False


def _runs(node: ast.AST) -> bool:
    """Whether evaluating an expression calls something; the body of a lambda does not run."""
    if isinstance(node, ast.Lambda):
        return _runs(node.args)
    if isinstance(node, ast.Call | ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom):
        return True
    return any(map(_runs, ast.iter_child_nodes(node)))


def _is_plain_target(target: ast.expr) -> bool:
    if isinstance(target, ast.Tuple | ast.List):
        return all(map(_is_plain_target, target.elts))
    return isinstance(target, ast.Name)


def list_calls(node: ast.AST) -> Iterator[ast.Call]:
    """Return the calls anywhere below a node."""
    return (each for each in ast.walk(node) if isinstance(each, ast.Call))
