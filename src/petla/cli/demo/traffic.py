"""Clients of the data plane: a replay in order, and a steady load."""

import http.client
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec

_TIMEOUT_S = 10.0


class Tally:
    """What clients sent and what came back; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.sent = 0
        self.failed = 0
        self.ids: list[str] = []
        self.first_fault = ""

    def count(self, ids: Sequence[str], fault: str = "") -> None:
        """Add one request: the ids that it was answered with, or why it failed."""
        with self._lock:
            self.sent += 1
            self.ids.extend(ids)
            if fault:
                self.failed += 1
                self.first_fault = self.first_fault or fault


class Client:
    """One connection to the data plane that stays open.

    Args:
        address: such as `http://127.0.0.1:8080`.
        tally: counts every request.
    """

    def __init__(self, address: str, tally: Tally) -> None:
        parts = urlsplit(address)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
        self._tally = tally

    def predict(self, model: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Ask for rows' predictions; return the answers, or nothing if the request failed."""
        answers, fault = self._post(f"/predict/{model}", rows)
        self._tally.count([answer["id"] for answer in answers], fault)
        return answers

    def tell(self, truths: Sequence[tuple[str, Any]]) -> None:
        """Send what turned out to be true: pairs of decision id and truth."""
        _, fault = self._post("/feedback", [{"id": decision_id, "truth": truth} for decision_id, truth in truths])
        self._tally.count([], fault)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _post(self, path: str, content: Any) -> tuple[list[dict[str, Any]], str]:  # noqa: ANN401 - JSON
        try:
            self._connection.request("POST", path, msgspec.json.encode(content))
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return [], f"{type(error).__name__}: {error}"
        if response.status >= 300:
            return [], f"{response.status} {body[:200].decode(errors='replace')}"
        decoded = msgspec.json.decode(body)
        return decoded if isinstance(decoded, list) else [], ""


class Load:
    """Threads that send single rows as fast as they are answered, until stopped.

    Args:
        address: the data plane.
        model: which model to ask.
        rows: what to send, over and over.
        tally: counts every request.
        threads: connections at the same time.
    """

    def __init__(
        self, address: str, model: str, rows: Sequence[Mapping[str, Any]], tally: Tally, *, threads: int = 4
    ) -> None:
        self._stop = threading.Event()
        self.versions: list[tuple[float, int]] = []
        self._threads = [
            threading.Thread(target=self._send, args=(Client(address, tally), model, rows, offset))
            for offset in range(threads)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for_version(self, version: int, *, timeout_s: float = 30.0) -> bool:
        """Wait until an answer came from this version."""
        seen_from = len(self.versions)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if any(answered == version for _, answered in self.versions[seen_from:]):
                return True
            self._stop.wait(0.01)
        return False

    def _send(self, client: Client, model: str, rows: Sequence[Mapping[str, Any]], offset: int) -> None:
        position = offset
        while not self._stop.is_set():
            for answer in client.predict(model, [rows[position % len(rows)]]):
                self.versions.append((time.monotonic(), answer["version"]))
            position += 1
        client.close()
