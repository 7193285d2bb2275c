"""The states of a model version, and the only moves between them."""

from enum import StrEnum

from petla.core.errors import ConflictError


class State(StrEnum):
    """Where a model version is in its life."""

    # registered; its gates have not passed
    CANDIDATE = "candidate"
    # its gates passed; waits for approval or rollout
    TESTING = "testing"
    # answers beside the champion, unseen by clients
    SHADOW = "shadow"
    # answers a share of the clients
    CANARY = "canary"
    # the champion: answers
    PRODUCTION = "production"
    # was the champion; may come back
    RETIRED = "retired"
    # failed its gates, or a person said no
    REJECTED = "rejected"


MOVES: dict[State, frozenset[State]] = {
    State.CANDIDATE: frozenset({State.TESTING, State.REJECTED}),
    State.TESTING: frozenset({State.SHADOW, State.CANARY, State.PRODUCTION, State.REJECTED}),
    # to retired only where it had been the champion before
    State.SHADOW: frozenset({State.TESTING, State.CANARY, State.PRODUCTION, State.REJECTED, State.RETIRED}),
    State.CANARY: frozenset({State.TESTING, State.PRODUCTION, State.REJECTED, State.RETIRED}),
    # to testing only where no worker could serve it
    State.PRODUCTION: frozenset({State.RETIRED, State.TESTING}),
    State.RETIRED: frozenset({State.SHADOW, State.CANARY, State.PRODUCTION}),
    State.REJECTED: frozenset(),
}

_HINTS = {
    State.RETIRED: "it was the champion; try it beside the one that is live: 'petla deploy MODEL:VERSION --canary 5%'",
    State.CANDIDATE: "its gates have not passed; see 'petla models show'",
    State.REJECTED: "a rejected version stays rejected; make another with 'petla run'",
}


def require_move(subject: str, now: State, to: State) -> None:
    """Accept only a move that the table has.

    Raises:
        ConflictError: it does not.
    """
    if to not in MOVES[now]:
        raise ConflictError(
            f"model {subject} is {now} and cannot become {to}",
            hint=_HINTS.get(now, f"from {now} it can become {', '.join(sorted(MOVES[now])) or 'nothing'}"),
        )
