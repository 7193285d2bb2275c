"""The packaged model against the original: converted where the answers are the same, else the original itself."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from petla.core.errors import CorruptError, UnavailableError
from petla.models.conversion.convert import convert
from petla.models.conversion.original import Original, score_original
from petla.models.package import ONNX_FILE, PYTHON_FILE, Parity
from petla.models.runtime.onnx_session import OnnxRuntime
from petla.models.signature import Row, Signature
from petla.pipeline.execution.user_code import guarded

logger = logging.getLogger(__name__)

# Largest difference of a probability, or of a number in units of the larger of 1 and itself, that still is the same
# model.
# Seen: float32 differs from float64 by some 1e-7; a tree that takes another turn by 1e-2 and more.
TOLERANCE = 1e-4


class Sample(msgspec.Struct, frozen=True):
    """Rows, and the same as a table of the kind that the original takes."""

    rows: list[Row]
    table: Any


class Made(msgspec.Struct, frozen=True):
    """Files of a package, the scores that they give on all samples, and how they were compared."""

    files: dict[str, bytes]
    scores: NDArray[np.float64]
    parity: Parity


def make_files(original: Original, signature: Signature, samples: Sequence[Sample]) -> Made:
    """Convert to ONNX; where that cannot be or the scores differ, keep the original and say why.

    Args:
        original: the estimator.
        signature: its inputs and classes.
        samples: what both are scored on.

    Raises:
        UserCodeError: the original cannot score a sample, or cannot be pickled.
        UnavailableError: the extra `train` is needed and not installed.
    """
    present = [sample for sample in samples if sample.rows]
    expected = np.concatenate([score_original(original, sample.table) for sample in present])
    conversion = convert(original.estimator, signature)
    differences: list[float | None] = []
    for content in conversion.contents:
        try:
            runtime = OnnxRuntime(content, signature)
        except CorruptError as error:
            # the converter knows operators in 64 bits that the runtime does not have
            logger.info("conversion.refused", extra={"reason": error.message})
            differences.append(None)
            continue
        scores = np.concatenate([runtime.score(sample.rows) for sample in present])
        largest = _largest_difference(scores, expected)
        if largest is not None and largest <= TOLERANCE:
            parity = Parity(rows=len(expected), tolerance=TOLERANCE, largest_difference=largest)
            return Made({ONNX_FILE: content}, scores, parity)
        differences.append(largest)
    largest = min((each for each in differences if each is not None), default=None)
    reason = conversion.reason or _explain(largest)
    parity = Parity(rows=len(expected), tolerance=TOLERANCE, largest_difference=largest, reason=reason)
    return Made({PYTHON_FILE: _pickle(original)}, expected, parity)


def _explain(largest: float | None) -> str:
    shown = "are not finite numbers" if largest is None else f"differ by up to {largest:.3g}"
    return (
        f"converted to ONNX its scores {shown}; at most {TOLERANCE:g} is allowed. "
        "Trees convert exactly where they are the last step of a pipeline, and whatever scales is a step before them"
    )


def _largest_difference(scores: NDArray[np.float64], expected: NDArray[np.float64]) -> float | None:
    if scores.shape != expected.shape or not np.isfinite(scores).all():
        return None
    return float(np.max(np.abs(scores - expected) / np.maximum(1.0, np.abs(expected))))


def _pickle(original: Original) -> bytes:
    """Pickle an estimator; the project's own classes travel in it, since no module of theirs is loaded."""
    try:
        import cloudpickle
    except ImportError as error:
        raise UnavailableError(
            "a model that does not convert to ONNX is packaged with cloudpickle, which is not installed",
            hint="pip install 'petla[train]'",
        ) from error
    with guarded("pickling the model", Path.cwd(), field="model"):
        content: bytes = cloudpickle.dumps(original)
    return content
