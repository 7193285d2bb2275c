"""Object stores on this machine: moto and SeaweedFS speak S3, Azurite speaks Azure Blob."""

import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from petla.core.project import RemoteTable

BUCKET = "shelf"
# moto takes any key; SeaweedFS gets these
KEYS = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "s3cret-of-somebody"}
# Azurite's account, the same for everybody
AZURE = {
    "AZURE_STORAGE_ACCOUNT": "devstoreaccount1",
    "AZURE_STORAGE_KEY": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
}
_PATIENCE_S = 20


class Place(NamedTuple):
    """A remote that can be written to."""

    table: RemoteTable
    environment: Mapping[str, str]


@contextmanager
def moto() -> Iterator[str]:
    """An S3 server in a process of its own; yields its address."""
    code = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"
    port = _free_port()
    with _running([sys.executable, "-c", code, str(port)]):
        endpoint = f"http://127.0.0.1:{port}"
        _await(lambda: _put(f"{endpoint}/{BUCKET}"))
        yield endpoint


@contextmanager
def seaweed(folder: Path) -> Iterator[str]:
    """Another S3 server, which checks signatures; yields its address."""
    program = Path(sys.executable).with_name("weed")
    if not program.exists():
        pytest.skip("SeaweedFS is not installed")
    ports = [_free_low_port() for _ in range(4)]
    (folder / "s3.json").write_text(_SEAWEED)
    words = ["server", f"-dir={folder}", "-ip=127.0.0.1", f"-master.port={ports[0]}", f"-volume.port={ports[1]}"]
    words += [f"-filer.port={ports[2]}", "-s3", f"-s3.port={ports[3]}", f"-s3.config={folder / 's3.json'}"]
    words += ["-volume.max=5", "-master.volumeSizeLimitMB=64"]
    with _running([str(program), *words]):
        endpoint = f"http://127.0.0.1:{ports[3]}"
        _await(lambda: _answers(endpoint))
        yield endpoint


@contextmanager
def azurite(folder: Path) -> Iterator[str]:
    """An Azure Blob server; yields its address."""
    found = (
        shutil.which("azurite-blob")
        or Path(__file__).resolve().parents[2] / "build/azurite/node_modules/.bin/azurite-blob"
    )
    if not Path(found).exists():
        pytest.skip("Azurite is not installed: npm install --prefix build/azurite azurite")
    port = _free_port()
    words = ["--location", str(folder), "--blobPort", str(port), "--blobHost", "127.0.0.1", "--silent"]
    with _running([str(found), *words, "--disableTelemetry", "--skipApiVersionCheck"]):
        endpoint = f"http://127.0.0.1:{port}"
        _await(lambda: _answers(endpoint))
        yield f"{endpoint}/devstoreaccount1"


_SEAWEED = """
{"identities": [{"name": "somebody",
  "credentials": [{"accessKey": "somebody", "secretKey": "s3cret-of-somebody"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
"""


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def _free_low_port() -> int:
    """SeaweedFS takes the port 10,000 above each as well."""
    for port in random.sample(range(15_000, 25_000), 100):
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


@contextmanager
def _running(command: list[str]) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            yield
        finally:
            server.terminate()
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()


def _await(is_ready: object) -> None:
    assert callable(is_ready)
    deadline = time.monotonic() + _PATIENCE_S
    while not is_ready():
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.05)


def _put(url: str) -> bool:
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False
    return True


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False
    return True
