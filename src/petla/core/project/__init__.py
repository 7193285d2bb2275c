"""The project file: every table of `petla.toml`, and `decode_project`, which turns its text into one `Project`."""

from petla.core.project.checking import CheckTable
from petla.core.project.reading import Look, decode_project, find_missing, is_name, refuse_project
from petla.core.project.tables import (
    LOWER_IS_BETTER,
    METRICS_OF_TASK,
    PROJECT_FILE,
    STATE_FOLDER,
    AnswerTable,
    DatasetTable,
    GateTable,
    Metric,
    ModelTable,
    MonitorTable,
    Port,
    Project,
    RemoteTable,
    RetrainTable,
    Task,
    WorkerCount,
)

__all__ = [
    "LOWER_IS_BETTER",
    "METRICS_OF_TASK",
    "PROJECT_FILE",
    "STATE_FOLDER",
    "AnswerTable",
    "CheckTable",
    "DatasetTable",
    "GateTable",
    "Look",
    "Metric",
    "ModelTable",
    "MonitorTable",
    "Port",
    "Project",
    "RemoteTable",
    "RetrainTable",
    "Task",
    "WorkerCount",
    "decode_project",
    "find_missing",
    "is_name",
    "refuse_project",
]
