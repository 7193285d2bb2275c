"""The one tree of errors.

Families are what the faces (command line, pages, HTTP) map to statuses; no error knows a status::

    PetlaError
    ├── NotFoundError       what was named does not exist
    ├── ConflictError       the state does not allow it
    │   └── BusyError       somebody else holds it at the moment
    ├── InvalidError        the input is wrong; carries every fault, field by field
    │   ├── MalformedError  the bytes are not even JSON
    │   └── UnknownEncodingError  the bytes are compressed in a way that is not known here
    ├── ForbiddenError      this person or key may not do it
    │   ├── UnknownKeyError nobody knows who this is
    │   └── UnknownHostError  it was meant for another server
    ├── GateFailedError     a test of code, data or model said no
    ├── UnavailableError    the outside world failed: disk, database, network, another process
    │   ├── CorruptError    stored bytes are not what their name or signature says
    │   ├── SetupError      what is there lets nobody in, or is not what is needed; waiting does not mend it
    │   ├── DeadlineError   it was not done in the time that its client gave
    │   ├── LimitedError    too much was asked at once; says when to ask again
    │   ├── ProcessLostError  the process that runs a model died, or did not answer in time
    │   └── ModelFailedError  a model's version gave no answer: it raised, died, was too slow, or made no number
    └── UserCodeError       the project's own code failed; carries its traceback

Beside the tree, a ValueError of which the project file makes faults: ExpressionError (the mistakes of a condition).
"""

from collections.abc import Sequence

import msgspec


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with an input."""

    # where: a key path such as `models.delay.gates.minimum` or a request's field name
    field: str
    message: str
    hint: str = ""


class PetlaError(Exception):
    """Something that went wrong and that a person can do something about.

    Args:
        message: what happened, with which value.
        hint: what to do next, a command where there is one.
        field: the input that is to blame, if one is.
    """

    code = "error"

    def __init__(self, message: str, *, hint: str = "", field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.field = field

    def __str__(self) -> str:
        return f"{self.message}; next: {self.hint}" if self.hint else self.message


class NotFoundError(PetlaError):
    """What was named does not exist."""

    code = "not_found"


class ConflictError(PetlaError):
    """The present state does not allow what was asked."""

    code = "conflict"


class BusyError(ConflictError):
    """Somebody else holds what is needed at the moment."""

    code = "busy"


class InvalidError(PetlaError):
    """An input is wrong; every fault found is in `faults`."""

    code = "invalid"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        field: str = "",
        faults: Sequence[Fault] = (),
    ) -> None:
        self.faults = tuple(faults)
        super().__init__(message, hint=hint, field=field or next((f.field for f in faults), ""))


class MalformedError(InvalidError):
    """The bytes are not what they claim to be, such as JSON."""

    code = "malformed"


class UnknownEncodingError(InvalidError):
    """The bytes are compressed in a way that is not known here."""

    code = "unknown_encoding"


class ForbiddenError(PetlaError):
    """This person or key may not do it."""

    code = "forbidden"


class UnknownHostError(ForbiddenError):
    """It was meant for another server, as far as its client knows."""

    code = "unknown_host"


class UnknownKeyError(ForbiddenError):
    """Nobody knows who this is: there is no key, or one that opens nothing."""

    code = "unknown_key"


class GateFailedError(PetlaError):
    """A test of code, data or model said no."""

    code = "gate_failed"


class UnavailableError(PetlaError):
    """The outside world failed: disk, database, network, another process."""

    code = "unavailable"


class CorruptError(UnavailableError):
    """Stored bytes are not what their name or their signature says."""

    code = "corrupt"


class SetupError(UnavailableError):
    """The outside world is there and not as it must be, such as a database that does not know the password."""

    code = "setup"


class DeadlineError(UnavailableError):
    """It was not done in the time that its client gave."""

    code = "deadline"


class LimitedError(UnavailableError):
    """One client asked for too much at once.

    Args:
        message: which limit.
        hint: what to do next.
        field: the input that is to blame, if one is.
        retry_after_s: when the next attempt is let through, at the soonest.
    """

    code = "limited"

    def __init__(self, message: str, *, hint: str = "", field: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(message, hint=hint, field=field)
        self.retry_after_s = retry_after_s


class ProcessLostError(UnavailableError):
    """The process that runs a Python model died in the middle of a batch, or did not answer in time."""

    code = "process_lost"


class ModelFailedError(UnavailableError):
    """A model's version gave no answer, so something else has to."""

    code = "model_failed"


class UserCodeError(PetlaError):
    """The project's own code failed.

    Args:
        message: which step failed, with the exception's own last line.
        traceback: the project's own frames, ready to print.
        hint: what to do next.
        field: the function that failed.
    """

    code = "user_code"

    def __init__(self, message: str, *, traceback: str = "", hint: str = "", field: str = "") -> None:
        super().__init__(message, hint=hint, field=field)
        self.traceback = traceback


def is_outage(error: PetlaError) -> bool:
    """Whether it is worth waiting: what failed may work again without anybody correcting the project."""
    return isinstance(error, UnavailableError) and not isinstance(error, CorruptError | SetupError)
