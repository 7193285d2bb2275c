"""`petla up` as a process of its own, and what may happen to it."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from petla.deployments.server import list_acknowledgements
from petla.storage.workspace import Workspace


class Plane:
    """`petla up` of one project."""

    def __init__(self, ws: Workspace, environment: dict[str, str]) -> None:
        self.ws = ws
        self._environment = os.environ | environment
        self._chance = random.Random(7)
        self.killed = 0
        self.start()

    def start(self) -> None:
        """Start it, again while its port is still held, as a service manager does; and wait until it answers."""
        with (self.ws.root / "up.log").open("ab") as log:
            command = [str(Path(sys.executable).with_name("petla")), "up"]
            self.process = subprocess.Popen(command, cwd=self.ws.root, env=self._environment, stdout=log, stderr=log)
        while not self.pids():
            if self.process.poll() is not None:
                self.start()
            time.sleep(0.05)

    @contextlib.contextmanager
    def losing_a_worker_each_second(self) -> Iterator[None]:
        """Kill one worker with -9 every second."""
        over = threading.Event()

        def kill() -> None:
            while not over.wait(1):
                pids = self.pids()
                if pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self._chance.choice(pids), signal.SIGKILL)
                        self.killed += 1

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            yield
        finally:
            over.set()
            killer.join()

    def kill_and_start(self) -> None:
        """Kill the control plane with -9, and start another."""
        self.process.kill()
        self.process.wait()
        # its workers find out by themselves, and hold port and spools until then
        while self.pids():
            time.sleep(0.05)
        self.start()

    def stop(self) -> None:
        """End it as a person would."""
        self.process.terminate()
        self.process.wait(60)

    def pids(self) -> list[int]:
        """Return the numbers of the workers' processes."""
        said = (each.pid for each in list_acknowledgements(self.ws.state))
        return [pid for pid in said if _is_worker(pid)]


def _is_worker(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"petla.serving.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False
