"""The lease: of all control planes of a project, on however many machines, one runs the controller.

- It is a row of the database, taken by one conditional update, and kept by a beat that grows. No clock is compared: who
  sees a beat stand still for `EXPIRES_S` of its own time may take the lease.
- Who shares the state folder with a holder that died takes it at once: the folder's lock says that nobody else is
  there.
"""

import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from pathlib import Path

from petla.core.errors import BusyError, ConflictError, UnavailableError
from petla.loop import records
from petla.loop.records import LeaseRow
from petla.storage.database import reading, writing
from petla.storage.files import lock
from petla.storage.workspace import Workspace

logger = logging.getLogger(__name__)

BEAT_S = 2.0
EXPIRES_S = 30.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Lease:
    """The right of one control plane to run the controller.

    Args:
        ws: the project.
        expires_s: seconds that another's beat must stand still before its lease is taken.
        beat_s: seconds between two beats.
    """

    def __init__(self, ws: Workspace, *, expires_s: float = EXPIRES_S, beat_s: float = BEAT_S) -> None:
        self.instance = uuid.uuid4().hex
        self._ws = ws
        self._expires_s = expires_s
        self._beat_s = beat_s
        self._folder = contextlib.ExitStack()
        self._has_folder = False
        # what was seen of another's lease last, and since when
        self._seen: tuple[str, int] | None = None
        self._since_s = 0.0
        self._holder: LeaseRow | None = None
        self._stop = threading.Event()
        self._beating: threading.Thread | None = None

    @property
    def is_held(self) -> bool:
        """Whether the last look found the lease to be this one's."""
        return self._beating is not None

    def hold(self) -> bool:
        """Take the lease if it is free, or see that it is still ours; return whether it is.

        Raises:
            ConflictError: the project of this name in the database is another folder's.
            CorruptError: the database has lost entries of the audit trail.
            UnavailableError: the database cannot be reached.
        """
        if not self.is_held:
            self._ws.ledger.require_own()
        if not self._hold_folder():
            return False
        with reading(self._ws.engine) as connection:
            row = records.find_lease(connection, self._ws.name)
        is_ours = (row is not None and row.instance == self.instance) or (self._is_free(row) and self._take(row))
        if is_ours:
            self._begin_beating()
        else:
            self._stand_by(row)
        return is_ours

    def release(self) -> None:
        """Give the lease back, so that another control plane need not wait until it expires."""
        self._end_beating()
        with contextlib.suppress(UnavailableError), writing(self._ws.engine) as connection:
            records.remove_lease(connection, self._ws.name, self.instance)
        self._folder.close()
        self._has_folder = False

    def _hold_folder(self) -> bool:
        """Whether no other controller shares this state folder."""
        if not self._has_folder:
            with contextlib.suppress(BusyError):
                self._folder.enter_context(lock(_lock_path(self._ws), purpose="the controller"))
                self._has_folder = True
        return self._has_folder

    def _is_free(self, row: LeaseRow | None) -> bool:
        """Whether a lease may be taken: there is none, or its holder is gone."""
        if row is None or row.place == find_place(self._ws):
            return True
        if (row.instance, row.beat) != self._seen:
            self._seen, self._since_s = (row.instance, row.beat), time.monotonic()
        return time.monotonic() - self._since_s >= self._expires_s

    def _take(self, row: LeaseRow | None) -> bool:
        mine = LeaseRow(self.instance, find_place(self._ws), socket.gethostname(), os.getpid(), 0)
        try:
            with writing(self._ws.engine) as connection:
                return records.take_lease(connection, self._ws.name, mine, before=row)
        except ConflictError:
            # another made the first row at the same moment
            return False

    def _begin_beating(self) -> None:
        if self._beating is None:
            self._holder, self._seen = None, None
            self._stop = threading.Event()
            self._beating = threading.Thread(target=self._beat, args=(self._stop,), name="lease", daemon=True)
            self._beating.start()
            logger.info("lease.taken", extra={"instance": self.instance})

    def _end_beating(self) -> None:
        self._stop.set()
        if self._beating is not None:
            self._beating.join()
        self._beating = None

    def _stand_by(self, row: LeaseRow | None) -> None:
        self._end_beating()
        if row is not None and (self._holder is None or self._holder.instance != row.instance):
            self._holder = row
            logger.warning("lease.awaited", extra={"host": row.host, "pid": row.pid})

    def _beat(self, stop: threading.Event) -> None:
        """Keep the lease while a step of the controller takes its time."""
        while not stop.wait(self._beat_s):
            try:
                with writing(self._ws.engine) as connection:
                    records.beat_lease(connection, self._ws.name, self.instance)
            except UnavailableError as error:
                logger.warning("lease.beat_failed", extra={"error": str(error)})


def find_holder(ws: Workspace) -> LeaseRow | None:
    """Return who runs the controller of this project elsewhere; None: nobody, or this installation."""
    with reading(ws.engine) as connection:
        row = records.find_lease(connection, ws.name)
    return None if row is None or row.place == find_place(ws) else row


def find_place(ws: Workspace) -> str:
    """Return what tells a state folder from every other one, also from a copy of it; empty: no controller ever ran."""
    try:
        status = _lock_path(ws).stat()
    except FileNotFoundError:
        return ""
    machine = _BOOT.read_text().strip() if _BOOT.exists() else socket.gethostname()
    return f"{machine} {status.st_dev}:{status.st_ino}"


def _lock_path(ws: Workspace) -> Path:
    return ws.state / "controller.lock"
