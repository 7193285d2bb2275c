"""Executes a plan: what is cached stays where it is, what is missing is made, in order.

- An output is kept before the next step begins, so a killed run loses at most the step it was in.
- An output that is found damaged on the way is set aside and made again, with everything it needs.
- Every step gets values of its own: what one changes in place, no other sees.
"""

import copy
import time
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from petla.core.errors import CorruptError, NotFoundError, PetlaError, UserCodeError
from petla.pipeline.execution.inputs import Datasets
from petla.pipeline.execution.loading import pickled_by_value
from petla.pipeline.execution.user_code import guarded
from petla.pipeline.outputs import cache
from petla.pipeline.outputs.cache import StepRecord
from petla.pipeline.outputs.formats import Format, encode
from petla.pipeline.outputs.frames import blaming, convert, find_kind, share
from petla.pipeline.plan import Plan, PlannedStep
from petla.pipeline.result import Executed, Progress, StepResult
from petla.pipeline.steps.arguments import pass_value
from petla.pipeline.steps.graph import Origin, StepInput
from petla.storage.workspace import Workspace

# step -> what is called before it, with a function that returns another step's output; None: not there yet
Checks = Mapping[str, Callable[[Callable[[str], Any]], None]]


class Runner:
    """Executes one plan.

    Args:
        ws: the project.
        plan: what to do.
        load: imports the pipeline's module, once.
        datasets: the data of this run.
        progress: sees the steps come and go.
    """

    def __init__(
        self, ws: Workspace, plan: Plan, load: Callable[[], ModuleType], datasets: Datasets, progress: Progress
    ) -> None:
        self._ws = ws
        self._plan = plan
        self._load = load
        self._datasets = datasets
        self._progress = progress
        self._steps = {step.name: step for step in plan.steps}
        self._records = {step.name: step.record for step in plan.steps if step.record and step.is_cached}
        self._made: set[str] = set()
        self._results: dict[str, StepResult] = {}
        self._values: dict[str, Any] = {}
        self._checks: Checks = {}
        self._warnings: list[str] = []

    def run(self, checks: Checks) -> Executed:
        """Execute every step that is not cached.

        Args:
            checks: step -> what is looked at before that step is executed.

        Raises:
            UserCodeError: a step failed or returned nothing.
            UnavailableError: an output cannot be kept.
        """
        self._checks = checks
        for step in self._plan.steps:
            if step.record is not None and not step.is_cached:
                lost = NotFoundError(f"its output {step.record.output} is not in {self._ws.objects.folder} any more")
                self._warnings.append(cache.discard(self._ws, step.record, lost))
        for step in self._plan.steps:
            if step.is_handed_out and step.name in self._records:
                self._verify(step)
            if step.name in self._records:
                self._announce(step)
                self._finish(StepResult(name=step.name, key=step.key, is_cached=True, seconds=0.0))
            else:
                self._execute(step)
            self._forget_unneeded()
        return Executed(
            steps=tuple(self._results[step.name] for step in self._plan.steps),
            metrics=_join_figures(self._records),
            warnings=tuple(self._warnings),
        )

    def _verify(self, step: PlannedStep) -> None:
        try:
            cache.verify_output(self._ws, self._records[step.name])
        except (NotFoundError, CorruptError) as error:
            self._give_up(step, error)

    def _execute(self, step: PlannedStep) -> None:
        arguments = {each.name: self._fetch(each) for each in step.inputs if each.origin is not Origin.CODE}
        if step.name in self._checks:
            self._checks[step.name](self._find_output)
        self._announce(step)
        module, folder = self._load(), self._plan.code.folder
        placed = [arguments.pop(each.name) for each in step.inputs if _is_placed(each, arguments)]
        begun = time.perf_counter()
        with guarded(f"step {step.name}", folder, field=step.name):
            value = getattr(module, step.name)(*placed, **arguments)
        seconds = time.perf_counter() - begun
        if value is None:
            raise UserCodeError(
                f"step {step.name} returned nothing", hint="end it with 'return' and a value", field=step.name
            )
        record = self._records[step.name] = self._keep(step, value, seconds)
        self._made.add(step.name)
        # What was pickled is read anew for everyone who wants it: nobody knows how to copy it.
        if record.format is not Format.PICKLE:
            self._values[step.name] = value
        self._finish(StepResult(name=step.name, key=step.key, is_cached=False, seconds=seconds))

    def _keep(self, step: PlannedStep, value: Any, seconds: float) -> StepRecord:  # noqa: ANN401
        what = f"keeping what step {step.name} returned, a {type(value).__qualname__},"
        folder = self._plan.code.folder
        with blaming(step.name), guarded(what, folder, field=step.name), pickled_by_value(self._plan.code):
            encoded = encode(value)
        return cache.keep_output(self._ws, step.key, step.name, encoded, seconds)

    def _announce(self, step: PlannedStep) -> None:
        self._progress.step_started(step.name, self._plan.steps.index(step) + 1, len(self._plan.steps))

    def _finish(self, result: StepResult) -> None:
        self._results[result.name] = result
        self._progress.step_finished(result)

    def _fetch(self, wanted: StepInput) -> Any:  # noqa: ANN401 - whatever a step returned
        match wanted.origin:
            case Origin.PARAMETER:
                return pass_value(wanted.argument, self._plan.parameters[wanted.name])
            case Origin.DATA:
                return self._datasets.get(wanted.name, wanted.argument.frame)
            case _:
                value = self._fetch_output(self._steps[wanted.name])
                with blaming(wanted.name):
                    return convert(value, wanted.argument.frame)

    def _fetch_output(self, step: PlannedStep) -> Any:  # noqa: ANN401 - whatever a step returned
        if step.name in self._values:
            value = self._values[step.name]
            return share(value) if find_kind(value) is not None else copy.deepcopy(value)
        if step.name in self._records:
            try:
                return self._read(step)
            except (NotFoundError, CorruptError) as error:
                if step.name in self._made:
                    raise
                self._give_up(step, error)
        self._execute(step)
        return self._fetch_output(step)

    def _find_output(self, name: str) -> Any:  # noqa: ANN401 - whatever a step returned
        return self._fetch_output(self._steps[name]) if name in self._records else None

    def _read(self, step: PlannedStep) -> Any:  # noqa: ANN401 - whatever a step returned
        """Read an output from the store."""
        value = cache.load_output(self._ws, self._records[step.name])
        if find_kind(value) is None or self._records[step.name].format is Format.PICKLE:
            return value
        self._values[step.name] = value
        return share(value)

    def _give_up(self, step: PlannedStep, error: PetlaError) -> None:
        record = self._records.pop(step.name)
        self._values.pop(step.name, None)
        self._warnings.append(cache.discard(self._ws, record, error))

    def _forget_unneeded(self) -> None:
        waiting = [step for step in self._plan.steps if step.name not in self._records]
        needed = {need for step in waiting for need in step.needs}
        for name in self._values.keys() - needed:
            del self._values[name]


def _is_placed(each: StepInput, arguments: dict[str, Any]) -> bool:
    return each.argument.is_positional and each.name in arguments


def _join_figures(records: dict[str, StepRecord]) -> dict[str, float]:
    """Put the figures of all steps together; a name that two steps use is written with the step before it."""
    names = [name for record in records.values() for name in record.figures]
    return {
        name if names.count(name) == 1 else f"{record.step}.{name}": figure
        for record in records.values()
        for name, figure in record.figures.items()
    }
