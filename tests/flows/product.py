"""The product as a stranger has it: the command in a process of its own, HTTP from outside."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

T = TypeVar("T")

PROGRAM = (sys.executable, "-m", "petla")

_PATIENCE_S = 30.0


def petla(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "petla", *words],
        cwd=folder,
        env=os.environ | {"PETLA_ACTOR": "ann"} | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextlib.contextmanager
def started(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Start the command in a folder and go on; it is killed at the end of the block."""
    command = [sys.executable, "-m", "petla", *words]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


class Product:
    """`petla up` of a project, on free ports, for as long as the block lasts.

    Args:
        folder: the project's.
        serving_port: 0 takes any that is free, as does `control_port`.
        is_awaited: the block begins when it answers; else at once.
        program: what is asked to come `up`.
        variables: what else the command finds in its environment.
    """

    def __init__(
        self,
        folder: Path,
        *,
        serving_port: int = 0,
        control_port: int = 0,
        is_awaited: bool = True,
        program: Sequence[str] = PROGRAM,
        **variables: str,
    ) -> None:
        self._folder = folder
        self._command = [*program, "up"]
        self._is_awaited = is_awaited
        ports = {"PETLA_SERVING_PORT": str(serving_port), "PETLA_CONTROL_PORT": str(control_port)}
        self._variables = {"PETLA_ACTOR": "ann"} | ports | variables
        self._log = folder / ".petla" / "up.log"

    def __enter__(self) -> Self:
        environment = os.environ | self._variables
        with self._log.open("w") as log:
            self._process = subprocess.Popen(self._command, cwd=self._folder, env=environment, stdout=log, stderr=log)
        if self._is_awaited:
            self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self.wait()

    def wait_until_ready(self) -> None:
        """Wait until both planes have said where they answer."""
        self.serving = self.wait_for(lambda: self._said("serving"))
        self.pages = self.wait_for(lambda: self._said("pages"))

    def find_control(self) -> int | None:
        """Return the number of the control plane's process, or None while there is none."""
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        commands = {int(pid): Path(f"/proc/{pid}/cmdline") for pid in listed}
        return next(
            (pid for pid, path in commands.items() if path.exists() and b"\0control\0" in path.read_bytes()), None
        )

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait until it has ended; return its exit status."""
        return self._process.wait(_PATIENCE_S)

    def post(self, path: str, content: Any) -> Any:  # noqa: ANN401 - JSON
        """Send JSON to the data plane; return the JSON that comes back."""
        request = urllib.request.Request(self.serving + path, json.dumps(content).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def wait_for(self, look: Callable[[], T | None]) -> T:
        """Look again and again until there is something to see."""
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            found = look()
            if found is not None:
                return found
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"it never came; 'petla up' said: {self.said[-2000:]}")

    @property
    def said(self) -> str:
        """All that it wrote to the terminal so far."""
        return self._log.read_text()

    def _said(self, name: str) -> str | None:
        lines = (line.partition(" ") for line in self.said.splitlines())
        return next((value.strip() for first, _, value in lines if first == name and value.strip()), None)
