"""Online serving: our workers beside a bare uvicorn echo and, when asked, beside other model servers, in one run.

The model is a scikit-learn pipeline (scaler, one-hot, gradient boosting with 100 trees) on 20 numbers and 5 texts, one
JSON object a request; everything is on: validation, decision in the spool before the answer, counts. Load comes from
`wrk` where it is installed, else from a loop of our own, which is slower than either server. All servers are measured
in turn, round by round, so that a busy moment of the machine meets all of them.

    python benchmarks/serving.py [--seconds 2] [--rounds 5] [--workers 1 2] [--peers] [--install] [--json]
"""

import argparse
import contextlib
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.online.load import Figure, find_port, measure, measure_grpc, read_memory_mib
from benchmarks.online.model import MODEL, make_row, make_version
from benchmarks.online.peers import PEERS, Shape, as_object, install, is_installed, run_peer
from benchmarks.online.remote import make_message

# connections, rows a request
LOADS = ((1, 1), (16, 1), (64, 1), (16, 100))
GRPC_CONNECTIONS = 16
ECHO_NAME = "bare uvicorn echo"
PROJECT = f"""
[project]
name = "benchmark"

[models.{MODEL}]
target = "is_fraud"

[serving]
port = 0
"""
ECHO = """
import sys
import uvicorn

async def app(scope, receive, send):
    body = (await receive())["body"]
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

uvicorn.run(app, fd=int(sys.argv[1]), loop="uvloop", http="httptools", ws="none", lifespan="off", access_log=False,
            log_level="error", server_header=False, date_header=False, proxy_headers=False)
"""


class Contender(NamedTuple):
    """A server that answers."""

    name: str
    url: str
    shape: Shape
    pids: tuple[int, ...]
    cold_start_s: float = 0.0
    # where it answers over gRPC; empty: nowhere
    grpc: str = ""


def main() -> None:
    options = _parse()
    if options.install:
        install()
    with contextlib.ExitStack() as stack:
        contenders = list(_start_all(stack, options))
        rounds = [
            {load: _measure_all(contenders, load, options.seconds) for load in LOADS} for _ in range(options.rounds)
        ]
        over_grpc = {
            each.name: measure_grpc(each.grpc, make_message(MODEL, make_row()), GRPC_CONNECTIONS, options.seconds)
            for each in contenders
            if each.grpc
        }
        memory = {each.name: round(max(map(read_memory_mib, each.pids))) for each in contenders}
    result = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}",
        "servers": {
            each.name: {
                "figures": [msgspec.to_builtins(_median(rounds, load, each.name)) for load in _loads_of(each)],
                "of_echo": {f"c{n}": _ratio(rounds, (n, 1), each.name, ECHO_NAME) for n in (1, 16, 64)},
                "memory_mib": memory[each.name],
                "cold_start_s": round(each.cold_start_s, 2),
                "grpc": msgspec.to_builtins(over_grpc[each.name]) if each.name in over_grpc else None,
            }
            for each in contenders
        },
    }
    print(json.dumps(result) if options.json else show(result))


def show(result: dict[str, Any]) -> str:
    """Write a table: a line for each server, requests a second and their times."""
    head = f"{'':28}" + "".join(f"{name:>9}" for name in ("c1", "c16", "c64", "100r"))
    head += "".join(f"{name:>10}" for name in ("p50 c1", "p50 c16", "p99 c16", "p99 c64"))
    head += f"{'failed':>8}{'MiB':>6}{'cold s':>8}   of the echo c1, c16, c64"
    lines = [f"{result['at']}; {result['machine']}", head]
    for name, of in result["servers"].items():
        by_load = {(figure["connections"], figure["rows"]): figure for figure in of["figures"]}
        rates = "".join(f"{by_load[load]['requests_per_s']:9,.0f}" if load in by_load else f"{'':9}" for load in LOADS)
        times = ((1, "p50_ms"), (16, "p50_ms"), (16, "p99_ms"), (64, "p99_ms"))
        line = f"{name:28}{rates}" + "".join(f"{by_load[n, 1][key]:10.2f}" for n, key in times)
        line += f"{sum(figure['failed'] for figure in of['figures']):8}{of['memory_mib']:6}{of['cold_start_s']:8.2f}   "
        lines.append(line + ", ".join(f"{ratio:.2f}" for ratio in of["of_echo"].values()))
    return "\n".join([*lines, *_compare(result["servers"])])


def _compare(servers: dict[str, Any]) -> Iterator[str]:
    """Say how many times the best of the others we are, and what a second worker brings."""
    ours = servers["petla"]
    others = [of for name, of in servers.items() if not name.startswith("petla") and name != ECHO_NAME]
    for index, (connections, rows) in enumerate(LOADS) if others else ():
        mine = ours["figures"][index]
        best = max(of["figures"][index]["requests_per_s"] for of in others)
        p50 = min(of["figures"][index]["p50_ms"] for of in others)
        yield (
            f"{connections} connections, {rows} rows: {mine['requests_per_s'] / best:.1f} times the best other's rate, "
            f"{p50 / mine['p50_ms']:.1f} times shorter at the median"
        )
    for name, of in servers.items():
        if name.startswith("petla,"):
            yield from _scale(name, ours["figures"], of["figures"])
        if of["grpc"]:
            figure = of["grpc"]
            rate, cores = figure["requests_per_s"], figure["load_cores"]
            yield (
                f"{name}, gRPC, {GRPC_CONNECTIONS} connections: {rate:,} requests/s, p50 {figure['p50_ms']:.1f} ms, "
                f"{figure['failed']} failed; its client took {cores:.2f} cores"
            )


def _scale(name: str, one: list[dict[str, Any]], several: list[dict[str, Any]]) -> Iterator[str]:
    """Say what more workers bring, and what they can bring beside the load tool, which needs cores as well."""
    cores = os.cpu_count() or 1
    for index in (2, 3):
        alone, together = one[index], several[index]
        gain = together["requests_per_s"] / alone["requests_per_s"]
        most = cores / (1 + alone["load_cores"])
        yield (
            f"{name}: {gain:.2f} times one with {alone['connections']} connections and {alone['rows']} rows, of "
            f"{most:.2f} that {cores} cores have for them beside the load tool"
        )


def _measure_all(contenders: list[Contender], load: tuple[int, int], seconds: int) -> dict[str, Figure]:
    connections, rows = load
    return {
        each.name: measure(each.url, each.shape([make_row()] * rows), rows, connections, seconds)
        for each in contenders
        if load in _loads_of(each)
    }


def _loads_of(contender: Contender) -> tuple[tuple[int, int], ...]:
    # what the echo would do with 100 rows says nothing
    return LOADS[:3] if contender.name == ECHO_NAME else LOADS


def _median(rounds: list[dict[tuple[int, int], dict[str, Figure]]], load: tuple[int, int], name: str) -> Figure:
    """Return the round with the median rate, and all failures."""
    figures = sorted((each[load][name] for each in rounds), key=lambda figure: figure.requests_per_s)
    failed = sum(figure.failed for figure in figures)
    return msgspec.structs.replace(figures[len(figures) // 2], failed=failed)


def _ratio(rounds: list[dict[tuple[int, int], dict[str, Figure]]], load: tuple[int, int], name: str, to: str) -> float:
    """Return the median of the ratios within the rounds."""
    ratios = (each[load][name].requests_per_s / each[load][to].requests_per_s for each in rounds)
    return float(round(statistics.median(ratios), 2))


def _start_all(stack: contextlib.ExitStack, options: argparse.Namespace) -> Iterator[Contender]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
    yield stack.enter_context(run_echo())
    for workers in options.workers:
        yield stack.enter_context(run_ours(folder / f"petla-{workers}", workers, folder / "model.pickle"))
    for number, peer in enumerate(PEERS if options.peers or options.install else ()):
        if not is_installed(peer):
            raise SystemExit(f"{peer.package} is not there; install the peers once with --install")
        running = stack.enter_context(run_peer(peer, folder / "model.pickle", folder / f"peer-{number}", make_row()))
        yield Contender(peer.name, running.url, peer.shape, (running.pid,), running.cold_start_s, running.grpc)


@contextlib.contextmanager
def run_echo() -> Iterator[Contender]:
    with socket.socket() as listening:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.bind(("127.0.0.1", 0))
        listening.listen(2048)
        port = listening.getsockname()[1]
        descriptor = listening.fileno()
        begun = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-c", ECHO, str(descriptor)], pass_fds=(descriptor,))
        try:
            _wait_for(port)
            cold_start_s = time.perf_counter() - begun
            yield Contender(ECHO_NAME, f"http://127.0.0.1:{port}/", as_object, (process.pid,), cold_start_s)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


@contextlib.contextmanager
def run_ours(folder: Path, workers: int, pickled: Path) -> Iterator[Contender]:
    """Train, package and deploy the model, start the server; memory is counted for each worker."""
    from petla.core.project import decode_project
    from petla.core.settings import Settings
    from petla.deployments.deploy import deploy
    from petla.deployments.server import list_acknowledgements
    from petla.serving.supervisor import Supervisor
    from petla.storage.workspace import Workspace

    folder.mkdir()
    grpc_port = find_port()
    ws = Workspace(
        folder, decode_project(f"{PROJECT}grpc_port = {grpc_port}\n"), Settings(actor="benchmark", workers=workers)
    )
    deploy(ws, MODEL, make_version(ws, pickled), actor="benchmark")
    supervisor = Supervisor(ws)
    begun = time.perf_counter()
    supervisor.start()
    try:
        url = supervisor.wait_ready()
        _wait_for(supervisor.server.port, f"/predict/{MODEL}", json.dumps(make_row()))
        cold_start_s = time.perf_counter() - begun
        pids = tuple(each.pid for each in list_acknowledgements(ws.state))
        name = "petla" if workers == 1 else f"petla, {workers} workers"
        grpc = f"127.0.0.1:{grpc_port}"
        yield Contender(name, f"{url}/predict/{MODEL}", as_object, pids, cold_start_s, grpc)
    finally:
        supervisor.stop()


def _wait_for(port: int, path: str = "/", body: str = "{}") -> None:
    import http.client

    deadline = time.monotonic() + 30
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("POST", path, body)
            connection.getresponse().read()
            connection.close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each server under each load")
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[1], help="a server of ours for each; 1 is always there"
    )
    parser.add_argument("--peers", action="store_true", help="LitServe, BentoML and MLServer beside us")
    parser.add_argument("--install", action="store_true", help="install them first, under build/peers")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.workers = sorted({1, *options.workers})
    return options


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
