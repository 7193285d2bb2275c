"""What guards cost a request: the way from its body to its recorded answer, with and without them, in turns.

The model of `serving.py` (100 trees on 20 numbers and 5 texts), one row a request, sixteen requests in each turn of the
loop, without HTTP. With guards: range, unseen, missing, prediction and confidence, and one rule of one's own; every row
is as usual.

    python benchmarks/guards.py [--rounds 15]
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

if TYPE_CHECKING:
    from petla.data.profile.columns import Profile

TOGETHER = 16
TURNS = 150
PROJECT = """
[project]
name = "benchmark"
[models.fraud]
target = "is_fraud"
"""
GUARDS = """
[models.fraud.guards]
range.action = "flag"
unseen.action = "review"
missing.action = "flag"
prediction.action = "flag"
confidence = { action = "review", band = 0.0001 }
rules = [{ name = "own", when = "number_3 > 1000 and text_0 == 'x'", action = "flag" }]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        off, on = asyncio.run(compare(Path(folder), rounds))
    ratio = statistics.median(b / a for a, b in zip(off, on, strict=True))
    print(f"a request without guards {statistics.median(off):6.1f} us")
    print(f"a request with guards    {statistics.median(on):6.1f} us, {ratio:.3f} times")


async def compare(folder: Path, rounds: int) -> tuple[list[float], list[float]]:
    from benchmarks.online.model import make_row, make_version

    from petla.core.ids import uuid7_batches
    from petla.core.project import Policy, decode_project
    from petla.core.settings import Settings
    from petla.models.package import load_package
    from petla.models.registry import get_version
    from petla.models.runtime.running import open_runtime
    from petla.serving.doors.schema import Schema
    from petla.serving.metrics import Metrics
    from petla.serving.path.lane import Lane, Loaded
    from petla.serving.path.request import Call, Request
    from petla.serving.recorder import Recorder
    from petla.storage.workspace import Workspace

    ws = Workspace(folder, decode_project(PROJECT), Settings(actor="benchmark"))
    package = load_package(ws.objects, ws.keys, get_version(ws, "fraud", make_version(ws, folder / "model")).package)
    package = msgspec.structs.replace(package, profile=make_profile())
    schema = Schema(package.signature)
    loaded = Loaded(1, package, open_runtime(package, ws.objects), schema)
    metrics = Metrics("0", folder)
    recorder = Recorder(folder, "0", "process", metrics)
    body = json.dumps(make_row()).encode()

    def make_lane(policy: Policy) -> Lane:
        lane = Lane(loaded, package.answer, recorder, metrics.of("fraud"), uuid7_batches())
        lane.protect(policy, (), "champion")
        return lane

    async def ask(lane: Lane) -> None:
        rows, is_many = schema.decode(body)
        await lane.answer(Request(rows, Call(time.time_ns()), is_many=is_many))

    async def measure(lane: Lane) -> float:
        begun = time.process_time()
        for _ in range(TURNS):
            await asyncio.gather(*(ask(lane) for _ in range(TOGETHER)))
        return (time.process_time() - begun) / (TURNS * TOGETHER) * 1e6

    lanes = make_lane(Policy()), make_lane(decode_project(PROJECT + GUARDS).models["fraud"].policy)
    for lane in lanes:
        await measure(lane)
    times = [(await measure(lanes[0]), await measure(lanes[1])) for _ in range(rounds)]
    if metrics.of("fraud").flagged:
        raise SystemExit(f"rows were flagged: {metrics.of('fraud').flagged}")
    recorder.close()
    off, on = zip(*times, strict=True)
    return list(off), list(on)


def make_profile() -> "Profile":
    from benchmarks.online.model import N_NUMBERS, N_STRINGS

    from petla.data.profile.columns import ColumnProfile, Kind, Profile

    known: dict[str, Any] = {"rows": 4_000, "missing": 0}
    numbers = [
        ColumnProfile(name=f"number_{i}", kind=Kind.NUMBER, distinct=4_000, minimum=-4.0, maximum=4.0, **known)
        for i in range(N_NUMBERS)
    ]
    texts = [
        ColumnProfile(name=f"text_{i}", kind=Kind.CATEGORY, distinct=6, categories=tuple("abcdef"), **known)
        for i in range(N_STRINGS)
    ]
    return Profile(rows=4_000, columns=(*numbers, *texts))


if __name__ == "__main__":
    main()
