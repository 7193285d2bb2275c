"""Telling the webhook what people decided: at least once, signed, again and again until it says yes.

- What is to be told stands in the rows of the reviews, so a restart forgets nothing.
- A call is claimed before it is made, by moving its next moment into the future: two that deliver never make the same
  call at the same time, and one that dies in the middle of it leaves it to be made again.
- No receiver holds anybody up: a call has a time for all of it together, and a stop leaves what hangs behind.
- The body names the decision; a receiver that has seen it may ignore it.
"""

import contextlib
import hashlib
import hmac
import http.client
import logging
import queue
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from petla.core.clock import to_text
from petla.core.errors import PetlaError
from petla.core.project.addresses import split_address
from petla.decisions.log import get_decision
from petla.decisions.reviews import records
from petla.decisions.reviews.review import Review
from petla.storage.database import reading, writing
from petla.storage.workspace import Workspace

logger = logging.getLogger(__name__)

SIGNATURE_HEADER = "X-Petla-Signature"
EVENT = "decision.reviewed"
PAUSE_S = 0.5

# of a call, from the name's look-up to the answer
_CALL_TIMEOUT_S = 10.0
# of a call that is under way when the courier is told to stop
_LEAVE_S = 1.0
_LOOK_S = 0.05
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 3_600.0
_AT_ONCE = 50
_LONGEST_ERROR = 300


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What the webhook is told."""

    event: str
    project: str
    # of the decision; the same in every call about it
    id: str
    request_id: str
    model: str
    version: int
    inputs: dict[str, object]
    provisional: bool | int | float | str
    answer: bool | int | float | str | None
    flags: tuple[str, ...]
    decided_by: str
    decided_at: str | None
    reason: str


# of an address, of the way there, or of what answers; UnicodeError is a ValueError
_FAULTS = (OSError, http.client.HTTPException, ValueError)


def sign(secret: str, body: bytes) -> str:
    """Return the signature of a body: HMAC-SHA256 with the secret that both sides know.

    Source: Krawczyk, Bellare, Canetti, RFC 2104, 1997.
    """
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Courier:
    """Delivers on a thread of its own, so that a slow receiver holds up nothing else.

    Args:
        ws: whose reviews.
        wait_s: until a call that failed is made again; doubles from call to call.
        is_on_duty: whether this one delivers, and not that of another control plane.
    """

    def __init__(
        self, ws: Workspace, *, wait_s: float = _FIRST_WAIT_S, is_on_duty: Callable[[], bool] = lambda: True
    ) -> None:
        self._ws = ws
        self._wait_s = wait_s
        self._is_on_duty = is_on_duty
        self._stop = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Deliver what is due until told to stop; then leave within seconds, also where a receiver hangs."""
        self._stop = stop
        while not stop.is_set():
            try:
                if self._is_on_duty():
                    self.deliver_due()
            except PetlaError as error:
                # the database is away; what is due stays due
                logger.warning("deliveries.postponed", extra={"error": str(error)})
            stop.wait(PAUSE_S)

    def deliver_due(self) -> int:
        """Make every call that is due; return how many were answered with yes. Once told to stop it begins no other."""
        if not any(table.guards.webhook for table in self._ws.project.models.values()):
            return 0
        with reading(self._ws.engine) as connection:
            due = records.list_due(connection, self._ws.name, to_text(self._ws.clock()), _AT_ONCE)
        return sum(self._deliver(review) for review in due if not self._stop.is_set())

    def _deliver(self, review: Review) -> bool:
        claimed = self._claim(review)
        if claimed is None:
            return False
        error = self._call(claimed)
        done = msgspec.structs.replace(
            claimed,
            deliver_at=claimed.deliver_at if error else None,
            delivered_at=None if error else to_text(self._ws.clock()),
            delivery_error=error[:_LONGEST_ERROR],
        )
        with writing(self._ws.engine) as connection:
            records.save_delivery(connection, self._ws.name, done, claimed)
        if error:
            logger.warning("delivery.failed", extra={"id": review.id, "attempt": claimed.attempts, "error": error})
        return not error

    def _claim(self, review: Review) -> Review | None:
        now: datetime = self._ws.clock()
        wait_s = min(_LONGEST_WAIT_S, self._wait_s * 2.0 ** min(review.attempts, 30)) + _CALL_TIMEOUT_S
        next_at = to_text(now + timedelta(seconds=wait_s))
        claimed = msgspec.structs.replace(review, deliver_at=next_at, attempts=review.attempts + 1)
        with writing(self._ws.engine) as connection:
            return claimed if records.save_delivery(connection, self._ws.name, claimed, review) else None

    def _call(self, review: Review) -> str:
        """Make one call; return why it failed, empty if it did not."""
        table = self._ws.project.models.get(review.model)
        address = table.guards.webhook if table is not None else ""
        if not address:
            return "petla.toml names no webhook any more"
        secret = self._ws.settings.webhook_secret
        if not secret:
            return "set PETLA_WEBHOOK_SECRET: a call is made only with a signature"
        try:
            body = msgspec.json.encode(self._describe(review))
            return _post(address, body, sign(secret, body), self._stop)
        except (PetlaError, *_FAULTS) as error:
            return f"{type(error).__name__}: {error}"

    def _describe(self, review: Review) -> Delivery:
        decision = get_decision(self._ws, review.id)
        return Delivery(
            event=EVENT,
            project=self._ws.name,
            id=review.id,
            request_id=decision.request_id,
            model=review.model,
            version=review.version,
            inputs=decision.inputs,
            provisional=review.label,
            answer=review.answer,
            flags=review.flags,
            decided_by=review.decided_by,
            decided_at=review.decided_at,
            reason=review.reason,
        )


def _post(address: str, body: bytes, signature: str, stop: threading.Event) -> str:
    """Make one call; return why it failed, empty if it did not.

    NOTE: on a thread of its own, since a timeout of a socket holds only between two bytes, and that of a name's look-up
    is nobody's to choose. What hangs is left behind; the call is made again.
    """
    is_secure, host, port, target = split_address(address)
    kind = http.client.HTTPSConnection if is_secure else http.client.HTTPConnection
    connection = kind(host, port, timeout=_CALL_TIMEOUT_S)
    outcome: queue.SimpleQueue[str] = queue.SimpleQueue()

    def call() -> None:
        try:
            headers = {"Content-Type": "application/json", SIGNATURE_HEADER: signature}
            connection.request("POST", target, body, headers)
            status = connection.getresponse().status
            outcome.put("" if 200 <= status < 300 else f"the receiver answered {status}")
        except _FAULTS as error:
            outcome.put(f"{type(error).__name__}: {error}")
        finally:
            connection.close()

    threading.Thread(target=call, name="delivery", daemon=True).start()
    said = _await(outcome, stop)
    if said is not None:
        return said
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
    return "TimeoutError: the receiver did not answer in time"


def _await(outcome: "queue.SimpleQueue[str]", stop: threading.Event) -> str | None:
    """Return what came of a call; None: it hangs."""
    until_s, leave_s = time.monotonic() + _CALL_TIMEOUT_S, 0.0
    while (now_s := time.monotonic()) < until_s:
        if stop.is_set():
            leave_s = leave_s or now_s + _LEAVE_S
            until_s = min(until_s, leave_s)
        with contextlib.suppress(queue.Empty):
            return outcome.get(timeout=_LOOK_S)
    return None
