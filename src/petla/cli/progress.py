"""The progress of a run, on stderr: a live line on a terminal, plain lines elsewhere."""

import sys
import time

from petla.pipeline.result import StepResult


def progress_on() -> "StepProgress":
    """Return the progress of this terminal."""
    return StepProgress()


class StepProgress:
    """Prints each step as it begins and ends, with the rate so far and the time left."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._executed: list[float] = []
        self._index = 0
        self._total = 0

    def step_started(self, name: str, index: int, total: int) -> None:
        """Say that step `index` of `total` (from 1) begins."""
        self._index, self._total = index, total
        if sys.stderr.isatty():
            print(f"[{index}/{total}] {name} ...{self._left()}", end="", file=sys.stderr, flush=True)

    def step_finished(self, step: StepResult) -> None:
        """Say how a step ended."""
        if not step.is_cached:
            self._executed.append(step.seconds)
        how = "from the cache" if step.is_cached else f"{step.seconds:.2f} s"
        start = "\r\x1b[K" if sys.stderr.isatty() else ""
        print(f"{start}[{self._index}/{self._total}] {step.name}: {how}{self._rate()}", file=sys.stderr, flush=True)

    def _rate(self) -> str:
        elapsed = time.monotonic() - self._started
        return f" ({self._index / elapsed:.1f} steps/s)" if elapsed > 0 else ""

    def _left(self) -> str:
        if not self._executed:
            return ""
        mean = sum(self._executed) / len(self._executed)
        return f" about {mean * (self._total - self._index + 1):.0f} s left"
