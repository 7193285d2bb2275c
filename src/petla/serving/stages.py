"""How far one worker has come with each version: loaded, warmed, verified, live, draining, standby."""

from collections.abc import Callable, Collection, Iterator

from petla.decisions.record import CHAMPION, STANDBY
from petla.deployments.snapshot import Route, Snapshot, VersionStage, VersionStatus

# the role of a version that answers unseen
_SHADOW = "shadow"


class Stages:
    """The stages of all versions of one worker.

    Args:
        say: told all of them whenever one changes.
    """

    def __init__(self, say: Callable[[tuple[VersionStatus, ...]], None]) -> None:
        self._say = say
        self._snapshot: Snapshot | None = None
        # model and version -> how far it has come
        self._stages: dict[tuple[str, int], VersionStatus] = {}

    def list(self) -> tuple[VersionStatus, ...]:
        """Return the stage of each version."""
        return tuple(self._stages.values())

    def tell(self, status: VersionStatus) -> None:
        """Note that a version has come further on its way to serving."""
        self._stages[status.model, status.version] = status
        self._say(self.list())

    def drain(self, snapshot: Snapshot, loaded: Collection[str]) -> None:
        """Note what is live from now on; what answered until now has some requests left.

        Args:
            snapshot: that is served from now on.
            loaded: digests of the packages that are in memory.
        """
        self._snapshot = snapshot
        live = {key: status for key, status in self._list_places(loaded) if status.stage is VersionStage.LIVE}
        left = [
            key
            for key, status in self._stages.items()
            if status.stage in (VersionStage.LIVE, VersionStage.DRAINING) and key not in live
        ]
        self._stages = live | {key: VersionStatus(*key, VersionStage.DRAINING) for key in left}

    def settle(self, loaded: Collection[str]) -> None:
        """Note what is live and what stands by, now that nothing drains."""
        self._stages = dict(self._list_places(loaded))
        self._say(self.list())

    def _list_places(self, loaded: Collection[str]) -> Iterator[tuple[tuple[str, int], VersionStatus]]:
        for model, route in self._snapshot.routes.items() if self._snapshot is not None else ():
            for role, version, package in _list_roles(route):
                if package in loaded:
                    stage = VersionStage.STANDBY if role == STANDBY else VersionStage.LIVE
                    yield (model, version), VersionStatus(model, version, stage, role)


def _list_roles(route: Route) -> Iterator[tuple[str, int, str]]:
    """Yield role, version and package; a version that has two places is named by the one that comes last."""
    arms = [(arm.name, arm.variant) for arm in route.split.arms] if route.split is not None else []
    shadow = route.shadow.variant if route.shadow is not None else None
    for role, variant in ((STANDBY, route.standby), (_SHADOW, shadow), *arms, (CHAMPION, route.live)):
        if variant is not None:
            yield role, variant.version, variant.package
