"""From the text of `petla.toml` to a project, or to one error that names every fault."""

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from petla.core.decoding import decode_table
from petla.core.errors import Fault, InvalidError
from petla.core.names import suggest
from petla.core.project.checking import RULES
from petla.core.project.guard_checks import check_guards
from petla.core.project.tables import METRICS_OF_TASK, PROJECT_FILE, DatasetTable, Metric, ModelTable, Project

# Metrics that are shares; every other metric but r2 starts at 0 and has no upper end.
_SHARES: frozenset[Metric] = frozenset({"accuracy", "auc", "f1", "precision", "recall"})
# a metric that decisions do not give
_OF_NO_DECISION = ("multiclass", "log_loss")
# None: the project has a file of this path; else what to do instead
Look = Callable[[str], str | None]

_NAME = re.compile(r"[a-z][a-z0-9_]*")
# The fields that every answer carries, or may.
_TAKEN = ("id", "version", "served_by", "flags", "explanation")


def decode_project(text: str, look: Look | None = None) -> Project:
    """Turn the text of `petla.toml` into a project.

    A project that only serves needs none of the files that it names, so a missing one is told together with other
    faults, and alone only to who needs it: see `find_missing`.

    Args:
        text: the file's text.
        look: says whether the project has a file; None: nobody looks.

    Raises:
        InvalidError: with every fault: unknown keys, wrong types, values out of range, names that refer to nothing.
    """
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # ValueError: also a number of thousands of digits; RecursionError: lists in lists without end
        fault = Fault(PROJECT_FILE, f"is not valid TOML: {error}")
        raise refuse_project([fault]) from error
    project, faults = decode_table(Project, raw)
    faults += _check_names(raw)
    if project is not None:
        faults += _check_references(project) + _check_remote(project)
        faults += _check_disjoint(project) + _check_waivers(project)
    if project is None or faults:
        raise refuse_project(faults + (find_missing(raw, look) if look is not None else []))
    return project


def find_missing(tables: Mapping[str, Any], look: Look) -> list[Fault]:
    """Return a fault for each file that the project's tables name and that is not there.

    Args:
        tables: the project file as plain tables.
        look: says whether the project has a file.
    """
    faults = []
    for table, key, default in (("data", "path", None), ("models", "pipeline", "pipeline.py")):
        named = tables.get(table)
        for name, values in named.items() if isinstance(named, dict) else ():
            path = values.get(key, default) if isinstance(values, dict) else None
            hint = look(path) if isinstance(path, str) and path else None
            if hint is not None:
                faults.append(Fault(f"{table}.{name}.{key}", f"is {path!r}, but there is no such file", hint))
    return faults


def is_name(text: str) -> bool:
    """Whether a dataset or a model may be called so: lower-case letters, digits and _, starting with a letter."""
    return _NAME.fullmatch(text) is not None


def refuse_project(faults: list[Fault]) -> InvalidError:
    """Return the error that names every fault of a project file."""
    lines = [f"  {f.field}: {f.message}" + (f" ({f.hint})" if f.hint else "") for f in faults]
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    return InvalidError(
        "\n".join([f"{PROJECT_FILE} has {count}:", *lines]),
        hint=f"correct {PROJECT_FILE}; every key is described in docs/project-file.md",
        faults=faults,
    )


def _check_names(raw: dict[str, object]) -> list[Fault]:
    message = "is no name: use lower-case letters, digits and _, starting with a letter"
    tables = {table: names for table in ("data", "models", "remotes") if isinstance(names := raw.get(table), dict)}
    named = [(table, name) for table, names in tables.items() for name in names]
    return [Fault(f"{table}.{name}", message) for table, name in named if not is_name(name)]


def _check_references(project: Project) -> list[Fault]:
    checks = (_check_metrics, _check_answer, _check_retrain, check_guards)
    return [
        msgspec.structs.replace(fault, field=f"models.{name}.{fault.field}")
        for name, model in project.models.items()
        for check in checks
        for fault in check(model, project.data)
    ]


def _check_remote(project: Project) -> list[Fault]:
    chosen = project.storage.remote
    if not chosen or chosen in project.remotes:
        return []
    return [Fault("storage.remote", f"is {chosen!r}, which is not in [remotes]", suggest(chosen, project.remotes))]


def _check_disjoint(project: Project) -> list[Fault]:
    faults = []
    for name, table in project.data.items():
        field, others = f"data.{name}.checks.disjoint", [other for other in project.data if other != name]
        for other in table.checks.disjoint:
            if other == name:
                faults.append(Fault(field, f"names {other!r}, the dataset itself", "name another one"))
            elif other not in others:
                faults.append(Fault(field, f"names {other!r}, which is not in [data]", suggest(other, others)))
    return faults


def _check_waivers(project: Project) -> list[Fault]:
    return [
        Fault(
            f"data.{name}.checks.waivers.{number}.rule",
            f"is {waiver.rule!r}, which is no rule",
            suggest(waiver.rule, RULES),
        )
        for name, table in project.data.items()
        for number, waiver in enumerate(table.checks.waivers, start=1)
        if waiver.rule not in RULES
    ]


def _check_metrics(model: ModelTable, _: Mapping[str, DatasetTable]) -> list[Fault]:
    faults = []
    named = {"gates.metric": model.gates.metric, "monitor.quality_metric": model.monitor.quality_metric}
    allowed = METRICS_OF_TASK[model.task]
    for key, metric in named.items():
        if metric is not None and metric not in allowed:
            message = f"is {metric!r}, which a {model.task} model does not have"
            faults.append(Fault(key, message, suggest(metric, allowed)))
    limits = {
        "gates.minimum": (model.gates.minimum, model.gate_metric),
        "monitor.quality_limit": (model.monitor.quality_limit, model.quality_metric),
    }
    if model.monitor.quality_limit is not None and (model.task, model.quality_metric) == _OF_NO_DECISION:
        message = "can never be judged: a decision holds the probability of its own class only, so it gives no log_loss"
        faults.append(Fault("monitor.quality_limit", message, 'set monitor.quality_metric = "accuracy"'))
    for key, (limit, metric) in limits.items():
        lowest, highest = (-math.inf if metric == "r2" else 0.0), (1.0 if metric in _SHARES | {"r2"} else math.inf)
        if limit is not None and not lowest <= limit <= highest:
            words = [f"at least {lowest:g}"] * (lowest == 0) + [f"at most {highest:g}"] * (highest == 1)
            faults.append(Fault(key, f"is {limit!r}, but a limit of {metric} must be {' and '.join(words)}"))
    return faults


def _check_answer(model: ModelTable, _: Mapping[str, DatasetTable]) -> list[Fault]:
    label, probability = model.answer.label or model.target, model.answer.probability
    faults = [
        Fault(f"answer.{key}", f"is {word!r}, a field that every answer has or may have", "choose another word")
        for key, word in (("label", label), ("probability", probability))
        if word in _TAKEN
    ]
    if label == probability:
        faults.append(Fault("answer.probability", f"is {probability!r}, the same as the label", "choose another word"))
    return faults


def _check_retrain(model: ModelTable, data: Mapping[str, DatasetTable]) -> list[Fault]:
    faults, table = [], model.retrain
    if table.dataset and table.dataset not in data:
        hint = suggest(table.dataset, data)
        faults.append(Fault("retrain.dataset", f"is {table.dataset!r}, which is not in [data]", hint))
    if table.minimum_rows > table.fresh_rows:
        message = f"is {table.minimum_rows}, but must be at most retrain.fresh_rows, which is {table.fresh_rows}"
        faults.append(Fault("retrain.minimum_rows", message))
    return faults
