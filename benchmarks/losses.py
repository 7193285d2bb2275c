"""Nothing that was answered is lost: load on `petla up` while its parts are killed, stopped and starved.

Every second a worker is killed with -9. Once each: the control plane is killed with -9 and started again; the database
is away (PostgreSQL is stopped; SQLite is held by another writer); the disk of the spools is full. At the end every id
that a client got must be in the log exactly once, and every truth that was accepted as well.

`python benchmarks/losses.py --seconds 180 --database postgresql`; the status is 1 where something is missing.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.decisions.shipper import ship
from petla.decisions.summary import summarise
from petla.deployments.deploy import deploy
from petla.storage.database import reading
from petla.storage.workspace import Workspace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.online.load import find_port
from benchmarks.online.plane import Plane

from tests.contracts.postgresql import USER, find_programs
from tests.deployments.tiny import MODEL, PROJECT, ROW, add_version

ROWS = 5
DISK_MB = 256
SHIPPED_BYTES = 2_000_000
# without drift: the tiny model has no profile to compare with
SHOP = f"{PROJECT}\n[models.fraud.monitor]\nwindow_rows = 1_000_000_000\n"
Database = Callable[[bool], None]


class Load:
    """Threads that ask and report truths without a pause, and remember what they were answered."""

    def __init__(self, port: int, n_threads: int) -> None:
        self.answered: list[str] = []
        self.accepted: list[str] = []
        self.failures: Counter[str] = Counter()
        self._port = port
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(n_threads)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, and wait for what is under way."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        chance = random.Random(number)
        body = json.dumps([ROW] * ROWS)
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        while not self._over.is_set():
            answer = self._ask(connection, f"/predict/{MODEL}", body)
            if answer is None:
                continue
            ids = [each["id"] for each in answer]
            self.answered += ids
            if chance.random() < 0.2:
                truths = [{"id": name, "truth": chance.random() < 0.5} for name in ids]
                if self._ask(connection, "/feedback", json.dumps(truths)) is not None:
                    self.accepted += ids
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, path: str, body: str) -> list[dict[str, str]] | None:
        try:
            connection.request("POST", path, body)
            response = connection.getresponse()
            content = response.read()
        except (http.client.HTTPException, OSError) as error:
            self.failures[type(error).__name__] += 1
            connection.close()
            self._over.wait(0.02)
            return None
        if response.status in (200, 202):
            found: list[dict[str, str]] = json.loads(content)
            return found
        self.failures[str(response.status)] += 1
        self._over.wait(0.02)
        return None


def main() -> int:
    """Run the story on each database that is asked for; return 1 where something is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="how long the load goes on")
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--threads", type=int, default=4, help="clients")
    options = parser.parse_args()
    kinds = ("sqlite", "postgresql") if options.database == "both" else (options.database,)
    return max(_tell(kind, options.seconds, options.threads) for kind in kinds)


def _tell(kind: str, seconds: float, n_threads: int) -> int:
    folder = Path(tempfile.mkdtemp(prefix="petla-losses-"))
    opened = _open_postgresql() if kind == "postgresql" else _open_sqlite(folder)
    with opened as (address, away), _small_disk(folder) as disk:
        environment = {"PETLA_DATABASE": address, "PETLA_WORKERS": "4", "PETLA_SERVING_PORT": str(find_port())}
        environment |= {"PETLA_CONTROL_PORT": str(find_port()), "PETLA_ACTOR": "ada", "PETLA_WAIT_S": "3"}
        (folder / "petla.toml").write_text(SHOP, encoding="utf-8")
        ws = Workspace(folder, decode_project(SHOP), Settings(actor="ada", database=address))
        deploy(ws, MODEL, add_version(ws), actor="ada")
        plane = Plane(ws, environment)
        load = Load(int(environment["PETLA_SERVING_PORT"]), n_threads)
        with plane.losing_a_worker_each_second():
            caught_up = _torment(plane, load, seconds, away, disk)
        load.stop()
        plane.stop()
        ship(ws)
        status = _report(kind, ws, load, plane, caught_up)
        ws.engine.dispose()
    if status:
        sys.stdout.write(f"kept for a look: {folder}\n")
    else:
        shutil.rmtree(folder)
    return status


def _torment(plane: Plane, load: Load, seconds: float, away: Database, disk: Path | None) -> str:
    """Let everything happen once, and a worker die each second; say how fast the backlog was shipped."""
    begun = time.monotonic()
    ballast = Ballast(disk)
    steps: list[tuple[float, Callable[[], None]]] = [
        (0.15, plane.kill_and_start),
        (0.30, lambda: away(True)),
        (0.60, lambda: away(False)),
        (0.75, ballast.take_on),
        (0.85, ballast.throw_off),
    ]
    caught_up: list[str] = []
    watching = threading.Thread(target=_watch_backlog, args=(plane, caught_up))
    while (passed := time.monotonic() - begun) < seconds:
        if steps and passed >= steps[0][0] * seconds:
            share, step = steps.pop(0)
            step()
            said = f"{len(load.answered):,} answered and {load.failures.total():,} refused or cut off so far"
            sys.stdout.write(f"{passed:5.0f} s  step at {share:.0%}: {said}\n")
            sys.stdout.flush()
            if share == 0.60:
                watching.start()
        time.sleep(0.1)
    watching.join()
    return caught_up[0]


def _watch_backlog(plane: Plane, caught_up: list[str]) -> None:
    """Say how long the shipper needs for what waited while the database was away."""
    begun = time.monotonic()
    before = summarise(plane.ws)
    size = sum(each.size_bytes for each in before.backlog)
    now = before
    while sum(each.size_bytes for each in now.backlog) > SHIPPED_BYTES and time.monotonic() - begun < 60:
        time.sleep(0.1)
        now = summarise(plane.ws)
    passed_s = time.monotonic() - begun
    n_rows = now.decisions - before.decisions
    caught_up.append(f"backlog of {size / 1e6:.1f} MB: {n_rows:,} decisions shipped in {passed_s:.1f} s, under load")


def _report(kind: str, ws: Workspace, load: Load, plane: Plane, caught_up: str) -> int:
    with reading(ws.engine) as connection:
        logged = Counter(row[0] for row in connection.exec_driver_sql("SELECT id FROM decisions"))
        labels = Counter(row[0] for row in connection.exec_driver_sql("SELECT decision_id FROM feedback"))
        early = connection.exec_driver_sql("SELECT count(*) FROM feedback WHERE decided_at IS NULL").scalar()
    lost = sum(name not in logged for name in load.answered)
    twice = sum(n > 1 for n in logged.values())
    labels_lost = sum(name not in labels for name in load.accepted)
    labels_twice = sum(n > 1 for n in labels.values())
    unanswered = len(logged) - len(set(load.answered))
    sys.stdout.write(
        f"{kind}: {len(load.answered):,} decisions answered, {lost} of them not in the log, {twice} in it twice;"
        f" {unanswered} in it whose answer was cut off\n"
        f"{len(load.accepted):,} truths accepted, {labels_lost} lost, {labels_twice} twice, {early} early\n"
        f"{plane.killed} workers killed; failed requests: {dict(load.failures)}\n{caught_up}\n"
        f"audit trail: {ws.ledger.verify()} entries whole; damaged segments: {len(summarise(ws).damaged)}\n"
    )
    return int(bool(lost or twice or labels_lost or labels_twice or early or not load.answered))


@contextlib.contextmanager
def _open_sqlite(folder: Path) -> Iterator[tuple[str, Database]]:
    """SQLite, away while another writer holds it."""
    path = folder / "petla.db"
    held: list[sqlite3.Connection] = []

    def away(is_away: bool) -> None:
        if is_away:
            held.append(sqlite3.connect(path, isolation_level=None, timeout=30))
            held[0].execute("BEGIN IMMEDIATE")
        elif held:
            held.pop().close()

    yield f"sqlite:///{path}", away


@contextlib.contextmanager
def _open_postgresql() -> Iterator[tuple[str, Database]]:
    """A PostgreSQL server of its own, stopped while it is away."""
    programs = find_programs()
    if programs is None:
        raise SystemExit("no PostgreSQL server program, or no user that may run it")
    folder = Path(tempfile.mkdtemp(prefix="petla-pg-"))
    user = USER if os.getuid() == 0 else None
    if user:
        shutil.chown(folder, user, user)

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), "-D", str(folder / "data"), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=user, cwd=folder)

    def away(is_away: bool) -> None:
        options = f"-c listen_addresses= -c unix_socket_directories={folder}"
        if is_away:
            run("pg_ctl", "-m", "immediate", "-w", "stop")
        else:
            run("pg_ctl", "-l", str(folder / "log"), "-o", options, "-w", "start")

    run("initdb", "-U", USER, "-A", "trust", "-E", "UTF8")
    away(False)
    try:
        yield f"postgresql://{USER}@/postgres?host={folder}", away
    finally:
        away(True)
        shutil.rmtree(folder)


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[Path | None]:
    """A small disk for the spools, which only root may make; None where it may not be made."""
    disk = folder / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "petla-losses", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        sys.stdout.write("no right to mount a small disk: it is not filled\n")
        yield None
        return
    (folder / ".petla").mkdir()
    (disk / "spool").mkdir()
    (folder / ".petla" / "spool").symlink_to(disk / "spool")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


class Ballast:
    """Fills a disk to its last byte, and takes each byte that becomes free, until it is thrown off."""

    def __init__(self, disk: Path | None) -> None:
        self._disk = disk
        self._over = threading.Event()
        self._filling = threading.Thread(target=self._fill, args=(disk,))

    def take_on(self) -> None:
        """Fill the disk."""
        if self._disk is not None:
            self._filling.start()

    def throw_off(self) -> None:
        """Make room again."""
        if self._disk is not None:
            self._over.set()
            self._filling.join()
            (self._disk / "ballast").unlink()

    def _fill(self, disk: Path) -> None:
        with (disk / "ballast").open("wb", buffering=0) as file:
            while not self._over.is_set():
                try:
                    file.write(bytes(1 << 16))
                except OSError:
                    self._over.wait(0.01)


if __name__ == "__main__":
    sys.exit(main())
