"""Load from `wrk` or over gRPC, a port to ask at, and what a process takes of the machine."""

import asyncio
import contextlib
import json
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

REMOTE = Path(__file__).with_name("remote.py")
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
    # cores that the load tool took
    load_cores: float = 0.0


def measure(url: str, body: object, n_rows: int, connections: int, seconds: int) -> Figure:
    content = json.dumps(body)
    load = _load_with_wrk if shutil.which("wrk") else _load_with_loop
    return _figure(n_rows, connections, lambda: load(url, content, connections, seconds))


def measure_grpc(address: str, message: bytes, connections: int, seconds: int) -> Figure:
    """Ask over gRPC, with one row a request."""
    return _figure(1, connections, lambda: _load_with_grpc(address, message, connections, seconds))


def find_port() -> int:
    """Return a port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def read_memory_mib(pid: int) -> float:
    """Return the memory of a process and all that it started, shared pages counted once (PSS)."""
    total = 0
    for process in _family(pid):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{process}/smaps_rollup").read_text("utf-8").splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def _figure(n_rows: int, connections: int, load: Callable[[], dict[str, Any]]) -> Figure:
    before = _children_s()
    raw = load()
    cores = (_children_s() - before) / raw["seconds"]
    p50, p99 = (round(raw[name], 3) for name in ("p50_ms", "p99_ms"))
    return Figure(connections, n_rows, round(raw["requests"] / raw["seconds"]), p50, p99, raw["failed"], cores)


def _children_s() -> float:
    """Return the processor time of children that have ended, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _family(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(child) for task in tasks for child in task.read_text("utf-8").split()]
    return [pid, *(each for child in found for each in _family(child))]


def _load_with_wrk(url: str, content: str, connections: int, seconds: int) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(LOAD.replace("BODY", content))
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script.name, url]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def _load_with_grpc(address: str, message: bytes, connections: int, seconds: int) -> dict[str, Any]:
    command = [sys.executable, str(REMOTE), address, str(connections), str(seconds)]
    done = subprocess.run(command, input=message, capture_output=True, check=True)
    return dict(json.loads(done.stdout))


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
