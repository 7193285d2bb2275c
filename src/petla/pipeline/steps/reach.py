"""Which of the project's own code a function reaches, and the hash of it.

Over-careful rather than clever: a name counts wherever it is read, everything a reached module runs on import counts,
a module that is used as a value counts as a whole, and so do the files that a reached text names.
NOTE: what is found only by running (environment variables, modules and files by a computed name) is not seen; where the
code shows that it does so, `Reach.unseen` says it.
"""

import ast
from collections.abc import Iterator

import msgspec

from petla.core.digests import digest_bytes
from petla.pipeline.steps.datafiles import FileReader
from petla.pipeline.steps.effects import list_calls
from petla.pipeline.steps.source import AnyFunction, ModuleSource, SourceTree, is_third_party

# what a module runs on import, beside its definitions
_LOOSE = "<import>"
# everything in a module, where nobody can say what of it is used
_WHOLE = "<all>"
# what can read any name of the module that calls it
_LOOKS_AROUND = frozenset({"globals", "locals", "vars", "eval", "exec", "sys.modules"})
_ENVIRONMENT = frozenset({"os.environ", "os.environb", "os.getenv", "os.getenvb"})
_COMPUTED = frozenset({"importlib.import_module", "__import__", "eval", "exec"})
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
    # what the code uses and no key can know, as sentences without a full stop
    unseen: frozenset[str]


class _Read(msgspec.Struct, frozen=True, kw_only=True):
    """One definition."""

    # hash of its normalised source, of what its imported names stand for, and of the files it names
    digest: str
    places: frozenset[_Place]
    unseen: frozenset[str]


class CodeReader:
    """Follows names through the modules of a project; each definition is read once.

    Args:
        tree: the modules.
    """

    def __init__(self, tree: SourceTree) -> None:
        self._tree = tree
        self._files = FileReader(tree)
        self._known: dict[_Place, _Read] = {}

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
                waiting.extend(self._read(place).places)
        modules = frozenset(module for module, _ in seen)
        return Reach(
            code={f"{module}:{each}": self._read((module, each)).digest for module, each in sorted(seen)},
            packages=frozenset(top for module in modules for top in self._list_packages(module)),
            modules=modules,
            unseen=frozenset(each for place in seen for each in self._read(place).unseen),
        )

    def _read(self, place: _Place) -> _Read:
        if place not in self._known:
            module = self._tree.get(place[0])
            self._known[place] = self._read_whole(module) if place[1] == _WHOLE else self._read_some(module, place[1])
        return self._known[place]

    def _read_some(self, module: ModuleSource, name: str) -> _Read:
        statements = module.loose if name == _LOOSE else module.definitions[name]
        chains = {chain for statement in statements for chain in _list_chains(statement)}
        places = {each for chain in chains for each in self._resolve(module, chain, frozenset())}
        if any(_LOOKS_AROUND & set(_list_full_names(module, chain)) for chain in chains):
            places.add((module.name, _WHOLE))
        bound = [f"{chain[0]}: {each.full_name}" for chain in chains for each in module.imports.get(chain[0], ())]
        files = self._files.list_digests(module, statements)
        lines = [*map(ast.dump, statements), *sorted(set(bound)), *files]
        return _Read(
            digest=digest_bytes("\n".join(lines).encode(errors="surrogatepass")),
            places=frozenset(places | set(self._list_imported(module))),
            unseen=frozenset(_list_unseen(module, statements, chains)),
        )

    def _read_whole(self, module: ModuleSource) -> _Read:
        names = module.definitions.keys() | module.imports.keys()
        places = {each for name in names for each in self._resolve(module, (name,), frozenset())}
        places |= {(star, _WHOLE) for star in module.stars if self._tree.find(star) is not None}
        return _Read(digest=_WHOLE, places=frozenset(places | set(self._list_imported(module))), unseen=frozenset())

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
        for target in module.imports.get(name, ()):
            yield from self._enter(target.module, (*([target.name] if target.name else []), *attributes), seen)
        if name not in module.imports and name not in module.definitions:
            for star in module.stars:
                if (found := self._tree.find(star)) is not None:
                    yield from self._resolve(found, chain, seen)

    def _enter(self, name: str, chain: _Chain, seen: frozenset[_Place]) -> Iterator[_Place]:
        """Find the definitions behind attributes read from a module."""
        if not self._tree.has(name.partition(".")[0]):
            return
        if chain and self._tree.find(f"{name}.{chain[0]}") is not None:
            yield from self._enter(f"{name}.{chain[0]}", chain[1:], seen)
        module = self._tree.find(name)
        if module is None:
            return
        if chain and (self._knows(module, chain[0]) or self._tree.find(f"{name}.{chain[0]}") is not None):
            yield from self._resolve(module, chain, seen)
        else:
            yield name, _WHOLE

    def _knows(self, module: ModuleSource, name: str, seen: frozenset[str] = frozenset()) -> bool:
        """Whether a module binds a name where reading can see it; a dunder name is there without that."""
        if name in module.definitions or name in module.imports or name.startswith("__"):
            return True
        found = [self._tree.find(star) for star in module.stars if star not in seen]
        return any(each is not None and self._knows(each, name, seen | {module.name}) for each in found)

    def _list_packages(self, name: str) -> Iterator[str]:
        module = self._tree.find(name)
        for mentioned in module.mentioned if module else ():
            top = mentioned.partition(".")[0]
            if top and self._tree.find(top) is None and is_third_party(top):
                yield top


def _list_full_names(module: ModuleSource, chain: _Chain) -> list[str]:
    bound = module.imports.get(chain[0])
    if bound is None:
        return [] if chain[0] in module.definitions else [chain[0]]
    return [".".join((each.full_name, *chain[1:2])) if not each.name else each.full_name for each in bound]


def _list_unseen(module: ModuleSource, statements: tuple[ast.stmt, ...], chains: set[_Chain]) -> Iterator[str]:
    if any(_ENVIRONMENT & set(_list_full_names(module, chain)) for chain in chains):
        yield f"{module.path.name} reads environment variables"
    for call in (call for statement in statements for call in list_calls(statement)):
        chain = next(_read_names(call.func), None)
        is_computed = bool(call.args) and not isinstance(call.args[0], ast.Constant)
        if chain and is_computed and _COMPUTED & set(_list_full_names(module, chain)):
            yield f"{module.path.name}, line {call.lineno}, runs code that is found only by running"


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
