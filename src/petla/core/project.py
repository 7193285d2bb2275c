"""The project file: every table of `petla.toml` as a frozen struct with its defaults.

`decode_project` turns the file's text into one `Project` or into one error that names every fault.
"""

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from petla.core.decoding import decode_table
from petla.core.errors import Fault, InvalidError
from petla.core.names import suggest

PROJECT_FILE = "petla.toml"
STATE_FOLDER = ".petla"

Text = Annotated[str, Meta(min_length=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]
Port = Annotated[int, Meta(ge=0, le=65535)]
WorkerCount = Annotated[int, Meta(ge=1, le=256)]
Metric = Literal["accuracy", "auc", "f1", "precision", "recall", "log_loss", "mae", "rmse", "r2"]
Task = Literal["binary", "multiclass", "regression"]

# Metrics where a smaller figure is the better one.
LOWER_IS_BETTER: frozenset[Metric] = frozenset({"log_loss", "mae", "rmse"})
METRICS_OF_TASK: dict[Task, tuple[Metric, ...]] = {
    "binary": ("accuracy", "auc", "f1", "precision", "recall", "log_loss"),
    "multiclass": ("accuracy", "log_loss"),
    "regression": ("mae", "rmse", "r2"),
}

# Metrics that are shares; every other metric but r2 starts at 0 and has no upper end.
_SHARES: frozenset[Metric] = frozenset({"accuracy", "auc", "f1", "precision", "recall"})
# None: the project has a file of this path; else what to do instead
Look = Callable[[str], str | None]

_NAME = re.compile(r"[a-z][a-z0-9_]*")
# The fields that every answer carries.
_TAKEN = ("id", "version")


class ProjectTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[project]`: who this is."""

    name: Text
    # the person or address that answers for it
    owner: str = ""
    description: str = ""


class CheckTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[data.NAME.checks]`: how far a new version may be from the one before it."""

    # a number column whose median moves by more, in standard deviations of the reference, is worth a warning
    shift_sd: Positive = 3.0
    # largest factor between the spreads of a number column: beyond it, its unit has changed
    scale_factor: Annotated[float, Meta(gt=1)] = 3.0
    # largest rise of the share of missing values; half of it is worth a warning
    missing_rise: Share = 0.15
    # largest share of rows whose category the reference did not have
    unseen_share: Share = 0.05
    # category explosion: more than this many times the categories of the reference
    category_factor: Annotated[float, Meta(gt=1)] = 3.0
    # fewer rows than this are not judged for shares and shifts
    minimum_rows: Annotated[int, Meta(ge=1)] = 100
    # columns that are not judged, such as the month
    ignore: tuple[Text, ...] = ()


class DatasetTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[data.NAME]`: a file or a folder that is versioned beside the code."""

    path: Text
    checks: CheckTable = field(default_factory=CheckTable)


class AnswerTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[models.NAME.answer]`: the words of an answer."""

    # field that carries the decided class or the predicted number; empty: the target's name
    label: str = ""
    # field that carries the probability of the positive class (binary) or of the answered class
    probability: Text = "probability"
    # binary: probability from which the answer is true
    threshold: Share = 0.5


class GateTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[models.NAME.gates]`: what a candidate must show before it may go live."""

    metric: Metric | None = None
    # worst figure of `metric` that passes; None: no minimum
    minimum: float | None = None
    # how much worse than the champion the candidate may be at most, in units of the metric
    margin: Annotated[float, Meta(ge=0)] = 0.0
    # one minus the error probability of the bootstrap interval
    confidence: Annotated[float, Meta(gt=0.5, lt=1)] = 0.95
    # 99th percentile of one row's inference, milliseconds
    latency_ms: Positive = 50.0
    # rows with missing, unseen and extreme values must be answered
    dirty_rows: bool = True


class MonitorTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[models.NAME.monitor]`: when a window of decisions is an alarm."""

    # decisions in one window
    window_rows: Annotated[int, Meta(ge=100)] = 5_000
    # population stability index of one feature, from which it is an alarm
    drift_limit: Positive = 0.25
    # features that are not watched for drift
    ignore: tuple[str, ...] = ()
    quality_metric: Metric | None = None
    # worst quality of one window; None: quality is recorded and never an alarm
    quality_limit: float | None = None
    # consecutive bad windows that make an alarm
    patience: Annotated[int, Meta(ge=1)] = 1


class RetrainTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[models.NAME.retrain]`: the retraining policy."""

    # which alarms start a retraining
    on: tuple[Literal["drift", "quality"], ...] = ("drift", "quality")
    # the dataset that fresh labelled decisions become a version of; empty: no retraining
    dataset: str = ""
    # newest labelled decisions to train on, at most
    fresh_rows: Annotated[int, Meta(ge=100)] = 100_000
    # fewer labelled decisions than this are not enough: wait
    minimum_rows: Annotated[int, Meta(ge=100)] = 1_000


class DeployTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[models.NAME.deploy]`: who lets a passed challenger go live."""

    approval: Literal["person", "none"] = "person"


class ModelTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[models.NAME]`: a model, and the pipeline that makes it."""

    # module of plain functions, relative to the project
    pipeline: Text = "pipeline.py"
    # function that returns the trained estimator
    model: Text = "model"
    # function that returns the rows it was trained on, with the target: the reference of the monitors
    training: Text = "training"
    # function that returns the rows that training never saw, with the target
    holdout: Text = "holdout"
    # the column to predict
    target: Text
    task: Task = "binary"
    answer: AnswerTable = field(default_factory=AnswerTable)
    gates: GateTable = field(default_factory=GateTable)
    monitor: MonitorTable = field(default_factory=MonitorTable)
    retrain: RetrainTable = field(default_factory=RetrainTable)
    deploy: DeployTable = field(default_factory=DeployTable)

    @property
    def gate_metric(self) -> Metric:
        """The metric of the gates: the one named, else the first of the task."""
        return self.gates.metric or METRICS_OF_TASK[self.task][0]

    @property
    def quality_metric(self) -> Metric:
        """The metric of the quality monitor: the one named, else that of the gates."""
        return self.monitor.quality_metric or self.gate_metric


class ServingTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[serving]`: the data plane."""

    host: Text = "127.0.0.1"
    port: Port = 8080
    workers: WorkerCount = 1
    # largest request body
    body_limit_bytes: Annotated[int, Meta(ge=1024)] = 8 * 1024 * 1024
    # what an answered decision survives: kill -9 of the process, or loss of power
    durability: Literal["process", "power"] = "process"


class ControlTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[control]`: pages, API and controller."""

    host: Text = "127.0.0.1"
    port: Port = 8000


class StorageTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[storage]`: where rows live. Bytes live in `.petla/objects`."""

    # SQLAlchemy address; empty: SQLite in `.petla/`; credentials belong in PETLA_DATABASE
    database: str = ""


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """All of `petla.toml`."""

    project: ProjectTable
    data: dict[str, DatasetTable] = {}
    models: dict[str, ModelTable] = {}
    serving: ServingTable = field(default_factory=ServingTable)
    control: ControlTable = field(default_factory=ControlTable)
    storage: StorageTable = field(default_factory=StorageTable)


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
        faults += _check_references(project)
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
    tables = {table: names for table in ("data", "models") if isinstance(names := raw.get(table), dict)}
    named = [(table, name) for table, names in tables.items() for name in names]
    return [Fault(f"{table}.{name}", message) for table, name in named if not is_name(name)]


def _check_references(project: Project) -> list[Fault]:
    checks = (_check_metrics, _check_answer, _check_retrain)
    return [
        msgspec.structs.replace(fault, field=f"models.{name}.{fault.field}")
        for name, model in project.models.items()
        for check in checks
        for fault in check(model, project.data)
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
    for key, (limit, metric) in limits.items():
        lowest, highest = (-math.inf if metric == "r2" else 0.0), (1.0 if metric in _SHARES | {"r2"} else math.inf)
        if limit is not None and not lowest <= limit <= highest:
            words = [f"at least {lowest:g}"] * (lowest == 0) + [f"at most {highest:g}"] * (highest == 1)
            faults.append(Fault(key, f"is {limit!r}, but a limit of {metric} must be {' and '.join(words)}"))
    return faults


def _check_answer(model: ModelTable, _: Mapping[str, DatasetTable]) -> list[Fault]:
    label, probability = model.answer.label or model.target, model.answer.probability
    faults = [
        Fault(f"answer.{key}", f"is {word!r}, a field that every answer has already", "choose another word")
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
