"""What a run would do: the steps, their keys, and which of them are in the cache.

The project's code is read, not imported, and no heavy library is loaded: a plan that finds nothing to do is all
there is to a run with nothing changed.
"""

import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from petla.core.digests import digest_value
from petla.core.errors import ConflictError, Fault, InvalidError, NotFoundError
from petla.core.names import suggest
from petla.core.project import FOUND_OUT, ModelTable
from petla.data.current import current_digest
from petla.data.pointers import find_pointer, pointer_path
from petla.pipeline.outputs.cache import StepRecord, find_record
from petla.pipeline.result import Parameter
from petla.pipeline.steps.arguments import Argument, read_value
from petla.pipeline.steps.graph import Origin, Step, StepInput, build_graph, restrict
from petla.pipeline.steps.packages import list_versions
from petla.pipeline.steps.reach import CodeReader, Reach
from petla.pipeline.steps.source import CodeFile, ProjectCode, SourceTree
from petla.storage.workspace import Workspace

# Changes with the meaning of a key or with how inputs are read, so that what an older Pętla kept is not taken.
_KEY_FORMAT = 2


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to be run."""

    # `--set`: parameter -> value as text
    parameters: dict[str, str] = {}
    # dataset -> digest to use in place of the working copy
    datasets: dict[str, str] = {}
    # only this step and what it needs
    only_step: str | None = None
    # person, retraining:7
    cause: str = "person"
    # folder that holds the code; None: the project's own
    source: Path | None = None
    # the project's folder, where the workspace is a copy of it or `source` a checkout; None: the workspace's own
    original: Path | None = None
    # commit of that folder; None: asked of Git
    commit: str | None = None
    # dataset -> digest of the version to compare with; a dataset not named: with its previous version
    reference: dict[str, str] = {}
    # why data that the checks block may be used all the same; empty: it may not
    accept_data: str = ""


class _Order(msgspec.Struct, frozen=True):
    model: str
    request: RunRequest


def encode_request(model: str, request: RunRequest) -> bytes:
    """Write a request as JSON, for a process of its own."""
    return msgspec.json.encode(_Order(model, request), enc_hook=str)


def decode_request(content: bytes) -> tuple[str, RunRequest]:
    """Read what `encode_request` wrote.

    Raises:
        InvalidError: it is no such document.
    """
    try:
        order = msgspec.json.decode(content, type=_Order, dec_hook=lambda kind, text: kind(text))
    except msgspec.DecodeError as error:
        raise InvalidError(f"this is no request for a run: {error}", hint="give it 'model' and 'request'") from error
    return order.model, order.request


class PlannedStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step, in the order of execution."""

    name: str
    # hash of its code, inputs and parameters
    key: str
    inputs: tuple[StepInput, ...]
    # what is remembered of it; None: nothing
    record: StepRecord | None
    # its output is there too, not yet verified
    is_cached: bool
    # whoever asked for the run will read its output
    is_handed_out: bool

    @property
    def needs(self) -> tuple[str, ...]:
        """The steps whose outputs it takes."""
        return tuple(each.name for each in self.inputs if each.origin is Origin.STEP)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run would do."""

    model: str
    # hash of all the step keys: the same plan gives the same result
    plan_key: str
    steps: tuple[PlannedStep, ...]
    parameters: dict[str, Parameter]
    # dataset -> digest of the version used
    data: dict[str, str]
    code: ProjectCode
    # sentences for the person: what the code uses and no key can know
    warnings: tuple[str, ...] = ()

    @property
    def is_cached(self) -> bool:
        """Whether there is nothing to execute."""
        return all(step.is_cached for step in self.steps)


def make_plan(ws: Workspace, model: str, request: RunRequest) -> Plan:
    """Find the steps of a model, their keys, and which of them are in the cache.

    Raises:
        InvalidError: the graph or a `--set` is wrong; every fault is named.
        NotFoundError: a module, a step or a dataset that was named does not exist.
        UserCodeError: a module has a syntax error.
        ConflictError: a working copy is not the version that its pointer names.
    """
    model, table = ws.get_model(model)
    folder = (request.source or ws.root).resolve()
    tree = SourceTree(folder, table.pipeline, (request.original or ws.root).resolve())
    steps = _find_steps(ws, tree, table, request.only_step)
    parameters = _read_parameters(steps, request.parameters)
    data = _find_data(ws, steps, request)
    reader = CodeReader(tree)
    reaches = {step.name: reader.reach(step.name) for step in steps}
    packages = list_versions(
        {name for reach in reaches.values() for name in reach.packages}, ws.state / "cache" / "packages.json"
    )
    keys: dict[str, str] = {}
    for step in steps:
        # Names are unambiguous: the graph refuses a step, a dataset or a parameter named like one of another sort.
        values = _list_values(step, {**keys, **_list_contents(ws, data), **parameters})
        keys[step.name] = _make_key(step.name, reaches[step.name], values, packages)
    handed_out = {table.model, table.training, table.holdout, request.only_step}
    return Plan(
        model=model,
        plan_key=digest_value(keys),
        steps=tuple(_look_up(ws, step, keys[step.name], handed_out) for step in steps),
        parameters=parameters,
        data=data,
        code=_collect_code(tree, reaches),
        warnings=_list_warnings(reaches),
    )


def _list_warnings(reaches: Mapping[str, Reach]) -> tuple[str, ...]:
    """Return a sentence for each thing that the code uses and no key knows."""
    users: dict[str, list[str]] = {}
    for step, reach in reaches.items():
        for each in reach.unseen:
            users.setdefault(each, []).append(step)
    return tuple(
        f"{each}, which the key of a step cannot know, so {_join_steps(steps)} would not run again if only that changed"
        "; next: make it a parameter, which '--set' gives, or a dataset"
        for each, steps in sorted(users.items())
    )


def _join_steps(steps: list[str]) -> str:
    return f"step {steps[0]}" if len(steps) == 1 else f"the steps {', '.join(steps[:-1])} and {steps[-1]}"


def _find_steps(ws: Workspace, tree: SourceTree, table: ModelTable, only: str | None) -> tuple[Step, ...]:
    steps = build_graph(tree.main, table, ws.project.data)
    return steps if only is None else restrict(steps, only)


def _read_parameters(steps: tuple[Step, ...], given: Mapping[str, str]) -> dict[str, Parameter]:
    """Return the value of every parameter: the one given, else the default."""
    asked: dict[str, list[tuple[str, Argument]]] = {}
    for step in steps:
        for each in step.inputs:
            if each.origin is Origin.PARAMETER:
                asked.setdefault(each.name, []).append((step.name, each.argument))
    faults = [_unknown(name, steps, asked) for name in given if name not in asked]
    values: dict[str, Parameter] = {}
    for name, users in asked.items():
        values[name], fault = read_value(users[0][1], given[name]) if name in given else _agree(name, users)
        faults.extend([fault] if fault else [])
    if faults:
        lines = [f"{f.field} {f.message}" + (f" ({f.hint})" if f.hint else "") for f in faults]
        raise InvalidError(f"parameters: {'; '.join(lines)}", hint="correct it and run again", faults=faults)
    return values


def _agree(name: str, users: list[tuple[str, Argument]]) -> tuple[Parameter, Fault | None]:
    """Return the default that all steps with this parameter have."""
    first, default = users[0][0], users[0][1].default
    for step, argument in users:
        if repr(argument.default) != repr(default):
            message = f"has the default {argument.default!r} in {step}() and {default!r} in {first}()"
            return "", Fault(name, message, "give it one default, or two names")
    return default, None


def _unknown(name: str, steps: tuple[Step, ...], known: Mapping[str, object]) -> Fault:
    fixed = {each.name for step in steps for each in step.inputs if each.origin is Origin.CODE}
    if name in fixed:
        return Fault(name, "cannot be set: its type is unknown", "annotate it, such as 'depth: int | None = None'")
    return Fault(name, "is no parameter of a step", suggest(name, known))


def _find_data(ws: Workspace, steps: tuple[Step, ...], request: RunRequest) -> dict[str, str]:
    for name in request.datasets:
        if name not in ws.project.data:
            raise NotFoundError(f"[data] has no {name!r}", hint=suggest(name, ws.project.data), field="data")
    used = sorted({each.name for step in steps for each in step.inputs if each.origin is Origin.DATA})
    return {name: request.datasets.get(name) or _find_digest(ws, name, request.source) for name in used}


def _list_contents(ws: Workspace, data: Mapping[str, str]) -> dict[str, Parameter]:
    """Return what identifies the rows of each dataset: its bytes, and how the project file says to read them."""
    formats = {name: ws.project.data[name].format for name in data}
    read_as = {
        name: "" if form == FOUND_OUT else f" {msgspec.json.encode(form).decode()}" for name, form in formats.items()
    }
    return {name: digest + read_as[name] for name, digest in data.items()}


def _find_digest(ws: Workspace, name: str, source: Path | None) -> str:
    """Return the version that the pointer beside the code names; only the project's own folder holds data too."""
    dataset = ws.project.data[name]
    if source is None:
        return current_digest(ws.root, ws.state, dataset, name)
    path = pointer_path(source / dataset.path)
    pointer = find_pointer(path)
    if pointer is None or not pointer.digest:
        raise ConflictError(
            f"{path} names no version of dataset {name} that is known here",
            hint=f"add the dataset with 'petla data add', commit its pointer, or give the version with --data {name}=",
            field=name,
        )
    return pointer.digest


def _list_values(step: Step, known: Mapping[str, Parameter]) -> dict[str, tuple[str, Parameter]]:
    """Return what identifies the value of each argument; a default that is code counts as code."""
    return {each.name: (each.origin, known[each.name]) for each in step.inputs if each.origin is not Origin.CODE}


def _make_key(name: str, reach: Reach, values: Mapping[str, tuple[str, Parameter]], packages: Mapping[str, str]) -> str:
    return digest_value(
        {
            "format": _KEY_FORMAT,
            "step": name,
            "code": reach.code,
            "inputs": values,
            "packages": {each: packages[each] for each in reach.packages},
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        }
    )


def _look_up(ws: Workspace, step: Step, key: str, handed_out: Collection[str | None]) -> PlannedStep:
    record = find_record(ws.state, key)
    is_cached = record is not None and record.output in ws.objects
    return PlannedStep(
        name=step.name,
        key=key,
        inputs=step.inputs,
        record=record,
        is_cached=is_cached,
        is_handed_out=step.name in handed_out,
    )


def _collect_code(tree: SourceTree, reaches: Mapping[str, Reach]) -> ProjectCode:
    names = {tree.main.name, *(name for reach in reaches.values() for name in reach.modules)}
    found = [module for name in sorted(names) if (module := tree.find(name)) is not None]
    return ProjectCode(
        folder=tree.folder,
        main=tree.main.name,
        import_paths=tree.import_paths,
        files={module.name: CodeFile(module.path, module.content) for module in found},
    )
