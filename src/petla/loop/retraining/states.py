"""The states of a retraining, and the only moves between them."""

from enum import StrEnum

import msgspec

from petla.core.errors import ConflictError


class RetrainingState(StrEnum):
    """How far a retraining has come; each name says what is done already."""

    # an incident asked for it
    WANTED = "wanted"
    # fresh labelled decisions are a dataset version
    EXPORTED = "exported"
    # that version's pointer is a commit on a branch of its own
    COMMITTED = "committed"
    # a challenger is registered and passed its gates
    TRAINED = "trained"
    # a person was asked
    WAITING = "waiting"
    # may go live
    DEPLOYING = "deploying"
    # the challenger is the champion
    DONE = "done"
    # a person said no
    REFUSED = "refused"
    # the challenger failed a gate, brought nothing, or was overtaken by what a person put live
    LOST = "lost"
    # it could not be carried through
    FAILED = "failed"


_S = RetrainingState

MOVES: dict[RetrainingState, frozenset[RetrainingState]] = {
    _S.WANTED: frozenset({_S.EXPORTED, _S.FAILED}),
    _S.EXPORTED: frozenset({_S.COMMITTED, _S.FAILED}),
    _S.COMMITTED: frozenset({_S.TRAINED, _S.LOST, _S.FAILED}),
    # to deploying: the project needs no approval
    _S.TRAINED: frozenset({_S.WAITING, _S.DEPLOYING, _S.FAILED}),
    _S.WAITING: frozenset({_S.DEPLOYING, _S.REFUSED, _S.LOST, _S.FAILED}),
    _S.DEPLOYING: frozenset({_S.DONE, _S.LOST, _S.FAILED}),
    _S.DONE: frozenset(),
    _S.REFUSED: frozenset(),
    _S.LOST: frozenset(),
    _S.FAILED: frozenset(),
}
FINAL: frozenset[RetrainingState] = frozenset(state for state, targets in MOVES.items() if not targets)


class Retraining(msgspec.Struct, frozen=True, kw_only=True):
    """One way from an alarm to a challenger."""

    id: int
    model: str
    incident_id: int
    state: RetrainingState
    # filled in as it goes on
    dataset_version: int | None
    # empty: not committed yet, or the project has no Git commit
    commit: str
    candidate: int | None
    approval_id: int | None
    # newest feedback row when it began: the next one wants fresher labels
    last_feedback: int
    outcome: str
    started_at: str
    changed_at: str

    @property
    def is_open(self) -> bool:
        """Whether there is something left to do."""
        return self.state not in FINAL

    @property
    def challenger(self) -> int:
        """The version that it made.

        Raises:
            ConflictError: it has made none yet.
        """
        if self.candidate is None:
            raise ConflictError(f"retraining {self.id} is {self.state} and has no challenger yet")
        return self.candidate


def require_move(retraining: Retraining, to: RetrainingState) -> None:
    """Accept only a move that the table has.

    Raises:
        ConflictError: it does not.
    """
    now = retraining.state
    if to not in MOVES[now]:
        can = ", ".join(sorted(MOVES[now])) or "nothing"
        raise ConflictError(
            f"retraining {retraining.id} is {now} and cannot become {to}", hint=f"from {now} it can become {can}"
        )
