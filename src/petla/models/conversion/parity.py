"""The packaged model against the original: converted where the answers are the same, else the original itself."""

import logging
import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from petla.core.errors import CorruptError, UnavailableError, UserCodeError
from petla.models.conversion.convert import convert
from petla.models.conversion.doubles import TREE_MODULES
from petla.models.conversion.original import Original, make_table, score_original
from petla.models.package import ONNX_FILE, PYTHON_FILE, Parity
from petla.models.runtime.onnx_session import OnnxRuntime
from petla.models.signature import Row, Signature
from petla.pipeline.execution.user_code import guarded

logger = logging.getLogger(__name__)

# Largest difference of a probability, or of a number in units of the larger of 1 and itself, that still is the same
# model.
# Seen: float32 differs from float64 by some 1e-7; a tree that takes another turn by 1e-2 and more.
TOLERANCE = 1e-4

_DIGITS = "float32 keeps seven digits: make large numbers smaller, such as a date as days since a start"
_TREES = (
    "trees convert exactly where they are the last step of a pipeline, and whatever scales their inputs is a step "
    "before them"
)
_STEPS = "replace the step by one of scikit-learn's that converts, if its time for a row is too long"
_CLIP = "clip such values in the pipeline, or switch gates.dirty_rows off if they never come"

# a row's scores; None: it raised, or the scores are not finite numbers
_Answer = NDArray[np.float64] | None
_Dirty = Sequence[tuple[str, Row]]


class Sample(msgspec.Struct, frozen=True):
    """Rows, and the same as a table of the kind that the original takes."""

    rows: list[Row]
    table: Any


class Made(msgspec.Struct, frozen=True):
    """Files of a package, the scores that they give on all samples, and how they were compared."""

    files: dict[str, bytes]
    scores: NDArray[np.float64]
    parity: Parity


class _Refusal(msgspec.Struct, frozen=True):
    """Why a converted form is not packaged, what to do about it, and how far it was off where that is known."""

    reason: str
    advice: str
    largest: float | None = None


def make_files(original: Original, signature: Signature, samples: Sequence[Sample], dirty: _Dirty = ()) -> Made:
    """Convert to ONNX; where that cannot be or the answers differ, keep the original and say why.

    Args:
        original: the estimator.
        signature: its inputs and classes.
        samples: what both are scored on.
        dirty: rows with unusual values, each with what is unusual. Both forms must answer them alike; an error is
            an answer, too.

    Raises:
        UserCodeError: the original cannot score a sample, or cannot be pickled.
        UnavailableError: the extra `train` is needed and not installed.
    """
    present = [sample for sample in samples if sample.rows]
    expected = np.concatenate([score_original(original, sample.table) for sample in present])
    conversion = convert(original.estimator, signature)
    # asked for only where a form agrees on the samples, and once for all forms
    wanted = cache(lambda: _answer_apart(partial(_score_rows, _open_categories(original)), [row for _, row in dirty]))
    refusals = [_Refusal(conversion.reason, _STEPS)] if conversion.reason else []
    for content in conversion.contents:
        try:
            runtime = OnnxRuntime(content, signature)
            scores = np.concatenate([runtime.score(sample.rows) for sample in present])
        except (CorruptError, UserCodeError) as error:
            # such as an operator in 64 bits that the converter knows and the runtime does not
            refusals.append(_Refusal(f"converted to ONNX it does not run: {_shorten(error.message)}", _STEPS))
            continue
        largest = _largest_difference(scores, expected)
        refusal = _refuse_scores(original.estimator, largest) or _refuse_dirty(runtime, dirty, wanted)
        if refusal is None:
            parity = Parity(rows=len(expected), tolerance=TOLERANCE, largest_difference=largest)
            return Made({ONNX_FILE: content}, scores, parity)
        logger.info("conversion.refused", extra={"reason": refusal.reason})
        refusals.append(refusal)
    best = min(refusals, key=lambda each: np.inf if each.largest is None else each.largest)
    parity = Parity(
        rows=len(expected),
        tolerance=TOLERANCE,
        largest_difference=best.largest,
        reason=best.reason,
        advice=best.advice,
    )
    return Made({PYTHON_FILE: _pickle(original)}, expected, parity)


def _refuse_scores(estimator: object, largest: float | None) -> _Refusal | None:
    if largest is not None and largest <= TOLERANCE:
        return None
    shown = "are not finite numbers" if largest is None else f"differ by up to {largest:.3g}"
    reason = f"converted to ONNX its scores {shown}; at most {TOLERANCE:g} is allowed"
    return _Refusal(reason, _TREES if _has_trees_within(estimator) else _DIGITS, largest)


def _refuse_dirty(runtime: OnnxRuntime, dirty: _Dirty, wanted: Callable[[], list[_Answer]]) -> _Refusal | None:
    """Compare the answers to dirty rows; return the first difference."""
    got = _answer_apart(runtime.score, [row for _, row in dirty])
    for (what, _), ours, theirs in zip(dirty, got, wanted() if dirty else [], strict=True):
        if ours is None and theirs is None:
            continue
        largest = None if ours is None or theirs is None else _largest_difference(ours, theirs)
        if largest is None or largest > TOLERANCE:
            reason = f"where {what}, the original {_show(theirs)} and its ONNX form {_show(ours)}"
            return _Refusal(reason, _CLIP, largest)
    return None


def _answer_apart(score: Callable[[list[Row]], NDArray[np.float64]], rows: list[Row]) -> list[_Answer]:
    """Score rows together, and where that raises in ever smaller parts, so that one row spoils no other's answer."""
    if not rows:
        return []
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return [scores if np.isfinite(scores).all() else None for scores in map(np.atleast_1d, score(rows))]
    except UserCodeError:
        middle = len(rows) // 2
        return [*_answer_apart(score, rows[:middle]), *_answer_apart(score, rows[middle:])] if middle else [None]


def _score_rows(original: Original, rows: list[Row]) -> NDArray[np.float64]:
    with guarded("making a table of the rows", Path.cwd(), field="model"):
        table = make_table(original, rows)
    return score_original(original, table)


def _open_categories(original: Original) -> Original:
    """Return the original with strings for pandas' categories, which cannot hold a value that training did not have."""
    template = original.template
    if not type(template).__module__.startswith("pandas"):
        return original
    import pandas as pd

    strings = {
        name: "str"
        for name, dtype in template.dtypes.items()
        if isinstance(dtype, pd.CategoricalDtype) and pd.api.types.is_string_dtype(dtype.categories.dtype)
    }
    return msgspec.structs.replace(original, template=template.astype(strings))


def _show(answer: _Answer) -> str:
    return "gives no score" if answer is None else f"gives {', '.join(f'{value:.3g}' for value in answer[-3:])}"


def _has_trees_within(estimator: Any) -> bool:  # noqa: ANN401 - any estimator
    """Whether trees are a part of an estimator, and not all of it."""
    parts = estimator.get_params().values() if hasattr(estimator, "get_params") else ()
    is_all = type(estimator).__module__.startswith(TREE_MODULES)
    return not is_all and any(type(part).__module__.startswith(TREE_MODULES) for part in parts)


def _shorten(message: str) -> str:
    return " ".join(message.split())[:300]


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
