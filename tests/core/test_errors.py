"""Errors: what happened, with which value, and what to do next."""

import pytest

from petla.core import errors
from petla.core.errors import Fault, InvalidError, PetlaError, UserCodeError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PetlaError)]


@pytest.mark.parametrize("kind", KINDS)
def test_error_shows_message_and_next_step(kind: type[PetlaError]) -> None:
    error = kind("model delay:7 is a candidate", hint="run 'petla ci'", field="model")

    assert str(error) == "model delay:7 is a candidate; next: run 'petla ci'"
    assert (error.message, error.hint, error.field) == ("model delay:7 is a candidate", "run 'petla ci'", "model")
    assert str(kind("gone")) == "gone"


def test_every_error_has_a_code_of_its_own() -> None:
    assert len({kind.code for kind in KINDS}) == len(KINDS)


def test_invalid_error_names_the_first_faulty_field() -> None:
    error = InvalidError("two faults", faults=[Fault("a.b", "is 1"), Fault("c", "is 2")])

    assert error.field == "a.b"
    assert [fault.field for fault in error.faults] == ["a.b", "c"]


def test_user_code_error_keeps_the_traceback() -> None:
    assert UserCodeError("step 'model' failed", traceback="Traceback: ...").traceback == "Traceback: ..."
