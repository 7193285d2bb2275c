"""What a plan gave so far, remembered in one small file: enough to go on after a crash, or to give the verdict again.

Light: read on every `petla run`, before anything heavy is imported.
"""

from pathlib import Path

import msgspec

from petla.core.digests import digest_value
from petla.core.project import ModelTable
from petla.gates.verdict import Verdict
from petla.models.states import State
from petla.pipeline.result import RunResult
from petla.storage.files import write_atomic

# NOTE: these are the snapshot's own names, `deployments.snapshot`, a room that gates may not import.
_SNAPSHOT = ("serving", "snapshot.json")


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """How far a plan has come."""

    run: RunResult
    # None: not judged yet
    verdict: Verdict | None = None
    state: State | None = None
    # of the version, on the holdout
    metrics: dict[str, float] = {}


class _Live(msgspec.Struct, frozen=True):
    version: int


class _Route(msgspec.Struct, frozen=True):
    live: _Live


class _Snapshot(msgspec.Struct, frozen=True):
    routes: dict[str, _Route]


def memory_path(state: Path, model: str, table: ModelTable, plan_key: str) -> Path:
    """Return where a plan is remembered; another limit in the project file is another plan."""
    key = digest_value({"plan": plan_key, "model": model, "table": table})
    return state / "cache" / "results" / f"{key}.json"


def recall(path: Path) -> Remembered | None:
    """Return what is remembered; None if nothing is, or it was written by another version of Pętla."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Remembered)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def remember(path: Path, remembered: Remembered) -> None:
    """Remember how far a plan has come.

    Raises:
        UnavailableError: the disk is full or may not be written.
    """
    write_atomic(path, msgspec.json.encode(remembered))


def find_live_version(state: Path, model: str) -> int | None:
    """Return the version that is published as live, or None."""
    try:
        snapshot = msgspec.json.decode(state.joinpath(*_SNAPSHOT).read_bytes(), type=_Snapshot)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    route = snapshot.routes.get(model)
    return None if route is None else route.live.version
