"""Scoring a batch so that one bad row takes no other with it.

A batch that fails is asked for again request by request: only those fail that make the model fail. A row that ends the
model's process when it is alone is remembered and never asked again; to start a process takes seconds, and a client
that repeats such a row would keep everybody waiting. An explanation that fails takes no answer with it.
"""

import contextlib
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from petla.core.errors import ModelFailedError, PetlaError, ProcessLostError, UserCodeError
from petla.models.package import Package
from petla.models.runtime.decide import decide
from petla.models.runtime.explain import Effects, explain, find_typical
from petla.models.runtime.running import Runtime
from petla.models.signature import Row
from petla.serving.path.failures.blame import blame_row
from petla.serving.path.request import Request

logger = logging.getLogger(__name__)

# rows that are remembered
_DEADLY_ROWS = 1_000


class Scored(NamedTuple):
    """What came of a batch: labels and scores of the requests that have some, row by row, and the others' failures."""

    batch: Sequence[Request]
    labels: list[Any]
    scores: list[float]
    failures: Sequence[tuple[Request, PetlaError]] = ()


class Scorer:
    """Asks one version.

    Args:
        package: gives classes and threshold.
        runtime: runs it.
    """

    def __init__(self, package: Package, runtime: Runtime) -> None:
        self._package = package
        self._runtime = runtime
        # insertion order is age
        self._deadly: dict[Row, None] = {}
        # what explanations compare with, once there is one
        self._typical: Row | None = None

    def score(self, batch: Sequence[Request]) -> Scored:
        """Score a batch; also on a thread, for one batch at a time."""
        shunned = [request for request in batch if self._is_deadly(request)] if self._deadly else []
        if shunned:
            rest = [request for request in batch if request not in shunned]
            scored = self.score(rest) if rest else Scored((), [], [])
            return scored._replace(failures=[*scored.failures, *((request, _shun()) for request in shunned)])
        try:
            rows = batch[0].rows if len(batch) == 1 else [row for request in batch for row in request.rows]
            return Scored(batch, *self._ask(rows))
        except Exception as error:
            return self._score_apart(batch, error)

    def score_and_explain(self, batch: Sequence[Request]) -> Scored:
        """Do the same, and say why where the client wants to know; what cannot be explained is answered without."""
        scored = self.score(batch)
        for request in scored.batch:
            if request.call.is_explained and request.error is None:
                request.effects = self._find_effects(request.rows)
        return scored

    def _find_effects(self, rows: Sequence[Row]) -> Sequence[Effects]:
        try:
            if self._typical is None:
                self._typical = find_typical(self._package)
            return explain(self._package, self._runtime, rows, self._typical)
        except Exception as error:
            # Whatever the model does with rows that nobody sent: the answer to those that somebody sent stands.
            logger.warning("explanation.failed", extra={"model": self._package.model, "reason": str(error)})
            return ()

    def _ask(self, rows: Sequence[Row]) -> tuple[list[Any], list[float]]:
        labels, scores = decide(self._package, self._runtime.score(rows))
        return labels, scores.tolist()

    def _score_apart(self, batch: Sequence[Request], error: Exception) -> Scored:
        """Ask for each request alone; `error` is what they failed with together."""
        if len(batch) == 1 and not isinstance(error, ProcessLostError):
            return Scored((), [], [], [(batch[0], self._explain(batch[0], error))])
        kept, labels, scores, failures = [], [], [], []
        for request in batch:
            if request.error is not None:  # given up meanwhile
                continue
            try:
                made = self._ask(request.rows)
            except Exception as alone:
                failures.append((request, self._explain(request, alone)))
                continue
            kept.append(request)
            labels += made[0]
            scores += made[1]
        return Scored(kept, labels, scores, failures)

    def _is_deadly(self, request: Request) -> bool:
        try:
            return not self._deadly.keys().isdisjoint(request.rows)
        except TypeError:  # values that are no scalars have no hash, and are never remembered
            return False

    def _explain(self, request: Request, error: Exception) -> PetlaError:
        if not isinstance(error, PetlaError):
            logger.error("batch.failed", exc_info=error)
            error = UserCodeError(f"{type(error).__name__}: {error}", hint="see the server's log")
        if isinstance(error, ProcessLostError) and len(request.rows) == 1:
            # The second death of the two: the process may have been ended from outside once, but hardly twice.
            with contextlib.suppress(TypeError):
                self._deadly[request.rows[0]] = None
            if len(self._deadly) > _DEADLY_ROWS:
                del self._deadly[next(iter(self._deadly))]
            logger.error("row.shunned", extra={"model": self._package.model, "reason": error.message})
        return blame_row(error, self._find_row(request.rows) if isinstance(error, UserCodeError) else None)

    def _find_row(self, rows: Sequence[Row]) -> int | None:
        """Return the first row of several that makes the model raise, found by halves."""
        if len(rows) == 1:
            return None
        low, high = 0, len(rows)
        while high - low > 1:
            middle = (low + high) // 2
            if self._raises(rows[low:middle]):
                high = middle
            else:
                low = middle
        return low if self._raises(rows[low:high]) else None

    def _raises(self, rows: Sequence[Row]) -> bool:
        try:
            self._runtime.score(rows)
        except Exception:
            return True
        return False


def _shun() -> ModelFailedError:
    return ModelFailedError("this row ended the model's process before", hint="see the server's log")
