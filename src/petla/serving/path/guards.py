"""Guards: what is unusual about a row or its answer, and what is done about it.

They are compiled once for each version from the project's policy and the profile in the version's package. For a row
that is as usual a guard costs a comparison for each value.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from petla.core.expressions import ExpressionError, compile_expression
from petla.core.project import FallbackTable, GuardTable, Stated
from petla.core.project.guarding import (
    REVIEW,
    AnyGuard,
    ConfidenceTable,
    MissingTable,
    PredictionTable,
    RangeTable,
    RuleTable,
    UnseenTable,
    list_guards,
)
from petla.data.profile.columns import ColumnProfile, Kind
from petla.decisions.record import DEFAULT, RULE
from petla.deployments.policy import fields_of, find_answer
from petla.models.package import Package
from petla.models.signature import Row

logger = logging.getLogger(__name__)

Test = Callable[[Row, float], bool]


class Mark(NamedTuple):
    """What the guards say of one row."""

    flags: tuple[str, ...]
    # in the place of the model's answer; None: that stands
    answer: Stated | None
    # RULE or DEFAULT; empty: the model's answer stands
    served_by: str


USUAL = Mark((), None, "")


class _Guard(NamedTuple):
    name: str
    test: Test
    answer: Stated | None
    served_by: str
    is_reviewed: bool


class Guards:
    """The guards of one version.

    Args:
        table: the project's policy.
        fallback: gives the default answer.
        package: gives the signature, the profile of training and that of the scores.
    """

    def __init__(self, table: GuardTable, fallback: FallbackTable, package: Package) -> None:
        self._guards = [
            _make_guard(name, test, guard, fallback, package)
            for _, name, guard in list_guards(table)
            if guard.action != "off" and (test := _make_test(name, guard, package)) is not None
        ]

        self._tests = [guard.test for guard in self._guards]

    def __bool__(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._guards)

    def judge(self, rows: Sequence[Row], scores: Sequence[float]) -> list[Mark] | None:
        """Return what is said of each row; None: all of them are as usual."""
        for row, score in zip(rows, scores, strict=True):
            for test in self._tests:
                if test(row, score):
                    return [self._mark(*pair) for pair in zip(rows, scores, strict=True)]
        return None

    def _mark(self, row: Row, score: float) -> Mark:
        found = [guard for guard in self._guards if guard.test(row, score)]
        if not found:
            return USUAL
        flags = tuple(guard.name for guard in found)
        if any(guard.is_reviewed for guard in found):
            flags += (REVIEW,)
        # a stated answer comes before the default one
        for served_by in (RULE, DEFAULT):
            for guard in found:
                if guard.served_by == served_by:
                    return Mark(flags, guard.answer, served_by)
        return Mark(flags, None, "")


def _make_guard(name: str, test: Test, guard: AnyGuard, fallback: FallbackTable, package: Package) -> _Guard:
    stated = {"rule": guard.answer, "default": fallback.answer}.get(guard.action)
    answer = find_answer(package.signature, stated)
    if answer is None:
        # flag, review, or a version that came back by a rollback and cannot answer so: the model's answer stands
        return _Guard(name, test, None, "", guard.action == "review")
    return _Guard(name, test, answer, RULE if guard.action == "rule" else DEFAULT, is_reviewed=False)


def _make_test(name: str, guard: AnyGuard, package: Package) -> Test | None:
    """Return the test of one guard; None where the profile gives it nothing to compare with."""
    match guard:
        case RangeTable():
            return _test_range(guard, package)
        case UnseenTable():
            return _test_unseen(guard, package)
        case MissingTable():
            return _test_missing(guard, package)
        case PredictionTable():
            return _test_prediction(guard, package.score_profile)
        case ConfidenceTable():
            return _test_confidence(guard, package)
        case RuleTable():
            try:
                return compile_expression(guard.when, fields_of(package.signature))
            except ExpressionError as error:
                # Deploying refuses such a rule; a version that comes back by a rollback serves without it.
                logger.warning("rule.ignored", extra={"model": package.model, "rule": name, "reason": str(error)})
                return None


def _columns(package: Package, kinds: Iterable[Kind], ignore: Sequence[str]) -> list[tuple[int, ColumnProfile]]:
    return [
        (place, column)
        for place, field in enumerate(package.signature.inputs)
        if field.kind in kinds and field.name not in ignore and (column := package.profile.find(field.name)) is not None
    ]


def _test_range(guard: RangeTable, package: Package) -> Test | None:
    places, lows, highs = [], [], []
    for place, column in _columns(package, (Kind.NUMBER, Kind.INTEGER), guard.ignore):
        if column.minimum is not None and column.maximum is not None:
            slack = guard.margin * (column.maximum - column.minimum)
            places.append(place)
            lows.append(column.minimum - slack)
            highs.append(column.maximum + slack)
    if not places:
        return None
    is_within = _chain([f"{i} <= row[{place}] <= {j}" for i, j, place in _number(places)], [*lows, *highs])
    bounds = list(zip(places, lows, highs, strict=True))

    def test(row: Row, _score: float) -> bool:
        try:
            return not is_within(row)
        except TypeError:  # null is neither below nor above
            return any(
                (value := row[place]) is not None and not low <= value <= high  # type: ignore[operator]
                for place, low, high in bounds
            )

    return test


def _test_unseen(guard: UnseenTable, package: Package) -> Test | None:
    # A profile keeps the 50 most frequent values: a column that has more cannot tell what is unseen.
    columns = [
        (place, column)
        for place, column in _columns(package, (Kind.CATEGORY,), guard.ignore)
        if column.categories and column.distinct <= len(column.categories)
    ]
    if not columns:
        return None
    known = [frozenset((*column.categories, None)) for _, column in columns]
    is_known = _chain([f"row[{place}] in k{i}" for i, (place, _) in enumerate(columns)], known)
    return lambda row, _: not is_known(row)


def _test_missing(guard: MissingTable, package: Package) -> Test | None:
    inputs = package.signature.inputs
    limit = guard.share * len(inputs)
    # the schema lets null through nowhere else
    nullable = [place for place, field in enumerate(inputs) if field.is_nullable]
    if len(nullable) <= limit:
        return None
    return lambda row, _: sum(row[place] is None for place in nullable) > limit


def _test_prediction(guard: PredictionTable, scores: ColumnProfile) -> Test | None:
    if scores.minimum is None or scores.maximum is None:
        return None
    slack = guard.margin * (scores.maximum - scores.minimum)
    low, high = scores.minimum - slack, scores.maximum + slack
    return lambda _, score: not low <= score <= high


def _test_confidence(guard: ConfidenceTable, package: Package) -> Test | None:
    threshold, band = package.answer.threshold, guard.band
    match package.signature.task:
        case "binary":
            return lambda _, score: abs(score - threshold) < band
        case "multiclass":
            return lambda _, score: score < 0.5 + band
        case "regression":
            return None


def _chain(comparisons: Sequence[str], values: Sequence[object]) -> Callable[[Row], bool]:
    """Return a function that says whether all comparisons hold; the values are called k0, k1, ... in them.

    One compiled expression takes a quarter of the time of a loop over the values. It is made of our own words and
    numbers alone: no text of a person gets into it.
    """
    names = {f"k{i}": value for i, value in enumerate(values)}
    source = f"lambda row, {', '.join(f'{name}={name}' for name in names)}: {' and '.join(comparisons)}"
    made: Callable[[Row], bool] = eval(source, names)  # noqa: S307
    return made


def _number(places: Sequence[int]) -> list[tuple[str, str, int]]:
    """Return for each place the names of its lower and its upper bound, when all lower ones come first."""
    return [(f"k{i}", f"k{len(places) + i}", place) for i, place in enumerate(places)]
