"""Installs and starts the peers: each in a virtual environment of its own under `build/peers`, one worker each."""

import contextlib
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.online.load import find_port

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parents[1] / "build" / "peers"
PACKAGES = {"litserve": "litserve==0.2.19", "bentoml": "bentoml==1.4.40", "mlserver": "mlserver==1.7.1"}

# a row -> the body of a request, in the peer's own form
Shape = Callable[[list[dict[str, Any]]], object]


class Peer(NamedTuple):
    """One way to serve the model."""

    name: str
    package: str
    # of the address
    path: str
    shape: Shape
    batch_size: int = 1


class Running(NamedTuple):
    """A peer that answers."""

    peer: Peer
    url: str
    cold_start_s: float
    pid: int
    # where it answers over gRPC; empty: nowhere
    grpc: str = ""


def as_object(rows: list[dict[str, Any]]) -> object:
    """LitServe takes what we define: one object, or a list."""
    return rows[0] if len(rows) == 1 else rows


def as_argument(rows: list[dict[str, Any]]) -> object:
    """BentoML takes an object with the arguments of the function."""
    return {"rows": rows}


def as_tensors(rows: list[dict[str, Any]]) -> object:
    """MLServer takes one tensor a column."""
    inputs = [
        {
            "name": name,
            "shape": [len(rows), 1],
            "datatype": "BYTES" if isinstance(value, str) else "FP64",
            "data": [row[name] for row in rows],
        }
        | ({"parameters": {"content_type": "str"}} if isinstance(value, str) else {})
        for name, value in rows[0].items()
    ]
    return {"parameters": {"content_type": "pd"}, "inputs": inputs}


PEERS = (
    Peer("LitServe", "litserve", "/predict", as_object),
    Peer("LitServe, batches of 64", "litserve", "/predict", as_object, 64),
    Peer("BentoML, adaptive batching", "bentoml", "/predict", as_argument, 100),
    Peer("MLServer", "mlserver", "/v2/models/fraud/infer", as_tensors),
    Peer("MLServer, batches of 64", "mlserver", "/v2/models/fraud/infer", as_tensors, 64),
)


def install() -> None:
    """Install the peers, with the scikit-learn and pandas that made the model."""
    same = [f"{name}=={importlib.metadata.version(name)}" for name in ("scikit-learn", "pandas")]
    for name, requirement in PACKAGES.items():
        folder = ENVIRONMENTS / name
        if not (folder / "bin" / "python").exists():
            venv.create(folder, with_pip=True)
            subprocess.run([folder / "bin" / "pip", "install", "-q", requirement, *same], check=True)


def is_installed(peer: Peer) -> bool:
    """Whether `install` was run."""
    return (ENVIRONMENTS / peer.package / "bin" / "python").exists()


@contextlib.contextmanager
def run_peer(peer: Peer, model: Path, folder: Path, row: dict[str, Any]) -> Iterator[Running]:
    """Start a peer and wait for its first answer; it is stopped at the end of the block."""
    folder.mkdir()
    port, grpc_port = find_port(), find_port()
    command, variables = _command(peer, model, folder, port, grpc_port)
    with (folder / "log").open("wb") as log:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | variables, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_for_answer(peer, port, row, process, folder / "log")
        url, cold_start_s = f"http://127.0.0.1:{port}{peer.path}", time.perf_counter() - begun
        grpc = f"127.0.0.1:{grpc_port}" if peer.package == "mlserver" else ""
        yield Running(peer, url, cold_start_s, process.pid, grpc)
    finally:
        # a session of its own: with everything that it started
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _command(peer: Peer, model: Path, folder: Path, port: int, grpc_port: int) -> tuple[list[str], dict[str, str]]:
    bin_folder = ENVIRONMENTS / peer.package / "bin"
    variables = {"MODEL": str(model), "PYTHONPATH": str(HERE), "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    match peer.package:
        case "litserve":
            script = [str(bin_folder / "python"), str(HERE / "with_litserve.py")]
            return [*script, str(model), str(port), str(peer.batch_size)], variables
        case "bentoml":
            variables |= {"BENTOML_HOME": str(folder / "home"), "BENTOML_DO_NOT_TRACK": "True"}
            serve = [str(bin_folder / "python"), "-m", "bentoml", "serve", "with_bentoml:Fraud"]
            return [*serve, "--working-dir", str(HERE), "--host", "127.0.0.1", "--port", str(port)], variables
        case _:
            _write_mlserver_settings(peer, model, folder, port, grpc_port)
            return [str(bin_folder / "mlserver"), "start", str(folder)], variables


def _write_mlserver_settings(peer: Peer, model: Path, folder: Path, port: int, grpc_port: int) -> None:
    server = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": grpc_port,
        "metrics_port": find_port(),
        "parallel_workers": 0,
        "debug": False,
    }
    settings: dict[str, Any] = {
        "name": "fraud",
        "implementation": "with_mlserver.Fraud",
        "parameters": {"uri": str(model)},
    }
    if peer.batch_size > 1:
        settings |= {"max_batch_size": peer.batch_size, "max_batch_time": 0.01}
    (folder / "settings.json").write_text(json.dumps(server), "utf-8")
    (folder / "model-settings.json").write_text(json.dumps(settings), "utf-8")


def _wait_for_answer(peer: Peer, port: int, row: dict[str, Any], process: "subprocess.Popen[bytes]", log: Path) -> None:
    import http.client

    body = json.dumps(peer.shape([row]))
    deadline = time.monotonic() + 60
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("POST", peer.path, body, {"content-type": "application/json"})
            response = connection.getresponse()
            content = response.read()
            if response.status == 200:
                return
        except OSError as error:
            content = repr(error).encode()
        finally:
            connection.close()
        if process.poll() is not None or time.monotonic() > deadline:
            sys.stderr.write(log.read_text("utf-8", "replace")[-4000:])
            raise SystemExit(f"{peer.name} does not answer: {content[:500]!r}")
        time.sleep(0.02)
