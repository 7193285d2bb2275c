"""What the database refuses, or a counter fails at, stops nothing behind it and is neither lost nor doubled."""

import math
import random
import shutil
import string
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection, delete, insert, text

from petla.core.errors import UnavailableError
from petla.core.ids import DecisionId
from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.decisions import shipper
from petla.decisions.log import count_decisions, list_decisions
from petla.decisions.record import Decision
from petla.decisions.records import DecisionRow, add_decisions, set_position
from petla.decisions.shipper import Shipped, ship
from petla.decisions.spool import DAMAGED_FOLDER, DECISIONS, SHADOWS, SPOOL_FOLDER, Position, SpoolReader, end_of
from petla.decisions.summary import summarise
from petla.monitoring.counting import make_counter
from petla.monitoring.views import count_traffic
from petla.storage.database import writing
from petla.storage.partitions import drop_days, has_days
from petla.storage.tables import decisions, spool_positions
from petla.storage.workspace import Workspace
from tests.decisions.logged import make_decision, make_shadow, spool
from tests.deployments.tiny import MODEL, PROJECT, add_version

# both databases, PostgreSQL among the slow tests
thorough = pytest.mark.parametrize(
    "database_address", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True
)


@pytest.fixture
def shop(tmp_path: Path, database_address: str) -> Iterator[Workspace]:
    """A shop on SQLite, then one on PostgreSQL."""
    ws = Workspace(tmp_path, decode_project(PROJECT), Settings(actor="ada", database=database_address))
    add_version(ws)
    yield ws
    ws.engine.dispose()


@pytest.fixture
def local_shop(tmp_path: Path) -> Workspace:
    ws = Workspace(tmp_path, decode_project(PROJECT), Settings(actor="ada"))
    add_version(ws)
    return ws


def spoil(ws: Workspace, decision: Decision, kind: int) -> Decision:
    """One of several things that the shop's database takes in no column, and no door lets through."""
    wrong: tuple[dict[str, object], ...] = ({"score": math.nan}, {"version": 2**63})
    if has_days(ws.engine):
        # the longest text that PostgreSQL cannot pack small enough for an index
        long = "".join(random.Random(7).choices(string.printable, k=20_000))
        wrong = ({"trace_id": "a\0b"}, {"version": 2**40}, {"id": DecisionId(long)})
    return msgspec.structs.replace(decision, **wrong[kind % len(wrong)])


def list_kept(ws: Workspace) -> list[Path]:
    return sorted((ws.state / SPOOL_FOLDER / "0" / DAMAGED_FOLDER).glob("*"))


def read_kept(ws: Workspace, before: Sequence[Path] = ()) -> list[str]:
    """The ids of the decisions that were kept aside since, read as those of a spool are."""
    found: list[str] = []
    for path in list_kept(ws):
        if path not in before:
            folder = ws.root / path.stem
            folder.mkdir(exist_ok=True)
            shutil.copy(path, folder / "decisions-000001.log")
            for frame in SpoolReader(folder, DECISIONS, Decision).frames({}, end_of(folder, DECISIONS)):
                assert not frame.damage
                found += [decision.id for decision in frame.records]
    return found


def list_logged(ws: Workspace) -> list[str]:
    return [decision.id for decision in reversed(list_decisions(ws))]


@thorough
def test_records_that_the_database_refuses_are_kept_aside_and_all_others_shipped(shop: Workspace) -> None:
    rounds = ((0, {4}, 2_000), (12, {0, 5, 6, 11}, 2_000), (24, {0, 5, 6, 11}, 5), (36, set(range(12)), 5))
    for first, wrong, limit_rows in rounds:
        names = [f"id-{first + place}" for place in range(12)]
        made = [make_decision(first + place) for place in range(12)]
        made = [spoil(shop, each, place) if place in wrong else each for place, each in enumerate(made)]
        before, kept = list_logged(shop), list_kept(shop)
        spool(shop, made[:4], made[4:5], made[5:])

        shipped = ship(shop, limit_rows=limit_rows)

        assert shipped.decisions == 12 - len(wrong)
        assert list_logged(shop) == before + [names[place] for place in range(12) if place not in wrong]
        assert read_kept(shop, kept) == [made[place].id for place in sorted(wrong)]
        assert len(shipped.damaged) == len(list_kept(shop)) - len(kept)
        # behind the end of the line the database shows the row
        assert not any("\n" in said for said in shipped.damaged)
    assert summarise(shop).damaged == tuple(map(str, list_kept(shop)))
    assert ship(shop) == Shipped(0, 0, 0)


def test_refused_record_makes_the_transactions_small_and_shipping_may_end_between_them(local_shop: Workspace) -> None:
    made = [make_decision(i) for i in range(1_300)]
    made[7] = spoil(local_shop, made[7], 0)
    spool(local_shop, *(made[i : i + 100] for i in range(0, 1_300, 100)))
    seen: list[int] = []
    answers = iter((False, False))

    def count(_: Connection, batch: Sequence[Decision]) -> None:
        seen.append(len(batch))

    first = ship(local_shop, [count], is_over=lambda: next(answers, True))
    second = ship(local_shop, [count])

    assert seen == [999, 300]
    assert (first.decisions, second.decisions) == (999, 300)
    assert read_kept(local_shop) == ["id-7"]


def test_record_that_is_in_the_log_already_is_kept_aside(local_shop: Workspace) -> None:
    spool(local_shop, [make_decision(0)])
    ship(local_shop)
    spool(local_shop, [make_decision(1), make_decision(0), make_decision(2)])

    assert ship(local_shop).decisions == 2
    assert list_logged(local_shop) == ["id-0", "id-1", "id-2"]
    assert read_kept(local_shop) == ["id-0"]


def test_file_of_what_was_refused_is_shipped_from_a_folder_of_its_own(local_shop: Workspace) -> None:
    for _ in range(2):
        spool(local_shop, [make_decision(0)])
        ship(local_shop)
    with writing(local_shop.engine) as connection:
        connection.execute(delete(decisions))
    again = local_shop.state / SPOOL_FOLDER / "again"
    again.mkdir()
    shutil.copy(list_kept(local_shop)[0], again / "decisions-000001.log")

    assert ship(local_shop) == Shipped(1, 0, 0)
    assert list_logged(local_shop) == ["id-0"]


def test_shadow_answer_that_the_database_refuses_is_kept_aside(local_shop: Workspace) -> None:
    wrong = msgspec.structs.replace(make_shadow(1), score=math.nan)
    spool(local_shop, [make_decision(0)], [make_shadow(0), wrong, make_shadow(2)])

    assert ship(local_shop).shadows == 2
    assert [path.name.split("-")[0] for path in list_kept(local_shop)] == [SHADOWS]


@thorough
def test_kill_at_any_point_neither_loses_nor_doubles(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        # stands for a kill: nothing but the database undoes anything
        raise KeyboardInterrupt

    for first, killed_at in ((0, "write_atomic"), (4, "records.set_position"), (8, "_remove_shipped")):
        before = list_kept(shop)
        wrong = spoil(shop, make_decision(first + 1), 0)
        spool(shop, [make_decision(first), wrong], [make_decision(first + 2)])
        with monkeypatch.context() as patch:
            patch.setattr(f"{shipper.__name__}.{killed_at}", die)
            with pytest.raises(KeyboardInterrupt):
                ship(shop)
        kept = {path: path.read_bytes() for path in list_kept(shop) if path not in before}
        # more has come since, so the batch that is repeated is longer
        spool(shop, [make_decision(first + 3)])

        ship(shop)

        assert list_logged(shop) == [f"id-{i}" for i in range(first + 4) if i % 4 != 1]
        assert read_kept(shop, before) == [wrong.id]
        assert kept in ({}, {path: path.read_bytes() for path in list_kept(shop) if path not in before})


def test_record_that_cannot_be_kept_is_not_stepped_over(local_shop: Workspace) -> None:
    spool(local_shop, [make_decision(0), spoil(local_shop, make_decision(1), 1)])
    hindrance = local_shop.state / SPOOL_FOLDER / "0" / DAMAGED_FOLDER
    hindrance.touch()

    with pytest.raises(UnavailableError, match="damaged"):
        ship(local_shop)

    assert count_decisions(local_shop) == 0
    hindrance.unlink()
    assert ship(local_shop).decisions == 1
    assert read_kept(local_shop) == ["id-1"]


@pytest.mark.slow
@pytest.mark.parametrize("database_address", ["postgresql"], indirect=True)
def test_outage_is_no_fault_of_a_record(shop: Workspace) -> None:
    def end(connection: Connection, _: Sequence[Decision]) -> None:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    def drop(connection: Connection, _: Sequence[Decision]) -> None:
        drop_days(connection, "decisions", shop.name, {"2026-01-01"})
        rows = [DecisionRow("id", shop.name, "", "2026-01-01T12", MODEL, 1, "{}", "1", 0.5, "", 1, "")]
        add_decisions(connection, rows)

    spool(shop, [make_decision(i) for i in range(4)])
    for counter in (end, drop):
        with pytest.raises(UnavailableError, match=r"terminat|no partition"):
            ship(shop, [counter])

    assert list_kept(shop) == []
    assert ship(shop).decisions == 4


def test_decision_of_another_form_than_its_version_is_in_the_log_and_all_others_are_counted(
    local_shop: Workspace,
) -> None:
    made = [make_decision(i) for i in range(9)]
    made[4] = msgspec.structs.replace(made[4], inputs=(1.0,))
    spool(local_shop, made)

    shipped = ship(local_shop, [make_counter(local_shop)])

    assert (shipped.decisions, shipped.uncounted, shipped.damaged) == (9, 1, ())
    assert count_traffic(local_shop, MODEL).total == 8


@thorough
def test_counter_that_fails_at_some_sees_all_others_once_and_in_order(shop: Workspace) -> None:
    spool(shop, [make_decision(i) for i in range(50)])
    seen: list[str] = []

    def count(connection: Connection, batch: Sequence[Decision]) -> None:
        if any(decision.id.endswith("7") for decision in batch):
            # the database refuses it, and PostgreSQL ends what was begun
            set_position(connection, shop.name, "counted", Position(0, 0))
            connection.execute(insert(spool_positions), {"project": shop.name, "stream": "counted", "segment": 0})
        seen.extend(decision.id for decision in batch)

    shipped = ship(shop, [count])

    assert (shipped.decisions, shipped.uncounted) == (50, 5)
    assert list_logged(shop) == [f"id-{i}" for i in range(50)]
    assert seen == [f"id-{i}" for i in range(50) if i % 10 != 7]


def test_counter_that_always_fails_is_not_asked_for_ever(
    local_shop: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    spool(local_shop, [make_decision(i) for i in range(1_000)])
    calls: list[int] = []

    def count(_: Connection, batch: Sequence[Decision]) -> None:
        calls.append(len(batch))
        raise ValueError("its own words")

    shipped = ship(local_shop, [count])

    assert shipped.decisions == shipped.uncounted == count_decisions(local_shop) == 1_000
    assert len(calls) < 300
    (said,) = (each for each in caplog.records if each.message == "records.uncounted")
    assert vars(said)["error"].startswith("ValueError at test_refused.py:")
