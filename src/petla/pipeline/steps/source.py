"""The modules of a project, parsed and never imported: what they define, what they import, what else they run."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from petla.core.errors import InvalidError, NotFoundError, UserCodeError
from petla.pipeline.steps.effects import Imported, acts_on_import, list_calls
from petla.pipeline.steps.locations import find_own_places, list_search_paths

AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef


class ModuleSource(msgspec.Struct, frozen=True, kw_only=True):
    """One module of the project."""

    # as other modules import it
    name: str
    path: Path
    content: bytes
    # top-level name -> the statements that bind it
    definitions: dict[str, tuple[ast.stmt, ...]]
    # top-level statements that do something on import; those that bind names are among the definitions too
    loose: tuple[ast.stmt, ...]
    # imported name -> all that it stands for, in this function or that, in this arm of a `try` or the other
    imports: dict[str, tuple[Imported, ...]]
    # modules whose every name is imported
    stars: tuple[str, ...]
    # every module that is imported anywhere in it, by full name
    mentioned: frozenset[str]

    @property
    def statements(self) -> list[ast.stmt]:
        """Everything at the top level but imports; what is a definition and acts on import comes twice."""
        return [*(node for nodes in self.definitions.values() for node in nodes), *self.loose]

    @property
    def functions(self) -> tuple[AnyFunction, ...]:
        """The functions at the top level."""
        each = (node for nodes in self.definitions.values() for node in nodes)
        return tuple(node for node in each if isinstance(node, AnyFunction))


class CodeFile(msgspec.Struct, frozen=True):
    """One module of the project as it was planned."""

    path: Path
    content: bytes


class ProjectCode(msgspec.Struct, frozen=True, kw_only=True):
    """The code of one pipeline as it was planned."""

    folder: Path
    # full name of the pipeline's module
    main: str
    # what goes in front of sys.path
    import_paths: tuple[Path, ...]
    # full name -> module, those that the steps reach
    files: dict[str, CodeFile]


class SourceTree:
    """The modules of the user's own that one pipeline can import.

    Args:
        folder: the folder that holds the code.
        module: path of the pipeline's module, relative to it.
        original: the project's folder, where `folder` is a checkout of one of its commits; None: it is none.

    Raises:
        NotFoundError: the pipeline's module does not exist.
        InvalidError: it is no Python module, such as a notebook.
        UserCodeError: it has a syntax error.
    """

    def __init__(self, folder: Path, module: str, original: Path | None = None) -> None:
        path = (folder / module).resolve()
        _require_module(path, module)
        self.folder = folder
        self._original = original or folder
        home = _home_of(path)
        # what goes in front of sys.path
        self.import_paths = tuple(dict.fromkeys((home, folder, *list_search_paths(folder, self._original))))
        self._modules: dict[str, ModuleSource | None] = {}
        self._places: dict[str, tuple[Path, ...]] = {}
        name = ".".join(path.relative_to(home).with_suffix("").parts)
        self.main = self._modules[name] = _parse(name, path, folder)

    def find(self, name: str) -> ModuleSource | None:
        """Return a module of the user's own by its full name, or None if there is none of that name."""
        if name not in self._modules:
            path = self.locate(name)
            self._modules[name] = None if path is None else _parse(name, path, self.folder)
        return self._modules[name]

    def get(self, name: str) -> ModuleSource:
        """Return a module that `find` has found before."""
        module = self.find(name)
        if module is None:
            raise ValueError(f"the project has no module {name}")
        return module

    def has(self, top: str) -> bool:
        """Whether a top-level name can be the user's own: a file, or a folder with or without `__init__.py`."""
        is_near = any((path / f"{top}.py").is_file() or (path / top).is_dir() for path in self.import_paths)
        return is_near or bool(self._find_places(top))

    def locate(self, name: str) -> Path | None:
        """Return where a module of the user's own lies, unread."""
        stem = name.replace(".", "/")
        for folder in self.import_paths if name else ():
            for each in (folder / stem / "__init__.py", folder / f"{stem}.py"):
                if each.is_file():
                    return each
        top, _, rest = stem.partition("/")
        for place in self._find_places(top):
            found = (place / rest / "__init__.py", place / f"{rest}.py") if rest else (place / "__init__.py", place)
            if path := next((each for each in found if each.is_file()), None):
                return path
        return None

    def _find_places(self, top: str) -> tuple[Path, ...]:
        if top not in self._places:
            self._places[top] = find_own_places(top, self.folder, self._original) if top else ()
        return self._places[top]


def is_third_party(name: str) -> bool:
    """Whether a module that the project does not have must come from an installed package."""
    return name.partition(".")[0] not in sys.stdlib_module_names


def _home_of(path: Path) -> Path:
    """The folder from which the module is imported: the first above it that is no package."""
    home = path.parent
    while (home / "__init__.py").is_file():
        home = home.parent
    return home


def _require_module(path: Path, module: str) -> None:
    if not path.is_file():
        raise NotFoundError(
            f"the pipeline's module {path} does not exist",
            hint="write it, or correct 'pipeline' in petla.toml",
            field="pipeline",
        )
    if path.suffix == ".ipynb":
        raise InvalidError(
            f"the pipeline {module} is a notebook, but must be a Python module",
            hint=f"export it with 'jupyter nbconvert --to script {module}' and set 'pipeline' in petla.toml",
            field="pipeline",
        )
    if path.suffix != ".py":
        raise InvalidError(
            f"the pipeline {module} must be a Python module, a file whose name ends in .py",
            hint="correct 'pipeline' in petla.toml",
            field="pipeline",
        )


def _parse(name: str, path: Path, folder: Path) -> ModuleSource:
    content = path.read_bytes()
    try:
        tree = ast.parse(content, filename=str(path))
    except (SyntaxError, ValueError) as error:
        raise _unreadable(error, path.relative_to(folder) if path.is_relative_to(folder) else path) from error
    _drop_docstrings(tree)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imports, stars, mentioned = _list_imports(tree, package)
    definitions: dict[str, tuple[ast.stmt, ...]] = {}
    loose = []
    for statement in tree.body:
        for each in _list_bound(statement):
            definitions[each] = (*definitions.get(each, ()), statement)
        if acts_on_import(statement, imports):
            loose.append(statement)
    return ModuleSource(
        name=name,
        path=path,
        content=content,
        definitions=definitions,
        loose=tuple(loose),
        imports=imports,
        stars=stars,
        mentioned=mentioned,
    )


def _drop_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, AnyFunction | ast.ClassDef) and ast.get_docstring(node, clean=False) is not None:
            node.body[:] = node.body[1:] or [ast.Pass()]


def _unreadable(error: SyntaxError | ValueError, path: Path) -> UserCodeError:
    import traceback

    line = getattr(error, "lineno", None)
    where = f"{path}, line {line}" if line else str(path)
    return UserCodeError(
        f"{where}: {getattr(error, 'msg', None) or error}",
        traceback="".join(traceback.format_exception_only(error)),
        hint="correct it and run the same command again",
        field=str(path),
    )


def _list_bound(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield statement.name
        case ast.Assign():
            for target in statement.targets:
                yield from _list_targets(target)
        case ast.AnnAssign() | ast.AugAssign():
            yield from _list_targets(statement.target)


def _list_targets(target: ast.expr) -> Iterator[str]:
    match target:
        case ast.Name():
            yield target.id
        case ast.Tuple() | ast.List():
            for each in target.elts:
                yield from _list_targets(each)
        case ast.Starred():
            yield from _list_targets(target.value)


def _list_imports(
    tree: ast.Module, package: str
) -> tuple[dict[str, tuple[Imported, ...]], tuple[str, ...], frozenset[str]]:
    found: dict[str, dict[Imported, None]] = {}
    stars, mentioned = [], set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                mentioned.add(each.name)
                local = each.asname or each.name.partition(".")[0]
                found.setdefault(local, {})[Imported(each.name if each.asname else local)] = None
        elif isinstance(node, ast.ImportFrom):
            module = _full_name("." * node.level + (node.module or ""), package)
            mentioned.add(module)
            for each in node.names:
                if each.name == "*":
                    stars.append(module)
                else:
                    # it may be a module, imported for what it does
                    mentioned.add(f"{module}.{each.name}")
                    found.setdefault(each.asname or each.name, {})[Imported(module, each.name)] = None
    for called, literal in _list_called_imports(tree):
        mentioned.add(_full_name(literal, package))
        found.setdefault(called, {})[Imported(_full_name(literal, package))] = None
    return {name: tuple(each) for name, each in found.items()}, tuple(stars), frozenset(mentioned)


def _list_called_imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Find `importlib.import_module("name")` and its like: the first name of the call, and the module.

    That first name then stands for the module as well, so that whoever calls it reaches the whole module.
    """
    for call in list_calls(tree):
        name = ast.unparse(call.func)
        is_import = name == "__import__" or name.endswith("import_module")
        if is_import and call.args and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str):
            yield name.partition(".")[0], call.args[0].value


def _full_name(name: str, package: str) -> str:
    """Return a module's full name; dots at its begin lead up from the package, as in `from ..part import x`."""
    rest = name.lstrip(".")
    level = len(name) - len(rest)
    if not level:
        return name
    parts = package.split(".") if package else []
    return ".".join([*parts[: len(parts) - level + 1], *([rest] if rest else [])])
