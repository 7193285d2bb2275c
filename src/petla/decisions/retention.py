"""Retention: whole days of decisions go when they were kept long enough, with labels, shadow answers and reviews.

- The project's `decisions.keep_days` says how long; 0 keeps everything.
- It goes by the trusted clock: a jump of the machine's clock removes nothing early.
- Whoever still needs a day may hold it, and all after it, but no longer than a week: a review that is not decided
  or whose webhook was not reached, and what the caller names.
- What goes is announced in the audit trail before the first row goes, in the same transaction as that.
- PostgreSQL drops the tables of the days. SQLite removes rows in small batches, so that no other writer waits long.
"""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from petla.core.clock import to_text
from petla.core.errors import UnavailableError
from petla.decisions import records
from petla.decisions.feedback.records import delete_feedback
from petla.decisions.reviews.records import count_waiting_until, delete_reviews, find_oldest_open
from petla.decisions.trusted_clock import TrustedClock
from petla.storage.database import reading, writing
from petla.storage.ledger import Change
from petla.storage.partitions import day_of, drop_days, has_days, list_days
from petla.storage.workspace import Workspace

logger = logging.getLogger(__name__)

# Gives the stored moment of the oldest decision that is still needed; None: none is.
Hold = Callable[[Workspace], str | None]

HOLD_DAYS = 7
ACTOR = "retention"

_BATCH_ROWS = 1_000
_BATCHES_AT_ONCE = 20
_MIDNIGHT = "T00:00:00.000000Z"
_TABLES = ("decisions", "shadows")


class Retention:
    """Removes what was kept long enough, some of it with each call.

    Args:
        ws: the project.
        holds: who else may still need decisions.
        monotonic: seconds that really pass.
    """

    def __init__(
        self, ws: Workspace, holds: Sequence[Hold] = (), monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._ws = ws
        self._clock = TrustedClock(ws, monotonic)
        self._holds = (_find_oldest_open, *holds)
        # up to where the removal was announced
        self._announced = ""

    def expire(self) -> bool:
        """Remove some of what is due; return whether more may be left.

        Raises:
            UnavailableError: the database cannot be read.
        """
        keep_days = self._ws.project.decisions.keep_days
        if not keep_days:
            return False
        until = self._find_end(keep_days)
        try:
            if self._announced < until and not self._begin(until, keep_days):
                return False
            return self._remove_batches(until)
        except UnavailableError as error:
            logger.warning("decisions.expiry_postponed", extra={"until": until, "error": str(error)})
            return False

    def _find_end(self, keep_days: int) -> str:
        """Return the midnight before which everything is due."""
        now = self._clock.look()
        due = day_of(to_text(now - timedelta(days=keep_days)))
        needed = [moment for moment in (hold(self._ws) for hold in self._holds) if moment is not None]
        held = min([due, *map(day_of, needed)])
        latest = day_of(to_text(now - timedelta(days=keep_days + HOLD_DAYS)))
        return f"{max(held, latest)}{_MIDNIGHT}"

    def _begin(self, until: str, keep_days: int) -> bool:
        """Announce what goes, and take the first of it; return whether there is anything."""
        ws = self._ws
        with reading(ws.engine) as connection:
            n_decisions, n_labelled = records.count_until(connection, ws.name, until)
            n_waiting = count_waiting_until(connection, ws.name, until)
        self._announced = until
        if not n_decisions:
            return True
        reason = f"kept for {keep_days} days"
        with ws.ledger.change(actor=ACTOR, action="decisions.expired", subject=day_of(until), reason=reason) as change:
            change.record(until=until, decisions=n_decisions, labelled=n_labelled, unreviewed=n_waiting)
            self._remove_first(change, until)
        return True

    def _remove_first(self, change: Change, until: str) -> None:
        connection, name = change.connection, self._ws.name
        if has_days(self._ws.engine):
            for table in _TABLES:
                days = [day for day in list_days(connection, table, name) if day < day_of(until)]
                drop_days(connection, table, name, days)
        else:
            records.delete_until(connection, name, until, _BATCH_ROWS)

    def _remove_batches(self, until: str) -> bool:
        ws = self._ws
        for _ in range(_BATCHES_AT_ONCE):
            with writing(ws.engine) as connection:
                n_rows = delete_feedback(connection, ws.name, until, _BATCH_ROWS)
                n_rows += delete_reviews(connection, ws.name, until, _BATCH_ROWS)
                if not has_days(ws.engine):
                    n_rows += records.delete_until(connection, ws.name, until, _BATCH_ROWS)
            if not n_rows:
                return False
        return True


def _find_oldest_open(ws: Workspace) -> str | None:
    with reading(ws.engine) as connection:
        return find_oldest_open(connection, ws.name)
