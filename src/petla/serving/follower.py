"""The follower of one worker: loads what a newer snapshot names beside what serves, then exchanges one reference.

- What serves is never touched by loading: a thread loads, verifies and warms; the exchange happens between two turns
  of the loop.
- A snapshot of which a champion, an arm or a shadow cannot be loaded leaves everything as it is, and the
  acknowledgement says why. The next number is tried again.
- Only where nothing serves yet, after a start, the models that can be loaded serve without the others, and a champion
  serves without the arms that cannot be loaded.
- The version that stands by stays loaded, so that a rollback loads nothing.
- What becomes of each version is said as it happens: loaded, warmed, verified, live, draining, standby.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from petla.core.clock import to_text
from petla.core.ids import uuid7_batches
from petla.decisions.record import Decision
from petla.deployments.server import write_acknowledgement
from petla.deployments.snapshot import (
    Acknowledgement,
    Route,
    Snapshot,
    Variant,
    VersionStage,
    VersionStatus,
    read_snapshot,
    snapshot_path,
    variants_of,
)
from petla.models.package import load_version
from petla.models.runtime.running import check_golden, open_runtime
from petla.serving.doors.inputs.pictures import require_pillow
from petla.serving.doors.inputs.subjects import SubjectSchema
from petla.serving.doors.schema import Schema
from petla.serving.metrics import Metrics
from petla.serving.path.lane import Lane, Loaded
from petla.serving.path.protection import LaneMaker
from petla.serving.path.request import Request
from petla.serving.path.service import Service
from petla.serving.path.shadow import Shadow
from petla.serving.plane import Plane
from petla.serving.recorder import Recorder
from petla.serving.stages import Stages
from petla.storage.objects import ObjectStore
from petla.storage.signing import Keyring

logger = logging.getLogger(__name__)

# is told how far a version has come
Tell = Callable[[str, Variant, VersionStage], None]

POLL_S = 0.02
_PUBLISH_EVERY_S = 1.0


class _ShadowKey(NamedTuple):
    model: str
    # versions that were made alike have the same package, and answer under numbers of their own
    variant: Variant
    share: float


class _Loading(msgspec.Struct, frozen=True):
    """What came of loading a snapshot."""

    # digest of the package -> what was loaded
    versions: dict[str, Loaded]
    # model -> why its champion cannot serve
    failures: dict[str, str]
    # why versions cannot run beside their champions
    lacking: list[str]

    @property
    def error(self) -> str:
        """All that cannot be served; empty: everything can."""
        return "; ".join([*self.failures.values(), *self.lacking])


class Follower:
    """Lets a worker serve the newest snapshot.

    Args:
        state: the state folder.
        plane: whose services are exchanged.
        recorder: for the services.
        metrics: for the services.
        longest_wait_s: as `Lane` has it.
    """

    def __init__(
        self, state: Path, plane: Plane, recorder: Recorder, metrics: Metrics, *, longest_wait_s: float = 1.0
    ) -> None:
        self._state = state
        self._plane = plane
        self._recorder = recorder
        self._metrics = metrics
        self._longest_wait_s = longest_wait_s
        self._objects = ObjectStore(state / "objects")
        self._keys = Keyring(state / "keys")
        self._make_ids = uuid7_batches()
        self._path = snapshot_path(state)
        self._stamp: tuple[int, int] | None = None
        self._seen = 0
        self._serving = 0
        self._versions: dict[str, Loaded] = {}
        self._services: dict[str, Service] = {}
        # the shadows that run
        self._shadows: dict[_ShadowKey, Shadow] = {}
        # while services are exchanged, those that ran before
        self._shadows_before: dict[_ShadowKey, Shadow] = {}
        self._stages = Stages(self._say_stages)
        self._said = Acknowledgement(worker=recorder.worker, pid=os.getpid(), serving=0, seen=0, at="")
        self._retiring: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Load the present snapshot, if there is one, and say so."""
        if not await self.look():
            self._acknowledge()

    async def follow(self) -> None:
        """Look for another snapshot for ever, and publish the metrics."""
        published = 0.0
        while True:
            await self.look()
            if time.monotonic() - published >= _PUBLISH_EVERY_S:
                with _kept_going():
                    self._metrics.publish()
                published = time.monotonic()
            await asyncio.sleep(POLL_S)

    async def look(self) -> bool:
        """Take up another snapshot, if there is one; return whether there was."""
        snapshot = self._find_snapshot()
        if snapshot is None:
            return False
        begun = time.perf_counter()
        loading = await asyncio.to_thread(self._load, snapshot, asyncio.get_running_loop())
        self._seen = snapshot.number
        load_ms = (time.perf_counter() - begun) * 1e3
        error = loading.error
        if error and self._serving:
            await self._close([v for digest, v in loading.versions.items() if digest not in self._versions])
            self._stages.settle(self._versions)
            self._acknowledge(load_ms=load_ms, error=error)
            logger.error("snapshot.refused", extra={"number": snapshot.number, "reason": error})
            return True
        swap_ms = self._swap(snapshot, loading)
        self._acknowledge(load_ms=load_ms, swap_ms=swap_ms, error=error)
        return True

    def close(self) -> None:
        """Give back what the loaded versions hold."""
        for loaded in self._versions.values():
            loaded.runtime.close()

    def _find_snapshot(self) -> Snapshot | None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        stamp = status.st_mtime_ns, status.st_ino
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            snapshot = read_snapshot(self._state)
        except msgspec.DecodeError as error:
            self._acknowledge(error=f"{self._path} is damaged: {error}")
            return None
        return None if snapshot is None or snapshot.number == self._seen else snapshot

    def _load(self, snapshot: Snapshot, loop: asyncio.AbstractEventLoop) -> _Loading:
        """Load, verify and warm what is not loaded yet; on a thread."""
        versions: dict[str, Loaded] = {}
        failures: dict[str, str] = {}
        lacking: list[str] = []

        def tell(model: str, variant: Variant, stage: VersionStage) -> None:
            loop.call_soon_threadsafe(self._stages.tell, VersionStatus(model, variant.version, stage))

        for model, route in snapshot.routes.items():
            for variant in variants_of(route):
                try:
                    known = self._versions.get(variant.package) or versions.get(variant.package)
                    versions[variant.package] = known or self._open(model, variant, route, tell)
                except Exception as error:
                    # Whatever it is: what serves goes on, and the worker does not die of a version that it cannot load.
                    named = {"model": model, "version": variant.version, "reason": str(error)}
                    logger.warning("version.refused", extra=named)
                    reason = f"model {model}:{variant.version}: {error}"
                    if variant is route.live:
                        failures[model] = reason
                    elif variant is not route.standby:
                        lacking.append(reason)
        return _Loading(versions, failures, lacking)

    def _open(self, model: str, variant: Variant, route: Route, tell: Tell) -> Loaded:
        package = load_version(self._objects, self._keys, variant.package, model, variant.version)
        schema = Schema(package.signature)
        if schema.pictures:
            require_pillow()
        runtime = open_runtime(package, self._objects, limits=route.policy.serving)
        try:
            tell(model, variant, VersionStage.LOADED)
            for golden in package.golden[:1]:
                runtime.score([golden.row])
            tell(model, variant, VersionStage.WARMED)
            check_golden(package, runtime)
            tell(model, variant, VersionStage.VERIFIED)
        except BaseException:
            runtime.close()
            raise
        return Loaded(variant.version, package, runtime, schema)

    def _swap(self, snapshot: Snapshot, loading: _Loading) -> float:
        begun = time.perf_counter()
        before, self._shadows_before = self._versions, self._shadows
        lanes_before = [lane for service in self._services.values() for lane in service.lanes]
        self._versions, self._shadows = loading.versions, {}
        self._services = {
            model: self._make_service(model, route)
            for model, route in snapshot.routes.items()
            if model not in loading.failures
        }
        self._plane.failing = loading.failures
        if not loading.failures:
            self._serving = self._metrics.snapshot_number = snapshot.number
        self._plane.not_ready = "; ".join(loading.failures.values()) or _explain_empty(snapshot)
        self._plane.exchange(self._services)
        swap_ms = (time.perf_counter() - begun) * 1e3
        gone = [loaded for digest, loaded in before.items() if digest not in self._versions]
        shadows = [shadow for key, shadow in self._shadows_before.items() if key not in self._shadows]
        # NOTE: a model's memory goes with the last that refers to it.
        self._shadows_before = {}
        self._stages.drain(snapshot, self._versions)
        task = asyncio.get_running_loop().create_task(self._retire(gone, lanes_before, shadows))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
        return swap_ms

    def _make_service(self, model: str, route: Route) -> Service:
        counts, wait_s = self._metrics.of(model), self._longest_wait_s
        maker = LaneMaker(route, self._versions, self._recorder, counts, self._make_ids, wait_s)
        champion = maker.make_champion()
        if route.shadow is not None:
            champion.mirror = self._find_mirror(model, route.shadow.variant, route.shadow.share)
        about = None
        if route.subject:
            about = SubjectSchema(self._versions[route.live.package].package.signature, route.subject)
        arms = []
        for arm in route.split.arms if route.split is not None else ():
            # the champion answers for an arm that could not be loaded
            lane = maker.make_arm(arm.variant, arm.name) if arm.variant.package in self._versions else champion
            if lane is not champion:
                lane.mirror = self._find_mirror(model, route.live, 1.0, is_shared=True)
            arms.append((lane, arm.share))
        salt = route.split.salt if route.split is not None else ""
        return Service(champion, salt=salt, arms=arms, about=about, named=maker.make_named())

    def _find_mirror(
        self, model: str, variant: Variant, share: float, *, is_shared: bool = False
    ) -> Callable[[Sequence[Decision], Sequence[Request]], None] | None:
        """Return what lets a version answer once more what others answered; one that runs goes on with what it has."""
        if variant.package not in self._versions:
            return None
        key = _ShadowKey(model, variant, share)
        shadow = self._shadows.get(key) or self._shadows_before.get(key)
        if shadow is None:
            loaded = self._versions[variant.package]._replace(version=variant.version)
            shadow = Shadow(loaded, share, self._recorder, self._metrics.of(model), is_shared=is_shared)
        self._shadows[key] = shadow
        return shadow.mirror

    async def _retire(self, gone: list[Loaded], lanes: list[Lane], shadows: list[Shadow]) -> None:
        """Close versions once the last request that they were asked is answered."""
        for lane in lanes:
            await lane.drained()
        for shadow in shadows:
            await shadow.close()
        await self._close(gone)
        self._stages.settle(self._versions)

    async def _close(self, gone: list[Loaded]) -> None:
        for loaded in gone:
            await asyncio.to_thread(loaded.runtime.close)

    def _say_stages(self, versions: tuple[VersionStatus, ...]) -> None:
        """Say how far the versions have come, without another word about the snapshot."""
        self._write(msgspec.structs.replace(self._said, versions=versions))

    def _acknowledge(self, *, load_ms: float = 0.0, swap_ms: float = 0.0, error: str = "") -> None:
        said = Acknowledgement(
            worker=self._recorder.worker,
            pid=os.getpid(),
            serving=self._serving,
            seen=self._seen,
            at=to_text(datetime.now(UTC)),
            load_ms=load_ms,
            swap_ms=swap_ms,
            error=error,
            versions=self._stages.list(),
        )
        self._write(said)

    def _write(self, said: Acknowledgement) -> None:
        self._said = said
        with _kept_going():
            write_acknowledgement(self._state, said)


@contextlib.contextmanager
def _kept_going() -> Iterator[None]:
    """Go on serving where a note about oneself cannot be written, such as with a full disk."""
    try:
        yield
    except OSError as error:
        logger.warning("note.lost", extra={"reason": str(error)})


def _explain_empty(snapshot: Snapshot) -> str:
    return "" if snapshot.routes else "nothing is deployed; next: petla deploy MODEL:VERSION"
