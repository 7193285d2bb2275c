"""Imports a project's code: exactly the bytes that the plan has read, and without leaving a trace in this process."""

import contextlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import CodeType, ModuleType

from petla.pipeline.execution.user_code import guarded
from petla.pipeline.steps.locations import is_installed, is_own_file
from petla.pipeline.steps.source import CodeFile, ProjectCode

_PRIVATE = "_petla_pipeline"


@contextlib.contextmanager
def imported(code: ProjectCode) -> Iterator[Callable[[], ModuleType]]:
    """Let the project's modules be imported in this block; afterwards this process knows nothing of them.

    Yields:
        A function that imports the pipeline's module, once, and returns it.

    Raises:
        UserCodeError: from that function: the module raised something on import.
    """
    finder = _Finder(code)
    paths = [str(path) for path in code.import_paths]
    kept_path, kept_bytecode = sys.path[:], sys.dont_write_bytecode
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_hidden(name, code)}
    known = set(sys.modules)
    loaded: list[ModuleType] = []

    def load() -> ModuleType:
        if not loaded:
            loaded.append(_load_main(code, finder))
        return loaded[0]

    sys.path[:0] = paths
    sys.meta_path.insert(0, finder)
    sys.dont_write_bytecode = True
    try:
        yield load
    finally:
        sys.meta_path.remove(finder)
        sys.path[:], sys.dont_write_bytecode = kept_path, kept_bytecode
        for name in set(_list_own(code)) - known:
            del sys.modules[name]
        sys.modules.update(hidden)


@contextlib.contextmanager
def pickled_by_value(code: ProjectCode) -> Iterator[None]:
    """Let pickles carry the project's own classes and functions, since nobody else can import them."""
    try:
        import cloudpickle
    except ImportError:
        yield
        return
    # by their own names: one module may be known by several
    named = {sys.modules[name].__name__: sys.modules[name] for name in _list_own(code)}
    own = [module for name, module in named.items() if sys.modules.get(name) is module]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles planned bytes; a stale `.pyc` or a file saved in the meantime plays no part."""

    def __init__(self, name: str, file: CodeFile) -> None:
        super().__init__(name, str(file.path))
        self._content = file.content

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self._content, self.get_filename(fullname))


class _Finder(MetaPathFinder):
    """Finds the planned modules before anything else does."""

    def __init__(self, code: ProjectCode) -> None:
        self._files: Mapping[str, CodeFile] = code.files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        del path, target
        return self.make_spec(fullname, fullname) if fullname in self._files else None

    def make_spec(self, name: str, alias: str) -> importlib.machinery.ModuleSpec:
        file = self._files[name]
        spec = importlib.util.spec_from_file_location(alias, file.path, loader=_Loader(alias, file))
        if spec is None:
            raise ImportError(f"{file.path} cannot be imported", name=name)
        return spec


def _load_main(code: ProjectCode, finder: _Finder) -> ModuleType:
    package = code.main.rpartition(".")[0]
    alias = f"{package}.{_PRIVATE}" if package else _PRIVATE
    with guarded(f"importing {code.files[code.main].path.name}", code.folder, field=code.main):
        if package:
            importlib.import_module(package)
        spec = finder.make_spec(code.main, alias)
        module = importlib.util.module_from_spec(spec)
        sys.modules[alias] = module
        _Loader(alias, code.files[code.main]).exec_module(module)
    return module


def _is_hidden(name: str, code: ProjectCode) -> bool:
    """Whether a module of this process stands in the way of one of the project's."""
    tops = {each.partition(".")[0] for each in code.files}
    return name.partition(".")[0] in tops


def _list_own(code: ProjectCode) -> list[str]:
    """Return the names of the modules of this process that are the user's own; the program that runs is not."""
    tops = {each.partition(".")[0] for each in code.files}
    return [
        name
        for name, module in list(sys.modules.items())
        if name not in {"__main__", "__mp_main__"}
        and (name.endswith(_PRIVATE) or name in code.files or _is_own(name, _file_of(module), tops, code.folder))
    ]


def _is_own(name: str, file: str, tops: set[str], folder: Path) -> bool:
    if name.partition(".")[0] in tops:  # it may lie outside of the project's folder
        return bool(file) and not is_installed(Path(file).resolve(), folder)
    return is_own_file(file, folder)


def _file_of(module: ModuleType) -> str:
    # NOTE: no getattr: some modules answer it by importing half of their package.
    return vars(module).get("__file__") or "" if type(module) is ModuleType else ""
