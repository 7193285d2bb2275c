"""What process 1 of a container owes to others: to take note of the end of every process that nobody else waits for."""

import os
import signal
from types import FrameType

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
# what a shell adds to the number of the signal that ended a process
_KILLED = 128


def reap_orphans() -> None:
    """Go on as a process of its own where this one is process 1, which then only forwards signals and reaps.

    Processes whose parent died, such as those of a worker that was killed, become children of process 1. Nobody else
    may wait for them, and they would stay as zombies.

    Does not return in process 1: it ends with the status of the one that goes on.
    """
    if os.getpid() != 1:
        return
    child = os.fork()
    if child == 0:
        return

    def forward(number: int, _frame: FrameType | None) -> None:
        os.kill(child, number)

    for number in _FORWARDED:
        signal.signal(number, forward)
    os._exit(_wait_for(child))


def _wait_for(child: int) -> int:
    """Reap whatever ends until the child does; return its exit status as a shell would."""
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else _KILLED - code
