"""Going live: the last step of a retraining, taken by whoever says yes or by the controller, whoever comes first."""

from petla.deployments.deploy import deploy, find_deployment
from petla.gates.verdict import find_verdict
from petla.incidents.incidents import settle
from petla.loop.retraining.retrainings import CONTROLLER, get_retraining, move_on, move_within
from petla.loop.retraining.states import Retraining, RetrainingState
from petla.models.registry import find_champion, get_version
from petla.models.states import State
from petla.models.version import ModelVersion
from petla.storage.files import lock
from petla.storage.workspace import Workspace


def go_live(ws: Workspace, retraining: Retraining, *, actor: str = CONTROLLER) -> Retraining:
    """Deploy a retraining's challenger and resolve its incident; one that is over already is left alone.

    A challenger that is live already, since a crash came before its row here was written or a person was faster, is not
    deployed again.

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
        outcome = f"{subject} went live"
        before = find_champion(ws, version.model)
        if before is None or before.version != version.version:
            obstacle = _find_obstacle(ws, version, before)
            if obstacle:
                return move_on(ws, retraining, RetrainingState.LOST, outcome=obstacle)
            reason = f"retraining {retraining.id} for incident {retraining.incident_id}"
            deploy(ws, version.model, version.version, actor=actor, reason=reason)
            outcome += f" in place of {before.model}:{before.version}" if before else ""
        with ws.ledger.change(actor=actor, action="retraining.finished", subject=subject) as change:
            moved = move_within(change, ws.name, retraining, RetrainingState.DONE, outcome=outcome)
            settle(change, ws.name, retraining.incident_id, outcome)
    return moved


def _find_obstacle(ws: Workspace, version: ModelVersion, champion: ModelVersion | None) -> str:
    """Say what somebody did meanwhile that the yes was not about; empty: nothing."""
    subject = f"{version.model}:{version.version}"
    live = "nothing" if champion is None else f"{champion.model}:{champion.version}"
    if version.state is State.REJECTED:
        return f"{subject} was rejected meanwhile"
    # NOTE: retired alone does not say that it was live: so is one that the workers could not take. And one that was
    # live may run beside the champion again.
    deployed = find_deployment(ws, version.model)
    if deployed is not None and deployed.standby == version.version:
        return f"{subject} was live, and {live} was put back meanwhile"
    verdict = find_verdict(version)
    if verdict is not None and verdict.champion != (champion.version if champion else None):
        return f"{subject} was compared with version {verdict.champion or 'none'}, but {live} is live meanwhile"
    return ""
