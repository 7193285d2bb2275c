"""Clients of an encrypted data plane that never finish a handshake: they count, end in time, and leave nothing."""

import contextlib
import http.client
import random
import shutil
import socket
import ssl
import tempfile
import time
from pathlib import Path

from benchmarks.online.load import find_port, read_memory_mib
from benchmarks.online.plane import Plane

from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.deployments.deploy import deploy
from petla.storage.workspace import Workspace
from tests.deployments.tiny import MODEL, add_version
from tests.serving.test_tls import TLS, make_certificate

CONNECTIONS, ROUNDS = 50, 5
CLIENT_S, PATIENCE_S = 2.0, 30.0
PROJECT = f"""
[project]
name = "shop"

[models.{MODEL}]
target = "is_fraud"

[serving]
client_timeout_s = {CLIENT_S}
connections = {CONNECTIONS}
{TLS}"""


def list_wrong_handshakes(seed: int, growth_mib: float) -> list[str]:
    """Return what is wrong about how handshakes that never finish are borne.

    Args:
        seed: of what the clients send.
        growth_mib: by how much the worker's memory may grow.
    """
    folder = Path(tempfile.mkdtemp(prefix="petla-handshakes-"))
    (folder / "petla.toml").write_text(PROJECT, encoding="utf-8")
    make_certificate(folder)
    ws = Workspace(folder, decode_project(PROJECT), Settings(actor="ada"))
    deploy(ws, MODEL, add_version(ws), actor="ada")
    port, chance, faults = find_port(), random.Random(seed), []
    environment = {"PETLA_SERVING_PORT": str(port), "PETLA_CONTROL_PORT": str(find_port()), "PETLA_ACTOR": "ada"}
    plane = Plane(ws, environment)
    try:
        if not _is_answered(port):
            return ["the encrypted plane never answered"]
        (pid,) = plane.pids()
        before_mib = read_memory_mib(pid)
        for _ in range(ROUNDS):
            held = [_begin(port, chance) for _ in range(3 * CONNECTIONS)]
            if not _is_answered(port):
                faults.append(f"no right client was answered within {PATIENCE_S:g} s of silent ones")
            for connection in held:
                connection.close()
        if plane.pids() != [pid]:
            faults.append("the worker of the encrypted plane died")
        elif read_memory_mib(pid) - before_mib > growth_mib:
            faults.append(f"handshakes made memory grow from {before_mib:.1f} to {read_memory_mib(pid):.1f} MiB")
    finally:
        plane.stop()
    ws.engine.dispose()
    shutil.rmtree(folder)
    print(f"{3 * ROUNDS * CONNECTIONS:,} handshakes that never finished; {len(faults)} faults")
    return faults


def _begin(port: int, chance: random.Random) -> socket.socket:
    """Open a connection and send nothing, junk, or the beginning of a handshake."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    begun = chance.choice([b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00", b"\x16\x03\x01\x40\x00" + bytes(9_000)])
    with contextlib.suppress(ConnectionError):
        connection.sendall(begun)
    return connection


def _is_answered(port: int) -> bool:
    """Whether a client that shakes hands is answered in time."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        asking = http.client.HTTPSConnection("127.0.0.1", port, timeout=PATIENCE_S, context=trusting)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(asking):
            asking.request("GET", "/readyz")
            if asking.getresponse().status == 200:
                return True
        time.sleep(0.05)
    return False
