"""Answers in the project's own words, written as JSON text."""

from collections.abc import Sequence
from typing import Any

import msgspec

from petla.core.project import AnswerTable
from petla.models.package import Package


class AnswerWriter:
    """Writes the answers of one version; all that does not change is encoded once.

    Args:
        package: gives task and classes.
        words: the names of the fields; an empty label is the target's name.
        version: part of every answer.
    """

    def __init__(self, package: Package, words: AnswerTable, version: int) -> None:
        label = _encode(words.label or package.signature.target)
        self._end = f',"version":{version}}}'
        self._inputs = [field.name for field in package.signature.inputs]
        if package.signature.task == "regression":
            # the score is the answer
            self._middles: dict[Any, str] = {}
            self._middle = f'",{label}:'
        else:
            probability = _encode(words.probability)
            classes = package.signature.classes
            self._middles = {value: f'",{label}:{_encode(value)},{probability}:' for value in classes}
            self._middle = ""

    def write(self, name: str, label: Any, score: float) -> str:  # noqa: ANN401 - a class, or the number
        """Return one answer.

        Args:
            name: the decision's id.
            label: the decided class; for a regression the number.
            score: a finite number.
        """
        return f'{{"id":"{name}{self._middles.get(label, self._middle)}{score!r}{self._end}'

    def write_all(self, names: Sequence[str], labels: Sequence[Any], scores: Sequence[float]) -> list[str]:
        """Return some answers; each as `write` makes it, in less time where there are many."""
        if len(names) == 1:
            return [self.write(names[0], labels[0], scores[0])]
        written = msgspec.json.encode(scores)[1:-1].decode().split(",")
        middles, middle, end = self._middles, self._middle, self._end
        return [
            f'{{"id":"{name}{middles.get(label, middle)}{score}{end}'
            for name, label, score in zip(names, labels, written, strict=True)
        ]

    def write_marked(
        self,
        name: str,
        label: Any,  # noqa: ANN401 - as in `write`
        score: float,
        served_by: str,
        flags: Sequence[str],
        effects: Sequence[float | None],
    ) -> str:
        """Return one answer that says what is unusual about it, and why it is as it is.

        Args:
            name: the decision's id.
            label: as in `write`.
            score: as in `write`; in a regression the label is written in its place.
            served_by: what answered in the place of the version that was asked; empty: that version did.
            flags: names of guards.
            effects: of each input on the score; empty: nobody asked, or they could not be found.
        """
        written = self.write(name, label, label if self._middle else score)
        if served_by:
            written = f'{written[:-1]},"served_by":{_encode(served_by)}}}'
        if flags:
            written = f'{written[:-1]},"flags":{_encode(flags)}}}'
        if effects:
            named = dict(zip(self._inputs, effects, strict=True))
            written = f'{written[:-1]},"explanation":{_encode(named)}}}'
        return written


def _encode(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return msgspec.json.encode(value).decode()
