"""What an estimator says of itself: its classes, the threshold that it decides by, and whether it decides otherwise."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from petla.core.errors import InvalidError, UserCodeError
from petla.core.project import AnswerTable, ModelTable
from petla.models.signature import Signature
from petla.pipeline.execution.user_code import guarded

# probabilities that are as near to the threshold, or to each other, may be decided either way
_TIE = 1e-3


def list_classes(table: ModelTable, estimator: Any) -> tuple[bool | int | float | str, ...]:  # noqa: ANN401
    """Return the classes as Python values.

    Raises:
        InvalidError: the estimator is not fitted, predicts several targets, or its classes do not suit the task.
    """
    if not is_fitted(estimator):
        raise InvalidError(
            f"the pipeline's model is a {type(estimator).__name__} that is not fitted",
            hint="that step must return a fitted estimator, such as `estimator.fit(inputs, target)`",
            field="model",
        )
    kind, found = type(estimator).__name__, getattr(estimator, "classes_", [])
    if (n_targets := count_targets(estimator)) > 1:
        raise InvalidError(
            f"the pipeline's model is a {kind}, which predicts {n_targets} targets at once",
            hint="make a model of its own for each target",
            field="model",
        )
    classes: list[bool | int | float | str] = np.asarray(found).tolist()
    allowed = {"regression": (0,), "binary": (2,), "multiclass": range(2, len(classes) + 1)}[table.task]
    if not classes and table.task != "regression" and not _is_regressor(estimator):
        raise InvalidError(
            f"the task is {table.task}, and the pipeline's model is a {kind}, which has no classes",
            hint="return a fitted estimator, or wrap it in a class with `classes_`, `predict` and `predict_proba`",
            field="model",
        )
    if len(classes) not in allowed:
        shown = f"has the classes {', '.join(map(repr, classes[:5]))}" if classes else "has no classes"
        raise InvalidError(
            f"the project file says the task is {table.task}, but the trained {kind} {shown}",
            hint="correct 'task' in the model's table, or the target column",
            field="task",
        )
    return tuple(classes)


def is_fitted(estimator: Any) -> bool:  # noqa: ANN401
    """Whether a model of scikit-learn, or one that has scikit-learn's own method for it, was fitted; else True."""
    own_answer = getattr(estimator, "__sklearn_is_fitted__", None)
    if own_answer is not None and not isinstance(estimator, type):
        return bool(own_answer())
    if not type(estimator).__module__.startswith("sklearn."):
        return True
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    except TypeError:
        # not an estimator, such as a splitter; the caller names it
        return True
    return True


def count_targets(estimator: Any) -> int:  # noqa: ANN401
    """Return how many targets an estimator predicts: scikit-learn's have one array of classes for each."""
    classes = getattr(estimator, "classes_", None)
    return len(classes) if isinstance(classes, list) and any(np.ndim(each) for each in classes) else 1


def require_known_target(signature: Signature, values: Iterable[object]) -> None:
    """Accept only an estimator that was trained on the target itself, not on codes of it.

    Raises:
        InvalidError: none of the target's values is one of its classes.
    """
    present = {value for value in values if value is not None and value == value}  # noqa: PLR0124 - NaN
    if not signature.classes or not present or not present.isdisjoint(signature.classes):
        return
    classes, shown = (", ".join(map(repr, each)) for each in (signature.classes[:5], sorted(present, key=repr)[:5]))
    raise InvalidError(
        f"the model knows the classes {classes}; none of the values of {signature.target!r} ({shown}) is one of them",
        hint="train it on the target itself, or wrap it in a class that gives the target's values as `classes_`",
        field=signature.target,
    )


def learned_pandas_nulls(estimator: object) -> bool:
    """Whether an estimator was fitted on strings that pandas lacked, NaN, and not on None as other tables have it.

    No estimator says what kind of table it was fitted on, but its encoders and imputers hold what they saw there. One
    that was fitted on None has it among its categories, unless an imputer was told to look for it.
    """
    is_pandas = False
    for part in _list_parts(estimator, set()):
        missing = getattr(part, "missing_values", 0)
        texts = [each for each in getattr(part, "categories_", ()) if any(isinstance(value, str) for value in each)]
        if missing is None or any(None in list(each) for each in texts):
            return False
        imputes = any(isinstance(value, str) for value in getattr(part, "statistics_", ()))
        sees_nan = any(value != value for each in texts for value in each)  # noqa: PLR0124 - NaN
        is_pandas |= sees_nan or (imputes and not isinstance(missing, str))
    return is_pandas


def settle_answer(
    answer: AnswerTable,
    signature: Signature,
    estimator: Any,  # noqa: ANN401
    table: Any,  # noqa: ANN401
    scores: NDArray[np.float64],
) -> tuple[AnswerTable, str]:
    """Take over the threshold that an estimator decides by, and compare its own decisions with those it will get.

    Args:
        answer: what the project file says.
        signature: task and classes.
        estimator: the original.
        table: the holdout as it takes it.
        scores: of the same rows, as `Runtime.score` returns them.

    Returns:
        The answer to package, and a sentence where the estimator's own `predict` says otherwise; else an empty text.

    Raises:
        InvalidError: the project file sets another threshold, or `predict` decides by one that nobody has stated, or
            gives values that are none of the classes.
    """
    if signature.task == "regression":
        return answer, ""
    is_stated = answer.threshold != AnswerTable().threshold
    own = _find_threshold(estimator) if signature.task == "binary" else None
    if own is not None and is_stated and own != answer.threshold:
        raise InvalidError(
            f"the project file sets answer.threshold = {answer.threshold:g}, and the estimator decides at {own:g}",
            hint="leave answer.threshold out, or return the estimator that is inside",
            field="answer.threshold",
        )
    if own is not None:
        answer = msgspec.structs.replace(answer, threshold=own)
    elif is_stated:
        return answer, ""
    decided = _decide_alone(signature, estimator, table)
    return answer, "" if decided is None else _compare(answer.threshold, signature, scores, decided)


def _list_parts(estimator: object, seen: set[int]) -> Iterator[object]:
    """Yield an estimator of scikit-learn and all that it is made of."""
    if id(estimator) in seen:
        return
    seen.add(id(estimator))
    if isinstance(estimator, list | tuple):
        parts: Iterable[object] = estimator
    elif type(estimator).__module__.startswith("sklearn."):
        yield estimator
        parts = vars(estimator).values() if hasattr(estimator, "__dict__") else ()
    else:
        return
    for part in parts:
        yield from _list_parts(part, seen)


def _is_regressor(estimator: Any) -> bool:  # noqa: ANN401
    return type(estimator).__module__.startswith("sklearn.") and not hasattr(estimator, "predict_proba")


def _find_threshold(estimator: Any) -> float | None:  # noqa: ANN401
    """Return the probability of the second class from which scikit-learn's threshold classifiers decide for it."""
    while (inner := getattr(estimator, "best_estimator_", None) or _last_step(estimator)) is not None:
        estimator = inner
    if getattr(estimator, "response_method", "auto") == "decision_function":
        return None
    found = getattr(estimator, "best_threshold_", None)
    if found is None and type(estimator).__name__ == "FixedThresholdClassifier":
        found = 0.5 if estimator.threshold == "auto" else estimator.threshold
    if found is None or not 0 <= found <= 1:
        return None
    label = getattr(estimator, "pos_label", None)
    return 1 - float(found) if label is not None and label == estimator.classes_[0] else float(found)


def _last_step(estimator: Any) -> Any:  # noqa: ANN401
    steps = getattr(estimator, "steps", None)
    return steps[-1][1] if steps else None


def _decide_alone(signature: Signature, estimator: Any, table: Any) -> NDArray[np.int64] | None:  # noqa: ANN401
    """Return the positions of the classes that `predict` gives; None where it fails, since nothing else asks it."""
    values: list[object] = []
    with contextlib.suppress(UserCodeError), guarded("predicting with the model", Path.cwd(), field="model"):
        values = np.asarray(estimator.predict(table)).ravel().tolist()
    strange = next((value for value in values if value not in signature.classes), None)
    if strange is not None:
        raise InvalidError(
            f"the model's `predict` gives {strange!r}, which is none of its classes "
            f"{', '.join(map(repr, signature.classes[:5]))}",
            hint="give the values of `predict` as `classes_`, in the order of the columns of `predict_proba`",
            field="model",
        )
    return np.array([signature.classes.index(value) for value in values]) if values else None


def _compare(threshold: float, signature: Signature, scores: NDArray[np.float64], decided: NDArray[np.int64]) -> str:
    if signature.task == "binary":
        score = scores[:, 1]
        is_other = (decided != (score >= threshold)) & (np.abs(score - threshold) > _TIE)
    else:
        best = np.sort(scores, axis=1)
        is_other = (decided != scores.argmax(axis=1)) & (best[:, -1] - best[:, -2] > _TIE)
    n_other, n_rows = int(is_other.sum()), len(decided)
    if not n_other:
        return ""
    if signature.task == "binary" and 0 < decided.sum() < n_rows:
        below, above = float(score[decided == 0].max()), float(score[decided == 1].min())
        if below < above:
            raise InvalidError(
                f"the model's own `predict` decides {n_other} of {n_rows} rows of the holdout otherwise than a "
                f"threshold of {threshold:g}: it decides at a probability between {below:.4g} and {above:.4g}",
                hint=f"set threshold = {(below + above) / 2:.4g} in the model's answer table",
                field="answer.threshold",
            )
    return (
        f"the model's own `predict` gives another class than its probabilities for {n_other} of {n_rows} rows of the "
        "holdout; the probabilities decide"
    )
