"""What a route makes of each version, and how versions move when one route follows another. Rules only.

The route is the one truth about what serves: the states of versions follow from the difference of two routes.
"""

import msgspec

from petla.deployments.snapshot import Route
from petla.models.states import State


def roles_of(route: Route | None) -> dict[int, State]:
    """Return the state of each version that has a place in a route; who stands by has none."""
    if route is None:
        return {}
    roles = {route.live.version: State.PRODUCTION}
    if route.split is not None:
        roles |= {arm.variant.version: State.CANARY for arm in route.split.arms}
    if route.shadow is not None:
        roles[route.shadow.variant.version] = State.SHADOW
    return roles


def list_moves(before: Route | None, after: Route | None, *, is_refused: bool = False) -> list[tuple[int, State]]:
    """Return the moves that lead from one route to another; whoever leaves its place moves first.

    A champion that leaves is retired, and so is a former one that ran beside the champion. One that the workers
    refused, and whoever else ran beside the champion, goes back to testing: it never served everybody.

    Args:
        before: what served.
        after: what is to serve.
        is_refused: the workers could not serve `before`.
    """
    then, now = roles_of(before), roles_of(after)
    standby = after.standby.version if after is not None and after.standby is not None else None
    former = _list_former(before)

    def off(version: int, role: State) -> State:
        has_served = role is State.PRODUCTION and (not is_refused or version == standby)
        return State.RETIRED if has_served or version in former else State.TESTING

    leaving = [(version, off(version, role)) for version, role in then.items() if version not in now]
    coming = [(version, role) for version, role in now.items() if then.get(version) is not role]
    return leaving + sorted(coming, key=lambda move: move[1] is State.PRODUCTION)


def take_back(before: Route | None, refused: Route) -> Route | None:
    """Return the route that serves again in the place of a refused one.

    What ran beside the champion goes on only where the refused route had it as well, and nothing that the refused route
    gave another place keeps its old one.
    """
    if before is None:
        return None
    moved = {version for version, role in roles_of(refused).items() if roles_of(before).get(version) is not role}
    split, shadow = before.split, before.shadow
    if split is not None:
        is_kept = refused.split is not None and refused.split.salt == split.salt
        split = split if is_kept and not moved & {arm.variant.version for arm in split.arms} else None
    if shadow is not None:
        is_kept = refused.shadow is not None and refused.shadow.variant == shadow.variant
        shadow = shadow if is_kept and shadow.variant.version not in moved else None
    return msgspec.structs.replace(before, split=split, shadow=shadow)


def _list_former(route: Route | None) -> set[int]:
    """Return the versions beside the champion that were champions before."""
    if route is None:
        return set()
    beside = [*(route.split.arms if route.split is not None else ()), *([route.shadow] if route.shadow else ())]
    return {each.variant.version for each in beside if each.was_champion}
