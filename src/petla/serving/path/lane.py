"""A lane: one loaded version that answers. Requests that arrive in one turn of the event loop run together.

There is no timer: the first request of a turn asks the loop to call back, and by then all that arrived with it is
there. A fast model runs right there, on the loop's thread. A slow one runs on a thread, one batch at a time, while
the next one gathers. Every batch is recorded before any of its answers leaves.
"""

import asyncio
import logging
import math
import sys
import time
import types
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, NamedTuple

from petla.core.errors import DeadlineError, ModelFailedError, PetlaError, UnavailableError
from petla.core.ids import IdBatches
from petla.core.project import AnswerTable, Policy
from petla.decisions.record import CHAMPION, Decision
from petla.models.package import Package
from petla.models.runtime.running import Runtime, check_golden
from petla.serving.doors.schema import Schema
from petla.serving.metrics import ModelMetrics
from petla.serving.path.explaining import measure_explained
from petla.serving.path.failures.blame import blame_values
from petla.serving.path.failures.breaker import Breaker
from petla.serving.path.failures.circuit import Circuit
from petla.serving.path.failures.failover import Answering, Failover
from petla.serving.path.failures.scoring import Scored, Scorer
from petla.serving.path.guards import Guards
from petla.serving.path.request import Request
from petla.serving.path.scribe import Scribe
from petla.serving.recorder import Recorder

logger = logging.getLogger(__name__)

# rows of one run, unless a single request has more: on a thread, where each waits for the slowest of them, and on the
# loop, where a run of few rows costs nearly as much as one of many
_RUN_ROWS, _INLINE_RUN_ROWS = 256, 512
# a request with more rows than this goes to a thread, so that other requests do not wait for it
_INLINE_ROWS = 1_024
# rows that may wait for a model, however fast it is; more are refused at once
_QUEUE_ROWS = 20_000
# weight of the newest batch in the time that a slow model takes for a row
_NEWEST = 0.3
# by which factor a batch counts as slower than those before it, at most
_FARTHEST = 2.0
# by which a timer of the loop may be early
_TICK_S = 0.002


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
        make_ids: makes the ids of the decisions.
        arm: whose requests it gets.
    """

    def __init__(
        self,
        loaded: Loaded,
        words: AnswerTable,
        recorder: Recorder,
        metrics: ModelMetrics,
        make_ids: IdBatches,
        *,
        arm: str = CHAMPION,
    ) -> None:
        self.arm = arm
        self.schema = loaded.schema
        self.metrics = metrics
        self.loaded = loaded
        self.words = words
        self._package = loaded.package
        self._recorder = recorder
        self._scorer = Scorer(loaded.package, loaded.runtime)
        # explains as well, once anybody has asked why
        self._score: Callable[[Sequence[Request]], Scored] = self._scorer.score
        self._scribe = Scribe(loaded.package, loaded.version, words, recorder.worker, make_ids, metrics).name(arm, arm)
        self._is_inline = loaded.runtime.is_fast and recorder.is_fast
        self._run_rows = _INLINE_RUN_ROWS if self._is_inline else _RUN_ROWS
        self._try_it = partial(check_golden, loaded.package, loaded.runtime)
        self._name = f"{loaded.package.model}:{loaded.version}"
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
        self.protect(Policy(), (), arm)

    def protect(self, policy: Policy, stand_ins: Sequence[Answering], served_by: str) -> None:
        """Say what happens when something is wrong; before the first request.

        Args:
            policy: the project's.
            stand_ins: what answers when this version does not; empty: nothing does, so it is never left alone.
            served_by: its own name, as records and answers have it; another one than its arm's where it stands in.
        """
        self._failover = Failover(stand_ins)
        self._scribe.name(self.arm, served_by)
        self._guards: Guards | None = Guards(policy.guards, policy.fallback, self._package) or None
        limits = policy.serving
        self._timeout_s = limits.timeout_s
        self._slow_ns = int(limits.timeout_s * 1e9) or sys.maxsize
        self._circuit = Circuit(Breaker(limits.failures, limits.rest_s), self._name, self._try_it)

    async def answer(self, request: Request) -> Any:  # noqa: ANN401 - what the door's `write` makes
        """Decide, record and answer a request, together with those that arrive with it.

        Raises:
            InvalidError: a value is too large for the model, or it cannot be explained.
            DeadlineError: its time was over before it was its turn.
            UnavailableError: too many rows wait already, the model failed, or its decisions could not be recorded.
        """
        if request.call.is_explained:
            request.size = measure_explained(self._package.signature, len(request.rows))
            self._score = self._scorer.score_and_explain
        if self._circuit.is_open:
            return await self._failover.answer(request, self._circuit.failure)
        if self._waiting_rows > self._queue_rows:
            raise UnavailableError(
                f"{self._waiting_rows} rows wait for the model already", hint="send the request again a little later"
            )
        if request.call.deadline_ns:
            self._has_deadlines = True
        self._waiting.append(request)
        self._waiting_rows += request.size
        if self._is_free:
            await _next_turn()
            # The first that comes back runs all that came.
            if not request.is_done:
                self._run_turn()
        if not request.is_done:
            await self._wait(request)
        return request.answer if request.error is None else await self._replace(request, request.error)

    async def drained(self) -> None:
        """Wait until nobody waits; nobody may come any more."""
        while self._task is not None or self._waiting:
            await (asyncio.shield(self._task) if self._task is not None else asyncio.sleep(0))
        await self._circuit.close()
        await self._failover.drained()

    async def _replace(self, request: Request, error: Exception) -> Any:  # noqa: ANN401 - what the door's `write` makes
        """Answer in another way what this version failed at, if there is one."""
        if isinstance(error, ModelFailedError) and self._failover:
            return await self._failover.answer(request, error)
        raise error

    async def _wait(self, request: Request) -> None:
        """Wait for a batch that is under way or will be, as long as the project allows."""
        loop = asyncio.get_running_loop()
        request.future = loop.create_future()
        if request.call.deadline_ns:
            left_s = (request.call.deadline_ns - time.time_ns()) / 1e9
            loop.call_later(max(0.0, left_s) + _TICK_S, self._drop_late)
        if not self._timeout_s:
            await request.future
            return
        timer = loop.call_later(self._timeout_s, self._give_up, request)
        await request.future
        timer.cancel()

    def _give_up(self, request: Request) -> None:
        """Let a request go on to what stands in; whatever its batch still says of it is not recorded."""
        if request.is_done:
            return
        if request in self._waiting:
            self._waiting.remove(request)
            self._waiting_rows -= request.size
        error = ModelFailedError(f"{self._name} took longer than {self._timeout_s:g} s")
        if request.call.is_explained:  # as in `_note_slow`
            request.error = error
        else:
            self._fail(request, error)
        request.wake()

    def _run_turn(self) -> None:
        """Run one batch; what is left gets a turn of its own, so that other connections do not wait for all of it."""
        if not self._is_free:
            return
        if self._has_deadlines and not self._anybody_waits():
            return
        if not self._is_inline or self._waiting[0].size > _INLINE_ROWS:
            self._is_free = False
            self._task = asyncio.get_running_loop().create_task(self._work())
            return
        batch = self._take()
        try:
            decisions = self._decide(self._score(batch))
            if decisions:
                self._recorder.record(decisions)
                if self.mirror is not None:
                    self.mirror(decisions, batch)
        except Exception as error:
            _fail_all(batch, error)
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
                decisions = self._decide(scored)
                if decisions:
                    await self._recorder.record_soon(decisions)
                    if self.mirror is not None:
                        self.mirror(decisions, batch)
            except Exception as error:
                _fail_all(batch, error)
            self._release(batch)
            self._learn(batch, time.perf_counter() - begun_s)
        self._task = None
        self._is_free = True

    def _learn(self, batch: list[Request], took_s: float) -> None:
        """Let as many rows wait from now on as the model is through with in time."""
        row_s = took_s / sum(request.size for request in batch)
        # A batch that hung or waited for another process says little of the next one.
        row_s = min(row_s, _FARTHEST * self._row_s) if self._row_s else row_s
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
        self._waiting_rows -= sum(request.size for request in late)
        for request in late:
            request.error = DeadlineError("its time was over before it was its turn", hint="give it more time")
            request.wake()

    def _take(self) -> list[Request]:
        if self._waiting_rows <= self._run_rows:
            batch, self._waiting, self._waiting_rows = self._waiting, [], 0
            return batch
        n_rows, n_requests = 0, 0
        for request in self._waiting:
            if n_requests and n_rows + request.size > self._run_rows:
                break
            n_rows += request.size
            n_requests += 1
        batch, self._waiting = self._waiting[:n_requests], self._waiting[n_requests:]
        self._waiting_rows -= n_rows
        return batch

    def _decide(self, scored: Scored) -> list[Decision]:
        """Make the records of a batch, and write its answers into the requests."""
        labels, scores = scored.labels, scored.scores
        for request, error in scored.failures:
            self._fail(request, error)
        now_ns = time.time_ns()
        # One look at the sum; each request is looked at only if that is not finite.
        is_finite = math.isfinite(sum(scores))
        decisions: list[Decision] = []
        index = 0
        for request in scored.batch:
            start, index = index, index + len(request.rows)
            if request.error is not None:  # it was given up meanwhile
                continue
            part = scores[start:index]
            if not is_finite and not all(map(math.isfinite, part)):
                self._fail(request, blame_values(self._package.signature, request.rows))
                continue
            latency_us = max(0, now_ns - request.call.at_ns) // 1000
            marks = self._guards.judge(request.rows, part) if self._guards is not None else None
            decisions += self._scribe.describe(request, labels[start:index], part, latency_us, marks)
        return decisions

    def _fail(self, request: Request, error: PetlaError) -> None:
        if request.error is not None:
            return
        request.error = error
        if self._failover and isinstance(error, ModelFailedError):
            self._circuit.note_failure(error.message)

    def _release(self, batch: list[Request]) -> None:
        """Count what was answered, and wake those that wait for more than the end of a turn."""
        now_ns = time.time_ns()
        metrics, slow_ns = self.metrics, self._slow_ns
        for request in batch:
            if request.error is None:
                latency_ns = now_ns - request.call.at_ns
                metrics.rows += len(request.rows)
                metrics.observe(latency_ns)
                if latency_ns > slow_ns:
                    self._note_slow(request, latency_ns)
                elif self._circuit.is_doubted:
                    self._circuit.note_answer()
            request.wake()

    def _note_slow(self, request: Request, latency_ns: int) -> None:
        """Count an answer that came, but too late, as a failure of its version; why it is so takes time of its own."""
        if self._failover and not request.call.is_explained:
            self._circuit.note_failure(f"{self._name} took {latency_ns / 1e9:.3g} s")


@types.coroutine
def _next_turn() -> Generator[None, None, None]:
    """Let everything that is ready run first; costs less than a future."""
    yield


def _fail_all(batch: list[Request], error: Exception) -> None:
    """Let a whole batch fail: nothing of it was recorded, so nothing of it may be answered."""
    if not isinstance(error, PetlaError):
        logger.error("batch.failed", exc_info=error)
    for request in batch:
        request.answer, request.error = None, request.error or error
