"""The follower: what it keeps of the versions that serve, and lets go of those that do not."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import MethodType

import pytest

from petla.deployments.beside.rollout import RolloutKind, plan_canary, plan_shadow
from petla.deployments.beside.rollouts import start, stop
from petla.serving.follower import Follower
from petla.serving.metrics import Metrics
from petla.serving.plane import Plane
from petla.serving.recorder import Recorder
from petla.storage.workspace import Workspace
from tests.deployments.tiny import MODEL, add_version, open_live_shop


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    return open_live_shop(tmp_path)


@pytest.fixture
def plane(shop: Workspace) -> Iterator[Plane]:
    metrics = Metrics("0", shop.state)
    recorder = Recorder(shop.state, "0", "process", metrics)
    yield Plane(recorder, metrics)
    recorder.close()


def test_shadow_that_ended_is_let_go(shop: Workspace, plane: Plane) -> None:
    follower = Follower(shop.state, plane, plane.recorder, plane.metrics)

    async def follow() -> None:
        start(shop, MODEL, plan_shadow(2), actor="ada")
        await follower.look()
        mirror = plane.services[MODEL].champion.mirror
        assert isinstance(mirror, MethodType)
        shadow = weakref.ref(mirror.__self__)
        del mirror
        stop(shop, MODEL, kind=RolloutKind.SHADOW, actor="ada", reason="seen enough")
        await follower.look()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        gc.collect()
        assert shadow() is None

    asyncio.run(follow())
    follower.close()


def test_versions_that_were_made_alike_answer_once_more_under_their_own_numbers(shop: Workspace, plane: Plane) -> None:
    follower = Follower(shop.state, plane, plane.recorder, plane.metrics)
    twin = add_version(shop, -4.0)
    start(shop, MODEL, plan_canary(2, (0.5,)), actor="ada")
    start(shop, MODEL, plan_shadow(twin), actor="ada")

    asyncio.run(follower.look())

    assert len({lane.mirror for lane in plane.services[MODEL].lanes if lane.mirror is not None}) == 2
    follower.close()
