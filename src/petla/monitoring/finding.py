"""A finding: one figure of one closed window, held against its limit."""

from typing import Literal

import msgspec

# labels: those that came cannot be used
FindingKind = Literal["drift", "quality", "labels"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of one closed window."""

    model: str
    version: int
    kind: FindingKind
    window: int
    # the feature that drifted, or the metric that fell
    what: str
    # psi, js, accuracy, ...
    measure: str
    value: float
    # None: recorded without a limit; drift by psi: not judged, and `note` says why
    limit: float | None
    rows: int
    is_alarm: bool
    at: str
    # why it was not judged; empty: it was, or nothing says so
    note: str = ""
    # number of its row; 0: not stored yet
    id: int = 0
