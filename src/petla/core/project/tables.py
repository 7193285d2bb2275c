"""Every table of `petla.toml` as a frozen struct with its defaults."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from petla.core.project.checking import CheckTable, Positive, Share, Text
from petla.core.project.formats import FormatTable
from petla.core.project.guarding import FallbackTable, GuardTable, LimitTable, Policy
from petla.core.project.paths import check_place

PROJECT_FILE = "petla.toml"
STATE_FOLDER = ".petla"

Port = Annotated[int, Meta(ge=0, le=65535)]
Origin = Annotated[str, Meta(pattern=r"^https?://[a-z0-9.\-\[\]:_]+$")]
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


class ProjectTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[project]`: who this is."""

    name: Text
    # the person or address that answers for it
    owner: str = ""
    description: str = ""


class DatasetTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[data.NAME]`: a file or a folder that is versioned beside the code."""

    path: Text
    # how files come into the work tree; what the file system cannot do becomes a copy. Links are write-protected.
    link: Literal["copy", "reflink", "hardlink", "symlink"] = "copy"
    # where `petla data import` brought it from; empty: it was made here
    url: str = ""
    # how its CSV files are written, where that is not found out right
    format: FormatTable = field(default_factory=FormatTable)
    checks: CheckTable = field(default_factory=CheckTable)

    def __post_init__(self) -> None:
        """Refuse a path that leads outside the project."""
        check_place(self.path)


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
    # largest share of holdout rows that training has as well, beyond what repeats anyway
    holdout_overlap: Share = 0.01


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
    """`[models.NAME.deploy]`: who lets a passed challenger go live, and when one that runs beside it is stopped."""

    approval: Literal["person", "none"] = "person"
    # one minus the probability that a version is stopped that is no worse, over all looks at all measures
    confidence: Annotated[float, Meta(gt=0.5, lt=1)] = 0.95
    # how many times as often as the champion's a version's decisions may fail, be slow or be wrong
    worse_factor: Annotated[float, Meta(ge=1)] = 1.2
    # an answer that takes longer is slow, milliseconds
    slow_ms: Positive = 50.0
    # largest share of decisions that a version may decide otherwise than the champion; of a regression, largest mean
    # distance of their answers as a part of the range of its scores; None: recorded and never judged
    disagreement: Share | None = None
    # shortest time on a step of a ramp
    step_minutes: Annotated[float, Meta(ge=0)] = 30.0
    # decisions that a step of a ramp needs as well
    minimum_rows: Annotated[int, Meta(ge=1)] = 500


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
    # field of a request that says whom or what it is about; it need not be an input of the model; empty: none
    subject: str = ""
    answer: AnswerTable = field(default_factory=AnswerTable)
    gates: GateTable = field(default_factory=GateTable)
    monitor: MonitorTable = field(default_factory=MonitorTable)
    retrain: RetrainTable = field(default_factory=RetrainTable)
    deploy: DeployTable = field(default_factory=DeployTable)
    serving: LimitTable = field(default_factory=LimitTable)
    fallback: FallbackTable = field(default_factory=FallbackTable)
    guards: GuardTable = field(default_factory=GuardTable)

    def __post_init__(self) -> None:
        """Refuse a pipeline outside the project: its code would belong to no commit."""
        check_place(self.pipeline)

    @property
    def policy(self) -> Policy:
        """What happens when something is wrong."""
        return Policy(serving=self.serving, fallback=self.fallback, guards=self.guards)

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
    # gRPC, where 8081 is customary; 0: off
    grpc_port: Port = 0
    workers: WorkerCount = 1
    # largest request body
    body_limit_bytes: Annotated[int, Meta(ge=1024)] = 8 * 1024 * 1024
    # what an answered decision survives: kill -9 of the process, or loss of power
    durability: Literal["process", "power"] = "process"
    # who may ask: anyone who reaches it, or holders of a key of `petla keys`
    access: Literal["anyone", "keys"] = "anyone"
    # PEM files, relative to the project; empty: no TLS
    certificate: str = ""
    certificate_key: str = ""
    # listen on a public address without keys or without TLS
    insecure: bool = False
    # connections of one worker; more are answered by 503
    connections: Annotated[int, Meta(ge=1, le=100_000)] = 2_000
    # seconds that a client may take to send a request, and to take its answer
    client_timeout_s: Annotated[float, Meta(ge=1, le=3_600)] = 30.0
    # seconds that requests under way have to be answered when `petla up` is told to stop
    grace_s: Annotated[float, Meta(ge=0, le=3_600)] = 25.0
    # seconds for which a worker may answer nobody, not even its supervisor, from which it is replaced
    stuck_s: Annotated[float, Meta(ge=1, le=3_600)] = 5.0
    # names under which it is reached beside `host` and localhost
    hosts: tuple[Text, ...] = ()
    # origins of pages that may ask from a browser, such as https://shop.example.com
    cors: tuple[Origin, ...] = ()
    # milliseconds that a request would have to wait for a busy model, from which it is answered by 503 at once
    longest_wait_ms: Annotated[float, Meta(ge=1)] = 1_000.0
    # what of all workers may wait for the database on this machine's disk
    spool_limit_bytes: Annotated[int, Meta(ge=1024 * 1024)] = 8 * 1024 * 1024 * 1024
    # hours that it may wait; 0: any time
    spool_keep_hours: Annotated[float, Meta(ge=0)] = 0.0
    # where a decision cannot be recorded: no answer (503), or an answer that is counted as lost to the log
    spool_full: Literal["refuse", "serve"] = "refuse"


class DecisionsTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[decisions]`: the decision log."""

    # whole days for which decisions are kept, with their labels and shadow answers; 0: for ever
    keep_days: Annotated[int, Meta(ge=0, le=36_500)] = 0


class ControlTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[control]`: pages, API and controller."""

    host: Text = "127.0.0.1"
    port: Port = 8000
    # where people open it, such as https://loop.example.com; empty: at its host and port
    url: str = ""
    # PEM files, relative to the project; empty: no TLS
    certificate: str = ""
    certificate_key: str = ""
    # listen on a public address without TLS
    insecure: bool = False


class StorageTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[storage]`: where rows live, and which remote is meant. Bytes live in `.petla/objects`."""

    # SQLAlchemy address; empty: SQLite in `.petla/`; credentials belong in PETLA_DATABASE
    database: str = ""
    # a name of [remotes]; empty: the only one
    remote: str = ""


class RemoteTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[remotes.NAME]`: where data are pushed to. Credentials come the standard way of each cloud, never from here."""

    # a folder, file:///…, s3://BUCKET/PREFIX, az://CONTAINER/PREFIX, gs://BUCKET/PREFIX
    url: Text
    # packs: few large objects; dvc: one object per file, as DVC lays it out
    layout: Literal["packs", "dvc"] = "packs"
    # of an S3-compatible service or an emulator; empty: the cloud's own
    endpoint: str = ""
    # S3; empty: as the environment says
    region: str = ""
    # of ~/.aws; empty: as the environment says
    profile: str = ""
    # Azure's storage account; empty: as the environment says
    account: str = ""
    # read without credentials
    anonymous: bool = False


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """All of `petla.toml`."""

    project: ProjectTable
    data: dict[str, DatasetTable] = {}
    models: dict[str, ModelTable] = {}
    serving: ServingTable = field(default_factory=ServingTable)
    decisions: DecisionsTable = field(default_factory=DecisionsTable)
    control: ControlTable = field(default_factory=ControlTable)
    storage: StorageTable = field(default_factory=StorageTable)
    remotes: dict[str, RemoteTable] = {}
