"""The graph of steps: which functions take part, what each of their arguments stands for, and in which order they run.

- An argument named like another function takes what that function returns, one named like a dataset takes the data,
  one with a default is a parameter of the run.
- The functions that the project file names take part, and everything they need.
- Any other public function takes part if all its arguments are known, at least one of them is a step or a dataset, and
  no other code in the module uses it: what is used is called with arguments by its user.
"""

import ast
from collections import Counter
from collections.abc import Collection, Iterable
from enum import StrEnum

import msgspec

from petla.core.errors import Fault, InvalidError, NotFoundError
from petla.core.names import suggest
from petla.core.project import ModelTable
from petla.pipeline.steps.arguments import Argument, list_arguments
from petla.pipeline.steps.source import AnyFunction, ModuleSource


class Origin(StrEnum):
    """Where an argument's value comes from."""

    STEP = "step"
    DATA = "data"
    PARAMETER = "parameter"
    # a default that is no plain value: Python fills it in
    CODE = "code"


class StepInput(msgspec.Struct, frozen=True):
    """One argument of a step and where it comes from."""

    argument: Argument
    origin: Origin

    @property
    def name(self) -> str:
        """The argument's name, which is that of the step, dataset or parameter."""
        return self.argument.name


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One function of the graph."""

    name: str
    line: int
    inputs: tuple[StepInput, ...]

    @property
    def needs(self) -> tuple[str, ...]:
        """The steps whose outputs it takes."""
        return tuple(each.name for each in self.inputs if each.origin is Origin.STEP)


def build_graph(module: ModuleSource, table: ModelTable, datasets: Collection[str]) -> tuple[Step, ...]:
    """Find the steps of a model, each after those it needs.

    Raises:
        InvalidError: two functions of one name, an unknown or ambiguous argument, a cycle; every fault is named.
        NotFoundError: a step named by the project file is missing.
    """
    _check_names(module)
    functions = {f.name: f for f in module.functions if not f.name.startswith("_")}
    _check_wanted(table, functions, module)
    builder = _Builder(module, functions, datasets)
    for name in (table.model, table.training, table.holdout):
        builder.add(name)
    for name in functions:
        if builder.is_leaf(name):
            builder.add(name)
    if builder.faults:
        raise _invalid(module, builder.faults)
    return _sort(builder.steps, module, table.model)


def restrict(steps: tuple[Step, ...], only: str) -> tuple[Step, ...]:
    """Return one step and those it needs.

    Raises:
        NotFoundError: there is no such step.
    """
    known = {step.name: step for step in steps}
    if only not in known:
        raise NotFoundError(f"there is no step {only!r}", hint=suggest(only, known), field="step")
    needed, waiting = set(), [only]
    while waiting:
        name = waiting.pop()
        needed.add(name)
        waiting.extend(known[name].needs)
    return tuple(step for step in steps if step.name in needed)


class _Builder:
    """Collects steps and faults while following arguments."""

    def __init__(self, module: ModuleSource, functions: dict[str, AnyFunction], datasets: Collection[str]) -> None:
        self.steps: dict[str, Step] = {}
        self.faults: list[Fault] = []
        self._module = module
        self._functions = functions
        self._datasets = datasets
        self._uses = _list_uses(module)

    def add(self, name: str) -> None:
        waiting = [name]
        while waiting:
            name = waiting.pop()
            if name in self.steps:
                continue
            function = self._functions[name]
            if isinstance(function, ast.AsyncFunctionDef):
                self.faults.append(Fault(name, "is 'async def'; a step is a plain function"))
            if name in self._datasets:
                self.faults.append(Fault(name, "is both a step and a dataset in petla.toml", "rename one of them"))
            arguments = list_arguments(function, self._module)
            inputs = tuple(StepInput(each, self._place(name, each)) for each in arguments)
            self.steps[name] = Step(name=name, line=function.lineno, inputs=inputs)
            waiting.extend(self.steps[name].needs)

    def is_leaf(self, name: str) -> bool:
        """Whether a function that nothing asked for takes part all the same."""
        given = [each for each in list_arguments(self._functions[name], self._module) if not each.has_default]
        is_helper = any(name in used for user, used in self._uses.items() if user != name)
        return bool(given) and not is_helper and self._is_known(name, frozenset())

    def _is_known(self, name: str, seen: frozenset[str]) -> bool:
        """Whether everything that a function needs, and that this needs in turn, is there and means one thing."""
        if name in seen:  # a ring, which sorting the steps reports
            return True
        known = self._functions.keys() | set(self._datasets)
        for each in list_arguments(self._functions[name], self._module):
            if each.has_default == (each.name in known):
                return False
            if each.name in self._functions and not self._is_known(each.name, seen | {name}):
                return False
        return name not in self._datasets

    def _place(self, step: str, argument: Argument) -> Origin:
        name, where = argument.name, f"{step}({argument.name})"
        is_known = name in self._functions or name in self._datasets
        if argument.has_default:
            if is_known:
                what = "step" if name in self._functions else "dataset"
                fault = f"has a default, so it is a parameter, but {name!r} is also a {what}"
                self.faults.append(Fault(where, fault, "rename the argument or remove the default"))
            return Origin.CODE if argument.value_type is None else Origin.PARAMETER
        if name in self._functions:
            return Origin.STEP
        if not is_known:
            hint = suggest(name, {*self._functions.keys() - {step}, *self._datasets})
            fault = "is unknown: it is no step, no dataset of petla.toml, and has no default"
            self.faults.append(Fault(where, fault, hint))
        return Origin.DATA


def _list_uses(module: ModuleSource) -> dict[str, set[str]]:
    """Return for each definition the names that its code reads, arguments of functions left out."""
    uses: dict[str, set[str]] = {"": set()}
    named = [(name, node) for name, nodes in module.definitions.items() for node in nodes]
    defined = {id(node) for _, node in named}
    for name, node in [*named, *(("", node) for node in module.loose if id(node) not in defined)]:
        own = {arg.arg for arg in ast.walk(node) if isinstance(arg, ast.arg)}
        read = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        uses.setdefault(name, set()).update(read - own)
    return uses


def _check_names(module: ModuleSource) -> None:
    named = [f for f in module.functions if f.name != "_" and not _is_overload(f)]
    counts = Counter(function.name for function in named)
    faults = [
        Fault(name, f"is defined {count} times, in lines {_list_lines(named, name)}", "rename or remove all but one")
        for name, count in counts.items()
        if count > 1
    ]
    if faults:
        raise _invalid(module, faults)


def _list_lines(functions: Iterable[AnyFunction], name: str) -> str:
    return " and ".join(str(function.lineno) for function in functions if function.name == name)


def _is_overload(function: AnyFunction) -> bool:
    return any(ast.unparse(each).endswith("overload") for each in function.decorator_list)


def _check_wanted(table: ModelTable, functions: Collection[str], module: ModuleSource) -> None:
    for key in ("model", "training", "holdout"):
        name = getattr(table, key)
        if name not in functions:
            raise NotFoundError(
                f"{module.path.name} has no public function {name!r}, which petla.toml names as {key!r}",
                hint=f"{suggest(name, functions)}; write the function or set '{key}' in petla.toml",
                field=name,
            )


def _sort(steps: dict[str, Step], module: ModuleSource, model: str) -> tuple[Step, ...]:
    """Put each step behind those it needs, and the model's, which takes longest, behind all that do not need it."""
    done: dict[str, Step] = {}
    waiting = list(steps.values())
    while waiting:
        ready = [step for step in waiting if all(need in done for need in step.needs)]
        if not ready:
            ring = _find_ring(steps, waiting[0].name, done)
            fault = Fault(ring[0], f"needs itself: {' -> '.join(ring)}", "take one of these arguments away")
            raise _invalid(module, [fault])
        early = [step for step in ready if step.name != model] or ready
        done |= {step.name: step for step in early}
        waiting = [step for step in waiting if step.name not in done]
    return tuple(done.values())


def _find_ring(steps: dict[str, Step], start: str, done: Collection[str]) -> list[str]:
    path: list[str] = []
    while start not in path:
        path.append(start)
        start = next(need for need in steps[start].needs if need not in done)
    return [*path[path.index(start) :], start]


def _invalid(module: ModuleSource, faults: list[Fault]) -> InvalidError:
    lines = [f"  {f.field} {f.message}" + (f" ({f.hint})" if f.hint else "") for f in faults]
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    return InvalidError(
        "\n".join([f"{module.path.name} has {count}:", *lines]), hint=f"correct {module.path.name}", faults=faults
    )
