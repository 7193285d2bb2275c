"""What a run hands out."""

from enum import StrEnum
from typing import Protocol

import msgspec

# a parameter of a run: what the default of a step's argument may be
Scalar = bool | int | float | str
Parameter = Scalar | None | list[Scalar]


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a run."""

    name: str
    # hash of its code, inputs and parameters
    key: str
    is_cached: bool
    seconds: float


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """A finished run."""

    run_id: int
    model: str
    # hash of all the step keys: the same plan gives the same result
    plan_key: str
    steps: tuple[StepResult, ...]
    parameters: dict[str, Parameter]
    # dataset -> digest of the version used
    data: dict[str, str]
    # finite numbers in the dicts that steps returned
    metrics: dict[str, float]
    commit: str
    is_dirty: bool
    # sentences for the person: damaged outputs that were made again, data that is unlike the reference
    warnings: tuple[str, ...] = ()


class Executed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a plan."""

    steps: tuple[StepResult, ...]
    # finite numbers in the dicts that steps returned
    metrics: dict[str, float]
    # outputs that were damaged and made again
    warnings: tuple[str, ...]


class Progress(Protocol):
    """Sees a run go on."""

    def step_started(self, name: str, index: int, total: int) -> None:
        """See that a step is next; `index` counts from 1."""

    def step_finished(self, step: StepResult, /) -> None:
        """See that a step is done, or was found in the cache."""


class RunState(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    # its process died, or somebody stopped it
    INTERRUPTED = "interrupted"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run as the database remembers it, also one that is under way or failed."""

    id: int
    model: str
    state: RunState
    # person, retraining:7
    cause: str
    commit: str
    is_dirty: bool
    parameters: dict[str, Parameter]
    data: dict[str, str]
    metrics: dict[str, float]
    steps: tuple[StepResult, ...]
    # what went wrong; empty: nothing
    error: str
    started_at: str
    finished_at: str | None
    started_by: str
