"""The scribe of one version: turns what was decided into records and into the answer that its request gets."""

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, NamedTuple

from petla.core.ids import DecisionId, IdBatches
from petla.core.project import AnswerTable
from petla.decisions.record import CHAMPION, Decision
from petla.models.package import Package
from petla.serving.doors.answers import AnswerWriter
from petla.serving.metrics import ModelMetrics
from petla.serving.path.guards import Mark
from petla.serving.path.request import Answered, Request

# for every row
_NOTHING: Iterable[tuple[()]] = repeat(())


class _Decided(NamedTuple):
    """What was decided about the rows of a request, column by column."""

    ids: list[DecisionId]
    labels: Iterable[Any]
    scores: Iterable[float]
    # what answered
    served_by: Iterable[str]
    flags: Iterable[tuple[str, ...]]
    explanations: Iterable[tuple[float | None, ...]]


class Scribe:
    """Writes for one version.

    Args:
        package: of the version.
        version: its number.
        words: the words of the answers.
        worker: its name, for the records.
        make_ids: makes the ids of the decisions.
        metrics: the model's counts.
    """

    def __init__(
        self,
        package: Package,
        version: int,
        words: AnswerTable,
        worker: str,
        make_ids: IdBatches,
        metrics: ModelMetrics,
    ) -> None:
        self._package = package
        self._version = version
        self._worker = worker
        self._make_ids = make_ids
        self._metrics = metrics
        self._writer = AnswerWriter(package, words, version)
        self.arm = self.served_by = CHAMPION
        self._is_own = True

    def name(self, arm: str, served_by: str) -> "Scribe":
        """Say whose requests they are and what answers them; return itself."""
        self.arm, self.served_by, self._is_own = arm, served_by, arm == served_by
        return self

    def describe(
        self, request: Request, labels: list[Any], scores: list[float], latency_us: int, marks: list[Mark] | None = None
    ) -> list[Decision]:
        """Make the records of one request, and write its answer.

        Args:
            request: gets the answer.
            labels: the decided class, or the predicted number, of each row.
            scores: as `Decision.score`.
            latency_us: from its arrival until now.
            marks: what the guards say of each row; None: all are as usual.
        """
        if marks is not None or request.effects or not self._is_own:
            return self._describe_marked(request, labels, scores, latency_us, marks)
        ids, arm = self._make_ids(len(labels)), request.arm or self.arm
        if request.write is not None:
            request.answer = request.write(Answered(self._package, self._version, arm, ids, labels, scores))
        else:
            request.answer = _join(request, self._writer.write_all(ids, labels, scores))
        return self._record(request, _Decided(ids, labels, scores, repeat(arm), _NOTHING, _NOTHING), latency_us)

    def _describe_marked(
        self, request: Request, labels: list[Any], scores: list[float], latency_us: int, marks: list[Mark] | None
    ) -> list[Decision]:
        """Do the same where an answer is not the asked version's own, is explained, or is unusual otherwise."""
        ids = self._make_ids(len(labels))
        marks = marks or [Mark((), None, "")] * len(ids)
        labels = [label if mark.answer is None else mark.answer for label, mark in zip(labels, marks, strict=True)]
        arm = request.arm or self.arm
        own = arm if self._is_own else self.served_by
        served_by = [mark.served_by or own for mark in marks]
        shown = ["" if name == arm else name for name in served_by]
        request.served_by = ", ".join(dict.fromkeys(filter(None, shown)))
        flags = [mark.flags for mark in marks]
        self._count(shown, flags)
        # Where something was put in the place of the model's answer, the model's reasons are not its reasons.
        found = request.effects or [()] * len(ids)
        effects = [() if mark.served_by else each for mark, each in zip(marks, found, strict=True)]
        if request.write is not None:
            by = request.served_by
            answered = Answered(self._package, self._version, by or arm, ids, labels, scores, flags, by)
            request.answer = request.write(answered)
        else:
            request.answer = _join(
                request, list(map(self._writer.write_marked, ids, labels, scores, shown, flags, effects))
            )
        return self._record(request, _Decided(ids, labels, scores, served_by, flags, effects), latency_us)

    def _record(self, request: Request, decided: _Decided, latency_us: int) -> list[Decision]:
        """Make the records of a request, one for each row."""
        call = request.call
        # NOTE: column by column takes half the time of row by row.
        columns = (
            decided.ids,
            repeat(call.request_id or decided.ids[0]),
            repeat(call.at_ns),
            repeat(self._package.model),
            repeat(self._version),
            request.logged or request.rows,
            decided.labels,
            decided.scores,
            decided.served_by,
            repeat(latency_us),
            repeat(self._worker),
            repeat(call.trace_id),
            repeat(request.arm or self.arm),
            decided.flags,
            request.subjects or repeat(""),
            decided.explanations,
        )
        return list(map(Decision, *columns))

    def _count(self, shown: Sequence[str], flags: Sequence[Sequence[str]]) -> None:
        replaced, flagged = self._metrics.replaced, self._metrics.flagged
        for name in filter(None, shown):
            replaced[name] = replaced.get(name, 0) + 1
        for found in flags:
            for flag in found:
                flagged[flag] = flagged.get(flag, 0) + 1


def _join(request: Request, texts: list[str]) -> Any:  # noqa: ANN401 - bytes, or a list of them
    if request.is_divided:
        return [text.encode() for text in texts]
    return (f"[{','.join(texts)}]" if request.is_many else texts[0]).encode()
