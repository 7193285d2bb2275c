"""What the pages of reviews show."""

import msgspec

from petla.web.pieces import Badge, Moment, Row


class InputLine(msgspec.Struct, frozen=True):
    """One input beside what training saw of it."""

    name: str
    value: str
    # such as `0 to 120`; empty: nothing is known
    seen: str
    # on the score, such as `+0.040`; empty: not known
    effect: str
    is_outside: bool


class ReviewLine(msgspec.Struct, frozen=True, kw_only=True):
    """A review in a list."""

    id: str
    href: str
    title: str
    badge: Badge
    at: Moment
    because: str
    decided: str
    is_ticked: bool = False


class OutcomeLine(msgspec.Struct, frozen=True):
    """What came of one of several decisions."""

    id: str
    # empty: there is no such review
    href: str
    said: str
    badge: Badge


class ReviewsPage(msgspec.Struct, frozen=True, kw_only=True):
    """The queue, and what was decided."""

    waiting: tuple[ReviewLine, ...]
    # all that wait, also those that are not listed
    total: str
    decided: tuple[ReviewLine, ...]
    # what the models of those that wait may answer; empty: one of them answers a number
    choices: tuple[str, ...]
    # of the word just given for several
    outcomes: tuple[OutcomeLine, ...]
    # what was wrong with it, and what had been typed
    fault: str
    typed: str
    chosen: str


class ReviewPage(msgspec.Struct, frozen=True, kw_only=True):
    """One decision before a person."""

    id: str
    title: str
    badge: Badge
    is_waiting: bool
    at: Moment
    model: str
    model_href: str
    because: str
    provisional: str
    facts: tuple[Row, ...]
    inputs: tuple[InputLine, ...]
    is_explained: bool
    # what the model may answer; empty: a number
    choices: tuple[str, ...]
    answer: str
    decided_by: str
    decided_at: Moment | None
    reason: str
    # what became of the webhook; empty: there is none
    delivery: str
    # what was wrong with the word just given, and what had been typed
    fault: str = ""
    typed: str = ""
    chosen: str = ""
