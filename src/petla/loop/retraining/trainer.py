"""Training in a process of its own: the controller goes on watching, and a crash there is none here.

A process is known only to the controller that started it. After a restart the same command is run again: its finished
steps are cached, registering is idempotent, and a lock keeps two runs apart, so nothing is done twice.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from petla.gates.verdict import Verdict
from petla.loop.retraining.states import Retraining
from petla.pipeline.plan import RunRequest, encode_request
from petla.storage.files import reported, write_atomic
from petla.storage.workspace import Workspace

RETRAININGS_FOLDER = "retrainings"
_TAIL_CHARACTERS = 2_000
_STOP_S = 10.0
# serving comes first where both share a machine
_NICENESS = "10"

T = TypeVar("T")


class TrainingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a finished training printed; more than this is in the rows."""

    version: int
    verdict: Verdict | None = None


class Fault(msgspec.Struct, frozen=True):
    """What a training that failed printed under `error`."""

    code: str
    message: str


class TrainingEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a training process ended."""

    # exit status; negative: the signal that killed it
    status: int
    # None: it came to no verdict
    answer: TrainingAnswer | None
    # None: it printed none
    fault: Fault | None
    # the last of what it wrote to stderr
    tail: str


class _Document(msgspec.Struct, frozen=True):
    error: Fault


class Trainer:
    """The training processes of one controller.

    Args:
        ws: the opened project.
    """

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def poll(self, retraining: Retraining, request: RunRequest) -> TrainingEnd | None:
        """Start a retraining's process if it does not run; return how it ended, or None while it runs.

        Args:
            retraining: what it trains for.
            request: what to run.

        Raises:
            UnavailableError: the folder for its output cannot be written.
        """
        folder = retraining_folder(self._ws, retraining)
        process = self._running.get(retraining.id)
        if process is None:
            self._running[retraining.id] = self._start(folder, encode_request(retraining.model, request))
            return None
        status = process.poll()
        if status is None:
            return None
        del self._running[retraining.id]
        return _read_end(status, folder)

    def is_training(self, retraining: Retraining) -> bool:
        """Whether a retraining's process was started and its end was not asked for yet."""
        return retraining.id in self._running

    def close(self) -> None:
        """End the processes that still run."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()

    def _start(self, folder: Path, request: bytes) -> "subprocess.Popen[bytes]":
        nice = ["nice", "-n", _NICENESS] if shutil.which("nice") else []
        command = [*nice, sys.executable, "-P", "-m", "petla", "run-request", str(_request_path(folder))]
        environment = os.environ | {"PETLA_ACTOR": "controller"}
        if self._ws.settings.database:
            environment["PETLA_DATABASE"] = self._ws.settings.database
        with reported(folder):
            write_atomic(_request_path(folder), request)
            with _answer_path(folder).open("wb") as answer, _errors_path(folder).open("wb") as errors:
                return self._spawn(command, environment, answer, errors)

    def _spawn(
        self, command: list[str], environment: dict[str, str], answer: IO[bytes], errors: IO[bytes]
    ) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            command,
            cwd=self._ws.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=errors,
            # Ctrl-C in the terminal stops the controller, which then stops this one
            start_new_session=True,
        )


def retraining_folder(ws: Workspace, retraining: Retraining) -> Path:
    """Return the folder in which a retraining keeps what it needs while it goes on."""
    return ws.state / RETRAININGS_FOLDER / str(retraining.id)


def _read_end(status: int, folder: Path) -> TrainingEnd:
    printed = _answer_path(folder).read_bytes()
    tail = _errors_path(folder).read_text("utf-8", errors="replace").strip()[-_TAIL_CHARACTERS:]
    return TrainingEnd(
        status=status,
        answer=_decode(printed, TrainingAnswer),
        fault=getattr(_decode(printed, _Document), "error", None),
        tail=tail,
    )


def _decode(printed: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(printed, type=kind)
    except msgspec.DecodeError:
        return None


def _request_path(folder: Path) -> Path:
    return folder / "request.json"


def _answer_path(folder: Path) -> Path:
    return folder / "answer.json"


def _errors_path(folder: Path) -> Path:
    return folder / "errors.log"
