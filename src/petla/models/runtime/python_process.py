"""A package in Python, scored in a process of its own: what it does to itself it does not do to us.

The process may crash, hang or use up its memory. Whoever asked hears that it was lost, and the next question goes to
another one. A process that dies again and again before it has answered anything is started again ever more slowly;
until then every question is refused at once, so that nobody waits for what will not come.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from petla.core.errors import ProcessLostError, UnavailableError, UserCodeError
from petla.core.settings import PREFIX
from petla.models.runtime.frames import Failure, Reply, Scores, Start, read_frame, wait_for_frame, write_frame
from petla.models.runtime.layout import bound_row
from petla.models.signature import Row

# importing scikit-learn on a busy machine takes seconds
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 2.0
_HINT = "correct the pipeline so that its model takes every row that its signature allows, then 'petla run'"
# deaths in a row that are no reason to wait: a batch that kills its process, and two of its rows once more, alone
_FREE_DEATHS = 3
_FIRST_REST_S = 0.5
_LONGEST_REST_S = 30.0
# OMP_THREAD_LIMIT also binds a model that was trained with a number of threads of its own, and LOKY_MAX_CPU_COUNT is
# what joblib and LightGBM count processors with
_THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS", "LOKY_MAX_CPU_COUNT"),
)


class PythonRuntime:
    """Scores rows in a child process, which is started again when it died.

    Args:
        content: the pickled model, from a package whose signature was verified.
        timeout_s: a batch that takes longer is given up, and the child is ended.
        memory_bytes: data that the child may hold; 0: as much as there is.
        threads: that the model's libraries may use for one batch.

    Raises:
        UnavailableError: the child could not be started.
        UserCodeError: the model cannot be loaded, such as for want of a library.
    """

    is_fast = False

    def __init__(self, content: bytes, *, timeout_s: float = 30.0, memory_bytes: int = 0, threads: int = 1) -> None:
        self._start_frame = Start(content, memory_bytes)
        self._timeout_s = timeout_s
        self._threads = threads
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._is_closed = False
        # since something was last answered
        self._deaths = 0
        self._resting_until_s = 0.0
        with self._lock:
            self._ensure_child()

    @property
    def pid(self) -> int | None:
        """The present child; None: it was lost, and the next question starts another."""
        child = self._child
        return child.pid if child is not None else None

    def score(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """Score rows; see `Runtime.score`."""
        with self._lock:
            reply = self._ask(self._ensure_child(), [bound_row(row) for row in rows], self._timeout_s)
            self._deaths = 0
        return np.frombuffer(reply.content, dtype=np.float64).reshape(reply.shape)

    def close(self) -> None:
        """End the child for good."""
        with self._lock:
            self._is_closed = True
            self._end_child()

    def _ensure_child(self) -> "subprocess.Popen[bytes]":
        if self._child is not None and self._child.poll() is None:
            return self._child
        if self._is_closed:
            raise UnavailableError("the version is served no longer", hint="ask the one that is")
        if self._child is not None:
            self._lose_child()
        rest_s = self._resting_until_s - time.monotonic()
        if rest_s > 0:
            raise UnavailableError(
                f"the process of the Python model died {self._deaths} times in a row and is left alone for "
                f"{rest_s:.1f} s",
                hint="look at the server's log for what it printed",
            )
        self._child = _spawn(self._threads)
        self._ask(self._child, self._start_frame, _START_TIMEOUT_S)
        return self._child

    def _ask(self, child: "subprocess.Popen[bytes]", question: object, timeout_s: float) -> Scores:
        source, answers = _pipes(child)
        try:
            write_frame(source, question)
            wait_for_frame(answers, timeout_s)
            reply: Reply = read_frame(answers, Reply)  # type: ignore[arg-type] # a union is no class
        except (EOFError, OSError) as error:  # TimeoutError and BrokenPipeError are OSErrors
            self._lose_child()
            raise ProcessLostError(
                f"the process of the Python model was lost: {error}",
                hint="send the rows again; a new process takes them",
            ) from error
        except BaseException:
            # NOTE: an interrupted exchange leaves an answer in the pipe that the next question must not get
            self._end_child()
            raise
        if isinstance(reply, Failure):
            if reply.is_last:
                self._lose_child()
            raise UserCodeError(reply.message, traceback=reply.traceback, hint=_HINT, field="model")
        return reply

    def _lose_child(self) -> None:
        """End a child that failed by itself, and decide when there may be another."""
        self._end_child()
        self._deaths += 1
        if self._deaths > _FREE_DEATHS:
            rest_s = min(_LONGEST_REST_S, _FIRST_REST_S * 2 ** (self._deaths - _FREE_DEATHS - 1))
            self._resting_until_s = time.monotonic() + rest_s

    def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        for pipe in _pipes(child):
            with contextlib.suppress(OSError):
                pipe.close()
        child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_STOP_TIMEOUT_S)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):
            self._end_child()


def _spawn(threads: int = 1) -> "subprocess.Popen[bytes]":
    """Start a child that sees neither our settings, which may hold credentials, nor the folder we are in.

    Libraries read how many threads to use when they are imported, so the variables are set before the child begins.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    environment |= dict.fromkeys(_THREAD_VARIABLES, str(threads))
    command = [sys.executable, "-P", "-m", "petla.models.runtime.child"]
    try:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True
        )
    except OSError as error:
        raise UnavailableError(
            f"cannot start a process for the Python model: {error}", hint="free memory or processes, then try again"
        ) from error


def _pipes(child: "subprocess.Popen[bytes]") -> tuple[BinaryIO, BinaryIO]:
    if child.stdin is None or child.stdout is None:
        raise ValueError("the child was started without pipes")
    return child.stdin, child.stdout  # type: ignore[return-value] # Popen's pipes are binary
