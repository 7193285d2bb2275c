"""Deaths and full disks: what was answered is in the log, and what cannot be recorded is not answered."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from petla.core.errors import BusyError, UnavailableError
from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.decisions.log import count_decisions, count_known
from petla.decisions.shipper import ship
from petla.decisions.spool import DECISIONS, SPOOL_FOLDER, list_segments
from petla.deployments.deploy import deploy
from petla.deployments.server import find_server, list_acknowledgements
from petla.serving.supervisor import Supervisor
from petla.storage.workspace import Workspace
from tests.decisions.logged import fix_numbers, next_segments, oldest_segment
from tests.deployments.tiny import MODEL, PROJECT, ROW, add_version, open_shop
from tests.serving.client import Load, predict, running, wait_until


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    ws = open_shop(tmp_path)
    deploy(ws, MODEL, add_version(ws), actor="ada")
    return ws


def pids_of(ws: Workspace) -> set[int]:
    return {said.pid for said in list_acknowledgements(ws.state)}


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text("utf-8").rpartition(")")[2].split()[0] != "Z"


def test_killed_workers_lose_no_answered_decision(shop: Workspace) -> None:
    pair = Workspace(shop.root, shop.project, Settings(actor="ada", workers=2))
    with running(pair) as supervisor, Load(supervisor.server.port, n_threads=6) as load:
        for _ in range(3):
            load.wait_for(40)
            before = pids_of(pair)
            victim = max(before)
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda: victim not in pids_of(pair), "the killed worker was replaced")  # noqa: B023
            ship(pair)
        load.wait_for(40)
    ship(pair)

    ids = [answer["id"] for answer in load.answers]
    assert len(set(ids)) == len(ids)
    assert count_known(pair, ids) == len(ids)
    # A decision may be recorded whose answer died with its worker; never the other way round.
    assert count_decisions(pair) - len(ids) <= len(load.failures)


def test_torn_tail_of_a_killed_worker_is_repaired_and_a_new_segment_begun(shop: Workspace) -> None:
    folder = shop.state / SPOOL_FOLDER / "0"
    with running(shop) as supervisor:
        predict(supervisor.server.port)
        (pid,) = pids_of(shop)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), "it is dead")
        with oldest_segment(folder, DECISIONS).open("ab") as file:
            file.write(b"\x40\x00\x00\x00half a frame")
        wait_until(lambda: pids_of(shop) != {pid}, "it was replaced")
        predict(supervisor.server.port)

    assert len(list_segments(folder, DECISIONS)) == 2
    assert ship(shop).decisions == 2


def test_full_disk_is_answered_by_try_again_and_recovers(shop: Workspace) -> None:
    folder = shop.state / SPOOL_FOLDER / "0"
    fix_numbers(folder, DECISIONS)
    with running(shop) as supervisor:
        port = supervisor.server.port
        full = next_segments(folder, DECISIONS, 2)
        for path in full:
            path.symlink_to("/dev/full")
        refused = [predict(port), predict(port, [ROW, ROW])]
        for path in full:
            path.unlink()
        answered = predict(port)

    for reply in refused:
        assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (503, "unavailable", "1")
        assert "No space left on device" in reply.error["message"]
    assert answered.status == 200
    assert ship(shop).decisions == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB, which only root may make."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "petla-test", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_disk_that_fills_up_under_load_loses_nothing(shop: Workspace, small_disk: Path) -> None:
    (shop.state / SPOOL_FOLDER).symlink_to(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(128 * 1024))
    with running(shop) as supervisor:
        with Load(supervisor.server.port, n_threads=3) as load:
            wait_until(lambda: len(load.failures) > 10, "the disk was full")
            ballast.unlink()
            load.wait_for(50)
        predict(supervisor.server.port)
    ship(shop)

    assert all(failure.startswith("503") and "No space left" in failure for failure in load.failures)
    assert count_known(shop, [answer["id"] for answer in load.answers]) == len(load.answers)
    assert count_decisions(shop) == len(load.answers) + 1


def test_asked_to_end_it_finishes_what_it_has(shop: Workspace) -> None:
    with running(shop) as supervisor:
        (pid,) = pids_of(shop)
        with Load(supervisor.server.port) as load:
            load.wait_for(50)
            supervisor.stop()
    ship(shop)

    assert not is_alive(pid)
    assert supervisor.statuses == [0]
    assert count_decisions(shop) == len(load.answers)
    assert find_server(shop.state) is None


def test_workers_end_when_their_supervisor_is_killed(shop: Workspace) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from tests.deployments.tiny import open_shop\nfrom petla.serving.supervisor import Supervisor\n"
        "s = Supervisor(open_shop(Path(sys.argv[1])))\ns.start()\ns.wait_ready()\nprint('ready', flush=True)\n"
        "while True: time.sleep(1)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(shop.root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    (pid,) = pids_of(shop)

    process.kill()
    process.wait()
    process.stdout.close()

    wait_until(lambda: not is_alive(pid), "the orphan has ended")
    with running(shop) as supervisor:
        assert predict(supervisor.server.port).status == 200


def test_one_server_runs_for_a_project(shop: Workspace) -> None:
    with running(shop), pytest.raises(BusyError, match="the server"):
        Supervisor(shop).start()


def test_port_that_is_taken_is_named(
    shop: Workspace, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("petla.deployments.listening._PATIENCE_S", 0.0)
    with running(shop) as supervisor:
        port = supervisor.server.port
        other = open_shop(tmp_path_factory.mktemp("other"), PROJECT.replace("port = 0", f"port = {port}"))
        with pytest.raises(UnavailableError, match=f"cannot listen on 127.0.0.1:{port}"):
            Supervisor(other).start()


def test_power_durability_answers_and_records(shop: Workspace) -> None:
    project = decode_project(PROJECT + 'durability = "power"\n')
    careful = Workspace(shop.root, project, Settings(actor="ada"))
    with running(careful) as supervisor, Load(supervisor.server.port, n_threads=3) as load:
        load.wait_for(30)

    assert load.failures == []
    assert ship(careful).decisions == len(load.answers)


def test_worker_loads_neither_database_nor_tables_nor_training_libraries() -> None:
    heavy = {"sqlalchemy", "alembic", "polars", "pandas", "sklearn", "pyarrow", "litestar", "rich", "typer", "scipy"}
    program = (
        "import sys\nimport petla.serving.worker, petla.models.runtime.onnx_session, onnxruntime\n"
        f"print(sorted({heavy!r} & set(sys.modules)), 'petla.storage.database' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "[] False\n"
