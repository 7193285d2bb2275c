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
from collections.abc import Callable, Generator, Sequence
from itertools import repeat
from typing import Any, NamedTuple

from petla.core.errors import DeadlineError, InvalidError, PetlaError, UnavailableError
from petla.core.ids import IdSource
from petla.core.project import AnswerTable
from petla.decisions.record import CHAMPION, Decision
from petla.models.package import Package
from petla.models.runtime.decide import decide
from petla.models.runtime.running import Runtime
from petla.models.signature import Row, Value
from petla.serving.doors.answers import AnswerWriter
from petla.serving.doors.schema import Schema
from petla.serving.metrics import ModelMetrics
from petla.serving.path.request import Answered, Request
from petla.serving.recorder import Recorder

logger = logging.getLogger(__name__)

# rows of one run, unless a single request has more
_RUN_ROWS = 256
# a request with more rows than this goes to a thread, so that other requests do not wait for it
_INLINE_ROWS = 1_024
# rows that may wait for a model, however fast it is; more are refused at once
_QUEUE_ROWS = 20_000
# weight of the newest batch in the time that a slow model takes for a row
_NEWEST = 0.3
# by which a timer of the loop may be early
_TICK_S = 0.002
_LARGEST_FLOAT32 = 3.4028234663852886e38
_NO_NUMBER = "see that its values are like those of the training data"


class Loaded(NamedTuple):
    """A version that was loaded, warmed and verified."""

    version: int
    package: Package
    runtime: Runtime
    schema: Schema


class Lane:
    """One loaded version, and the requests that wait for it.

    Args:
        loaded: what answers.
        words: the words of the answers.
        recorder: where decisions go before they are answered.
        metrics: the model's counts.
        make_id: makes the ids of the decisions.
        arm: whose requests it gets.
    """

    def __init__(
        self,
        loaded: Loaded,
        words: AnswerTable,
        recorder: Recorder,
        metrics: ModelMetrics,
        make_id: IdSource,
        *,
        arm: str = CHAMPION,
    ) -> None:
        self.arm = arm
        self.schema = loaded.schema
        self.metrics = metrics
        self.loaded = loaded
        self.words = words
        self._package = loaded.package
        self._version = loaded.version
        self._runtime = loaded.runtime
        self._recorder = recorder
        self._make_id = make_id
        self._write = AnswerWriter(loaded.package, words, loaded.version).write
        self._is_inline = loaded.runtime.is_fast and recorder.is_fast
        self._waiting: list[Request] = []
        self._waiting_rows = 0
        # whether the next request may run a batch; else one runs already, or will in the next turn
        self._is_free = True
        self._task: asyncio.Task[None] | None = None
        # a request that would wait longer is refused at once
        self.longest_wait_s = 1.0
        # rows that may wait, by how long a slow model takes for them
        self._queue_rows = _QUEUE_ROWS
        self._row_s = 0.0
        # whether any request ever said how long it waits
        self._has_deadlines = False
        # is shown every batch that was recorded; None: nobody looks
        self.mirror: Callable[[Sequence[Decision], Sequence[Request]], None] | None = None

    async def answer(self, request: Request) -> Any:  # noqa: ANN401 - what the door's `write` makes
        """Decide, record and answer a request, together with those that arrive with it.

        Raises:
            InvalidError: a value is too large for the model.
            DeadlineError: its time was over before it was its turn.
            UnavailableError: too many rows wait already, the model failed, or its decisions could not be recorded.
        """
        if self._waiting_rows > self._queue_rows:
            raise UnavailableError(
                f"{self._waiting_rows} rows wait for the model already", hint="send the request again a little later"
            )
        if request.call.deadline_ns:
            self._has_deadlines = True
        self._waiting.append(request)
        self._waiting_rows += len(request.rows)
        if self._is_free:
            await _next_turn()
            # The first that comes back runs all that came.
            if not request.is_done:
                self._run_turn()
        if not request.is_done:
            request.future = asyncio.get_running_loop().create_future()
            if request.call.deadline_ns:
                left_s = (request.call.deadline_ns - time.time_ns()) / 1e9
                asyncio.get_running_loop().call_later(max(0.0, left_s) + _TICK_S, self._drop_late)
            await request.future
        if request.error is not None:
            raise request.error
        return request.answer

    async def drained(self) -> None:
        """Wait until nobody waits; nobody may come any more."""
        while self._task is not None or self._waiting:
            await (asyncio.shield(self._task) if self._task is not None else asyncio.sleep(0))

    def _run_turn(self) -> None:
        """Run one batch; what is left gets a turn of its own, so that other connections do not wait for all of it."""
        if not self._is_free:
            return
        if self._has_deadlines and not self._anybody_waits():
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
                if self.mirror is not None:
                    self.mirror(decisions, batch)
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
        while self._anybody_waits():
            batch = self._take()
            begun_s = time.perf_counter()
            try:
                scored = await loop.run_in_executor(None, self._score, batch)
                decisions = self._decide(batch, *scored)
                if decisions:
                    await self._recorder.record_soon(decisions)
                    if self.mirror is not None:
                        self.mirror(decisions, batch)
            except Exception as error:
                _fail(batch, error)
            self._release(batch)
            self._learn(batch, time.perf_counter() - begun_s)
        self._task = None
        self._is_free = True

    def _learn(self, batch: list[Request], took_s: float) -> None:
        """Let as many rows wait from now on as the model is through with in time."""
        row_s = took_s / sum(len(request.rows) for request in batch)
        self._row_s = row_s if not self._row_s else _NEWEST * row_s + (1 - _NEWEST) * self._row_s
        self._queue_rows = min(_QUEUE_ROWS, int(self.longest_wait_s / self._row_s))

    def _anybody_waits(self) -> bool:
        if self._has_deadlines:
            self._drop_late()
        return bool(self._waiting)

    def _drop_late(self) -> None:
        """Fail requests whose clients wait no longer, before any of their rows is scored."""
        now_ns = time.time_ns()
        late = [request for request in self._waiting if 0 < request.call.deadline_ns <= now_ns]
        if not late:
            return
        self._waiting = [request for request in self._waiting if not 0 < request.call.deadline_ns <= now_ns]
        self._waiting_rows -= sum(len(request.rows) for request in late)
        for request in late:
            request.error = DeadlineError("its time was over before it was its turn", hint="give it more time")
            if request.future is not None and not request.future.done():
                request.future.set_result(None)

    def _take(self) -> list[Request]:
        if self._waiting_rows <= _RUN_ROWS:
            batch, self._waiting, self._waiting_rows = self._waiting, [], 0
            return batch
        n_rows, n_requests = 0, 0
        for request in self._waiting:
            if n_requests and n_rows + len(request.rows) > _RUN_ROWS:
                break
            n_rows += len(request.rows)
            n_requests += 1
        batch, self._waiting = self._waiting[:n_requests], self._waiting[n_requests:]
        self._waiting_rows -= n_rows
        return batch

    def _score(self, batch: list[Request]) -> tuple[list[Any], list[float]]:
        rows = batch[0].rows if len(batch) == 1 else [row for request in batch for row in request.rows]
        labels, scores = decide(self._package, self._runtime.score(rows))
        return labels, scores.tolist()

    def _decide(self, batch: list[Request], labels: list[Any], scores: list[float]) -> list[Decision]:
        """Make the records of a batch, and write its answers into the requests."""
        now_ns = time.time_ns()
        # One look at the sum; each request is looked at only if that is not finite.
        is_finite = math.isfinite(sum(scores))
        decisions: list[Decision] = []
        index = 0
        for request in batch:
            end = index + len(request.rows)
            if not is_finite and not all(map(math.isfinite, scores[index:end])):
                request.error = _blame(self._package, request.rows)
                index = end
                continue
            latency_us = max(0, now_ns - request.call.at_ns) // 1000
            made = self._describe(request, labels[index:end], scores[index:end], latency_us)
            decisions += made
            index = end
        return decisions

    def _describe(self, request: Request, labels: list[Any], scores: list[float], latency_us: int) -> list[Decision]:
        """Make the records of one request, and write its answer."""
        ids = [self._make_id() for _ in labels]
        call = request.call
        request_id = call.request_id or ids[0]
        rows, subjects = request.logged or request.rows, request.subjects or repeat("")
        model, version, worker, arm = self._package.model, self._version, self._recorder.worker, self.arm
        if request.write is not None:
            request.answer = request.write(Answered(self._package, version, arm, ids, labels, scores))
        else:
            texts = list(map(self._write, ids, labels, scores))
            if request.is_divided:
                request.answer = [text.encode() for text in texts]
            else:
                request.answer = (f"[{','.join(texts)}]" if request.is_many else texts[0]).encode()
        return [
            Decision(
                *(name, request_id, call.at_ns, model, version, row, label, score, arm, latency_us, worker),
                *(call.trace_id, request.arm or arm, (), subject),
            )
            for name, row, label, score, subject in zip(ids, rows, labels, scores, subjects, strict=False)
        ]

    def _release(self, batch: list[Request]) -> None:
        """Count what was answered, and wake those that wait for more than the end of a turn."""
        now_ns = time.time_ns()
        metrics = self.metrics
        for request in batch:
            if request.error is None:
                metrics.rows += len(request.rows)
                metrics.observe(now_ns - request.call.at_ns)
            if request.future is not None and not request.future.done():
                request.future.set_result(None)


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


def _fail(batch: list[Request], error: Exception) -> None:
    """Let a whole batch fail: nothing of it was recorded, so nothing of it may be answered."""
    if not isinstance(error, PetlaError):
        logger.error("batch.failed", exc_info=error)
    elif not isinstance(error, UnavailableError):
        error = UnavailableError(f"the model failed: {error.message}", hint=error.hint)
    for request in batch:
        request.answer, request.error = None, error
