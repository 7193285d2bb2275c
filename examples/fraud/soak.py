"""Sends the stream's payments to a running Pętla for minutes, labels them later, and counts what came of it.

    python simulate.py && petla data add data/transactions.parquet && petla run && petla deploy fraud:1
    petla up &
    python soak.py [--minutes 10] [--rate 1000] [--connections 32] [--label-after 30]

Payments come at a fixed rate, whatever the server does: an answer that is late makes the figures worse, not the load
smaller. A payment's outcome is sent `--label-after` seconds after its answer. In the end every id that a client got is
looked up in the log. Exit status 1: a request failed, or an id is not there exactly once.
"""

import argparse
import asyncio
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import msgspec
import polars as pl
import uvloop

from petla.core.settings import decode_settings
from petla.decisions.log import count_known
from petla.deployments.server import Server, find_server, list_acknowledgements
from petla.storage.workspace import Workspace, open_workspace

NOT_SENT = ["at", "terminal_id", "is_fraud"]
LABELS_AT_ONCE = 500
SAMPLE_S = 10.0
PATIENCE_S = 120.0


class Payment(msgspec.Struct, frozen=True):
    """What is sent, and what turns out to be true."""

    body: bytes
    is_fraud: bool


class Answer(msgspec.Struct, frozen=True):
    """The part of an answer that is kept."""

    id: str
    is_fraud: bool


class Soak:
    """One run.

    Args:
        server: where it goes.
        payments: what is sent, again from the beginning when they are over.
        label_after_s: seconds from an answer to its label.
    """

    def __init__(self, server: Server, payments: list[Payment], label_after_s: float) -> None:
        self._server = server
        self._payments = payments
        self._label_after_s = label_after_s
        self._due: asyncio.Queue[tuple[float, Payment]] = asyncio.Queue()
        self._is_over = False
        self._unlabelled: deque[tuple[float, str, bool]] = deque()
        self.ids: list[str] = []
        self.latencies: list[float] = []
        self.failures: list[str] = []
        self.n_labelled = 0
        self.n_blocked = 0

    async def run(self, seconds: float, rate: float, connections: int) -> None:
        """Send for so long, then wait for what is still out."""
        clients = [asyncio.create_task(self._pay()) for _ in range(connections)]
        labels = asyncio.create_task(self._label())
        begun = time.perf_counter()
        for number, payment in enumerate(self._endlessly()):
            at = begun + number / rate
            if at - begun > seconds:
                break
            if (ahead := at - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
            self._due.put_nowait((at, payment))
        await self._due.join()
        for task in clients:
            task.cancel()
        self._label_after_s = 0.0
        self._is_over = True
        await labels

    def _endlessly(self) -> Iterator[Payment]:
        while True:
            yield from self._payments

    async def _pay(self) -> None:
        connection = _Connection(self._server)
        decode = msgspec.json.Decoder(Answer).decode
        while True:
            due_at, payment = await self._due.get()
            try:
                status, content = await connection.ask("/predict/fraud", payment.body)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failures.append(repr(error))
                self._due.task_done()
                continue
            now = time.perf_counter()
            if status == 200:
                answer = decode(content)
                self.ids.append(answer.id)
                self.latencies.append(now - due_at)
                self.n_blocked += answer.is_fraud
                self._unlabelled.append((now, answer.id, payment.is_fraud))
            else:
                self.failures.append(f"{status} {content[:200]!r}")
            self._due.task_done()

    async def _label(self) -> None:
        connection = _Connection(self._server)
        while self._unlabelled or not self._is_over:
            batch = []
            while self._unlabelled and len(batch) < LABELS_AT_ONCE:
                if self._unlabelled[0][0] + self._label_after_s > time.perf_counter():
                    break
                _, name, truth = self._unlabelled.popleft()
                batch.append({"id": name, "truth": truth})
            if not batch:
                await asyncio.sleep(0.05)
                continue
            status, content = await connection.ask("/feedback", msgspec.json.encode(batch))
            if status != 202:
                self.failures.append(f"feedback: {status} {content[:200]!r}")
            self.n_labelled += len(batch)


class _Connection:
    """HTTP/1.1 over one connection, opened again when it was lost."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Send a request; return status and body."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(self._server.host, self._server.port)
            reader, writer = self._streams
            head = f"POST {path} HTTP/1.1\r\nhost: {self._server.host}\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(answer.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
            return int(answer.split(b" ", 2)[1]), await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            self._streams = None
            raise


def main() -> int:
    """Runs it, reports, and says by the exit status whether anything was lost."""
    options = _parse()
    ws = open_workspace(Path(__file__).parent, decode_settings(os.environ))
    server = find_server(ws.state)
    if server is None:
        print("nothing serves here; next: petla up", file=sys.stderr)
        return 3
    payments = _read_payments(Path(__file__).parent / "data" / "stream.parquet")
    soak = Soak(server, payments, options.label_after)
    memory: list[float] = []

    async def tell() -> None:
        watcher = asyncio.create_task(_watch_memory(ws, memory))
        await soak.run(options.minutes * 60, options.rate, options.connections)
        watcher.cancel()

    begun = time.perf_counter()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(tell())
    seconds = time.perf_counter() - begun
    n_missing = _count_missing(ws, soak.ids)
    _report(soak, seconds, memory, n_missing)
    return 1 if soak.failures or n_missing or len(set(soak.ids)) != len(soak.ids) else 0


def _read_payments(path: Path) -> list[Payment]:
    rows = pl.read_parquet(path)
    bodies = map(msgspec.json.encode, rows.drop(NOT_SENT).iter_rows(named=True))
    return [Payment(body, truth) for body, truth in zip(bodies, rows["is_fraud"].to_list(), strict=True)]


async def _watch_memory(ws: Workspace, memory: list[float]) -> None:
    """Note the resident set of the largest worker, MiB."""
    while True:
        sizes = [_memory_mib(each.pid) for each in list_acknowledgements(ws.state)]
        memory.append(max(sizes, default=0.0))
        await asyncio.sleep(SAMPLE_S)


def _memory_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def _count_missing(ws: Workspace, ids: list[str]) -> int:
    """Return how many ids are not in the log, having waited for the shipper."""
    deadline = time.monotonic() + PATIENCE_S
    while (n_missing := len(ids) - count_known(ws, ids)) and time.monotonic() < deadline:
        time.sleep(1)
    return n_missing


def _report(soak: Soak, seconds: float, memory: list[float], n_missing: int) -> None:
    ordered = sorted(soak.latencies)
    shown = ", ".join(f"{name} {ordered[int(len(ordered) * at)] * 1e3:.2f}" for name, at in _PLACES) if ordered else ""
    print(
        f"{len(soak.ids):,} answered in {seconds:.0f} s ({len(soak.ids) / seconds:,.0f}/s), {soak.n_blocked:,} blocked"
    )
    print(f"from the moment a payment was due to its answer, ms: {shown}")
    print(f"{soak.n_labelled:,} labels sent")
    print(f"{len(soak.failures):,} failed {soak.failures[:3] or ''}")
    print(f"{n_missing:,} of the ids are not in the log, {len(soak.ids) - len(set(soak.ids)):,} came twice")
    if memory:
        print(f"memory of a worker, MiB: {memory[0]:.0f} at first, {max(memory):.0f} at most, {memory[-1]:.0f} at last")


_PLACES = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=1_000.0, help="payments a second")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--label-after", type=float, default=30.0, help="seconds from an answer to its label")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
