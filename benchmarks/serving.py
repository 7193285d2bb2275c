"""Online serving: our worker beside a bare uvicorn echo, in the same run.

The model is a scikit-learn pipeline (scaler, one-hot, gradient boosting with 100 trees) on 20 numbers and 5 texts, one
JSON object a request; everything is on: validation, decision in the spool before the answer, counts. Load comes from
`wrk` where it is installed, else from a loop of our own, which is slower than either server.

    python benchmarks/serving.py [--seconds 2] [--workers 1] [--json]
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from petla.models.signature import Signature
    from petla.storage.workspace import Workspace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

MODEL = "fraud"
ROUNDS = 5
N_NUMBERS, N_STRINGS = 20, 5
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
LOAD = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = [==[BODY]==]
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "failed": %d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


class Figure(msgspec.Struct, frozen=True):
    """One measurement."""

    connections: int
    rows: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    failed: int


def main() -> None:
    options = _parse()
    row = make_row()
    with (
        tempfile.TemporaryDirectory() as folder,
        run_echo() as echo_url,
        run_server(Path(folder), options.workers) as (url, cold_start_s, pids),
    ):
        door = f"{url}/predict/{MODEL}"
        pairs = [compare(echo_url + "/", door, row, n, options.seconds) for n in (1, 16, 64)]
        many = measure(door, [row] * 100, 16, options.seconds)
        memory_mib = max(map(read_memory_mib, pids))
    result = {
        "echo": [msgspec.to_builtins(echo) for echo, _, _ in pairs],
        "petla": [msgspec.to_builtins(ours) for _, ours, _ in pairs] + [msgspec.to_builtins(many)],
        "ratio_to_echo": {f"c{echo.connections}": ratio for echo, _, ratio in pairs},
        "memory_mib": round(memory_mib),
        "cold_start_s": round(cold_start_s, 2),
        "workers": options.workers,
    }
    print(json.dumps(result) if options.json else show(result))


def compare(echo_url: str, door: str, body: object, connections: int, seconds: int) -> tuple[Figure, Figure, float]:
    """Measure both in turn, so that a busy moment of the machine meets both; return medians, and that of the ratios."""
    rounds = [
        (measure(echo_url, body, connections, seconds), measure(door, body, connections, seconds))
        for _ in range(ROUNDS)
    ]
    echo, ours = (
        sorted(side, key=lambda figure: figure.requests_per_s)[ROUNDS // 2] for side in zip(*rounds, strict=True)
    )
    ratio = statistics.median(ours.requests_per_s / echo.requests_per_s for echo, ours in rounds)
    return echo, ours, round(ratio, 2)


def show(result: dict[str, Any]) -> str:
    lines = [f"{'':14}{'connections':>12}{'rows':>6}{'req/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'failed':>8}{'of echo':>9}"]
    for name in ("echo", "petla"):
        for figure in result[name]:
            ratio = result["ratio_to_echo"].get(f"c{figure['connections']}", "")
            shown = f"{ratio:>9}" if name == "petla" and figure["rows"] == 1 else ""
            lines.append(
                f"{name:14}{figure['connections']:12}{figure['rows']:6}{figure['requests_per_s']:10,.0f}"
                f"{figure['p50_ms']:9.3f}{figure['p99_ms']:9.2f}{figure['failed']:8}{shown}"
            )
    lines.append(
        f"{result['workers']} worker(s); {result['memory_mib']} MiB a worker; cold start {result['cold_start_s']} s"
    )
    return "\n".join(lines)


def make_row() -> dict[str, Any]:
    numbers = {f"number_{i}": round(0.1 * i - 0.7, 3) for i in range(N_NUMBERS)}
    return numbers | {f"text_{i}": "abc"[i % 3] for i in range(N_STRINGS)}


def measure(url: str, body: object, connections: int, seconds: int) -> Figure:
    content = json.dumps(body)
    n_rows = len(body) if isinstance(body, list) else 1
    load = _load_with_wrk if shutil.which("wrk") else _load_with_loop
    raw = load(url, content, connections, seconds)
    rate = raw["requests"] / raw["seconds"]
    return Figure(connections, n_rows, round(rate), round(raw["p50_ms"], 3), round(raw["p99_ms"], 3), raw["failed"])


@contextlib.contextmanager
def run_echo() -> Iterator[str]:
    with socket.socket() as listening:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.bind(("127.0.0.1", 0))
        listening.listen(2048)
        port = listening.getsockname()[1]
        descriptor = listening.fileno()
        process = subprocess.Popen([sys.executable, "-c", ECHO, str(descriptor)], pass_fds=(descriptor,))
        try:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


@contextlib.contextmanager
def run_server(folder: Path, workers: int) -> Iterator[tuple[str, float, list[int]]]:
    """Train, package and deploy the model, start the server; yield address, cold start, and the workers' pids."""
    from petla.core.project import decode_project
    from petla.core.settings import Settings
    from petla.deployments.deploy import deploy
    from petla.deployments.server import list_acknowledgements
    from petla.serving.supervisor import Supervisor
    from petla.storage.workspace import Workspace

    ws = Workspace(folder, decode_project(PROJECT), Settings(actor="benchmark", workers=workers))
    deploy(ws, MODEL, make_version(ws), actor="benchmark")
    supervisor = Supervisor(ws)
    begun = time.perf_counter()
    supervisor.start()
    try:
        url = supervisor.wait_ready()
        _wait_for(supervisor.server.port, f"/predict/{MODEL}", json.dumps(make_row()))
        cold_start_s = time.perf_counter() - begun
        yield url, cold_start_s, [each.pid for each in list_acknowledgements(ws.state)]
    finally:
        supervisor.stop()


def make_version(ws: "Workspace") -> int:
    """Train, convert and register the model; return its version."""
    import numpy as np
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    from petla.data.profile.columns import Kind
    from petla.models.conversion.convert import convert
    from petla.models.signature import InputField, Signature

    random = np.random.default_rng(7)
    numbers = {f"number_{i}": random.normal(size=4_000) for i in range(N_NUMBERS)}
    texts = {f"text_{i}": random.choice(list("abcdef"), size=4_000) for i in range(N_STRINGS)}
    frame = pd.DataFrame(numbers | texts)
    target = frame["number_0"] + (frame["text_0"] == "a") + random.normal(size=4_000) > 1
    columns = [
        ("scale", StandardScaler(), list(numbers)),
        ("encode", OneHotEncoder(handle_unknown="ignore"), list(texts)),
    ]
    pipeline = make_pipeline(ColumnTransformer(columns), GradientBoostingClassifier(n_estimators=100, random_state=7))
    pipeline.fit(frame, target)
    fields = [InputField(name, Kind.NUMBER, is_nullable=False) for name in numbers]
    fields += [InputField(name, Kind.CATEGORY, is_nullable=False) for name in texts]
    signature = Signature(inputs=tuple(fields), target="is_fraud", task="binary", classes=(False, True))
    conversion = convert(pipeline, signature)
    if not conversion.contents:
        raise SystemExit(f"the model did not convert: {conversion.reason}")
    return _register(ws, signature, conversion.contents[0])


def _register(ws: "Workspace", signature: "Signature", content: bytes) -> int:
    from petla.core.project import AnswerTable
    from petla.data.profile.columns import ColumnProfile, Kind, Profile
    from petla.models.package import ONNX_FILE, Package, Parity, store_package
    from tests.deployments.tiny import register

    package = Package(
        model=MODEL,
        kind="onnx",
        signature=signature,
        answer=AnswerTable(),
        profile=Profile(rows=0, columns=()),
        score_profile=ColumnProfile(name="score", kind=Kind.NUMBER, rows=0, missing=0, distinct=0),
        parity=Parity(rows=0, tolerance=0.0, largest_difference=0.0),
        golden=(),
        files={},
        requirements={},
    )
    return register(ws, package, store_package(ws, package, {ONNX_FILE: content}))


def _load_with_wrk(url: str, content: str, connections: int, seconds: int) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(LOAD.replace("BODY", content))
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script.name, url]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def _load_with_loop(url: str, content: str, connections: int, seconds: int) -> dict[str, Any]:
    return asyncio.run(_load(url, content.encode(), connections, seconds))


async def _load(url: str, content: bytes, connections: int, seconds: int) -> dict[str, Any]:
    host, _, rest = url.removeprefix("http://").partition(":")
    port, _, path = rest.partition("/")
    head = f"POST /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(content)}\r\n\r\n"
    end = time.perf_counter() + seconds
    times: list[float] = []
    failed = 0

    async def ask() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection(host, int(port))
        while (begun := time.perf_counter()) < end:
            writer.write(head.encode() + content)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            failed += b" 200 " not in answer.split(b"\r\n")[0]
            times.append(time.perf_counter() - begun)
        writer.close()

    await asyncio.gather(*(ask() for _ in range(connections)))
    times.sort()
    p50, p99 = (times[int(len(times) * share)] * 1e3 for share in (0.5, 0.99))
    return {"requests": len(times), "seconds": seconds, "p50_ms": p50, "p99_ms": p99, "failed": failed}


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


def read_memory_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement, of which there are five")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
