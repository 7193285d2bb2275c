"""A lane: one loaded version that answers. Requests that arrive in one turn of the event loop run together.

There is no timer: the first request of a turn asks the loop to call back, and by then all that arrived with it is
there. A fast model runs right there, on the loop's thread. A slow one runs on a thread, one batch at a time, while
the next one gathers. Every batch is recorded before any of its answers leaves.
"""

import asyncio
import logging
import math
import time
import types
from collections.abc import Generator
from typing import Any, NamedTuple

from petla.core.errors import InvalidError, PetlaError, UnavailableError
from petla.core.ids import IdSource
from petla.core.project import AnswerTable
from petla.decisions.record import Decision
from petla.models.package import Package
from petla.models.runtime.decide import decide
from petla.models.runtime.running import Runtime
from petla.models.signature import Row, Value
from petla.serving.doors.answers import AnswerWriter
from petla.serving.doors.schema import Schema
from petla.serving.metrics import ModelMetrics
from petla.serving.recorder import Recorder

logger = logging.getLogger(__name__)

# rows of one run, unless a single request has more
_RUN_ROWS = 256
# a request with more rows than this goes to a thread, so that other requests do not wait for it
_INLINE_ROWS = 1_024
# rows that may wait for a slow model; more are refused at once
_QUEUE_ROWS = 20_000
_CHAMPION = "champion"
_LARGEST_FLOAT32 = 3.4028234663852886e38
_NO_NUMBER = "see that its values are like those of the training data"


class Loaded(NamedTuple):
    """A version that was loaded, warmed and verified."""

    version: int
    package: Package
    runtime: Runtime
    schema: Schema


class _Waiting:
    """A request that waits for its batch."""

    __slots__ = ("at_ns", "body", "error", "future", "is_many", "request_id", "rows")

    def __init__(self, rows: list[Row], is_many: bool, request_id: str, at_ns: int) -> None:
        self.rows = rows
        self.is_many = is_many
        self.request_id = request_id
        self.at_ns = at_ns
        # one of them once it is done
        self.body: bytes | None = None
        self.error: Exception | None = None
        # only while it waits for more than the end of a turn
        self.future: asyncio.Future[None] | None = None

    @property
    def is_done(self) -> bool:
        return self.body is not None or self.error is not None


class Lane:
    """One loaded version, and the requests that wait for it.

    Args:
        loaded: what answers.
        words: the words of the answers.
        recorder: where decisions go before they are answered.
        metrics: the model's counts.
        make_id: makes the ids of the decisions.
    """

    def __init__(
        self, loaded: Loaded, words: AnswerTable, recorder: Recorder, metrics: ModelMetrics, make_id: IdSource
    ) -> None:
        self.schema = loaded.schema
        self.metrics = metrics
        self._package = loaded.package
        self._version = loaded.version
        self._runtime = loaded.runtime
        self._recorder = recorder
        self._make_id = make_id
        self._write = AnswerWriter(loaded.package, words, loaded.version).write
        self._is_inline = loaded.runtime.is_fast and recorder.is_fast
        self._waiting: list[_Waiting] = []
        self._waiting_rows = 0
        # whether the next request may run a batch; else one runs already, or will in the next turn
        self._is_free = True
        self._task: asyncio.Task[None] | None = None

    async def answer(self, rows: list[Row], is_many: bool, request_id: str, at_ns: int) -> bytes:
        """Decide, record and answer a request, together with those that arrive with it.

        Args:
            rows: checked against the signature.
            is_many: whether the answer is a list.
            request_id: the client's own name for it; empty: the id of its first decision.
            at_ns: when it arrived.

        Raises:
            UnavailableError: too many rows wait already, the model failed, or its decisions could not be recorded.
        """
        if self._waiting_rows > _QUEUE_ROWS:
            raise UnavailableError(
                f"{self._waiting_rows} rows wait for the model already", hint="send the request again a little later"
            )
        waiting = _Waiting(rows, is_many, request_id, at_ns)
        self._waiting.append(waiting)
        self._waiting_rows += len(rows)
        if self._is_free:
            await _next_turn()
            # The first that comes back runs all that came.
            if not waiting.is_done:
                self._run_turn()
        if not waiting.is_done:
            waiting.future = asyncio.get_running_loop().create_future()
            await waiting.future
        if waiting.error is not None:
            raise waiting.error
        return waiting.body or b""

    async def drained(self) -> None:
        """Wait until nobody waits; nobody may come any more."""
        while self._task is not None or self._waiting:
            await (asyncio.shield(self._task) if self._task is not None else asyncio.sleep(0))

    def _run_turn(self) -> None:
        """Run one batch; what is left gets a turn of its own, so that other connections do not wait for all of it."""
        if not self._is_free:
            return
        if not self._is_inline or len(self._waiting[0].rows) > _INLINE_ROWS:
            self._is_free = False
            self._task = asyncio.get_running_loop().create_task(self._work())
            return
        batch = self._take()
        try:
            decisions = self._decide(batch, *self._score(batch))
            if decisions:
                self._recorder.record(decisions)
        except Exception as error:
            _fail(batch, error)
        self._release(batch)
        if self._waiting:
            self._is_free = False
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._is_free = True
        self._run_turn()

    async def _work(self) -> None:
        """Run batches on a thread until nobody waits."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch = self._take()
            try:
                scored = await loop.run_in_executor(None, self._score, batch)
                decisions = self._decide(batch, *scored)
                if decisions:
                    await self._recorder.record_soon(decisions)
            except Exception as error:
                _fail(batch, error)
            self._release(batch)
        self._task = None
        self._is_free = True

    def _take(self) -> list[_Waiting]:
        if self._waiting_rows <= _RUN_ROWS:
            batch, self._waiting, self._waiting_rows = self._waiting, [], 0
            return batch
        n_rows, n_requests = 0, 0
        for waiting in self._waiting:
            if n_requests and n_rows + len(waiting.rows) > _RUN_ROWS:
                break
            n_rows += len(waiting.rows)
            n_requests += 1
        batch, self._waiting = self._waiting[:n_requests], self._waiting[n_requests:]
        self._waiting_rows -= n_rows
        return batch

    def _score(self, batch: list[_Waiting]) -> tuple[list[Any], list[float]]:
        rows = batch[0].rows if len(batch) == 1 else [row for waiting in batch for row in waiting.rows]
        labels, scores = decide(self._package, self._runtime.score(rows))
        return labels, scores.tolist()

    def _decide(self, batch: list[_Waiting], labels: list[Any], scores: list[float]) -> list[Decision]:
        """Make the records of a batch, and write its answers into the requests."""
        now_ns = time.time_ns()
        make_id, write = self._make_id, self._write
        model, version, worker = self._package.model, self._version, self._recorder.worker
        # One look at the sum; each request is looked at only if that is not finite.
        is_finite = math.isfinite(sum(scores))
        decisions: list[Decision] = []
        index = 0
        for waiting in batch:
            end = index + len(waiting.rows)
            if not is_finite and not all(map(math.isfinite, scores[index:end])):
                waiting.error = _blame(self._package, waiting.rows)
                index = end
                continue
            request_id, at_ns = waiting.request_id, waiting.at_ns
            latency_us = max(0, now_ns - at_ns) // 1000
            texts = []
            for row in waiting.rows:
                name, label, score = make_id(), labels[index], scores[index]
                request_id = request_id or name
                decisions.append(
                    Decision(name, request_id, at_ns, model, version, row, label, score, _CHAMPION, latency_us, worker)
                )
                texts.append(write(name, label, score))
                index += 1
            text = f"[{','.join(texts)}]" if waiting.is_many else texts[0]
            waiting.body = text.encode()
        return decisions

    def _release(self, batch: list[_Waiting]) -> None:
        """Count what was answered, and wake those that wait for more than the end of a turn."""
        now_ns = time.time_ns()
        metrics = self.metrics
        for waiting in batch:
            if waiting.error is None:
                metrics.rows += len(waiting.rows)
                metrics.observe(now_ns - waiting.at_ns)
            if waiting.future is not None and not waiting.future.done():
                waiting.future.set_result(None)


@types.coroutine
def _next_turn() -> Generator[None, None, None]:
    """Let everything that is ready run first; costs less than a future."""
    yield


def _blame(package: Package, rows: list[Row]) -> PetlaError:
    """Say why a request has no finite score: a number that no 32-bit float holds, else the model itself."""
    fields = package.signature.inputs
    named = (field.name for row in rows for field, value in zip(fields, row, strict=True) if _is_too_large(value))
    for name in named:
        return InvalidError(f"{name} is larger than the model can take", hint="send at most 3.4e38", field=name)
    return UnavailableError("the model gave no number for this input", hint=_NO_NUMBER)


def _is_too_large(value: Value) -> bool:
    return isinstance(value, int | float) and abs(value) > _LARGEST_FLOAT32


def _fail(batch: list[_Waiting], error: Exception) -> None:
    """Let a whole batch fail: nothing of it was recorded, so nothing of it may be answered."""
    if not isinstance(error, PetlaError):
        logger.error("batch.failed", exc_info=error)
    elif not isinstance(error, UnavailableError):
        error = UnavailableError(f"the model failed: {error.message}", hint=error.hint)
    for waiting in batch:
        waiting.body, waiting.error = None, error
