"""Of all control planes of a project one runs the controller."""

import logging
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from petla.core.errors import CorruptError
from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.loop.controller import Controller
from petla.loop.lease import Lease, find_holder
from petla.storage.database import reading, writing
from petla.storage.tables import controllers
from petla.storage.workspace import Workspace
from tests.contracts.processes import finish, start_python

PROJECT = '[project]\nname = "shop"\n'
HOLD_AND_WAIT = """
import pathlib, sys
from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.loop.lease import Lease
from petla.storage.workspace import Workspace
ws = Workspace(pathlib.Path(sys.argv[1]), decode_project(sys.argv[3]), Settings(actor="ann", database=sys.argv[2]))
print(Lease(ws).hold(), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def here(tmp_path: Path, database_address: str) -> Iterator[Workspace]:
    ws = open_in(tmp_path / "here", database_address)
    with ws.ledger.change(actor="ann", action="dataset.added", subject="flights:1"):
        pass
    yield ws
    ws.close()


@pytest.fixture
def there(here: Workspace, tmp_path: Path, database_address: str) -> Iterator[Workspace]:
    """A clone with the same keys on the same database."""
    shutil.copytree(here.state, tmp_path / "there" / ".petla", ignore=shutil.ignore_patterns("*.db*"))
    ws = open_in(tmp_path / "there", database_address)
    yield ws
    ws.close()


def open_in(folder: Path, address: str) -> Workspace:
    folder.mkdir(exist_ok=True)
    (folder / "petla.toml").write_text(PROJECT)
    return Workspace(folder, decode_project(PROJECT), Settings(actor="ann", database=address))


def test_second_installation_stands_by_until_the_first_one_gives_up(here: Workspace, there: Workspace) -> None:
    first, second = Lease(here), Lease(there)

    assert (first.hold(), second.hold(), first.hold()) == (True, False, True)
    holder = find_holder(there)
    assert holder is not None
    assert holder.instance == first.instance
    assert find_holder(here) is None
    first.release()
    assert (second.hold(), first.hold()) == (True, False)
    second.release()


def test_lease_whose_beat_stands_still_expires(here: Workspace, there: Workspace) -> None:
    first, second = Lease(here, beat_s=1e6), Lease(there, expires_s=0.0)
    assert first.hold()

    assert second.hold()

    assert not first.hold()
    first.release()
    assert second.hold()
    second.release()


def test_lease_that_beats_does_not_expire(here: Workspace, there: Workspace) -> None:
    first, second = Lease(here, beat_s=1e6), Lease(there, expires_s=1e6)
    assert first.hold()
    for _ in range(3):
        assert not second.hold()
        since = second._since_s
        with writing(here.engine) as connection:
            connection.execute(update(controllers).values(beat=controllers.c.beat + 1))
        assert not second.hold()
        assert second._since_s > since
    first.release()
    second.release()


def test_beat_grows_while_a_step_takes_its_time(here: Workspace) -> None:
    lease = Lease(here, beat_s=0.01)
    assert lease.hold()

    while beat_in(here) < 3:
        assert lease.is_held
    lease.release()


def test_killed_controller_is_followed_at_once_in_its_folder_only(
    here: Workspace, there: Workspace, database_address: str
) -> None:
    process = start_python(HOLD_AND_WAIT, here.root, database_address, PROJECT)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "True"
    follower, other = Lease(here), Lease(there)
    assert (follower.hold(), other.hold()) == (False, False)

    process.kill()
    finish(process, status=-9)

    assert (other.hold(), follower.hold()) == (False, True)
    follower.release()
    other.release()


def test_controller_without_the_lease_ships_and_judges_nothing(
    here: Workspace, there: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    held, controller, stop = Lease(here), Controller(there), threading.Event()
    assert held.hold()
    monkeypatch.setattr(controller, "tick", lambda: pytest.fail("it ticked"))
    monkeypatch.setattr(controller, "tend_workers", stop.set)

    with caplog.at_level(logging.WARNING):
        controller.run(stop)

    assert not controller.lease.is_held
    assert "lease.awaited" in caplog.messages
    controller.lease.release()
    held.release()


def beat_in(ws: Workspace) -> int:
    with reading(ws.engine) as connection:
        return connection.scalar(select(controllers.c.beat)) or 0


def test_controller_does_nothing_in_a_database_that_lost_the_trail(
    here: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("petla.loop.controller.ship", lambda *_, **__: pytest.fail("it shipped"))
    with writing(here.engine) as connection:
        for table in ("audit", "projects"):
            connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608 - names of our own

    with pytest.raises(CorruptError, match="audit entry 1 was removed"):
        Controller(here).tick()
