"""Errors at the border of the command line: family to exit status, and what the person reads."""

import logging
import sys
import traceback
from collections.abc import Callable

import msgspec

from petla.core.errors import (
    ConflictError,
    ForbiddenError,
    GateFailedError,
    InvalidError,
    NotFoundError,
    PetlaError,
    UnavailableError,
    UserCodeError,
)
from petla.core.events import escape_controls

logger = logging.getLogger(__name__)

DONE, NO, WRONG_USE, UNAVAILABLE, OUR_BUG = 0, 1, 2, 3, 70
INTERRUPTED = 130

# The first family that an error belongs to decides.
_STATUSES: tuple[tuple[type[PetlaError], int], ...] = (
    (NotFoundError, WRONG_USE),
    (InvalidError, WRONG_USE),
    (UnavailableError, UNAVAILABLE),
    (ConflictError, NO),
    (ForbiddenError, NO),
    (GateFailedError, NO),
    (UserCodeError, NO),
)


def status_of(error: PetlaError) -> int:
    """Return the exit status for an error."""
    return next((status for family, status in _STATUSES if isinstance(error, family)), OUR_BUG)


def document_of(error: PetlaError) -> dict[str, dict[str, str]]:
    """Return the one JSON shape of an error."""
    shown = {"code": error.code, "message": error.message, "field": error.field, "hint": error.hint}
    return {"error": shown}


def guard(command: Callable[[], object], *, is_debug: bool = False, is_json: bool = False) -> int:
    """Run a command; turn whatever it raises into words on stderr and an exit status.

    Args:
        command: what to run.
        is_debug: show our own traceback as well.
        is_json: print the error as a document on stdout as well.
    """
    try:
        command()
    except PetlaError as error:
        _explain(error, is_debug=is_debug)
        if is_json:
            print(escape_controls(msgspec.json.encode(document_of(error)).decode()))
        return status_of(error)
    except SystemExit as leaving:
        # Typer turns Ctrl-C into this status.
        if leaving.code == INTERRUPTED:
            _say_stopped()
        return leaving.code if isinstance(leaving.code, int) else DONE
    except KeyboardInterrupt:
        _say_stopped()
        return INTERRUPTED
    except BrokenPipeError:
        return DONE
    except Exception as error:  # the border of the command line
        logger.debug("command.failed", exc_info=True)
        _explain_bug(error, is_debug=is_debug)
        return OUR_BUG
    return DONE


def _say_stopped() -> None:
    print("petla: stopped; nothing that was finished is lost", file=sys.stderr)
    print("next: run the same command again to go on", file=sys.stderr)


def _explain(error: PetlaError, *, is_debug: bool) -> None:
    if isinstance(error, UserCodeError) and error.traceback:
        print(escape_controls(error.traceback.rstrip()), file=sys.stderr)
    if is_debug:
        traceback.print_exception(error)
    print(escape_controls(f"petla: {error.message}"), file=sys.stderr)
    if error.hint:
        print(escape_controls(f"next: {error.hint}"), file=sys.stderr)


def _explain_bug(error: Exception, *, is_debug: bool) -> None:
    if is_debug:
        traceback.print_exception(error)
    print(escape_controls(f"petla: this is a fault of Pętla's own: {type(error).__name__}: {error}"), file=sys.stderr)
    print("next: run the same command with 'petla --debug' in front and report what it prints", file=sys.stderr)
