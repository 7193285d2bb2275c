"""A finding: one figure of one closed window, held against its limit."""

from typing import Literal

import msgspec

FindingKind = Literal["drift", "quality"]


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
    # None: recorded without a limit; drift by psi: not enough data to judge, or not watched
    limit: float | None
    rows: int
    is_alarm: bool
    at: str
    # number of its row; 0: not stored yet
    id: int = 0
