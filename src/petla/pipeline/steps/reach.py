"""Which of the project's own code a function reaches, and the hash of it.

Over-careful rather than clever: a name counts wherever it is read, everything a reached module runs on import counts,
and a module that is used as a value counts as a whole. NOTE: what is found only by running (`getattr`, `importlib`,
files that the code itself reads) is not seen.
"""

import ast
from collections.abc import Iterator

import msgspec

from petla.core.digests import digest_bytes
from petla.pipeline.steps.source import AnyFunction, ModuleSource, SourceTree, is_third_party

# what a module runs on import, beside its definitions
_LOOSE = "<import>"
# a name, and the attributes read from it
_Chain = tuple[str, ...]
# module and the name in it
_Place = tuple[str, str]


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of the project that a function can run."""

    # `module:name` -> hash of its normalised source
    code: dict[str, str]
    # installed modules that the reached modules import, top names
    packages: frozenset[str]
    # the project's own modules among the reached ones
    modules: frozenset[str]


class CodeReader:
    """Follows names through the modules of a project; each definition is read once.

    Args:
        tree: the modules.
    """

    def __init__(self, tree: SourceTree) -> None:
        self._tree = tree
        self._known: dict[_Place, tuple[str, frozenset[_Place]]] = {}

    def reach(self, name: str) -> Reach:
        """Follow a function of the pipeline's module.

        Raises:
            UserCodeError: a module on the way has a syntax error.
        """
        seen: set[_Place] = set()
        waiting: list[_Place] = [(self._tree.main.name, name)]
        while waiting:
            place = waiting.pop()
            if place not in seen:
                seen.add(place)
                waiting.extend(self._read(place)[1])
        modules = frozenset(module for module, _ in seen)
        return Reach(
            code={f"{module}:{each}": self._read((module, each))[0] for module, each in sorted(seen)},
            packages=frozenset(top for module in modules for top in self._list_packages(module)),
            modules=modules,
        )

    def _read(self, place: _Place) -> tuple[str, frozenset[_Place]]:
        if place not in self._known:
            module = self._tree.get(place[0])
            statements = module.loose if place[1] == _LOOSE else module.definitions[place[1]]
            dump = "\n".join(_normalise(statement) for statement in statements)
            chains = {chain for statement in statements for chain in _list_chains(statement)}
            places = {each for chain in chains for each in self._resolve(module, chain, frozenset())}
            self._known[place] = digest_bytes(dump.encode()), frozenset(places | set(self._list_imported(module)))
        return self._known[place]

    def _list_imported(self, module: ModuleSource) -> Iterator[_Place]:
        """The code that runs when the module is imported: its own, that of its packages and of what it imports."""
        parts = module.name.split(".")
        packages = {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
        for name in packages | module.mentioned:
            if self._tree.find(name) is not None:
                yield name, _LOOSE

    def _resolve(self, module: ModuleSource, chain: _Chain, seen: frozenset[_Place]) -> Iterator[_Place]:
        """Find the definitions behind a name and the attributes read from it."""
        name, attributes = chain[0], chain[1:]
        if (module.name, name) in seen:
            return
        seen |= {(module.name, name)}
        if name in module.definitions:
            yield module.name, name
        if name in module.imports:
            target = module.imports[name]
            yield from self._enter(target.module, (*([target.name] if target.name else []), *attributes), seen)
        elif name not in module.definitions:
            for star in module.stars:
                if (found := self._tree.find(star)) is not None:
                    yield from self._resolve(found, chain, seen)

    def _enter(self, name: str, chain: _Chain, seen: frozenset[_Place]) -> Iterator[_Place]:
        """Find the definitions behind attributes read from a module."""
        if not self._tree.has(name.partition(".")[0]):
            return
        if chain and self._tree.find(f"{name}.{chain[0]}") is not None:
            yield from self._enter(f"{name}.{chain[0]}", chain[1:], seen)
            return
        module = self._tree.find(name)
        if module is None:
            return
        if chain:
            yield from self._resolve(module, chain, seen)
        else:
            yield from ((name, each) for each in module.definitions)

    def _list_packages(self, name: str) -> Iterator[str]:
        module = self._tree.find(name)
        for mentioned in module.mentioned if module else ():
            top = mentioned.partition(".")[0]
            if top and self._tree.find(top) is None and is_third_party(top):
                yield top


def _normalise(statement: ast.stmt) -> str:
    """Write a statement without comments, positions and docstrings."""
    for node in ast.walk(statement):
        if isinstance(node, AnyFunction | ast.ClassDef) and ast.get_docstring(node, clean=False) is not None:
            node.body[:] = node.body[1:] or [ast.Pass()]
    return ast.dump(statement)


def _list_chains(statement: ast.stmt) -> Iterator[_Chain]:
    if not isinstance(statement, AnyFunction):
        yield from _read_names(statement)
        return
    arguments = statement.args
    own = {arg.arg for arg in ast.walk(arguments) if isinstance(arg, ast.arg)}
    for outer in (*statement.decorator_list, arguments, *([statement.returns] if statement.returns else [])):
        yield from _read_names(outer)
    for inner in statement.body:
        yield from (chain for chain in _read_names(inner) if chain[0] not in own)


def _read_names(node: ast.AST) -> Iterator[_Chain]:
    match node:
        case ast.Name(ctx=ast.Load()):
            yield (node.id,)
        case ast.Attribute():
            attributes = [node.attr]
            value = node.value
            while isinstance(value, ast.Attribute):
                attributes.append(value.attr)
                value = value.value
            if isinstance(value, ast.Name):
                yield (value.id, *reversed(attributes))
            else:
                yield from _read_names(value)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _read_names(child)
