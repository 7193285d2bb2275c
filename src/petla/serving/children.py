"""A process that is started again when it dies."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence

logger = logging.getLogger(__name__)

# one that dies sooner than this after its start waits before the next, twice as long each time
_HEALTHY_S = 5.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0

# glibc raises its limits with the largest block that it ever gave back, and then keeps what large bodies needed: over
# 100,000 requests, some of 10 MB, a worker grew by 34 MiB, and by 7 with limits that stay as they are. Other allocators
# pass them over.
_ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(256 << 10), "MALLOC_TRIM_THRESHOLD_": str(1 << 20)}


# While who watches did not run either, a process cannot be blamed for its silence.
_LONGEST_LOOK_S = 0.5

# NOTE: without -P Python would import modules of the current folder, such as a project's own signal.py.
PYTHON = (sys.executable, "-P")


class Child:
    """A process and its successors, which inherit one socket.

    Args:
        name: what it is, for the log.
        command: what starts it; the descriptor is added as `--fd`.
        descriptor: of the socket.
        is_apart: whether Ctrl-C at the terminal does not reach it; who started it tells it when to end.
        stuck_s: a process that has given signs of life and then none for so long is killed; it gives them by writing to
            the pipe that is added as `--pulse`. None: nobody asks for them.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        descriptor: int,
        *,
        is_apart: bool = False,
        stuck_s: float | None = None,
    ) -> None:
        self._name = name
        self._stuck_s = stuck_s
        self._pulse: int | None = None
        self._looked_at = 0.0
        # since the last sign of life; None: it may still be loading
        self._silent_s: float | None = None
        self._command = [*command, "--fd", str(descriptor)]
        self._descriptor = descriptor
        self._group = 0 if is_apart else None
        self._pause_s = _FIRST_PAUSE_S
        self._died_at: float | None = None
        # whether its end was asked for, and another is wanted
        self._is_renewed = False
        self._start()

    @property
    def pid(self) -> int:
        """The present process's number."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def restart_if_dead(self) -> None:
        """Start the next one, unless it is too soon."""
        status = self.status
        if status is None:
            return
        if self._is_renewed:
            self._start()
            return
        now = time.monotonic()
        if self._died_at is None:
            self._died_at = now
            lived_s = now - self._started_at
            self._pause_s = _FIRST_PAUSE_S if lived_s > _HEALTHY_S else min(self._pause_s * 2, _LONGEST_PAUSE_S)
            named = {"what": self._name, "pid": self.pid, "status": status, "lived_s": round(lived_s, 1)}
            logger.warning("process.died", extra=named)
        if now - self._died_at >= (0 if self._pause_s == _FIRST_PAUSE_S else self._pause_s):
            self._start()

    def kill_if_stuck(self) -> None:
        """Kill it if it gave no sign of life for too long; `restart_if_dead` then starts the next one."""
        if self._stuck_s is None or self._pulse is None or self.status is not None:
            return
        now = time.monotonic()
        looked_s, self._looked_at = now - self._looked_at, now
        if self._feel_pulse():
            self._silent_s = 0.0
        elif self._silent_s is not None:
            self._silent_s += min(looked_s, _LONGEST_LOOK_S)
            if self._silent_s > self._stuck_s:
                named = {"what": self._name, "pid": self.pid, "silent_s": round(self._silent_s, 1)}
                logger.warning("worker.stuck", extra=named)
                self._silent_s = None
                self._process.kill()

    def renew(self) -> None:
        """Ask it to end; `restart_if_dead` then starts the next one."""
        self._is_renewed = True
        self.terminate()

    def terminate(self) -> None:
        """Ask it to end."""
        if self._process.poll() is None:
            self._process.terminate()

    def wait(self, deadline_s: float) -> None:
        """Wait until it has ended; after a moment of the monotonic clock it is killed."""
        try:
            self._process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            logger.warning("process.killed", extra={"what": self._name, "pid": self.pid})
            self._process.kill()
            self._process.wait()
        self._close_pulse()

    def _start(self) -> None:
        self._close_pulse()
        command, inherited = self._command, [self._descriptor]
        if self._stuck_s is not None:
            self._pulse, given = os.pipe()
            os.set_blocking(self._pulse, False)
            command, inherited = [*command, "--pulse", str(given)], [*inherited, given]
        try:
            self._process = subprocess.Popen(
                command,
                pass_fds=inherited,
                stdin=subprocess.DEVNULL,
                process_group=self._group,
                env=_ALLOCATOR | os.environ,
            )
        finally:
            for descriptor in inherited[1:]:
                os.close(descriptor)
        self._started_at = self._looked_at = time.monotonic()
        self._silent_s = None
        self._died_at = None
        self._is_renewed = False

    def _feel_pulse(self) -> bool:
        """Whether it gave a sign of life since the last look."""
        try:
            return self._pulse is not None and bool(os.read(self._pulse, 4_096))
        except BlockingIOError:
            return False

    def _close_pulse(self) -> None:
        if self._pulse is not None:
            os.close(self._pulse)
            self._pulse = None
