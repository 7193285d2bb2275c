"""The border of the command line: family to exit status, and what the person reads."""

import pytest

from petla.cli.faults import guard, status_of
from petla.core.errors import (
    BusyError,
    CorruptError,
    ForbiddenError,
    GateFailedError,
    InvalidError,
    NotFoundError,
    PetlaError,
    UnavailableError,
    UserCodeError,
)


@pytest.mark.parametrize(
    ("family", "status"),
    [
        (NotFoundError, 2),
        (InvalidError, 2),
        (BusyError, 1),
        (ForbiddenError, 1),
        (GateFailedError, 1),
        (UserCodeError, 1),
        (UnavailableError, 3),
        (CorruptError, 3),
        (PetlaError, 70),
    ],
)
def test_each_family_has_its_status(family: type[PetlaError], status: int) -> None:
    assert status_of(family("it happened")) == status


def test_guard_says_what_happened_and_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise NotFoundError("there is no model 'dely'", hint="did you mean 'delay'?")

    assert guard(command, is_debug=False) == 2
    assert capsys.readouterr().err == "petla: there is no model 'dely'\nnext: did you mean 'delay'?\n"


def test_guard_shows_the_users_own_traceback_first(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise UserCodeError("step clean failed: KeyError: 'x'", traceback='  File "pipeline.py", line 3\n')

    assert guard(command, is_debug=False) == 1
    assert capsys.readouterr().err.startswith('  File "pipeline.py", line 3')


def test_guard_owns_up_to_a_fault_of_our_own(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise RuntimeError("a bug")

    assert guard(command, is_debug=False) == 70
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "RuntimeError: a bug" in said


def test_guard_shows_our_traceback_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise RuntimeError("a bug")

    guard(command, is_debug=True)

    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), SystemExit(130)], ids=["Python", "Typer"])
def test_interrupt_has_the_shells_status_and_says_so(raised: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise raised

    assert guard(command, is_debug=False) == 130
    assert "stopped; nothing that was finished is lost\nnext: " in capsys.readouterr().err
