"""How a change of what serves is carried out: one audited change, one new snapshot, and the workers' word for it.

- The rows, the audit entry and the snapshot are committed together; then the file is published. A crash between the
  two is healed by `republish`.
- The route says it all: states of versions, the row of the deployment and the ends of rollouts follow from the
  difference of two routes.
- With a server running, a change counts once every worker has acknowledged it. If one cannot serve it, what served
  before is published again under the next number, the states go back, and the error says why. A command that died
  while it waited is stood in for by `take_back_refused`.
"""

import logging
import time
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from petla.core.digests import digest_bytes
from petla.core.errors import UnavailableError
from petla.deployments import records
from petla.deployments.beside.rollout import Rollout, RolloutArm, RolloutKind, RolloutState
from petla.deployments.records import DeploymentRow
from petla.deployments.roles import list_moves, take_back
from petla.deployments.server import Server, find_server, list_acknowledgements
from petla.deployments.snapshot import Route, Snapshot, read_snapshot, snapshot_path
from petla.models import registry
from petla.storage.database import reading
from petla.storage.files import lock, write_atomic
from petla.storage.ledger import Change, shortened
from petla.storage.workspace import Workspace

logger = logging.getLogger(__name__)

_POLL_S = 0.002
_CONTROLLER = "controller"


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A change of what serves for one model, and the words of its audit entry."""

    model: str
    # None: nothing
    route: Route | None
    action: str
    # such as fraud:3
    subject: str
    actor: str
    reason: str
    # a rollout that begins with it
    begins: Rollout | None = None
    # what becomes of the rollouts that it ends, unless one of their versions becomes the champion; and why
    ends: RolloutState = RolloutState.STOPPED
    outcome: str = ""


class Published(msgspec.Struct, frozen=True):
    """What came of a move."""

    # number of the snapshot
    snapshot: int
    # milliseconds from publishing to the last worker's word; None: no server is running
    took_ms: float | None
    # workers that serve it
    workers: int


def lock_deployments(ws: Workspace, purpose: str, wait_s: float | None = None) -> AbstractContextManager[None]:
    """Keep others from changing what serves.

    Raises:
        BusyError: somebody else does, and has not come to the end of it in time.
    """
    patience_s = ws.settings.wait_s if wait_s is None else wait_s
    return lock(ws.state / "deploying.lock", purpose=purpose, wait_s=patience_s)


def find_route(ws: Workspace, model: str) -> Route | None:
    """Return what is to serve for a model, or None."""
    newest = _find_newest(ws)
    return newest.routes.get(model) if newest is not None else None


def carry_out(ws: Workspace, move: Move, wait_s: float) -> Published:
    """Commit and publish a move, and wait for the workers; the caller holds the lock.

    Raises:
        NotFoundError: there is no such version.
        ConflictError: a version's state does not allow it.
        UnavailableError: a worker cannot serve it; what served before serves again.
    """
    before = find_route(ws, move.model)
    snapshot = _commit(ws, move, before)
    server = find_server(ws.state)
    if server is not None:
        write_atomic(_unheard_path(ws), str(snapshot.number).encode())
    begun = time.perf_counter()
    _publish(ws, snapshot)
    if server is None:
        return Published(snapshot.number, None, 0)
    failure = _await_workers(ws, server, snapshot.number, begun + wait_s)
    if failure:
        _undo(ws, move.model, before, snapshot, failure, move.actor)
    _unheard_path(ws).unlink(missing_ok=True)
    if failure:
        name = f"{move.model}:{before.live.version}" if before is not None else "nothing"
        raise UnavailableError(
            f"model {move.subject} was not deployed: {failure}",
            hint=f"{name} serves as before; correct it and deploy again",
        )
    return Published(snapshot.number, (time.perf_counter() - begun) * 1e3, server.workers)


def republish(ws: Workspace) -> int:
    """Write the newest snapshot to its file if that is missing or behind; return its number, 0 if there is none.

    Raises:
        BusyError: somebody deploys, and has not come to the end of it in time.
        UnavailableError: the file cannot be written.
    """
    newest = _find_newest(ws)
    if newest is None:
        return 0
    if _is_published(ws, newest):
        return newest.number
    with lock_deployments(ws, "publishing again"):
        # Whoever deploys holds the lock from the rows to the file, so what is behind now was left behind.
        newest = _find_newest(ws) or newest
        if not _is_published(ws, newest):
            _publish(ws, newest)
            logger.warning("snapshot.republished", extra={"number": newest.number})
    return newest.number


def take_back_refused(ws: Workspace) -> bool:
    """Take back a change that a worker refused, because whoever asked for it died before it said so.

    A version that has served is never taken back for failing to load later, say after a restart with a damaged disk: it
    serves again as soon as the fault is mended.

    Returns:
        Whether something was taken back.

    Raises:
        BusyError: somebody deploys at the moment, and will hear the workers' answer.
    """
    if _find_unheard(ws) is None:
        return False
    with lock_deployments(ws, "hearing the workers", wait_s=0):
        newest, number = _find_newest(ws), _find_unheard(ws)
        if newest is None or newest.number != number or _is_served(ws, number):
            _unheard_path(ws).unlink(missing_ok=True)
            return False
        failure = _refusal_of(ws, number)
        if not failure:
            return False
        before = _find_routes(ws, number - 1)
        for model, route in newest.routes.items():
            if before.get(model) != route:
                _undo(ws, model, before.get(model), newest, failure, _CONTROLLER)
                logger.warning("deployment.taken_back", extra={"model": model, "reason": failure})
        _unheard_path(ws).unlink(missing_ok=True)
    return True


def _commit(ws: Workspace, move: Move, before: Route | None) -> Snapshot:
    with ws.ledger.change(actor=move.actor, action=move.action, subject=move.subject, reason=move.reason) as change:
        for version, state in list_moves(before, move.route):
            registry.move(change, ws.name, move.model, version, state)
        _put_row(change, ws, move.model, before, move.route, move.actor)
        _end_rollouts(change, ws, move)
        if move.begins is not None:
            begun = msgspec.structs.replace(move.begins, started_at=change.now, stepped_at=change.now)
            change.record(rollout=records.add_rollout(change.connection, ws.name, begun))
        snapshot = _add_snapshot(ws, change, move.model, move.route)
        change.record(
            before=before.live.version if before is not None else None, **_describe_snapshot(snapshot, move.model)
        )
        if move.route is not None:
            change.record(package=move.route.live.package, arms=_describe(move.route))
    return snapshot


def _undo(ws: Workspace, model: str, before: Route | None, refused: Snapshot, failure: str, actor: str) -> None:
    """Let what served before serve again: states, rows, and a snapshot with the next number."""
    bad = refused.routes[model]
    back = take_back(before, bad)
    subject = f"{model}:{bad.live.version}"
    with ws.ledger.change(
        actor=actor, action="deployment.taken_back", subject=subject, reason=shortened(failure)
    ) as change:
        for version, state in list_moves(bad, back, is_refused=True):
            registry.move(change, ws.name, model, version, state)
        _put_row(change, ws, model, bad, back, actor)
        move = Move(
            model=model,
            route=back,
            action="",
            subject=subject,
            actor=actor,
            reason=failure,
            ends=RolloutState.REFUSED,
            outcome=failure,
        )
        _end_rollouts(change, ws, move)
        records.mark_refused(change.connection, ws.name, model, refused.at, failure)
        snapshot = _add_snapshot(ws, change, model, back)
        change.record(before=bad.live.version, **_describe_snapshot(snapshot, model))
    _publish(ws, snapshot)


def _put_row(change: Change, ws: Workspace, model: str, before: Route | None, after: Route | None, actor: str) -> None:
    """Keep what is live and what stands by, and since when."""
    if after is None:
        records.remove_deployment(change.connection, ws.name, model)
        return
    if before is not None and (before.live, before.standby) == (after.live, after.standby):
        return
    standby = after.standby.version if after.standby is not None else None
    row = DeploymentRow(model=model, live=after.live.version, standby=standby, changed_at=change.now, changed_by=actor)
    records.put_deployment(change.connection, ws.name, row)


def _end_rollouts(change: Change, ws: Workspace, move: Move) -> None:
    """End the rollouts that a route has no place for, and take over the shares of those that go on."""
    for rollout in records.list_rollouts(change.connection, ws.name, model=move.model, is_running=True):
        arms = _arms_in(move.route, rollout)
        if not arms:
            is_champion = move.route is not None and move.route.live.version in {arm.version for arm in rollout.arms}
            ended = msgspec.structs.replace(
                rollout,
                state=RolloutState.PROMOTED if is_champion else move.ends,
                ended_at=change.now,
                outcome=move.outcome or move.reason,
            )
            records.put_rollout(change.connection, ended)
        elif arms != rollout.arms:
            stepped = msgspec.structs.replace(rollout, arms=arms, stepped_at=change.now)
            records.put_rollout(change.connection, stepped)


def _arms_in(route: Route | None, rollout: Rollout) -> tuple[RolloutArm, ...]:
    """Return a rollout's arms as a route has them; empty: it does not run there."""
    if route is None or route.live.version != rollout.champion:
        return ()
    if rollout.kind is RolloutKind.SHADOW:
        shadow = route.shadow
        is_there = shadow is not None and shadow.variant.version == rollout.arms[0].version
        return rollout.arms if is_there else ()
    if route.split is None or route.split.salt != rollout.salt:
        return ()
    return tuple(RolloutArm(arm.name, arm.variant.version, arm.share) for arm in route.split.arms)


def _describe(route: Route) -> dict[str, float]:
    """Return the shares of a route for the audit trail."""
    shares = {f"{arm.name}:{arm.variant.version}": arm.share for arm in (route.split.arms if route.split else ())}
    return shares | ({f"shadow:{route.shadow.variant.version}": route.shadow.share} if route.shadow else {})


def _describe_snapshot(snapshot: Snapshot, model: str) -> dict[str, object]:
    """Return what the audit trail keeps of a snapshot, so that no other one passes for it."""
    route = snapshot.routes.get(model)
    live = route.live.version if route else None
    standby = route.standby.version if route and route.standby else None
    return {
        "snapshot": snapshot.number,
        "document": digest_bytes(msgspec.json.encode(snapshot)),
        "served": {"model": model, "live": live, "standby": standby},
    }


def _add_snapshot(ws: Workspace, change: Change, model: str, route: Route | None) -> Snapshot:
    newest = records.find_newest_snapshot(change.connection, ws.name)
    routes = dict(newest.routes) if newest is not None else {}
    routes.pop(model, None)
    if route is not None:
        routes[model] = route
    number = newest.number + 1 if newest is not None else 1
    snapshot = Snapshot(number=number, project=ws.name, at=change.now, routes=routes)
    records.add_snapshot(change.connection, snapshot)
    return snapshot


def _publish(ws: Workspace, snapshot: Snapshot) -> None:
    write_atomic(snapshot_path(ws.state), msgspec.json.encode(snapshot))


def _await_workers(ws: Workspace, server: Server, number: int, deadline: float) -> str:
    """Wait until every worker serves a snapshot; return why one does not, empty if all do."""
    while True:
        refusal = _refusal_of(ws, number)
        if refusal:
            return refusal
        n_serving = _count_serving(ws, number)
        if n_serving >= server.workers or (time.perf_counter() > deadline and find_server(ws.state) is None):
            return ""
        if time.perf_counter() > deadline:
            return f"only {n_serving} of {server.workers} workers had taken it up in time"
        time.sleep(_POLL_S)


def _unheard_path(ws: Workspace) -> Path:
    """Return the file that holds a snapshot's number from its publishing until the workers' answer was heard."""
    return snapshot_path(ws.state).with_name("unheard")


def _find_unheard(ws: Workspace) -> int | None:
    try:
        return int(_unheard_path(ws).read_text())
    except FileNotFoundError:
        return None


def _is_served(ws: Workspace, number: int) -> bool:
    server = find_server(ws.state)
    return server is not None and _count_serving(ws, number) >= server.workers


def _count_serving(ws: Workspace, number: int) -> int:
    return sum(each.serving >= number for each in list_acknowledgements(ws.state))


def _refusal_of(ws: Workspace, number: int) -> str:
    """Return why a worker does not serve a snapshot that it has seen; empty: none has refused it."""
    said = list_acknowledgements(ws.state)
    return next((f"worker {each.worker}: {each.error}" for each in said if each.seen == number and each.error), "")


def _find_routes(ws: Workspace, number: int) -> dict[str, Route]:
    with reading(ws.engine) as connection:
        snapshot = records.find_snapshot(connection, ws.name, number)
    return snapshot.routes if snapshot is not None else {}


def _find_newest(ws: Workspace) -> Snapshot | None:
    with reading(ws.engine) as connection:
        return records.find_newest_snapshot(connection, ws.name)


def _is_published(ws: Workspace, snapshot: Snapshot) -> bool:
    try:
        published = read_snapshot(ws.state)
    except msgspec.DecodeError:
        return False
    return published is not None and published.number >= snapshot.number
