"""How often two versions decide the same requests otherwise. Rules only.

A shadow answers once more what the champion answered, and the champion what an arm answered: so both said something to
the same requests, whoever sent them and whenever they came. Shares of answers would not do: arms answer different
subjects and keep them, so that a few subjects with many requests make versions differ that decide alike.
"""

from collections.abc import Sequence

import msgspec

from petla.monitoring.rollouts.sequences import Mean, mean_span, rate_span

# answers that are counted one by one, those that come first: a model may have thousands of classes
_ANSWERS = 50


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """What an arm, or the shadow, and the champion said to one request."""

    # name of the arm, or `shadow`
    arm: str
    # JSON of the answers
    champion: str
    other: str
    champion_score: float
    other_score: float
    # whether the other has no answer; the champion has one
    is_failed: bool


class Pairs(msgspec.Struct):
    """What an arm, or the shadow, and the champion said to the same requests."""

    # of classes: 1 where it decided otherwise or failed, 0 where it agreed
    disagreed: Mean = msgspec.field(default_factory=Mean)
    # of a regression: distance of the scores as a part of the range of the champion's holdout scores, 1 at most, and 1
    # where it failed
    distance: Mean = msgspec.field(default_factory=Mean)
    # of classes: pairs in which both have an answer
    answered: int = 0
    # JSON of an answer -> how often the champion gave it there, and how often the other did
    answers: dict[str, tuple[int, int]] = {}

    def add(self, opinions: Sequence[Opinion], scale: float | None) -> None:
        """Count opinions of one arm, in the order in which they came.

        Args:
            opinions: that are new.
            scale: of a regression, the range of the champion's holdout scores; None: the decisions are classes.
        """
        if scale is not None:
            far = [min(1.0, abs(each.other_score - each.champion_score) / scale) for each in opinions]
            self.distance.add([1.0 if each.is_failed else part for each, part in zip(opinions, far, strict=True)])
            return
        self.disagreed.add([float(each.is_failed or each.other != each.champion) for each in opinions])
        for each in opinions:
            if not each.is_failed:
                self.answered += 1
                self._count(each.champion, 1, 0)
                self._count(each.other, 0, 1)

    def _count(self, answer: str, champion: int, other: int) -> None:
        if answer in self.answers or len(self.answers) < _ANSWERS:
            before = self.answers.get(answer, (0, 0))
            self.answers[answer] = before[0] + champion, before[1] + other


def describe_excess(pairs: Pairs, name: str, limit: float, alpha: float) -> str:
    """Say that a version was shown to disagree with the champion by more than is allowed; empty: it was not.

    Args:
        pairs: what was counted of it.
        name: such as fraud:3.
        limit: what is allowed: a share of the decisions, or a mean distance as a part of the range of scores.
        alpha: probability of a mistake, over all looks.
    """
    seen, far = pairs.disagreed, pairs.distance
    low = mean_span(far, alpha).low if far.n else rate_span(round(seen.total), seen.n, alpha).low
    if low <= limit:
        return ""
    allowed = f"more than {100 * low:.3g}%, and {100 * limit:g}% is allowed"
    if far.n:
        mean = f"{100 * far.total / far.n:.3g}% of the range of scores"
        return f"{name} answered {far.n:,} requests {mean} away from the champion on average: {allowed}"
    or_failed = " or failed at them" if pairs.answered < seen.n else ""
    said = f"{name} decided {seen.total:,.0f} of {seen.n:,} decisions otherwise{or_failed}: {allowed}"
    return said + _name_answer(pairs)


def _name_answer(pairs: Pairs) -> str:
    """Name the answer that one of the two gives more often than the other."""
    if not pairs.answers:
        return ""
    answer, counts = max(pairs.answers.items(), key=lambda item: abs(item[1][0] - item[1][1]))
    champion, other = (f"{100 * n / pairs.answered:.3g}%" for n in counts)
    return f"; it answered {answer} in {other} of them, the champion in {champion}"
