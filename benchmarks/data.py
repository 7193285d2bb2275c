"""Versions of data: the real DVC on the same files, in the same run, whole commands on both sides.

Two data sets: one table of 1 GB, of which the second version has six other rows, and 20,000 files of 20 KB. Remotes are
a folder and an S3 server on this machine (moto). Memory is the largest resident set of the command. Each command is
timed twice: to its end, and until what it wrote is on the disk (`sync`), since one side flushes and the other does not.
The floor of adding is a plain md5 of the table, read from the page cache in the same round.
DVC runs as it comes, with its cache as copies; `--install` brings `dvc[s3]` into a virtual environment of its own, for
the comparison over S3.

    python benchmarks/data.py [--rounds 3] [--size 1000] [--files 20000] [--install] [--json]
"""

import argparse
import compileall
import contextlib
import hashlib
import json
import operator
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

import petla

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.online.load import find_port

PEER = Path(__file__).resolve().parents[1] / "build" / "peers" / "dvc"
FILE_BYTES = 20_000
CHANGED_ROWS = 6
BUCKET = "benchmark"
# the server takes any key
KEYS = {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark", "AWS_DEFAULT_REGION": "us-east-1"}
PUSH_S3 = ("data", "push", "--remote", "cloud")
DVC_PUSH_S3 = ("push", "-q", "-r", "cloud")
PROJECT = '[project]\nname = "benchmark"\n'


class Times(NamedTuple):
    """How long a command took."""

    whole_s: float
    # what it left in the page cache is on the disk as well
    flushed_s: float


@dataclass
class Figures:
    """What was measured of one command, on both sides."""

    ours: list[Times] = field(default_factory=list)
    dvc: list[Times] = field(default_factory=list)
    memory_mb: float = 0.0


class Tools(NamedTuple):
    """What both sides need."""

    dvc: list[str]
    # of the S3 server
    endpoint: str

    @property
    def knows_s3(self) -> bool:
        """Whether this DVC can speak to it."""
        return self.dvc[0].startswith(str(PEER))


class Side:
    """One tool in a folder of its own."""

    def __init__(self, folder: Path, program: list[str]) -> None:
        self.folder = folder
        self.program = program
        self.memory_mb = 0.0

    def run(self, *words: str, folder: Path | None = None) -> Times:
        """Run a command on a disk that has nothing left to do."""
        os.sync()
        begun = time.perf_counter()
        process = subprocess.Popen(
            [*self.program, *words],
            cwd=folder or self.folder,
            env=os.environ | KEYS,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        watcher = threading.Thread(target=self._watch, args=(process.pid,))
        watcher.start()
        said, _ = process.communicate()
        whole_s = time.perf_counter() - begun
        os.sync()
        flushed_s = time.perf_counter() - begun
        watcher.join()
        if process.returncode:
            raise SystemExit(f"{self.program[0]} {' '.join(words)}: {said.decode()}")
        return Times(whole_s, flushed_s)

    def _watch(self, pid: int) -> None:
        """Note the largest resident set, with those of the processes that it started.

        NOTE: what `wait4` says of a process begins with the size of the one that started it, which is this one. In the
        same way a child has the memory of its parent until it is a program of its own.
        """
        seen: dict[str, float] = {}
        with contextlib.suppress(OSError):
            while True:
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                own = _read_command(str(pid))
                for each in (str(pid), *children):
                    if each == str(pid) or _read_command(each) != own:
                        seen[each] = max(seen.get(each, 0.0), _read_resident_mb(each))
                self.memory_mb = max(self.memory_mb, sum(seen.values()))
                time.sleep(0.02)


def main() -> None:
    options = _parse()
    dvc = _find_dvc(install=options.install)
    # as an installation does; DVC's files are compiled as well
    compileall.compile_dir(str(Path(petla.__file__).parent), quiet=2)
    results: dict[str, Figures] = {}
    stored: dict[str, float] = {}
    floors: list[float] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name, _s3_server() as endpoint:
        tools = Tools(dvc, endpoint)
        folder = Path(name)
        table = folder / "table.csv"
        _write_table(table, options.size * 1_000_000)
        for number in range(options.rounds):
            _measure_table(folder / f"table-{number}", table, tools, results, stored, floors)
        adds = [times.whole_s for times in results["1 GB: add"].ours]
        stored["1 GB: a plain md5, s"] = statistics.median(floors)
        stored["1 GB: add, times a plain md5"] = statistics.median(map(operator.truediv, adds, floors))
        table.unlink()
        files = folder / "files"
        _write_files(files, options.files)
        for number in range(options.rounds):
            _measure_files(folder / f"files-{number}", files, tools, results)
    _report(results, stored, as_json=options.json)


def _measure_table(
    folder: Path, table: Path, tools: Tools, results: dict[str, Figures], stored: dict[str, float], floors: list[float]
) -> None:
    ours, peer = _make_sides(folder, tools.dvc)
    _set_remotes(ours, peer, str(folder / "remote-ours"), str(folder / "remote-dvc"))
    for side in (ours, peer):
        shutil.copy(table, side.folder / "table.csv")
    _pair(results, "1 GB: add", ours, peer, ("data", "add", "table.csv"), ("add", "-q", "table.csv"))
    floors.append(_time_md5(ours.folder / "table.csv"))
    _pair(results, "1 GB: push to a folder", ours, peer, ("data", "push"), ("push", "-q"))
    _pair(results, "1 GB: status, nothing changed", ours, peer, ("data", "status"), ("status", "-q"))
    _pull(results, "1 GB: pull from a folder", ours, peer, folder)
    if tools.knows_s3:
        _set_s3(ours, peer, tools.endpoint)
        _pair(results, "1 GB: push to S3", ours, peer, PUSH_S3, DVC_PUSH_S3)
        _pull(results, "1 GB: pull from S3", ours, peer, folder, is_cloud=True)
    before = _size(ours.folder / ".petla"), _size(folder / "remote-ours")
    dvc_before = _size(peer.folder / ".dvc") + _size(folder / "remote-dvc")
    for side in (ours, peer):
        _change_rows(side.folder / "table.csv")
    _pair(results, "second version: add", ours, peer, ("data", "add", "table.csv"), ("add", "-q", "table.csv"))
    _pair(results, "second version: push", ours, peer, ("data", "push"), ("push", "-q"))
    stored["second version: stored, MB"] = (_size(ours.folder / ".petla") - before[0]) / 1e6
    stored["second version: sent, MB"] = (_size(folder / "remote-ours") - before[1]) / 1e6
    stored["second version: DVC, stored and sent, MB"] = (
        _size(peer.folder / ".dvc") + _size(folder / "remote-dvc") - dvc_before
    ) / 1e6
    shutil.rmtree(folder)


def _measure_files(folder: Path, files: Path, tools: Tools, results: dict[str, Figures]) -> None:
    ours, peer = _make_sides(folder, tools.dvc)
    for side in (ours, peer):
        shutil.copytree(files, side.folder / "files")
    _pair(results, "files: add", ours, peer, ("data", "add", "files"), ("add", "-q", "files"))
    _pair(results, "files: first status", ours, peer, ("data", "status"), ("status", "-q"))
    _pair(results, "files: status, nothing changed", ours, peer, ("data", "status"), ("status", "-q"))
    _set_remotes(ours, peer, str(folder / "remote-ours"), str(folder / "remote-dvc"))
    _pair(results, "files: push to a folder", ours, peer, ("data", "push"), ("push", "-q"))
    _pull(results, "files: pull from a folder", ours, peer, folder)
    if tools.knows_s3:
        _set_s3(ours, peer, tools.endpoint)
        _pair(results, "files: push to S3", ours, peer, PUSH_S3, DVC_PUSH_S3)


def _pair(
    results: dict[str, Figures], name: str, ours: Side, peer: Side, words: tuple[str, ...], dvc_words: tuple[str, ...]
) -> None:
    mine = ours.run(*words)
    _note(results, name, mine, peer.run(*dvc_words), ours)


def _pull(
    results: dict[str, Figures], name: str, ours: Side, peer: Side, folder: Path, *, is_cloud: bool = False
) -> None:
    """Pull into a fresh clone, which has nothing but the pointers."""
    label = "cloud" if is_cloud else "clone"
    clones = [_clone(side.folder, folder / f"{label}-{tool}") for tool, side in (("ours", ours), ("dvc", peer))]
    words, dvc_words = (("--remote", "cloud"), ("-r", "cloud")) if is_cloud else ((), ())
    mine = ours.run("data", "pull", *words, folder=clones[0])
    _note(results, name, mine, peer.run("pull", "-q", *dvc_words, folder=clones[1]), ours)
    # NOTE: they are not removed before the end: ext4 makes new files many times slower for a minute after many were
    # removed, and whoever comes next would pay for it.


def _note(results: dict[str, Figures], name: str, mine: Times, theirs: Times, ours: Side) -> None:
    figures = results.setdefault(name, Figures())
    figures.ours.append(mine)
    figures.dvc.append(theirs)
    figures.memory_mb = max(figures.memory_mb, ours.memory_mb)
    ours.memory_mb = 0.0
    print(f"{name:34}{mine.whole_s:8.2f} s{theirs.whole_s:8.2f} s", file=sys.stderr)


def _make_sides(folder: Path, dvc: list[str]) -> tuple[Side, Side]:
    ours = Side(folder / "ours", [str(Path(sys.executable).with_name("petla"))])
    peer = Side(folder / "dvc", dvc)
    for side in (ours, peer):
        side.folder.mkdir(parents=True)
        _git(side.folder, "init", "--quiet")
    (ours.folder / "petla.toml").write_text(PROJECT)
    peer.run("init", "-q")
    peer.run("config", "core.analytics", "false")
    return ours, peer


def _set_remotes(ours: Side, peer: Side, place: str, dvc_place: str) -> None:
    for path in (place, dvc_place):
        Path(path).mkdir()
    ours.run("data", "remote", "add", "origin", place, "--default")
    peer.run("remote", "add", "-d", "origin", dvc_place)


def _set_s3(ours: Side, peer: Side, endpoint: str) -> None:
    for tool, side in (("ours", ours), ("dvc", peer)):
        _add_s3(side, f"s3://{BUCKET}/{side.folder.parent.name}-{tool}", endpoint)


def _add_s3(side: Side, url: str, endpoint: str) -> None:
    if side.program[-1].endswith("petla"):
        side.run("data", "remote", "add", "cloud", url, "--set", f"endpoint={endpoint}")
    else:
        side.run("remote", "add", "cloud", url)
        side.run("remote", "modify", "cloud", "endpointurl", endpoint)


def _clone(source: Path, target: Path) -> Path:
    _git(source, "add", "--all")
    _git(source, "-c", "user.name=b", "-c", "user.email=b@localhost", "commit", "--quiet", "-m", "data")
    _git(source, "clone", "--quiet", str(source), str(target))
    return target


def _git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


def _write_table(path: Path, n_bytes: int) -> None:
    """Write a table of numbers, times and a few words, each row of about 70 bytes."""
    draw = np.random.default_rng(1)
    towns = np.array(["Warszawa", "Kraków", "Gdańsk", "Łódź", "Poznań"])
    n_rows, start = 1_000_000, 0
    with path.open("wb") as file:
        while file.tell() < n_bytes:
            frame = pl.DataFrame(
                {
                    "id": np.arange(start, start + n_rows),
                    "amount": draw.gamma(2, 50, n_rows).round(2),
                    "score": draw.random(n_rows).round(6),
                    "town": towns[draw.integers(0, 5, n_rows)],
                    "latitude": draw.normal(52, 1, n_rows).round(6),
                    "longitude": draw.normal(21, 1, n_rows).round(6),
                    "flag": draw.integers(0, 2, n_rows),
                }
            )
            frame.write_csv(file, include_header=start == 0)
            start += n_rows


def _change_rows(path: Path) -> None:
    """Write other digits into six rows, spread over the file."""
    with path.open("r+b") as file:
        for place in range(1, CHANGED_ROWS + 1):
            file.seek(place * path.stat().st_size // (CHANGED_ROWS + 1))
            file.readline()
            at = file.tell()
            line = file.readline()
            file.seek(at)
            file.write(line.translate(bytes.maketrans(b"0123456789", b"1234567890")))


def _write_files(folder: Path, n_files: int) -> None:
    draw = np.random.default_rng(2)
    for number in range(n_files):
        path = folder / f"{number // 1000:02}" / f"{number:05}.bin"
        if number % 1000 == 0:
            path.parent.mkdir(parents=True)
        path.write_bytes(draw.bytes(FILE_BYTES))


def _time_md5(path: Path) -> float:
    """Return the seconds of a plain md5: one stream of the fastest code there is, with nothing beside it."""
    digest, block = hashlib.md5(usedforsecurity=False), memoryview(bytearray(1 << 20))
    begun = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while n_read := file.readinto(block):
            digest.update(block[:n_read])
    return time.perf_counter() - begun


def _read_command(pid: str) -> bytes:
    """Return what a process was started with; nothing where it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _read_resident_mb(pid: str) -> float:
    """Return the largest resident set of a process so far; 0 where it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1000
    return 0.0


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def _s3_server() -> Iterator[str]:
    """An S3 server in a process of its own."""
    code = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"
    port = find_port()
    with subprocess.Popen([sys.executable, "-c", code, str(port)], stderr=subprocess.DEVNULL) as server:
        try:
            _make_bucket(f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def _make_bucket(endpoint: str) -> None:
    import urllib.error
    import urllib.request

    for _ in range(100):
        try:
            urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT"), timeout=5)  # noqa: S310
        except urllib.error.URLError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the S3 server did not start")


def _find_dvc(*, install: bool) -> list[str]:
    program = PEER / "bin" / "dvc"
    if install and not program.exists():
        venv.create(PEER, with_pip=True)
        subprocess.run([str(PEER / "bin" / "pip"), "install", "-q", "dvc[s3]>=3.60"], check=True)
    if program.exists():
        return [str(program)]
    print("without --install there is no dvc[s3]: the comparison over S3 is left out", file=sys.stderr)
    return [str(Path(sys.executable).with_name("dvc"))]


def _report(results: dict[str, Figures], stored: dict[str, float], *, as_json: bool) -> None:
    rows = {name: _summarise(each) for name, each in results.items()}
    if as_json:
        print(json.dumps(rows | stored))
        return
    print(f"{'':34}{'whole command, s':^26}{'until on the disk, s':^26}")
    print(f"{'':34}{'Pętla':>10}{'DVC':>8}{'times':>8}{'Pętla':>10}{'DVC':>8}{'times':>8}{'MB':>7}")
    for name, row in rows.items():
        whole = f"{row['petla_s']:10.2f}{row['dvc_s']:8.2f}{row['times_faster']:8.1f}"
        flushed = f"{row['petla_flushed_s']:10.2f}{row['dvc_flushed_s']:8.2f}{row['times_faster_flushed']:8.1f}"
        print(f"{name:34}{whole}{flushed}{row['memory_mb']:7.0f}")
    for name, amount in stored.items():
        print(f"{name:44}{amount:10.2f}")


def _summarise(figures: Figures) -> dict[str, float]:
    """Return the medians of the rounds, and of the ratios in each."""
    row = {"memory_mb": figures.memory_mb}
    for kind, place in (("", "whole_s"), ("_flushed", "flushed_s")):
        ours, dvc = ([getattr(times, place) for times in side] for side in (figures.ours, figures.dvc))
        row[f"petla{kind}_s"], row[f"dvc{kind}_s"] = statistics.median(ours), statistics.median(dvc)
        row[f"times_faster{kind}"] = statistics.median(map(operator.truediv, dvc, ours))
    return row


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--size", type=int, default=1_000, help="of the table, in MB")
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, help="where to work; else the system's folder for temporary files")
    parser.add_argument("--install", action="store_true", help="install dvc[s3] under build/")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
