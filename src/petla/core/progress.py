"""How long work tells how far it is, without knowing who listens."""

from typing import Protocol


class Progress(Protocol):
    """Somebody who is told how far work is; every method may be called from any thread."""

    def begin(self, what: str, total_bytes: int | None = None) -> None:
        """Begin a part of the work.

        Args:
            what: in the present tense, such as `pushing to origin`.
            total_bytes: how much there is to do; None: not known.
        """

    def advance(self, n_bytes: int) -> None:
        """Say that so many more bytes of the present part are done."""


class _Silence:
    def begin(self, what: str, total_bytes: int | None = None) -> None:
        pass

    def advance(self, n_bytes: int) -> None:
        pass


# nobody listens
SILENT: Progress = _Silence()
