"""Going live: the last step of a retraining, taken by whoever says yes or by the controller, whoever comes first."""

from petla.deployments.deploy import deploy
from petla.incidents.incidents import settle
from petla.loop.retrainings import CONTROLLER, get_retraining, move_on, move_within
from petla.loop.states import Retraining, RetrainingState
from petla.models.registry import find_champion, get_version
from petla.models.states import State
from petla.storage.files import lock
from petla.storage.workspace import Workspace

# a challenger in one of these was live already: a crash came before its row here was written, or a person was faster
_WAS_LIVE = (State.PRODUCTION, State.RETIRED)


def go_live(ws: Workspace, retraining: Retraining, *, actor: str = CONTROLLER) -> Retraining:
    """Deploy a retraining's challenger and resolve its incident; one that is over already is left alone.

    Raises:
        UnavailableError: the workers could not take the version; the champion still serves.
    """
    purpose = f"deploying for retraining {retraining.id}"
    with lock(ws.state / "rollout.lock", purpose=purpose, wait_s=ws.settings.wait_s):
        retraining = get_retraining(ws, retraining.id)
        if retraining.state is not RetrainingState.DEPLOYING:
            return retraining
        version = get_version(ws, retraining.model, retraining.challenger)
        subject = f"{version.model}:{version.version}"
        if version.state is State.REJECTED:
            return move_on(ws, retraining, RetrainingState.LOST, outcome=f"{subject} was rejected meanwhile")
        before = find_champion(ws, version.model)
        if version.state not in _WAS_LIVE:
            reason = f"retraining {retraining.id} for incident {retraining.incident_id}"
            deploy(ws, version.model, version.version, actor=actor, reason=reason)
        replaced = before is not None and before.version != version.version
        outcome = f"{subject} went live" + (
            f" in place of {before.model}:{before.version}" if replaced and before else ""
        )
        with ws.ledger.change(actor=actor, action="retraining.finished", subject=subject) as change:
            moved = move_within(change, ws.name, retraining, RetrainingState.DONE, outcome=outcome)
            settle(change, ws.name, retraining.incident_id, outcome)
    return moved
