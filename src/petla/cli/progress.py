"""Progress on stderr: a live line on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from petla.cli.output import show_bytes
from petla.core.events import escape_controls
from petla.core.progress import Progress
from petla.pipeline.result import StepResult

# a terminal's line is written again this often
_EVERY_S = 0.1
# who does not look at a terminal is told of work that took longer
_LONG_S = 2.0


@contextmanager
def byte_progress() -> Iterator[Progress]:
    """Show how many bytes of a long work are done, at what rate, and how long the rest will take."""
    progress = _ByteProgress()
    try:
        yield progress
    finally:
        progress.end()


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


class _ByteProgress:
    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._is_live = sys.stderr.isatty()
        self._what = ""
        self._total: int | None = None
        self._done = 0
        self._started = self._shown = time.monotonic()

    def begin(self, what: str, total_bytes: int | None = None) -> None:
        with self._mutex:
            self._finish()
            self._what, self._total, self._done = what, total_bytes, 0
            self._started = self._shown = time.monotonic()

    def advance(self, n_bytes: int) -> None:
        with self._mutex:
            self._done += n_bytes
            now = time.monotonic()
            if self._is_live and now - self._shown >= _EVERY_S:
                self._shown = now
                print(f"\r\x1b[K{self._line(now)}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        with self._mutex:
            self._finish()

    def _finish(self) -> None:
        now = time.monotonic()
        if self._is_live and self._shown > self._started:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        if self._done and now - self._started >= _LONG_S:
            rate = show_bytes(round(self._done / (now - self._started)))
            took = f"{now - self._started:.1f} s, {rate}/s"
            print(f"{escape_controls(self._what)}: {show_bytes(self._done)} in {took}", file=sys.stderr, flush=True)
        self._done = 0

    def _line(self, now: float) -> str:
        elapsed = max(now - self._started, 1e-9)
        rate = self._done / elapsed
        amount, left = show_bytes(self._done), ""
        if self._total:
            amount += f" of {show_bytes(self._total)}"
            left = f", {max(self._total - self._done, 0) / rate:.0f} s left" if rate else ""
        return f"{self._what}: {amount} ({show_bytes(round(rate))}/s{left})"
