"""Deploying and rolling back: one audited change, one new snapshot, and the workers' word that they serve it.

- The rows, the audit entry and the snapshot are committed together; then the file is published. A crash between the
  two is healed by `republish`.
- With a server running, a change counts once every worker has acknowledged it. If one cannot serve it, what served
  before is published again under the next number, the states go back, and the error says why. A command that died
  while it waited is stood in for by `take_back_refused`.
"""

import logging
import time
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from petla.core.clock import to_text
from petla.core.errors import ConflictError, NotFoundError, UnavailableError
from petla.deployments import records
from petla.deployments.policy import policy_of, require_fit
from petla.deployments.records import DeploymentRow
from petla.deployments.server import Server, find_server, list_acknowledgements
from petla.deployments.snapshot import Route, Snapshot, Variant, read_snapshot, snapshot_path
from petla.models import registry
from petla.models.package import load_package
from petla.models.states import State
from petla.storage.database import reading
from petla.storage.files import lock, write_atomic
from petla.storage.ledger import Change
from petla.storage.workspace import Workspace

logger = logging.getLogger(__name__)

_POLL_S = 0.002
_CONTROLLER = "controller"


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """What serves for one model."""

    model: str
    live: int
    standby: int | None
    # number of the snapshot that says so
    snapshot: int
    # milliseconds from publishing to the last worker's word; None: no server is running, or nothing was changed just
    # now
    took_ms: float | None = None
    # workers that serve it
    workers: int = 0
    changed_at: str = ""
    changed_by: str = ""


class _Move(msgspec.Struct, frozen=True, kw_only=True):
    """A change of what serves for one model, and the words of its audit entry."""

    model: str
    live: int
    standby: int | None
    action: str
    actor: str
    reason: str


def deploy(
    ws: Workspace, model: str, version: int, *, actor: str, reason: str = "", wait_s: float = 30.0
) -> Deployment:
    """Make a version the champion; the one before it is retired and stands by.

    Args:
        ws: the project.
        model: the model.
        version: in testing, shadow, canary or retired.
        actor: who does it, for the audit trail.
        reason: why.
        wait_s: seconds to wait for the workers.

    Raises:
        NotFoundError: there is no such version.
        ConflictError: its state does not allow it.
        UnavailableError: a worker cannot serve it; what served before serves again.
    """
    with _lock(ws, f"deploying {model}:{version}"):
        now = _find_row(ws, model)
        if now is not None and now.live == version:
            raise ConflictError(f"model {model}:{version} is live already", hint="see 'petla models list'")
        standby = now.live if now is not None else None
        move = _Move(model=model, live=version, standby=standby, action="model.deployed", actor=actor, reason=reason)
        return _carry_out(ws, now, move, wait_s)


def rollback(ws: Workspace, model: str, *, actor: str, reason: str, wait_s: float = 30.0) -> Deployment:
    """Let the version that stands by serve again; the live one stands by.

    Raises:
        NotFoundError: nothing serves for this model.
        ConflictError: no version stands by.
        UnavailableError: a worker cannot serve it; what served before serves again.
    """
    with _lock(ws, f"rolling back {model}"):
        now = _find_row(ws, model)
        if now is None:
            raise NotFoundError(f"nothing serves for model {model}", hint=f"deploy one with 'petla deploy {model}:1'")
        if now.standby is None:
            raise ConflictError(
                f"model {model}:{now.live} is the first that was deployed: there is nothing to go back to",
                hint=f"deploy another version with 'petla deploy {model}:VERSION'",
            )
        move = _Move(
            model=model,
            live=now.standby,
            standby=now.live,
            action="model.rolled_back",
            actor=actor,
            reason=reason,
        )
        return _carry_out(ws, now, move, wait_s)


def publish_policy(ws: Workspace, model: str, *, actor: str, reason: str = "", wait_s: float = 30.0) -> Deployment:
    """Let the project file's limits, fallback and guards count for what serves, without another version.

    Raises:
        NotFoundError: nothing serves for this model.
        InvalidError: the policy does not fit the live version; nothing was changed.
        UnavailableError: a worker cannot serve it; what served before serves again.
    """
    with _lock(ws, f"publishing the policy of {model}"):
        now = _find_row(ws, model)
        if now is None:
            raise NotFoundError(f"nothing serves for model {model}", hint="'petla deploy' publishes the policy as well")
        move = _Move(
            model=model, live=now.live, standby=now.standby, action="policy.published", actor=actor, reason=reason
        )
        return _carry_out(ws, now, move, wait_s)


def list_deployments(ws: Workspace) -> list[Deployment]:
    """Return what serves, by model."""
    with reading(ws.engine) as connection:
        rows = records.list_deployments(connection, ws.name)
        snapshot = records.find_newest_snapshot(connection, ws.name)
    number = snapshot.number if snapshot is not None else 0
    said = list_acknowledgements(ws.state) if find_server(ws.state) is not None else []
    n_serving = sum(each.serving == number for each in said)
    return [_deployment_of(row, number, workers=n_serving) for row in rows]


def find_deployment(ws: Workspace, model: str) -> Deployment | None:
    """Return what serves for a model, or None."""
    return next((found for found in list_deployments(ws) if found.model == model), None)


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
    with _lock(ws, "publishing again"):
        # Whoever deploys holds the lock from the rows to the file, so what is behind now was left behind.
        newest = _find_newest(ws) or newest
        if not _is_published(ws, newest):
            _publish(ws, newest)
            logger.warning("snapshot.republished", extra={"number": newest.number})
    return newest.number


def take_back_refused(ws: Workspace) -> bool:
    """Take back a deployment that a worker refused, because whoever asked for it died before it said so.

    A version that has served is never taken back for failing to load later, say after a restart with a damaged disk: it
    serves again as soon as the fault is mended.

    Returns:
        Whether something was taken back.

    Raises:
        BusyError: somebody deploys at the moment, and will hear the workers' answer.
    """
    if _find_unheard(ws) is None:
        return False
    with _lock(ws, "hearing the workers", wait_s=0):
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
                _take_back(ws, _row_of(ws, model, before.get(model)), _move_of(model, route), failure)
                logger.warning("deployment.taken_back", extra={"model": model, "reason": failure})
        _unheard_path(ws).unlink(missing_ok=True)
    return True


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


def _row_of(ws: Workspace, model: str, route: Route | None) -> DeploymentRow | None:
    if route is None:
        return None
    standby = route.standby.version if route.standby is not None else None
    now = to_text(ws.clock())
    return DeploymentRow(model=model, live=route.live.version, standby=standby, changed_at=now, changed_by=_CONTROLLER)


def _move_of(model: str, route: Route) -> _Move:
    standby = route.standby.version if route.standby is not None else None
    return _Move(
        model=model, live=route.live.version, standby=standby, action="model.deployed", actor=_CONTROLLER, reason=""
    )


def _find_newest(ws: Workspace) -> Snapshot | None:
    with reading(ws.engine) as connection:
        return records.find_newest_snapshot(connection, ws.name)


def _is_published(ws: Workspace, snapshot: Snapshot) -> bool:
    try:
        published = read_snapshot(ws.state)
    except msgspec.DecodeError:
        return False
    return published is not None and published.number >= snapshot.number


def _lock(ws: Workspace, purpose: str, wait_s: float | None = None) -> AbstractContextManager[None]:
    patience_s = ws.settings.wait_s if wait_s is None else wait_s
    return lock(ws.state / "deploying.lock", purpose=purpose, wait_s=patience_s)


def _find_row(ws: Workspace, model: str) -> DeploymentRow | None:
    with reading(ws.engine) as connection:
        return next((row for row in records.list_deployments(connection, ws.name) if row.model == model), None)


def _carry_out(ws: Workspace, now: DeploymentRow | None, move: _Move, wait_s: float) -> Deployment:
    route = _make_route(ws, move)
    row, snapshot = _commit(ws, now, move, route)
    server = find_server(ws.state)
    if server is not None:
        write_atomic(_unheard_path(ws), str(snapshot.number).encode())
    begun = time.perf_counter()
    _publish(ws, snapshot)
    if server is None:
        return _deployment_of(row, snapshot.number)
    failure = _await_workers(ws, server, snapshot.number, begun + wait_s)
    if failure:
        _take_back(ws, now, move, failure)
    _unheard_path(ws).unlink(missing_ok=True)
    if failure:
        raise UnavailableError(
            f"model {move.model}:{move.live} was not deployed: {failure}",
            hint=f"{_name_of(now)} serves as before; correct it and deploy again",
        )
    took_ms = (time.perf_counter() - begun) * 1e3
    return _deployment_of(row, snapshot.number, took_ms=took_ms, workers=server.workers)


def _make_route(ws: Workspace, move: _Move) -> Route:
    versions = [registry.get_version(ws, move.model, number) for number in (move.live, move.standby) if number]
    live, *standby = [Variant(version.version, version.package) for version in versions]
    # Verified here as well: what cannot be loaded is refused before anything is changed.
    package = load_package(ws.objects, ws.keys, live.package)
    policy = policy_of(ws, move.model)
    if move.action != "model.rolled_back":
        # NOTE: the version that comes back may be older than a rule that names a new input; it serves without it.
        require_fit(policy, move.model, package.signature)
    return Route(live=live, standby=standby[0] if standby else None, answer=package.answer, policy=policy)


def _commit(ws: Workspace, now: DeploymentRow | None, move: _Move, route: Route) -> tuple[DeploymentRow, Snapshot]:
    subject = f"{move.model}:{move.live}"
    with ws.ledger.change(actor=move.actor, action=move.action, subject=subject, reason=move.reason) as change:
        if now is None or now.live != move.live:
            if now is not None:
                registry.move(change, ws.name, move.model, now.live, State.RETIRED)
            registry.move(change, ws.name, move.model, move.live, State.PRODUCTION)
        row = DeploymentRow(
            model=move.model,
            live=move.live,
            standby=move.standby,
            changed_at=change.now,
            changed_by=move.actor,
        )
        records.put_deployment(change.connection, ws.name, row)
        snapshot = _add_snapshot(ws, change, move.model, route)
        change.record(
            before=now.live if now is not None else None, package=route.live.package, snapshot=snapshot.number
        )
    return row, snapshot


def _take_back(ws: Workspace, now: DeploymentRow | None, move: _Move, failure: str) -> None:
    """Let what served before serve again: states, row, and a snapshot with the next number."""
    subject = f"{move.model}:{move.live}"
    action = "deployment.taken_back"
    with ws.ledger.change(actor=move.actor, action=action, subject=subject, reason=failure) as change:
        if now is None or now.live != move.live:
            registry.move(change, ws.name, move.model, move.live, State.RETIRED)
        if now is None:
            records.remove_deployment(change.connection, ws.name, move.model)
        else:
            if now.live != move.live:
                registry.move(change, ws.name, move.model, now.live, State.PRODUCTION)
            records.put_deployment(change.connection, ws.name, now)
        snapshot = _add_snapshot(ws, change, move.model, _route_before(ws, change, move.model))
        change.record(before=move.live, snapshot=snapshot.number)
    _publish(ws, snapshot)


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


def _route_before(ws: Workspace, change: Change, model: str) -> Route | None:
    newest = records.find_newest_snapshot(change.connection, ws.name)
    number = newest.number - 1 if newest is not None else 0
    before = records.find_snapshot(change.connection, ws.name, number)
    return before.routes.get(model) if before is not None else None


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


def _deployment_of(row: DeploymentRow, snapshot: int, *, took_ms: float | None = None, workers: int = 0) -> Deployment:
    return Deployment(**msgspec.structs.asdict(row), snapshot=snapshot, took_ms=took_ms, workers=workers)


def _name_of(row: DeploymentRow | None) -> str:
    return f"{row.model}:{row.live}" if row is not None else "nothing"
