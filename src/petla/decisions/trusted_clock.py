"""The clock that retention goes by: it follows the machine's, but runs twice as fast as real time at most.

- How far it has come stands in the database, so that neither a start nor another machine lets it jump. Only while a
  controller runs does it move, by the monotonic clock: a gap, such as a weekend, is caught up one more day per day.
- Where the machine's clock is more than `HELD_DAYS` ahead, it may be wrong, and a person says whether it is right.
  Until then this clock goes on at the pace of real time.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from petla.core.clock import to_text
from petla.core.errors import InvalidError
from petla.decisions import records
from petla.storage.database import reading, writing
from petla.storage.workspace import Workspace

logger = logging.getLogger(__name__)

HELD_DAYS = 7
NEXT_STEP = "if the machine's clock is right, petla decisions trust-clock --reason TEXT; else set it back"

_LAG = timedelta(days=HELD_DAYS)
# it moves in the database in such steps
_STEP = timedelta(hours=1)
_SAY_S = 3_600.0


class TrustedClock:
    """The clock of one process that removes decisions.

    Args:
        ws: whose decisions.
        monotonic: seconds that really pass.
    """

    def __init__(self, ws: Workspace, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ws = ws
        self._monotonic = monotonic
        self._looked_s = monotonic()
        self._ahead = timedelta()
        self._stored: datetime | None = None
        self._say_at_s = self._looked_s

    def look(self) -> datetime:
        """Return the moment up to which time is trusted to have passed.

        Raises:
            UnavailableError: the database cannot be read or written.
        """
        ws, now, looked_s = self._ws, self._ws.clock(), self._monotonic()
        passed = timedelta(seconds=looked_s - self._looked_s)
        self._looked_s = looked_s
        with reading(ws.engine) as connection:
            stored = records.find_trusted(connection, ws.name)
            start = stored or records.find_newest(connection, ws.name) or now
        if stored != self._stored:
            # a person or another controller moved it
            self._ahead, self._stored = timedelta(), stored
        reached = start + self._ahead
        is_held = now - reached > _LAG
        trusted = min(now, reached + (passed if is_held else 2 * passed))
        if stored is None or abs(trusted - stored) >= _STEP:
            with writing(ws.engine) as connection:
                records.set_trusted(connection, ws.name, trusted)
            self._stored, start = trusted, trusted
        self._ahead = trusted - start
        if is_held and looked_s >= self._say_at_s:
            self._say_at_s = looked_s + _SAY_S
            logger.warning("decisions.expiry_held", extra={"error": _describe(now, trusted)})
        return trusted


def describe_hold(ws: Workspace) -> str:
    """Say that retention does not believe the clock, and the next step; empty: it does."""
    if not ws.project.decisions.keep_days:
        return ""
    now = ws.clock()
    with reading(ws.engine) as connection:
        trusted = records.find_trusted(connection, ws.name)
    return _describe(now, trusted) if trusted is not None and now - trusted > _LAG + _STEP else ""


def trust_clock(ws: Workspace, *, actor: str, reason: str) -> None:
    """Let retention go by the machine's clock from now on, however far it has jumped.

    Raises:
        InvalidError: no reason is given.
    """
    if not reason.strip():
        raise InvalidError("`reason` is empty", hint="say why the clock is right, such as 'was off for a month'")
    now = ws.clock()
    with ws.ledger.change(actor=actor, action="clock.trusted", subject=ws.name, reason=reason) as change:
        former = records.find_trusted(change.connection, ws.name)
        change.record(former=None if former is None else to_text(former), trusted=to_text(now))
        records.set_trusted(change.connection, ws.name, now)


def _describe(now: datetime, trusted: datetime) -> str:
    days = (now - trusted).days
    return (
        f"the clock is {days} days ahead of {to_text(trusted)[:10]}, so no decision is removed early; next: {NEXT_STEP}"
    )
