"""The breaker's rule, over all stories of answers, failures and tries."""

from hypothesis import given
from hypothesis import strategies as st

from petla.serving.path.failures.breaker import (
    LONGEST_REST_S,
    Breaker,
    BreakerState,
    note_answer,
    note_failure,
    note_rested,
    note_try,
)

STEPS = st.lists(st.sampled_from(["answer", "failure", "good try", "bad try"]), max_size=60)


def tell(breaker: Breaker, steps: list[str]) -> list[Breaker]:
    """The states of a story; a try happens only to an open breaker, after its rest."""
    states = [breaker]
    for step in steps:
        match step:
            case "answer":
                breaker = note_answer(breaker)
            case "failure":
                breaker = note_failure(breaker)
            case _ if breaker.state is BreakerState.OPEN:
                breaker = note_try(note_rested(breaker), has_answered=step == "good try")
        states.append(breaker)
    return states


@given(STEPS, st.integers(1, 5))
def test_it_is_open_only_after_so_many_failures_in_a_row_or_a_bad_try(steps: list[str], limit: int) -> None:
    states = tell(Breaker(limit, 1.0), steps)

    row = 0
    for before, step, after in zip(states, steps, states[1:], strict=False):
        row = row + 1 if step == "failure" and before.state is BreakerState.CLOSED else 0 if step == "answer" else row
        if before.state is BreakerState.CLOSED and after.state is BreakerState.OPEN:
            assert row >= limit
        if step == "good try":
            assert after.state is BreakerState.CLOSED
            row = 0 if before.state is BreakerState.OPEN else row


@given(STEPS)
def test_only_a_good_try_closes_it(steps: list[str]) -> None:
    states = tell(Breaker(2, 1.0), steps)

    closings = [
        step
        for before, step, after in zip(states, steps, states[1:], strict=False)
        if before.state is BreakerState.OPEN and after.state is BreakerState.CLOSED
    ]
    assert set(closings) <= {"good try"}


@given(STEPS, st.floats(0.001, 100))
def test_rest_doubles_with_each_opening_and_is_bounded(steps: list[str], rest_s: float) -> None:
    for breaker in tell(Breaker(1, rest_s), steps):
        assert breaker.current_rest_s <= LONGEST_REST_S
        if breaker.state is BreakerState.OPEN:
            assert breaker.current_rest_s == min(LONGEST_REST_S, rest_s * 2 ** (breaker.openings - 1))


@given(STEPS)
def test_answer_of_a_closed_breaker_forgets_everything(steps: list[str]) -> None:
    breaker = tell(Breaker(3, 1.0), steps)[-1]
    if breaker.state is BreakerState.CLOSED:
        assert note_answer(breaker) == Breaker(3, 1.0)


def test_broken_for_days_it_still_rests_a_minute() -> None:
    assert Breaker(1, 1.0, BreakerState.OPEN, openings=100_000).current_rest_s == LONGEST_REST_S
