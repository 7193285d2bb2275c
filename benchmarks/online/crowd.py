"""A crowd of strangers: threads that send what `strangers` and `callers` draw, and take note of what comes back."""

import contextlib
import importlib.util
import itertools
import random
import re
import select
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from benchmarks.online.strangers import KINDS, Reply

if TYPE_CHECKING:
    from benchmarks.online.callers import Called

# one of so many requests goes over gRPC, one of so many is slow
OF_CALLS, OF_SLOW = 12, 500
SLOW_AT_ONCE = 20
PATIENCE_S = 60.0
OVERLOAD = re.compile(rb"wait for the model already|too many connections")
ID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class Tally:
    """What came back, by kind of request; used by many threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.statuses: dict[str, Counter[str]] = defaultdict(Counter)
        self.wrong: dict[str, list[str]] = defaultdict(list)
        self.ids: list[bytes] = []
        self.overloads = 0

    def note(self, kind: str, statuses: Sequence[str], body: bytes, fault: str = "") -> None:
        """Take note of one request.

        Args:
            kind: of the request.
            statuses: of its answers.
            body: all that was answered with success; its ids are looked up in the log.
            fault: what is wrong about the answers; empty: nothing.
        """
        with self._lock:
            self.statuses[kind].update(statuses)
            self.ids += ID.findall(body)
            if fault:
                self.wrong[kind].append(fault)

    def note_overload(self) -> None:
        """Count an answer that there is too much to do."""
        with self._lock:
            self.overloads += 1


class Crowd:
    """Threads that send one request after the other.

    Args:
        port: of HTTP.
        grpc_port: of gRPC.
        n_threads: clients at once, beside those that are slow.
        seed: of everything that is drawn.
    """

    def __init__(self, port: int, grpc_port: int, n_threads: int, seed: int) -> None:
        self.tally = Tally()
        self._port, self._grpc_port, self._n_threads = port, grpc_port, n_threads
        self._chance = random.Random(seed)

    def send(self, n_requests: int) -> None:
        """Send so many requests, and wait until all are answered."""
        numbers = itertools.count(1)
        works = [(self._run, (numbers, n_requests, self._chance.random())) for _ in range(self._n_threads)]
        threads = [threading.Thread(target=work, args=arguments) for work, arguments in works]
        threads.append(threading.Thread(target=self._be_slow, args=(n_requests // OF_SLOW,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _run(self, numbers: Iterator[int], n_requests: int, seed: float) -> None:
        chance = random.Random(seed)
        weights = [weight for weight, _ in KINDS.values()]
        with self._open_calls() as call:
            while (number := next(numbers)) <= n_requests:
                if call is not None and number % OF_CALLS == 0:
                    call(chance)
                    continue
                (name,) = chance.choices(list(KINDS), weights)
                self._ask(name, chance)

    def _ask(self, name: str, chance: random.Random) -> None:
        asked = KINDS[name][1](chance)
        replies = parse(self._converse(asked.wire))
        if replies is None:
            self.tally.note(name, ["no HTTP"], b"", f"{asked.wire[:300]!r} was not answered in HTTP")
            return
        fault = ""
        for reply in replies:
            if reply.status == 503 and OVERLOAD.search(reply.body):
                self.tally.note_overload()
            elif reply.status >= 500:
                fault = f"{asked.wire[:300]!r} -> {reply.status} {reply.body[:300]!r}"
        if not fault and asked.is_right is not None and not _is_refused(replies) and not asked.is_right(replies):
            fault = f"{asked.wire[:300]!r} -> {replies!r:.600}"
        statuses = [str(reply.status) for reply in replies] or ["closed"]
        self.tally.note(name, statuses, b"".join(reply.body for reply in replies if reply.status == 200), fault)

    def _converse(self, wire: bytes) -> bytes:
        answer = b""
        with socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE_S) as connection:
            # who is refused while still sending may lose the connection
            with contextlib.suppress(ConnectionError):
                connection.sendall(wire)
                connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                while block := connection.recv(65_536):
                    answer += block
        return answer

    @contextlib.contextmanager
    def _open_calls(self) -> Iterator[Callable[[random.Random], None] | None]:
        """Yield what makes a call over gRPC; None where it is not installed."""
        if importlib.util.find_spec("grpc") is None:
            yield None
            return
        import grpc
        from benchmarks.online.callers import Caller

        caller = Caller()
        faults = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE}
        with grpc.insecure_channel(f"127.0.0.1:{self._grpc_port}") as channel:

            def call(chance: random.Random) -> None:
                name, called = caller.call(chance)
                try:
                    answer = channel.unary_unary(called.path)(called.message, timeout=PATIENCE_S)
                except grpc.RpcError as error:
                    is_fault = error.code() in faults or called.is_right is not None
                    fault = f"{called.message!r:.300} -> {error.code()} {error.details()}" if is_fault else ""
                    self.tally.note(name, [error.code().name], b"", fault)
                else:
                    self.tally.note(name, ["OK"], answer, _judge_call(called, answer))

            yield call

    def _be_slow(self, n_clients: int) -> None:
        """Send heads and bodies byte by byte, several at once, until the server has enough of each."""
        heads = [b"GET /healthz HTTP/1.1\r\na: ", b"POST /predict/fraud HTTP/1.1\r\ncontent-length: 1000\r\n\r\n{"]
        for start in range(0, n_clients, SLOW_AT_ONCE):
            size = min(SLOW_AT_ONCE, n_clients - start)
            held = [socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE_S) for _ in range(size)]
            for n, connection in enumerate(held):
                connection.sendall(heads[n % len(heads)])
            for answer in _drip(held):
                statuses = [str(reply.status) for reply in parse(answer) or []]
                fault = "" if statuses == ["408"] else f"a slow client got {answer[:300]!r}"
                self.tally.note("slow clients", statuses or ["closed"], b"", fault)


def parse(answer: bytes) -> list[Reply] | None:
    """Return the answers on a connection; None: it is no HTTP."""
    replies: list[Reply] = []
    while answer:
        head, _, rest = answer.partition(b"\r\n\r\n")
        found = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
        if found is None:
            return None
        length = re.search(rb"(?i)content-length: (\d+)", head)
        size = int(length[1]) if length else 0
        if found[1] != b"100":
            replies.append(Reply(int(found[1]), rest[:size]))
        answer = rest[size:]
    return replies


def _drip(held: list[socket.socket]) -> list[bytes]:
    """Send a byte to each connection now and then; return what each got until it was closed."""
    answers = dict.fromkeys(held, b"")
    left = set(held)
    while left:
        time.sleep(0.1)
        for connection in select.select(list(left), [], [], 0)[0]:
            block = b""
            with contextlib.suppress(ConnectionError):
                block = connection.recv(65_536)
            answers[connection] += block
            if not block:
                left.discard(connection)
                connection.close()
        for connection in left:
            with contextlib.suppress(ConnectionError):
                connection.send(b"x")
    return list(answers.values())


def _is_refused(replies: Sequence[Reply]) -> bool:
    return any(reply.status == 503 for reply in replies)


def _judge_call(called: "Called", answer: bytes) -> str:
    is_right = called.is_right is None or called.is_right(answer)
    return "" if is_right else f"{called.message!r:.300} -> {answer!r:.300}"
