"""The snapshot: one immutable, numbered document that says what serves.

The control plane writes it; every worker reads it, loads, warms and verifies what is new, then swaps one reference.
Beside it lies one acknowledgement per worker, which says how far that worker has come.
"""

from enum import StrEnum
from pathlib import Path

import msgspec

from petla.core.project import AnswerTable, Policy

SERVING_FOLDER = "serving"
SNAPSHOT_FILE = "snapshot.json"
WORKERS_FOLDER = "workers"


class Variant(msgspec.Struct, frozen=True):
    """One version of a model, ready to load."""

    version: int
    # digest of the signed package in the object store
    package: str


class Arm(msgspec.Struct, frozen=True):
    """A version that answers a share of the subjects in the place of the champion."""

    # canary, or a name of the experiment's own
    name: str
    variant: Variant
    share: float
    # it was the champion before, and is retired again when it leaves
    was_champion: bool = False


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """How requests are divided; what no arm takes is the champion's."""

    # makes each experiment divide the subjects in its own way
    salt: str
    arms: tuple[Arm, ...]


class Shadow(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is asked what the champion was asked, after the answer has left."""

    variant: Variant
    # of the answered requests
    share: float = 1.0
    # as `Arm` has it
    was_champion: bool = False


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """What answers for one model."""

    live: Variant
    # stays loaded, so that a rollback is one swap
    standby: Variant | None = None
    answer: AnswerTable
    # field of a request that says whom it is about; empty: none
    subject: str = ""
    split: Split | None = None
    shadow: Shadow | None = None
    # limits, fallback and guards of the project file, as they were when this was published
    policy: Policy = msgspec.field(default_factory=Policy)


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What serves."""

    number: int
    project: str
    at: str
    routes: dict[str, Route]


class VersionStage(StrEnum):
    """How far a worker has come with a version; the order is that of its life."""

    # its package's signature and bytes are good, and its model is in memory
    LOADED = "loaded"
    # it has answered once
    WARMED = "warmed"
    # it answers its golden rows as it did when it was packaged
    VERIFIED = "verified"
    # it answers, or is the shadow
    LIVE = "live"
    # it is asked nothing new, and answers what it was asked
    DRAINING = "draining"
    # it stays in memory, so that a rollback loads nothing
    STANDBY = "standby"


class VersionStatus(msgspec.Struct, frozen=True):
    """One version in one worker."""

    model: str
    version: int
    stage: VersionStage
    # champion, standby, shadow, or the name of an arm; empty: none yet, or none any more
    role: str = ""


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """How far one worker has come."""

    worker: str
    pid: int
    # number of the snapshot that it serves; 0: none yet
    serving: int
    # number of the newest snapshot that it has seen
    seen: int
    at: str
    # milliseconds from seeing the snapshot to serving it, and of the swap alone
    load_ms: float = 0.0
    swap_ms: float = 0.0
    # why it does not serve what it has seen; empty: it does
    error: str = ""
    versions: tuple[VersionStatus, ...] = ()


def variants_of(route: Route) -> list[Variant]:
    """Return every version that must be loaded for a route, the champion first."""
    arms = [arm.variant for arm in route.split.arms] if route.split is not None else []
    shadow = route.shadow.variant if route.shadow is not None else None
    return [variant for variant in (route.live, *arms, route.standby, shadow) if variant is not None]


def snapshot_path(state: Path) -> Path:
    """Return where the snapshot lies in a state folder."""
    return state / SERVING_FOLDER / SNAPSHOT_FILE


def acknowledgements_folder(state: Path) -> Path:
    """Return where the workers' acknowledgements lie in a state folder."""
    return state / SERVING_FOLDER / WORKERS_FOLDER


def read_snapshot(state: Path) -> Snapshot | None:
    """Return the published snapshot, or None if nothing was ever deployed."""
    try:
        content = snapshot_path(state).read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(content, type=Snapshot)
