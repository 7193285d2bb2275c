"""What a door asks, and what comes of it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from petla.core.ids import DecisionId
from petla.models.package import Package
from petla.models.runtime.explain import Effects
from petla.models.signature import Row


class Call(NamedTuple):
    """What surrounds a request."""

    # when it arrived
    at_ns: int
    # the client's own name for it; empty: the id of its first decision
    request_id: str = ""
    # of the trace that it belongs to, 32 hexadecimal digits
    trace_id: str = ""
    # when its client no longer waits; 0: it did not say
    deadline_ns: int = 0
    # whom all of its rows are about, unless they say so themselves; empty: nobody said
    subject: str = ""
    # whether its client wants to know why
    is_explained: bool = False


class Answered(NamedTuple):
    """What one version decided about the rows of a request, for a door that writes it in a form of its own."""

    package: Package
    version: int
    served_by: str
    ids: Sequence[DecisionId]
    # the decided class, or the predicted number
    labels: Sequence[Any]
    # as `Decision.score`
    scores: Sequence[float]
    # of each row, the names of the guards that found it unusual; empty: no row is
    flags: Sequence[Sequence[str]] = ()
    # what answered in the place of the version that was asked; empty: that version did
    stand_in: str = ""


Write = Callable[[Answered], Any]


class Request:
    """Rows that were checked against the signature, who asks, and the answer once there is one.

    Args:
        rows: values in the order of the signature's inputs.
        call: what surrounds it.
        is_many: whether the answer is a list.
        subjects: whom each row is about; empty: nobody said.
        write: turns what was decided into the answer; None: JSON in the model's own words.
    """

    __slots__ = (
        "answer",
        "arm",
        "call",
        "effects",
        "error",
        "future",
        "is_divided",
        "is_many",
        "logged",
        "rows",
        "served_by",
        "size",
        "subjects",
        "write",
    )

    def __init__(
        self,
        rows: list[Row],
        call: Call,
        *,
        is_many: bool = False,
        subjects: Sequence[str] = (),
        write: Write | None = None,
    ) -> None:
        self.rows = rows
        self.call = call
        self.is_many = is_many
        self.subjects = subjects
        self.write = write
        # rows that are scored for it: its own, and those that explain them
        self.size = len(rows)
        # of each row, the effect of each input on the score; empty: nobody asked, or it could not be found
        self.effects: Sequence[Effects] = ()
        # the rows as they are recorded; None: as they are
        self.logged: list[Row] | None = None
        # that its decisions are recorded under; empty: that of the lane that answers
        self.arm = ""
        # whether its answer is a list of texts, one per row, which somebody joins with others
        self.is_divided = False
        # one of them once it is done
        self.answer: Any = None
        # what answered in the place of the version that was asked; empty: that version did
        self.served_by = ""
        self.error: Exception | None = None
        # only while it waits for more than the end of a turn
        self.future: asyncio.Future[None] | None = None

    def renew(self) -> "Request":
        """Return the same question for somebody else to answer."""
        again = Request(self.rows, self.call, is_many=self.is_many, subjects=self.subjects, write=self.write)
        again.logged, again.is_divided, again.arm = self.logged, self.is_divided, self.arm
        return again

    def wake(self) -> None:
        """Let whoever waits for it go on, if it waits for more than the end of a turn."""
        if self.future is not None and not self.future.done():
            self.future.set_result(None)

    @property
    def is_done(self) -> bool:
        """Whether it was answered or has failed."""
        return self.answer is not None or self.error is not None
