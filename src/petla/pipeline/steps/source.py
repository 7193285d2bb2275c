"""The modules of a project, parsed and never imported: what they define, what they import, what else they run."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from petla.core.errors import NotFoundError, UserCodeError

AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef


class Imported(msgspec.Struct, frozen=True):
    """What an imported name stands for."""

    module: str
    # the name within the module; empty: the module itself
    name: str = ""


class ModuleSource(msgspec.Struct, frozen=True, kw_only=True):
    """One module of the project."""

    # as other modules import it
    name: str
    path: Path
    content: bytes
    # top-level name -> the statements that bind it
    definitions: dict[str, tuple[ast.stmt, ...]]
    # top-level statements that run on import and bind nothing that `definitions` has
    loose: tuple[ast.stmt, ...]
    # imported name -> what it stands for
    imports: dict[str, Imported]
    # modules whose every name is imported
    stars: tuple[str, ...]
    # every module that is imported anywhere in it, by full name
    mentioned: frozenset[str]

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
    """The modules of a project that one pipeline can import from the project's folder.

    Args:
        folder: the folder that holds the code.
        module: path of the pipeline's module, relative to it.

    Raises:
        NotFoundError: the pipeline's module does not exist.
        UserCodeError: it has a syntax error.
    """

    def __init__(self, folder: Path, module: str) -> None:
        path = folder / module
        if not path.is_file():
            raise NotFoundError(
                f"the pipeline's module {path} does not exist",
                hint="write it, or correct 'pipeline' in petla.toml",
                field="pipeline",
            )
        self.folder = folder
        home = _home_of(path)
        # what goes in front of sys.path
        self.import_paths = tuple(dict.fromkeys((home, folder)))
        self._modules: dict[str, ModuleSource | None] = {}
        name = ".".join(path.relative_to(home).with_suffix("").parts)
        self.main = self._modules[name] = _parse(name, path, folder)

    def find(self, name: str) -> ModuleSource | None:
        """Return a module of the project by its full name, or None if the project has none of that name."""
        if name not in self._modules:
            path = self._locate(name)
            self._modules[name] = None if path is None else _parse(name, path, self.folder)
        return self._modules[name]

    def get(self, name: str) -> ModuleSource:
        """Return a module that `find` has found before."""
        module = self.find(name)
        if module is None:
            raise ValueError(f"the project has no module {name}")
        return module

    def has(self, top: str) -> bool:
        """Whether a top-level name can be the project's own: a file, or a folder with or without `__init__.py`."""
        return any((path / f"{top}.py").is_file() or (path / top).is_dir() for path in self.import_paths)

    def _locate(self, name: str) -> Path | None:
        stem = name.replace(".", "/")
        for folder in self.import_paths if name else ():
            for path in (folder / f"{stem}.py", folder / stem / "__init__.py"):
                if path.is_file():
                    return path
        return None


def is_third_party(name: str) -> bool:
    """Whether a module that the project does not have must come from an installed package."""
    return name.partition(".")[0] not in sys.stdlib_module_names


def _home_of(path: Path) -> Path:
    """The folder from which the module is imported: the first above it that is no package."""
    home = path.parent
    while (home / "__init__.py").is_file():
        home = home.parent
    return home


def _parse(name: str, path: Path, folder: Path) -> ModuleSource:
    content = path.read_bytes()
    try:
        tree = ast.parse(content, filename=str(path))
    except (SyntaxError, ValueError) as error:
        raise _unreadable(error, path.relative_to(folder)) from error
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    definitions: dict[str, tuple[ast.stmt, ...]] = {}
    loose = []
    for statement in tree.body:
        names = list(_list_bound(statement))
        for each in names:
            definitions[each] = (*definitions.get(each, ()), statement)
        if not names and not _is_idle(statement):
            loose.append(statement)
    imports, stars, mentioned = _list_imports(tree, package)
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


def _is_idle(statement: ast.stmt) -> bool:
    """Whether a statement has no effect on what the functions do."""
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Pass():
            return True
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
            return True
    return False


def _list_imports(tree: ast.Module, package: str) -> tuple[dict[str, Imported], tuple[str, ...], frozenset[str]]:
    imports: dict[str, Imported] = {}
    stars, mentioned = [], set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                mentioned.add(each.name)
                local = each.asname or each.name.partition(".")[0]
                imports[local] = Imported(each.name if each.asname else local)
        elif isinstance(node, ast.ImportFrom):
            module = _full_name(node, package)
            mentioned.add(module)
            for each in node.names:
                if each.name == "*":
                    stars.append(module)
                else:
                    imports[each.asname or each.name] = Imported(module, each.name)
    return imports, tuple(stars), frozenset(mentioned)


def _full_name(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".") if package else []
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])
