"""What the pages' forms send; the token was checked before it comes to a handler."""

import msgspec

from petla.deployments.beside.rollout import RolloutKind


class ReasonForm(msgspec.Struct, frozen=True):
    """A person's word."""

    reason: str = ""
    csrf_token: str = ""


class WordForm(msgspec.Struct, frozen=True):
    """A person's decision in the place of a model's."""

    answer: str = ""
    reason: str = ""
    csrf_token: str = ""


class WordsForm(msgspec.Struct, frozen=True):
    """A person's decision in the place of a model's, for several."""

    # NOTE: one ticked box arrives as a text, several as a list.
    ids: str | tuple[str, ...] = ()
    answer: str = ""
    reason: str = ""
    csrf_token: str = ""

    @property
    def ticked(self) -> tuple[str, ...]:
        """Which are meant."""
        return (self.ids,) if isinstance(self.ids, str) else self.ids


class VersionForm(msgspec.Struct, frozen=True):
    """A version, and a person's word."""

    version: int
    reason: str = ""
    csrf_token: str = ""


class EndForm(msgspec.Struct, frozen=True):
    """What is to end, and a person's word."""

    kind: RolloutKind
    reason: str = ""
    csrf_token: str = ""


class ThemeForm(msgspec.Struct, frozen=True):
    """Light or dark, and the page to go back to."""

    theme: str
    back: str = "/"
    csrf_token: str = ""
