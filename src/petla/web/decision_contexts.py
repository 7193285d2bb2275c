"""What the pages of decisions show."""

import msgspec

from petla.web.pieces import Moment, Row


class DecisionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One decision in a list."""

    id: str
    at: Moment
    version: str
    label: str
    score: str
    truth: str
    # whether the truth differs from the decision; None: not known yet
    is_wrong: bool | None
    latency: str
    # of the arm that the request was given to; empty: the champion's
    arm: str
    # what answered, where that was not the arm's version
    stand_in: str
    flags: tuple[str, ...]
    inputs: tuple[Row, ...]
    # what surrounds it: subject, request, trace, worker
    context: tuple[Row, ...]


class FilterField(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that decisions are chosen by."""

    # as in the address
    name: str
    label: str
    # empty: it does not matter
    value: str
    # how to write it; empty: it speaks for itself
    note: str
    # what is often written here
    usual: tuple[str, ...]
    # what is wrong with the value; empty: nothing
    fault: str


class DecisionsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions that stand together in the log."""

    title: str
    # empty: of all models
    model: str
    model_href: str
    lead: str
    # what the log misses; empty: nothing
    lost: str
    fields: tuple[FilterField, ...]
    # what they are chosen by, as words; empty: nothing
    chosen: str
    # whether all that was asked for can be read, and what is wrong beside the fields
    is_clear: bool
    faults: tuple[str, ...]
    decisions: tuple[DecisionLine, ...]
    # addresses of other pages; empty: there is none
    newest_href: str
    newer_href: str
    older_href: str
    # lists the same on the command line
    command: str
    # why there is no decision, and the ways on
    empty: str
    ways: tuple[Row, ...]


class DecisionPage(msgspec.Struct, frozen=True, kw_only=True):
    """One decision with all that is known of it."""

    line: DecisionLine
    model: str
    model_href: str
    decisions_href: str
    version_href: str
    # truth, when it was reported, what it was to the decision
    feedback: tuple[tuple[str, Moment, str], ...]
    # version, answer, score, latency of what nobody saw
    shadows: tuple[tuple[str, str, str, str], ...]
    # a person was asked; empty: nobody was
    review_href: str
    review: str
