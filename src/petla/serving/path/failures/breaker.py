"""The circuit breaker of one version: a pure rule, without a clock of its own.

- Closed: it is asked. So many failures in a row open the breaker; one answer forgets them.
- Open: it is not asked until its rest is over.
- Half-open: its rest is over, and it is tried in the background. An answer closes it, a failure opens it again.
- Each opening doubles the rest, up to a limit, until the version has answered a real request.

Source: Nygard, Release It!, 2007, chapter 5, for the three states.
"""

from enum import StrEnum

import msgspec

# a minute without a try would keep a version that is well again out for too long
LONGEST_REST_S = 60.0


class BreakerState(StrEnum):
    """Whether a version is asked."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker(msgspec.Struct, frozen=True):
    """What is known of a version's failures."""

    # failures in a row that open it
    limit: int
    # the first rest
    rest_s: float
    state: BreakerState = BreakerState.CLOSED
    # in a row, while closed
    failures: int = 0
    # openings since a real request was last answered
    openings: int = 0

    @property
    def current_rest_s(self) -> float:
        """How long it rests, if it is open."""
        # NOTE: the exponent is bounded, since a float is: a version may be broken for days.
        return min(LONGEST_REST_S, self.rest_s * 2.0 ** min(max(self.openings - 1, 0), 32))


def note_answer(breaker: Breaker) -> Breaker:
    """Return what is known after a request was answered."""
    if breaker.state is not BreakerState.CLOSED:
        return breaker
    return msgspec.structs.replace(breaker, failures=0, openings=0)


def note_failure(breaker: Breaker) -> Breaker:
    """Return what is known after a request failed."""
    if breaker.state is not BreakerState.CLOSED:
        return breaker
    failures = breaker.failures + 1
    if failures < breaker.limit:
        return msgspec.structs.replace(breaker, failures=failures)
    return _open(breaker)


def note_rested(breaker: Breaker) -> Breaker:
    """Return what is known once the rest is over: it may be tried."""
    return msgspec.structs.replace(breaker, state=BreakerState.HALF_OPEN)


def note_try(breaker: Breaker, *, has_answered: bool) -> Breaker:
    """Return what is known after a try in the background."""
    if not has_answered:
        return _open(breaker)
    return msgspec.structs.replace(breaker, state=BreakerState.CLOSED, failures=0)


def _open(breaker: Breaker) -> Breaker:
    return msgspec.structs.replace(breaker, state=BreakerState.OPEN, failures=0, openings=breaker.openings + 1)
