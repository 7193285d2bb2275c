"""The step of a rollout that is due, taken by the controller.

Everything it needs is in the rows; each step is one audited change. Killed anywhere, the next controller asks again and
finds either the old share or the new one.
"""

import logging

from petla.deployments.beside.rollout import Rollout, RolloutState
from petla.deployments.beside.rollouts import step, stop
from petla.loop.retraining.retrainings import CONTROLLER
from petla.loop.rollouts.policy import Action, End, Step, decide
from petla.monitoring.reference import ReferenceSource, find_readable
from petla.monitoring.rollouts.counting import count_labels, find_evidence
from petla.storage.workspace import Workspace

logger = logging.getLogger(__name__)


def advance_rollout(ws: Workspace, rollout: Rollout, references: ReferenceSource) -> Action:
    """Count what has come, and take the step that is due.

    Args:
        ws: the project.
        rollout: one that runs.
        references: finds the champion's signature.

    Returns:
        What was done.

    Raises:
        NotFoundError: the project file has no such model any more.
        BusyError: somebody deploys at the moment.
        ConflictError: somebody changed the rollout meanwhile.
        UnavailableError: the workers did not take it up.
    """
    _, table = ws.get_model(rollout.model)
    reference = find_readable(references, rollout.model, rollout.champion)
    if reference is not None:
        count_labels(ws, rollout, reference)
    action = decide(rollout, find_evidence(ws, rollout), table.deploy, ws.clock())
    match action:
        case Step():
            step(ws, rollout, actor=CONTROLLER, reason=action.reason)
        case End():
            stop(
                ws,
                rollout.model,
                kind=rollout.kind,
                actor=CONTROLLER,
                reason=action.reason,
                ends=RolloutState.ROLLED_BACK,
            )
            details = {"model": rollout.model, "kind": rollout.kind.value, "reason": action.reason}
            logger.warning("rollout.rolled_back", extra=details)
    return action
