"""Versions beside the champion, and swaps under full load: one worker, everything on, the model of `serving.py`.

- A shadow on all decisions: requests a second with it and without, in turn, as medians; how much it saw and dropped.
- A canary at 50%: the same.
- 100 rollbacks in a row under full load: failed requests, time from publishing to the last worker's word, memory before
  and after.

    python benchmarks/rollouts.py [--seconds 2] [--rounds 5] [--swaps 100] [--json]
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.online.load import measure, read_memory_mib
from benchmarks.online.model import MODEL, make_row, make_version
from benchmarks.serving import PROJECT

if TYPE_CHECKING:
    from petla.deployments.beside.rollout import Plan
    from petla.storage.workspace import Workspace

CONNECTIONS = 16


def main() -> None:
    options = _parse()
    from petla.core.project import decode_project
    from petla.core.settings import Settings
    from petla.deployments.beside.rollout import plan_canary, plan_shadow
    from petla.deployments.deploy import deploy
    from petla.serving.supervisor import Supervisor
    from petla.storage.workspace import Workspace

    with tempfile.TemporaryDirectory() as folder:
        ws = Workspace(Path(folder), decode_project(PROJECT), Settings(actor="benchmark", workers=1))
        first, second = (make_version(ws, Path(folder) / "model.pickle") for _ in range(2))
        deploy(ws, MODEL, first, actor="benchmark")
        supervisor = Supervisor(ws)
        supervisor.start()
        try:
            door = f"{supervisor.wait_ready()}/predict/{MODEL}"
            result = {
                "shadow": compare(ws, door, plan_shadow(second), options),
                "canary at 50%": compare(ws, door, plan_canary(second, (0.5,)), options),
                "swaps": swap(ws, door, second, options.swaps),
            }
        finally:
            supervisor.stop()
    print(json.dumps(result, indent=2) if options.json else show(result))


def compare(ws: "Workspace", door: str, plan: "Plan", options: argparse.Namespace) -> dict[str, Any]:
    """Measure without and with a version beside the champion, in turn; return medians, and that of the ratios."""
    from petla.deployments.beside.rollouts import start, stop

    rounds = []
    seen = count_shadows(door)
    for _ in range(options.rounds):
        alone = measure(door, make_row(), 1, CONNECTIONS, options.seconds)
        start(ws, MODEL, plan, actor="benchmark")
        beside = measure(door, make_row(), 1, CONNECTIONS, options.seconds)
        stop(ws, MODEL, actor="benchmark")
        rounds.append((alone, beside))
    shadows = {name: n - seen.get(name, 0) for name, n in count_shadows(door).items()}
    return {
        "alone": statistics.median(alone.requests_per_s for alone, _ in rounds),
        "beside": statistics.median(beside.requests_per_s for _, beside in rounds),
        "kept": round(statistics.median(beside.requests_per_s / alone.requests_per_s for alone, beside in rounds), 3),
        "p50_ms": [statistics.median(figure.p50_ms for figure in side) for side in zip(*rounds, strict=True)],
        "p99_ms": [statistics.median(figure.p99_ms for figure in side) for side in zip(*rounds, strict=True)],
        "failed": sum(figure.failed for pair in rounds for figure in pair),
        "shadow_rows": shadows if any(shadows.values()) else {},
    }


def swap(ws: "Workspace", door: str, second: int, n_swaps: int) -> dict[str, Any]:
    """Deploy the second version and go back and forth while the load goes on."""
    from petla.deployments.deploy import deploy, rollback
    from petla.deployments.server import list_acknowledgements

    is_over = threading.Event()
    figures = []

    def ask() -> None:
        while not is_over.is_set():
            figures.append(measure(door, make_row(), 1, CONNECTIONS, 1))

    load = threading.Thread(target=ask)
    load.start()
    try:
        deploy(ws, MODEL, second, actor="benchmark")
        (said,) = list_acknowledgements(ws.state)
        before_mib = read_memory_mib(said.pid)
        took_ms = [
            rollback(ws, MODEL, actor="benchmark", reason="back and forth").took_ms or 0.0 for _ in range(n_swaps)
        ]
        after_mib = read_memory_mib(said.pid)
    finally:
        is_over.set()
        load.join()
    return {
        "n": n_swaps,
        "median_ms": round(statistics.median(took_ms), 1),
        "longest_ms": round(max(took_ms), 1),
        "requests": sum(round(figure.requests_per_s) for figure in figures),
        "failed": sum(figure.failed for figure in figures),
        "memory_mib": [round(before_mib, 1), round(after_mib, 1)],
    }


def count_shadows(door: str) -> dict[str, int]:
    import http.client

    host, _, port = door.removeprefix("http://").partition("/")[0].partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    found = (line.rsplit(" ", 1) for line in lines if line.startswith("petla_shadow_rows_total{"))
    return {name.split('outcome="')[1].split('"')[0]: int(n) for name, n in found}


def show(result: dict[str, Any]) -> str:
    lines = [f"{'':16}{'alone req/s':>12}{'beside':>10}{'kept':>7}{'p50 ms':>16}{'p99 ms':>16}{'failed':>8}"]
    for name in ("shadow", "canary at 50%"):
        found = result[name]
        p50, p99 = ("{:.2f} -> {:.2f}".format(*found[key]) for key in ("p50_ms", "p99_ms"))
        lines.append(
            f"{name:16}{found['alone']:12,.0f}{found['beside']:10,.0f}{found['kept']:7.2f}{p50:>16}{p99:>16}"
            f"{found['failed']:8}"
        )
    rows = result["shadow"]["shadow_rows"]
    lines.append(f"the shadow: {', '.join(f'{n:,} {name}' for name, n in rows.items())}")
    swaps = result["swaps"]
    lines.append(
        f"{swaps['n']} rollbacks under load: {swaps['median_ms']} ms (longest {swaps['longest_ms']} ms), "
        f"{swaps['failed']} of {swaps['requests']:,} requests failed; memory {swaps['memory_mib'][0]} -> "
        f"{swaps['memory_mib'][1]} MiB"
    )
    return "\n".join(lines)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="with and without, in turn")
    parser.add_argument("--swaps", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
