"""A verdict: every check of a candidate with its figures."""

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from petla.models.version import ModelVersion


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One gate's answer."""

    # holdout, minimum, champion, latency, dirty rows
    name: str
    passed: bool
    # one sentence a business owner understands, with the figures
    message: str
    figures: dict[str, float] = {}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """All gates of one candidate."""

    model: str
    version: int
    # the champion it was compared with
    champion: int | None
    checks: tuple[Check, ...]
    at: str
    # ONNX or Python, how near to the original, how fast, and why
    packaged: str = ""

    @property
    def passed(self) -> bool:
        """Whether every gate passed."""
        return all(check.passed for check in self.checks)


def find_verdict(version: "ModelVersion") -> Verdict | None:
    """Return a version's verdict, or None if it was not judged yet."""
    return decode_verdict(version.verdict) if version.verdict else None


def decode_verdict(raw: bytes) -> Verdict:
    """Read a verdict as the registry keeps it."""
    return msgspec.json.decode(raw, type=Verdict)
