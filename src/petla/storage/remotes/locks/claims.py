"""Claims on a remote: who pushes to it or sweeps it says so, and again every minute while at work.

A claim whose owner has died is removed by whoever meets it: at once on the machine of the owner, elsewhere when its
owner has been silent for five minutes by the clock of the remote.
"""

import contextlib
import logging
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from petla.core.clock import to_text, utc_now
from petla.core.errors import BusyError, NotFoundError, PetlaError
from petla.storage.remotes.bucket import Bucket
from petla.storage.workspace import login_name

logger = logging.getLogger(__name__)

BEAT_S = 60.0
DEAD_AFTER = timedelta(seconds=5 * BEAT_S)
# claims of former releases were written once
_DEAD_AFTER_FORMERLY = timedelta(hours=24)
# its time of change is the present by the clock of the remote
_CLOCK = "clock"


class Owner(msgspec.Struct, frozen=True):
    """The content of a claim."""

    at: str = ""
    host: str = ""
    pid: int = 0
    by: str = ""
    # one process numbering of one start of one machine. Empty in claims of former releases
    machine: str = ""
    id: str = ""

    def describe(self) -> str:
        """Return the owner in words."""
        return f"{self.by or 'somebody'} (host {self.host or 'unknown'}, pid {self.pid or 'unknown'})"


class Claim:
    """A claim that this process holds.

    Args:
        bucket: the remote.
        key: the object that is the claim.
    """

    def __init__(self, bucket: Bucket, key: str) -> None:
        self.key = key
        self._bucket = bucket
        self._owner = Owner(
            to_text(utc_now()), socket.gethostname(), os.getpid(), login_name(), _find_machine(), secrets.token_hex(8)
        )

    def take(self) -> bool:
        """Make the object, unless there is one; return whether it was made."""
        return self._bucket.create(self.key, msgspec.json.encode(self._owner))

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Renew the claim during the block, and remove it afterwards."""
        done = threading.Event()
        thread = threading.Thread(target=self._beat, args=(done,), name="claim", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            if self._is_mine():
                self._bucket.delete([self.key])

    def confirm(self) -> None:
        """Make sure that nobody has taken this process for dead meanwhile.

        Raises:
            BusyError: the claim is gone.
        """
        if not self._is_mine():
            raise BusyError(
                f"remote {self._bucket.name}: this command was silent for so long that another one took it for dead",
                hint="run the same command again: what was done so far is kept",
            )

    def _is_mine(self) -> bool:
        owner = read_owner(self._bucket, self.key)
        return owner is not None and owner.id == self._owner.id

    def _beat(self, done: threading.Event) -> None:
        while not done.wait(BEAT_S):
            try:
                if not self._is_mine():
                    return
                self._bucket.put(self.key, msgspec.json.encode(self._owner))
            except PetlaError as error:
                logger.debug("remote.unreached", extra={"remote": self._bucket.name, "said": error.message})


def read_owner(bucket: Bucket, key: str) -> Owner | None:
    """Return the owner of a claim; None: there is no claim."""
    try:
        return msgspec.json.decode(bucket.get(key), type=Owner)
    except NotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Owner()


def find_living(bucket: Bucket, keys: list[str]) -> list[Owner]:
    """Return the owners of claims who are at work; the claims of others are removed, and a warning says so."""
    living = []
    now = _read_clock(bucket) if keys else utc_now()
    for key in keys:
        owner = read_owner(bucket, key)
        changed_at = bucket.changed_at(key)
        if owner is None or changed_at is None:
            continue
        if _is_alive(owner, now - changed_at):
            living.append(owner)
        # NOTE: another command may have removed it and taken its place since
        elif read_owner(bucket, key) == owner:
            bucket.delete([key])
            logger.warning(
                "remote.lock_broken",
                extra={"remote": bucket.name, "lock": key, "owner": owner.describe()},
            )
    return living


def _read_clock(bucket: Bucket) -> datetime:
    bucket.put(_CLOCK, b"")
    return bucket.changed_at(_CLOCK) or utc_now()


def _is_alive(owner: Owner, silent: timedelta) -> bool:
    if silent >= (DEAD_AFTER if owner.id else _DEAD_AFTER_FORMERLY):
        return False
    is_here = owner.host == socket.gethostname() and owner.machine in ("", _find_machine())
    return not (is_here and owner.pid > 0 and not _is_running(owner.pid))


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _find_machine() -> str:
    """Two containers may share the name of a host, but not the numbers of its processes."""
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{start} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""
