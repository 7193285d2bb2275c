"""API keys at the doors: whether a request's key opens what it asks for, and whether it asks too often.

- The file of keys is read again when it was replaced; nothing has to be restarted.
- A key that was right once is found by a dictionary's hash, which is keyed at random for each process, so its timing
  says nothing about keys that nobody sent; one that was not is compared in constant time.
- Rates hold for a key, not for a worker: all workers share one small mapped file with a number per key, the moment at
  which its next request would be due if they came evenly. It is written without a lock; two workers that do so in the
  same microsecond let one request too many pass.

Source: the generic cell rate algorithm of ITU-T Recommendation I.371 (2004), annex A, "virtual scheduling".
"""

import logging
import mmap
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from petla.core.errors import ForbiddenError, LimitedError, UnknownKeyError
from petla.deployments.access.keys import Key, Scope, decode_keys, find_number, keys_path, opens

logger = logging.getLogger(__name__)

RATES_FILE = "rates"

_OPEN = ("/healthz", "/readyz", "/v2/health/")
_REPOSITORY = "/v2/repository/"
_FEEDBACK = "/feedback"
_SLOT_BYTES = 8
_MOST_REMEMBERED = 10_000
_HINT = "send 'Authorization: Bearer KEY'; 'petla keys add' makes one"


class _Holder(NamedTuple):
    """A key whose secret was shown."""

    key: Key
    # nanoseconds between two requests that come evenly; 0: no limit
    interval_ns: int
    # how far requests may run ahead of that
    ahead_ns: int


def scope_for(method: str, path: str) -> Scope | None:
    """Return what a request needs; None: everybody may."""
    if path.startswith(_OPEN):
        return None
    if path == _FEEDBACK:
        return Scope.FEEDBACK
    if path.startswith(_REPOSITORY):
        return Scope.REPOSITORY
    return Scope.READ if method in {"GET", "HEAD"} else Scope.PREDICT


class Keys:
    """The keys of one project, as one worker knows them.

    Args:
        state: the state folder.
    """

    def __init__(self, state: Path) -> None:
        self._path = keys_path(state)
        self._rates_path = self._path.with_name(RATES_FILE)
        self._stamp: tuple[int, int] | None = None
        self._keys: dict[int, Key] = {}
        self._shown: dict[bytes, _Holder] = {}
        self._rates: memoryview[int] = memoryview(bytearray()).cast("q")
        self.look()

    def look(self) -> None:
        """Take up the file of keys, if it was replaced."""
        try:
            status = self._path.stat()
            stamp = status.st_mtime_ns, status.st_ino
            if stamp == self._stamp:
                return
            keys = decode_keys(self._path.read_bytes())
            self._rates = self._map_rates(max((key.number for key in keys), default=0))
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError) as error:
            logger.warning("keys.refused", extra={"path": str(self._path), "reason": str(error)})
            return
        self._stamp = stamp
        self._keys = {key.number: key for key in keys}
        self._shown = {}

    def check(self, given: Mapping[bytes, bytes], scope: Scope) -> None:
        """Let a request pass that carries a key for what it asks, and does not come too often.

        Args:
            given: its headers, names in lower case.
            scope: what it asks for.

        Raises:
            UnknownKeyError: it carries no key, or one that opens nothing.
            ForbiddenError: its key is for something else.
            LimitedError: its key was used too often.
        """
        shown = given.get(b"authorization") or given.get(b"x-api-key", b"")
        holder = self._shown.get(shown) or self._identify(shown)
        if scope not in holder.key.scopes:
            allowed = ", ".join(holder.key.scopes)
            raise ForbiddenError(
                f"key {holder.key.name!r} is for {allowed}, not for {scope}", hint=f"use a key with the scope {scope}"
            )
        if holder.interval_ns:
            self._count(holder)

    def _identify(self, shown: bytes) -> _Holder:
        kind, _, token = shown.partition(b" ")
        secret = token.strip() if kind.lower() == b"bearer" else shown
        if not secret:
            raise UnknownKeyError("the request carries no API key", hint=_HINT)
        number = find_number(secret)
        key = None if number is None else self._keys.get(number)
        if key is None or not opens(key, secret):
            raise UnknownKeyError("the request's API key opens nothing: it is wrong or was revoked", hint=_HINT)
        interval_ns = round(1e9 / key.rate_per_s) if key.rate_per_s else 0
        holder = _Holder(key, interval_ns, (key.burst - 1) * interval_ns)
        if len(self._shown) < _MOST_REMEMBERED:
            self._shown[shown] = holder
        return holder

    def _count(self, holder: _Holder) -> None:
        now_ns, slot = time.monotonic_ns(), holder.key.number
        due_ns = self._rates[slot]
        # what lies further ahead was written before the machine was started anew
        if not now_ns < due_ns <= now_ns + holder.ahead_ns + holder.interval_ns:
            due_ns = now_ns
        wait_ns = due_ns - holder.ahead_ns - now_ns
        if wait_ns > 0:
            rate = f"{holder.key.rate_per_s:g} requests a second, {holder.key.burst} at once"
            raise LimitedError(
                f"key {holder.key.name!r} may send {rate}", retry_after_s=wait_ns / 1e9, hint="send fewer, or wait"
            )
        self._rates[slot] = due_ns + holder.interval_ns

    def _map_rates(self, highest: int) -> "memoryview[int]":
        size = (highest + 1) * _SLOT_BYTES
        descriptor = os.open(self._rates_path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(descriptor).st_size < size:
                os.ftruncate(descriptor, size)
            return memoryview(mmap.mmap(descriptor, size)).cast("q")
        finally:
            os.close(descriptor)
