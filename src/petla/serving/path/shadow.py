"""A shadow: a version that is asked what another was asked, once that one has answered.

It is a version beside the champion that nobody sees; or the champion itself, asked what an arm has answered, so that
their disagreement is known request by request.

- The decisions are put into a queue; their answers leave without waiting for it.
- The queue is bounded: what does not fit is dropped and counted.
- It never slows those who answer: a run is short, and after each the shadow rests for so long that it takes a small
  part of the worker's time, however much there is to do. A slow model runs on a thread.
- Whatever fails here is counted and written down beside the decision; nobody who was answered notices.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any

from petla.core.errors import PetlaError
from petla.decisions.record import Decision, ShadowAnswer
from petla.models.runtime.decide import decide
from petla.models.signature import Row
from petla.serving.metrics import ModelMetrics
from petla.serving.path.lane import Loaded
from petla.serving.path.request import Request
from petla.serving.recorder import Recorder

logger = logging.getLogger(__name__)

# decisions that may wait; of pictures and tensors, whose rows are large, fewer
_QUEUE_ROWS, _QUEUE_LARGE_ROWS = 8_192, 128
# decisions of one run
_LARGEST_RUN, _SMALLEST_RUN = 256, 8
# how long a run may keep the event loop, and a slow model that answers clients as well
_LONGEST_RUN_S, _LONGEST_SHARED_RUN_S = 0.0015, 0.01
# largest part of the worker's time; a sample is enough to know how often two versions disagree
_SHARE_OF_TIME, _SHARED_SHARE_OF_TIME = 0.12, 0.03
# how long the first decision waits for others: rows together cost less
_GATHER_S = 0.01
_TOTAL = 16**8


class Shadow:
    """One version that answers unseen.

    Args:
        loaded: what answers.
        share: of the decisions that it is shown.
        recorder: where its answers go.
        metrics: the model's counts.
        is_shared: whether the same model answers clients, who must not wait for a long run.
    """

    def __init__(
        self, loaded: Loaded, share: float, recorder: Recorder, metrics: ModelMetrics, *, is_shared: bool = False
    ) -> None:
        self._package = loaded.package
        self._version = loaded.version
        self._runtime = loaded.runtime
        self._share = share
        self._recorder = recorder
        self._metrics = metrics
        self._is_inline = loaded.runtime.is_fast and recorder.is_fast
        self._queue_rows = _QUEUE_ROWS if loaded.schema.is_flat else _QUEUE_LARGE_ROWS
        # with the rows as they were scored, which are not always what is recorded
        self._waiting: deque[tuple[Decision, Row]] = deque()
        slow_s = _LONGEST_SHARED_RUN_S if is_shared else math.inf
        self._longest_run_s = _LONGEST_RUN_S if self._is_inline else slow_s
        self._share_of_time = _SHARED_SHARE_OF_TIME if is_shared else _SHARE_OF_TIME
        self._smallest_run = 1 if is_shared else _SMALLEST_RUN
        self._run_rows = _SMALLEST_RUN if is_shared else _LARGEST_RUN
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    def mirror(self, decisions: Sequence[Decision], batch: Sequence[Request]) -> None:
        """Take the decisions of a batch that is about to be answered; returns at once.

        Args:
            decisions: of the requests that did not fail, row by row.
            batch: the requests.
        """
        rows = (row for request in batch if request.error is None for row in request.rows)
        pairs: Sequence[tuple[Decision, Row]] = list(zip(decisions, rows, strict=True))
        if self._share < 1:
            pairs = [pair for pair in pairs if _is_drawn(pair[0].id, self._share)]
        if self._is_closed or len(pairs) > self._queue_rows - len(self._waiting):
            self._metrics.shadow_dropped += len(pairs)
            return
        self._waiting.extend(pairs)
        if self._timer is None and self._task is None and self._waiting:
            self._timer = asyncio.get_running_loop().call_later(_GATHER_S, self._run)

    async def close(self) -> None:
        """Give up what waits, and wait for the run that is under way."""
        self._is_closed = True
        self._metrics.shadow_dropped += len(self._waiting)
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            await self._task

    def _run(self) -> None:
        self._timer = None
        batch = self._take()
        if not batch:
            return
        if not self._is_inline:
            self._task = asyncio.get_running_loop().create_task(self._run_beside(batch))
            return
        begun = time.perf_counter()
        answers = self._answer(batch)
        self._recorder.record_shadows(answers)
        self._rest(time.perf_counter() - begun)

    async def _run_beside(self, batch: list[tuple[Decision, Row]]) -> None:
        begun = time.perf_counter()
        try:
            answers = await asyncio.get_running_loop().run_in_executor(None, self._answer, batch)
            self._recorder.record_shadows(answers)
        finally:
            self._task = None
        self._rest(time.perf_counter() - begun)

    def _rest(self, worked_s: float) -> None:
        if worked_s > self._longest_run_s:
            self._run_rows = max(self._smallest_run, self._run_rows // 2)
        elif worked_s < self._longest_run_s / 2:
            self._run_rows = min(_LARGEST_RUN, self._run_rows * 2)
        if self._waiting and not self._is_closed:
            rest_s = max(_GATHER_S, worked_s * (1 / self._share_of_time - 1))
            self._timer = asyncio.get_running_loop().call_later(rest_s, self._run)

    def _take(self) -> list[tuple[Decision, Row]]:
        n_rows = min(self._run_rows, len(self._waiting))
        batch = list(islice(self._waiting, n_rows))
        for _ in range(n_rows):
            self._waiting.popleft()
        return batch

    def _answer(self, batch: list[tuple[Decision, Row]]) -> list[ShadowAnswer]:
        begun_ns = time.perf_counter_ns()
        error = ""
        labels: list[Any] = [None] * len(batch)
        scores = [0.0] * len(batch)
        try:
            labels, found = decide(self._package, self._runtime.score([row for _, row in batch]))
            scores = found.tolist()
        except Exception as failure:
            # Whatever it is: it is the shadow's own trouble, and part of what is to be known about it.
            error = str(failure) if isinstance(failure, PetlaError) else f"{type(failure).__name__}: {failure}"
            logger.warning("shadow.failed", extra={"version": self._version, "reason": error})
        latency_us = (time.perf_counter_ns() - begun_ns) // 1000
        model, version, worker = self._package.model, self._version, self._recorder.worker
        answers = []
        for (decision, _), label, score in zip(batch, labels, scores, strict=True):
            if error or not math.isfinite(score):
                said = (None, 0.0, latency_us, worker, error or "it gave no number")
            else:
                said = (label, score, latency_us, worker, "")
            answers.append(ShadowAnswer(decision.id, decision.at_ns, model, version, *said))
        n_failed = sum(answer.label is None for answer in answers)
        self._metrics.shadow_failed += n_failed
        self._metrics.shadow_answered += len(answers) - n_failed
        return answers


def _is_drawn(name: str, share: float) -> bool:
    """Draw by the random end of an id, so that the same decision is drawn whoever asks."""
    return int(name[-8:], 16) < share * _TOTAL
