"""The controller: compares what is wanted with what is, takes one step, records it.

One pass ships what the spools hold, lets rollouts go on or ends them, judges the windows that closed, opens incidents,
begins the retrainings that the policy wants, and takes one step of each that is under way. Nothing it needs is only in
its memory: killed anywhere, the next one goes on.
"""

import contextlib
import logging
import threading
import time

from petla.core.errors import BusyError, PetlaError
from petla.decisions.log import count_labelled, newest_feedback
from petla.decisions.retention import Retention
from petla.decisions.reviews.reviewing import make_collector
from petla.decisions.shipper import after, ship
from petla.decisions.store import Counter
from petla.deployments.access.granting import publish as publish_keys
from petla.deployments.beside.rollouts import list_rollouts
from petla.deployments.deploy import republish, take_back_refused
from petla.incidents.incident import Incident
from petla.incidents.incidents import list_unresolved, newest_evidence, open_or_join, resolve
from petla.loop.lease import Lease
from petla.loop.retraining.policy import Nothing, Situation, Start, Step, Wait, decide
from petla.loop.retraining.retrainings import CONTROLLER, begin, list_retrainings
from petla.loop.retraining.states import Retraining, RetrainingState
from petla.loop.retraining.steps import advance, clean_up, give_up
from petla.loop.retraining.trainer import Trainer
from petla.loop.rollouts.steps import advance_rollout
from petla.models.registry import find_champion
from petla.monitoring.counting import make_counter
from petla.monitoring.finding import FindingKind
from petla.monitoring.judging import NotBefore, find_oldest_unjudged, judge_drift, judge_quality
from petla.monitoring.reference import ReferenceSource, open_references
from petla.monitoring.rollouts.counting import make_rollout_counter, make_shadow_counter
from petla.monitoring.views import list_new_alarms
from petla.storage.workspace import Workspace

logger = logging.getLogger(__name__)

PAUSE_S = 0.3
# after errors in a row the pause doubles up to this
LONGEST_PAUSE_S = 5.0
# a step that fails so often in a row ends its retraining
ATTEMPTS = 5
# decisions in one transaction: a long backlog is moved in fewer, and other writers wait for none of them long
_SHIPPED_AT_ONCE = 50_000
# a backlog of hours is moved in several passes, so that nothing else of the loop waits for all of it
_SHIPPING_S = 5.0
# seconds until it is looked again for decisions that were kept long enough
_EXPIRE_S = 60.0
# until a rollout's step that failed is tried again
_ROLLOUT_REST_S = 10.0
_KINDS: tuple[FindingKind, ...] = ("drift", "quality", "labels")


class Controller:
    """The loop of one project.

    Args:
        ws: the opened project.
        rest_s: seconds until a step that failed is tried again; doubles from attempt to attempt.
    """

    def __init__(self, ws: Workspace, *, rest_s: float = 2.0) -> None:
        self._rest_s = rest_s
        self._ws = ws
        self._references = open_references(ws)
        self._counters = make_counters(ws, self._references)
        self._shadow_counters = [make_shadow_counter(ws, self._references)]
        self._trainer = Trainer(ws)
        self.lease = Lease(ws)
        # once set, the rest of a long backlog is left to the next controller
        self._stop = threading.Event()
        self._waits: NotBefore = {}
        self._retention = Retention(ws, [find_oldest_unjudged])
        self._expire_at_s = 0.0
        # retraining -> attempts that failed in a row, and when the next one may be made
        self._faults: dict[int, int] = {}
        self._not_before_s: dict[int, float] = {}
        self._rollout_not_before_s: dict[int, float] = {}

    def tick(self) -> None:
        """Do one pass: ship, judge, open incidents, take one step of each retraining."""
        self.tend_workers()
        is_over = after(_SHIPPING_S, self._stop)
        ship(self._ws, self._counters, self._shadow_counters, limit_rows=_SHIPPED_AT_ONCE, is_over=is_over)
        self._advance_rollouts()
        judge_drift(self._ws, self._references)
        judge_quality(self._ws, self._references, self._waits)
        for model in self._ws.project.models:
            self._tend_incidents(model)
            self._begin_retraining(model)
        under_way = list_retrainings(self._ws, is_open=True)
        for retraining in under_way:
            self._advance(retraining)
        clean_up(self._ws, [retraining.id for retraining in under_way])
        if time.monotonic() >= self._expire_at_s and not self._retention.expire():
            self._expire_at_s = time.monotonic() + _EXPIRE_S

    def tend_workers(self) -> None:
        """Let the workers of this state folder know what is to serve: all that is done where another one controls.

        Raises:
            ConflictError: the project of this name in the database is another folder's.
            CorruptError: the database has lost entries of the audit trail, such as an empty one under the old name.
        """
        self._ws.ledger.require_own()
        # a command that was killed may have left rows without the file that the workers read
        republish(self._ws)
        publish_keys(self._ws)
        with contextlib.suppress(BusyError):
            take_back_refused(self._ws)

    def run(self, stop: threading.Event) -> None:
        """Tick until told to stop, as long as the lease is ours.

        An error of a tick is logged, and the tick is tried again later. The lease is kept: what the workers wrote last
        is shipped under it, and then the caller releases it.
        """
        self._stop = stop
        pause = PAUSE_S
        try:
            while not stop.is_set():
                try:
                    if self.lease.hold():
                        self.tick()
                    else:
                        self.tend_workers()
                    if pause > PAUSE_S:
                        logger.warning("controller.recovered")
                    pause = PAUSE_S
                except Exception as error:  # a border: the loop outlives whatever one pass runs into
                    is_known = isinstance(error, PetlaError)
                    logger.warning("controller.tick_failed", extra={"error": str(error)}, exc_info=not is_known)
                    pause = min(2 * pause, LONGEST_PAUSE_S)
                stop.wait(pause)
        finally:
            self.close()

    def close(self) -> None:
        """End what this controller started; the next one takes it up from the rows."""
        self._trainer.close()

    def _advance_rollouts(self) -> None:
        """Take one step of each rollout; one that the workers did not take is tried again after a rest."""
        for rollout in list_rollouts(self._ws, is_running=True):
            if time.monotonic() < self._rollout_not_before_s.get(rollout.id, 0.0):
                continue
            try:
                advance_rollout(self._ws, rollout, self._references)
            except PetlaError as error:
                self._rollout_not_before_s[rollout.id] = time.monotonic() + _ROLLOUT_REST_S
                details = {"rollout": rollout.id, "model": rollout.model, "error": str(error)}
                logger.warning("rollout.step_failed", extra=details)

    def _tend_incidents(self, model: str) -> None:
        """Open incidents for alarms about the champion; close those about versions that are live no longer."""
        champion = find_champion(self._ws, model)
        if champion is None:
            return
        for kind in _KINDS:
            known = newest_evidence(self._ws, model, champion.version, kind)
            open_or_join(self._ws, list_new_alarms(self._ws, model, champion.version, kind, after=known))
        for incident in list_unresolved(self._ws, model=model):
            if incident.version != champion.version and not self._is_being_retrained(incident):
                outcome = f"{model}:{incident.version} is live no longer; {model}:{champion.version} answers"
                resolve(self._ws, incident.id, outcome, actor=CONTROLLER)

    def _is_being_retrained(self, incident: Incident) -> bool:
        """Whether a retraining will resolve it with a better outcome."""
        under_way = list_retrainings(self._ws, model=incident.model, is_open=True)
        return any(retraining.incident_id == incident.id for retraining in under_way)

    def _begin_retraining(self, model: str) -> None:
        for incident in reversed(list_unresolved(self._ws, model=model)):
            if isinstance(plan_for(self._ws, incident), Start):
                begin(self._ws, incident, last_feedback=newest_feedback(self._ws))

    def _advance(self, retraining: Retraining) -> None:
        if time.monotonic() < self._not_before_s.get(retraining.id, 0.0):
            return
        try:
            advance(self._ws, retraining, self._trainer)
        except BusyError as error:
            # no fault of this retraining: a person's run, or a training that outlived its controller, is at work
            self._not_before_s[retraining.id] = time.monotonic() + self._rest_s
            logger.info("retraining.step_postponed", extra={"retraining": retraining.id, "error": str(error)})
        except Exception as error:  # a border: what one retraining runs into does not hold up the others
            self._count_fault(retraining, error)
        else:
            # NOTE: a training that was only started has not got through yet
            if not self._trainer.is_training(retraining):
                self._faults.pop(retraining.id, None)

    def _count_fault(self, retraining: Retraining, error: Exception) -> None:
        count = self._faults[retraining.id] = self._faults.get(retraining.id, 0) + 1
        self._not_before_s[retraining.id] = time.monotonic() + self._rest_s * 2 ** (count - 1)
        is_known = isinstance(error, PetlaError)
        said = str(error) if is_known else f"{type(error).__name__}: {error}"
        details = {"retraining": retraining.id, "state": retraining.state.value, "error": said, "attempt": count}
        logger.warning("retraining.step_failed", extra=details, exc_info=not is_known)
        if count >= ATTEMPTS:
            give_up(self._ws, retraining, f"{retraining.state}: {said}")


def make_counters(ws: Workspace, references: ReferenceSource | None = None) -> list[Counter]:
    """Return all that sees decisions within the transaction that stores them: whoever ships needs every one."""
    return [make_counter(ws, references), make_rollout_counter(ws), make_collector(ws)]


def explain_waiting(ws: Workspace, incident: Incident) -> str:
    """Say what an open incident waits for, and how the newest retraining ended if it failed."""
    match plan_for(ws, incident):
        case Start():
            said = "a retraining is about to start"
        case Wait(reason) | Nothing(reason):
            said = reason
    last = next(iter(list_retrainings(ws, model=incident.model, limit=1)), None)
    if last is None or last.state is not RetrainingState.FAILED:
        return said
    return f"{said}; retraining {last.id} failed: {last.outcome}"


def plan_for(ws: Workspace, incident: Incident) -> Step:
    """Say what the retraining policy does about an incident that is open.

    Raises:
        NotFoundError: the incident's model is no longer in the project file.
    """
    name, table = ws.get_model(incident.model)
    last = next(iter(list_retrainings(ws, model=name, limit=1)), None)
    since = last.last_feedback if last else 0
    labels = count_labelled(ws, name, after_feedback=since, limit=table.retrain.minimum_rows)
    return decide(table.retrain, Situation(kind=incident.kind, last=last, labels=labels))
