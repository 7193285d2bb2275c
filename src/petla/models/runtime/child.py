"""The process that a Python model runs in: `python -m petla.models.runtime.child`.

It reads frames from its input and answers on what was its output; whatever the model prints goes to the errors
instead. It ends when its input is closed, so it never outlives its parent. The parent has verified the model before
it sends it.
"""

import contextlib
import os
import pickle
import resource
import sys
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np

from petla.core.errors import UserCodeError
from petla.models.conversion.original import Original, make_table, score_original
from petla.models.runtime.frames import Failure, Reply, Scores, Start, read_frame, write_frame
from petla.models.signature import Row
from petla.pipeline.execution.user_code import guarded


def main() -> None:
    """Load the model that the first frame holds, then score one batch per frame."""
    source = sys.stdin.buffer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    warnings.simplefilter("ignore")
    with contextlib.suppress(EOFError, BrokenPipeError):
        original = _load(source, answers)
        is_over = original is None
        while original is not None and not is_over:
            reply = _answer(original, read_frame(source, list[Row]))
            write_frame(answers, reply)
            is_over = isinstance(reply, Failure) and reply.is_last


def _load(source: BinaryIO, answers: BinaryIO) -> Original | None:
    start = read_frame(source, Start)
    if start.memory_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (start.memory_bytes, start.memory_bytes))
    try:
        with guarded("loading the model", Path.cwd(), field="model"):
            original: Original = pickle.loads(start.content)  # noqa: S301 - its signature was verified by the parent
    except UserCodeError as error:
        write_frame(answers, Failure(error.message, error.traceback))
        return None
    write_frame(answers, Scores((0,), b""))
    return original


def _answer(original: Original, rows: list[Row]) -> Reply:
    try:
        with guarded("making a table of the rows", Path.cwd(), field="model"):
            table = make_table(original, rows)
        scores = np.ascontiguousarray(score_original(original, table))
    except UserCodeError as error:
        # What leaked stays leaked: only another process has room again.
        return Failure(error.message, error.traceback, is_last=isinstance(error.__cause__, MemoryError))
    return Scores(scores.shape, scores.tobytes())


if __name__ == "__main__":
    main()
