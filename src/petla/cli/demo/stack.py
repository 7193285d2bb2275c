"""The running product under the demo: `petla up` of the demo's project, as a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from petla.core.errors import UnavailableError

# who acts, as far as the audit trail is concerned
VIEWER = "demo viewer"
_START_S = 30.0
_STOP_S = 20.0


class Stack:
    """`petla up` in a folder, on free ports.

    Args:
        folder: the project.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[str] | None = None
        self.pages = ""
        self.serving = ""

    @property
    def pid(self) -> int:
        """The process's number; 0 before it was started."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start it and wait until it says where it serves.

        Raises:
            UnavailableError: it ended, or said nothing in time; its own words are in the message.
        """
        chosen = {"PETLA_SERVING_PORT": "0", "PETLA_CONTROL_PORT": "0", "PETLA_ACTOR": VIEWER}
        log_path = self._folder / ".petla" / "up.log"
        self._log = log_path.open("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "petla", "up"],
            cwd=self._folder,
            env=os.environ | chosen,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_S
        while not (self.pages and self.serving):
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = log_path.read_text(encoding="utf-8").strip()
                raise UnavailableError(f"'petla up' did not start: {said[-500:]}", hint=f"see {log_path}")
            time.sleep(0.02)
            self._read(log_path.read_text(encoding="utf-8"))

    def stop(self) -> int:
        """Ask it to stop and wait for it; return its exit status.

        Raises:
            UnavailableError: it did not stop in time.
        """
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired as error:
            self._process.kill()
            raise UnavailableError("'petla up' did not stop when asked", hint="see .petla/up.log") from error
        finally:
            if self._log is not None:
                self._log.close()
        return status

    def _read(self, said: str) -> None:
        for line in said.splitlines():
            name, _, value = line.partition(" ")
            if name == "pages":
                self.pages = value.strip()
            if name == "serving":
                self.serving = value.strip()
