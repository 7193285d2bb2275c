"""The files that code names by a text: rules, word lists and settings that lie beside a module or in the project."""

import ast
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from petla.core.digests import digest_bytes, digest_value
from petla.pipeline.steps.effects import list_calls
from petla.pipeline.steps.source import ModuleSource, SourceTree

# A larger file is known by its size and time of change, so that a run with nothing changed stays fast.
_READ_BYTES = 16 << 20
_LONGEST_NAME = 255
# folders within folders that a module puts a path together from
_DEPTH = 3
# calls whose arguments are written to, by the first word of their name
_WRITING = frozenset({"dump", "export", "save", "savefig", "savetxt", "write"})
_WRITERS_OF_PANDAS = frozenset({"to_csv", "to_excel", "to_feather", "to_html", "to_json", "to_parquet", "to_pickle"})
# calls that write to what they are called on
_WRITTEN_ON = frozenset({"write_text", "write_bytes", "touch", "unlink"})


class FileReader:
    """Finds the files that texts in the code name.

    A text counts if a file of that name lies beside the module, in the project's folder, or in a folder there that
    the same module names (also as a package, for `importlib.resources`). A file that is only written does not count:
    neither a text in a call such as `frame.write_csv("x.csv")`, nor a constant that is used in one.

    Args:
        tree: the modules.
    """

    def __init__(self, tree: SourceTree) -> None:
        self._tree = tree
        self._folders: dict[str, list[Path]] = {}
        self._written: dict[str, set[int]] = {}

    def list_digests(self, module: ModuleSource, statements: Iterable[ast.stmt]) -> list[str]:
        """Return a line for every file that some statements of a module name: its name and the hash of its content."""
        if module.name not in self._written:
            self._written[module.name] = _list_written(module)
        written = self._written[module.name]
        texts = {text for statement in statements for text in _texts(statement, written)}
        if not texts:
            return []
        if module.name not in self._folders:
            self._folders[module.name] = self._list_folders(module)
        candidates = {folder / text for folder in self._folders[module.name] for text in texts}
        return sorted(f"{path.name}: {_digest(path)}" for path in candidates if _exists(path.is_file))

    def _list_folders(self, module: ModuleSource) -> list[Path]:
        folders = dict.fromkeys((module.path.parent, self._tree.folder))
        texts = {text for node in module.statements for text in _texts(node)}
        for text in texts:
            if text.replace(".", "").isidentifier() and (package := self._tree.locate(text)) is not None:
                folders[package.parent] = None
        for _ in range(_DEPTH):
            deeper = [folder / text for folder in folders for text in texts]
            folders |= dict.fromkeys(each for each in deeper if _exists(each.is_dir))
        return list(folders)


def _list_written(module: ModuleSource) -> set[int]:
    """Return the nodes of a module that say where something is written to, with the constants that they name."""
    places = [each for node in module.statements for call in list_calls(node) for each in _list_targets(call)]
    names = {node.id for each in places for node in ast.walk(each) if isinstance(node, ast.Name)}
    constants = [node for node in module.statements if isinstance(node, ast.Assign)]
    places.extend(
        node.value for node in constants if any(isinstance(t, ast.Name) and t.id in names for t in node.targets)
    )
    return {id(node) for each in places for node in ast.walk(each)}


def _texts(node: ast.AST, ignored: Collection[int] = ()) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and id(each) not in ignored:
            text = each.value
            if 0 < len(text) <= _LONGEST_NAME and text.isprintable() and text.strip("./ "):
                yield text


def _list_targets(call: ast.Call) -> list[ast.expr]:
    """Return the parts of a call that name what it writes to."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    if name in _WRITTEN_ON:
        return [call.func]
    if name == "open":
        modes = {each.value for each in arguments if isinstance(each, ast.Constant) and isinstance(each.value, str)}
        return [call.func, *arguments] if any(mode.strip("bt+") in {"w", "a", "x"} for mode in modes) else []
    return arguments if name in _WRITERS_OF_PANDAS or name.partition("_")[0] in _WRITING else []


def _exists(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError:  # such as a name that is too long
        return False


def _digest(path: Path) -> str:
    try:
        status = path.stat()
        if status.st_size > _READ_BYTES:
            return digest_value([status.st_size, status.st_mtime_ns])
        return digest_bytes(path.read_bytes())
    except OSError:
        return "unreadable"
