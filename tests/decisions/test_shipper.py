"""Shipping: every spooled record arrives in the rows exactly once."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, Select, column, select, table, text

from petla.core.errors import UnavailableError
from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.decisions.log import count_decisions, count_known, get_decision, list_decisions
from petla.decisions.record import Decision, ShadowAnswer
from petla.decisions.records import find_decision, set_position
from petla.decisions.shipper import Shipped, ship
from petla.decisions.spool import (
    DAMAGED_FOLDER,
    DECISIONS,
    SPOOL_FOLDER,
    Position,
    Segment,
    SpoolWriter,
    list_segments,
    segment_path,
)
from petla.decisions.summary import summarise
from petla.models.registry import get_version
from petla.storage.database import reading, writing
from petla.storage.partitions import has_days
from petla.storage.workspace import Workspace
from tests.decisions.logged import FAR, NOON_NS, make_decision, make_feedback, make_shadow, oldest_segment, spool
from tests.deployments.tiny import MODEL, PROJECT, add_version, open_shop


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    ws = open_shop(tmp_path)
    add_version(ws)
    return ws


def test_spooled_records_are_shipped_once(shop: Workspace) -> None:
    spool(shop, [make_decision(0), make_decision(1)], [make_decision(2)], [make_feedback(1)])

    assert ship(shop) == Shipped(decisions=3, feedback=1, unknown_feedback=0)
    assert ship(shop) == Shipped(decisions=0, feedback=0, unknown_feedback=0)
    assert count_decisions(shop, MODEL) == 3


def test_nothing_spooled_ships_nothing(shop: Workspace) -> None:
    assert ship(shop) == Shipped(decisions=0, feedback=0, unknown_feedback=0)


@pytest.fixture
def any_shop(tmp_path: Path, database_address: str) -> Iterator[Workspace]:
    """A shop on SQLite, then one on PostgreSQL."""
    ws = Workspace(tmp_path, decode_project(PROJECT), Settings(actor="ada", database=database_address))
    add_version(ws)
    yield ws
    ws.engine.dispose()


def test_shipping_works_on_every_database(any_shop: Workspace) -> None:
    ws = any_shop
    spool(ws, [make_decision(i) for i in range(5)], [make_feedback(0, "True"), make_feedback(9)])

    assert ship(ws) == Shipped(decisions=5, feedback=2, unknown_feedback=1)
    assert count_known(ws, ["id-0", "id-4", "id-5"]) == 2
    assert get_decision(ws, "id-0").truth is True


def test_row_holds_the_decision_in_the_words_of_the_signature(shop: Workspace) -> None:
    spool(shop, [make_decision(3)])
    ship(shop)

    found = get_decision(shop, "id-3")

    assert found.inputs == {"amount": 3.5, "items": None, "country": "pl"}
    assert (found.label, found.score, found.request_id, found.worker) == (True, 0.25, "request-1", "0")
    assert found.at == "2026-01-01T12:00:03.000000Z"
    assert found.truth is None


def test_row_holds_everything_of_the_record_and_what_its_version_was_made_of(any_shop: Workspace) -> None:
    later = {"trace_id": "ab" * 16, "arm": "canary", "flags": ("far_outside", "unseen"), "subject": "card 7"}
    full = msgspec.structs.replace(make_decision(3), explanation=(0.5, -0.25, 0.0), **later)
    spool(any_shop, [full])
    ship(any_shop)

    found = get_decision(any_shop, "id-3")

    assert {name: getattr(found, name) for name in later} == later
    assert found.explanation == {"amount": 0.5, "items": -0.25, "country": 0.0}
    certificate = get_version(any_shop, MODEL, 1).certificate
    assert (found.package, found.data, found.commit) == (certificate.package, certificate.data, certificate.commit)


def test_shadow_answers_are_shipped_beside_their_decision(any_shop: Workspace) -> None:
    spool(any_shop, [make_decision(0), make_decision(1)], [make_shadow(0), make_shadow(1, error="too slow")])

    assert ship(any_shop).shadows == 2

    (answered,), (failed,) = (get_decision(any_shop, name).shadows for name in ("id-0", "id-1"))
    assert (answered.version, answered.label, answered.score, answered.error) == (2, True, 0.75, "")
    assert (failed.label, failed.error) == (None, "too slow")


def test_decision_of_a_version_that_nobody_knows_is_shipped_all_the_same(shop: Workspace) -> None:
    spool(shop, [make_decision(0, version=9)])

    assert ship(shop).decisions == 1
    found = get_decision(shop, "id-0")
    assert (found.inputs, found.package) == ({"0": 0.5, "1": 0, "2": "pl"}, "")


@pytest.mark.parametrize("text", ["a\0b", "".join(chr(ord("a") + i * i % 26) for i in range(20_000))])
def test_text_that_no_index_takes_stops_nothing(any_shop: Workspace, text: str) -> None:
    decision = msgspec.structs.replace(make_decision(0), subject=text, request_id=text, latency_us=2**40)
    feedback = msgspec.structs.replace(make_feedback(0), decision_id=text)
    spool(any_shop, [decision], [make_decision(1)], [feedback])

    assert ship(any_shop) == Shipped(decisions=2, feedback=1, unknown_feedback=1)
    assert get_decision(any_shop, "id-0").subject == text[:256].replace("\0", "\ufffd")


def test_batches_are_closed_at_the_limit(shop: Workspace) -> None:
    spool(shop, *[[make_decision(i)] for i in range(7)])
    seen: list[int] = []

    ship(shop, [lambda _, batch: seen.append(len(batch))], limit_rows=3)

    assert seen == [3, 3, 1]


def test_counter_that_fails_leaves_nothing_half_done(shop: Workspace) -> None:
    spool(shop, [make_decision(0)], [make_decision(1)])
    counted: list[str] = []

    def count(_: Connection, batch: Sequence[Decision]) -> None:
        counted.extend(decision.id for decision in batch)
        if len(counted) == 2:
            raise UnavailableError("the power went out")

    with pytest.raises(UnavailableError):
        ship(shop, [count], limit_rows=1)
    assert count_decisions(shop) == 1

    assert ship(shop, [count], limit_rows=1).decisions == 1
    assert count_decisions(shop) == 2


def test_decisions_are_shipped_before_the_feedback_about_them(shop: Workspace) -> None:
    spool(shop, [make_feedback(0)], worker="0")
    spool(shop, [make_decision(0)], worker="1")

    assert ship(shop).unknown_feedback == 0


def test_feedback_that_arrives_while_shipping_waits_for_the_next_time(shop: Workspace) -> None:
    spool(shop, [make_decision(0)])

    def arrive(_connection: Connection, _batch: Sequence[Decision]) -> None:
        spool(shop, [make_decision(1)], [make_feedback(1)], worker="1")

    # Worker 1's decision comes after the look at its spool, and so does the label about it.
    assert ship(shop, [arrive]).feedback == 0
    assert ship(shop) == Shipped(decisions=1, feedback=1, unknown_feedback=0)


def test_shadow_answer_that_arrives_while_shipping_waits_for_its_decision(shop: Workspace) -> None:
    seen: list[str] = []
    spool(shop, [make_decision(0)], [make_shadow(0)])

    def arrive(_connection: Connection, _batch: Sequence[Decision]) -> None:
        spool(shop, [make_decision(1)], [make_shadow(1)])

    def count(connection: Connection, batch: Sequence[ShadowAnswer]) -> None:
        found = [find_decision(connection, shop.name, each.decision_id) for each in batch]
        seen.extend("none" if decision is None else decision.id for decision in found)

    ship(shop, [arrive], [count])
    assert seen == ["id-0"]
    ship(shop, [], [count])
    assert seen == ["id-0", "id-1"]


def test_shipping_that_ends_early_goes_on_where_it_ended_and_no_label_overtakes_its_decision(shop: Workspace) -> None:
    spool(shop, *[[make_decision(i)] for i in range(3)], [make_feedback(i) for i in range(3)])
    answers = iter((False, True))

    first = ship(shop, limit_rows=1, is_over=lambda: next(answers, True))

    assert first == Shipped(decisions=1, feedback=0, unknown_feedback=0)
    assert ship(shop) == Shipped(decisions=2, feedback=3, unknown_feedback=0)


def test_planner_knows_a_day_that_was_just_filled(any_shop: Workspace) -> None:
    if not has_days(any_shop.engine):
        pytest.skip("SQLite's planner knows nothing of rows")
    spool(any_shop, [make_decision(i) for i in range(2_000)], [make_feedback(i) for i in range(2_000)])

    ship(any_shop)

    spans = {"decisions": "at >= '2026-01-01' AND at < '2026-01-02'", "feedback": "decision_id >= 'id-'"}
    for name, span in spans.items():
        query: Select[Any] = (
            select(column("project")).select_from(table(name)).where(column("project") == any_shop.name, text(span))
        )
        said = str(query.compile(any_shop.engine, compile_kwargs={"literal_binds": True}))
        with reading(any_shop.engine) as connection:
            (found,) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {said}").scalar_one()
        assert 1_000 < found["Plan"]["Plan Rows"] < 4_000


def test_shipped_segments_are_removed_but_for_the_newest(shop: Workspace) -> None:
    spool(shop, [make_decision(0)], [make_decision(1)], [make_decision(2)])
    segments = list_segments(shop.state / SPOOL_FOLDER / "0", DECISIONS)

    ship(shop)

    assert list_segments(shop.state / SPOOL_FOLDER / "0", DECISIONS) == segments[-1:]
    spool(shop, [make_decision(3)])
    assert ship(shop).decisions == 1


def test_damaged_segment_is_kept_aside_and_named_and_stops_nothing(shop: Workspace) -> None:
    spool(shop, [make_decision(0)], [make_decision(1)], [make_feedback(1)])
    folder = shop.state / SPOOL_FOLDER / "0"
    path = oldest_segment(folder, DECISIONS)
    damaged = path.read_bytes()[:-1] + b"?"
    path.write_bytes(damaged)

    shipped = ship(shop)

    assert (shipped.decisions, shipped.feedback) == (1, 1)
    assert f"{path.name} is damaged at byte 0" in shipped.damaged[0]
    assert [decision.id for decision in list_decisions(shop)] == ["id-1"]
    assert (folder / DAMAGED_FOLDER / path.name).read_bytes() == damaged
    assert not path.exists()
    assert ship(shop) == Shipped(decisions=0, feedback=0, unknown_feedback=0)


def test_shipping_that_cannot_write_keeps_everything_for_later(tmp_path: Path) -> None:
    ws = Workspace(tmp_path, decode_project(PROJECT), Settings(actor="ada", wait_s=0.01))
    spool(ws, [make_decision(0)], [make_decision(1)])
    holder = ws.engine.connect().execution_options(is_write=True)

    with holder.begin(), pytest.raises(UnavailableError, match="locked"):
        ship(ws)

    assert len(list_segments(ws.state / SPOOL_FOLDER / "0", DECISIONS)) == 2
    assert ship(ws).decisions == 2


@pytest.mark.parametrize("is_older_copy", [False, True])
def test_spool_that_was_lost_while_the_database_was_not_goes_on_being_shipped(
    shop: Workspace, tmp_path: Path, is_older_copy: bool
) -> None:
    folder = shop.state / SPOOL_FOLDER / "0"
    spool(shop, [make_decision(0)])
    ship(shop)
    shutil.copytree(folder, tmp_path / "copy")
    spool(shop, [make_decision(1)], [make_decision(2)], [make_decision(3)])
    ship(shop)

    shutil.rmtree(folder)
    if is_older_copy:
        shutil.copytree(tmp_path / "copy", folder)
    spool(shop, [make_decision(4)], [make_decision(5)])

    assert ship(shop).decisions == 2
    assert count_decisions(shop) == 6


HOURS_NS = 3_600 * 10**9


def set_clock(monkeypatch: pytest.MonkeyPatch, ns: int) -> None:
    monkeypatch.setattr("petla.decisions.spool.writer.time.time_ns", lambda: ns)


@pytest.mark.parametrize("back_ns", [HOURS_NS, 60 * 10**6, 0])
@pytest.mark.parametrize("is_older_copy", [False, True])
def test_lost_spool_hides_nothing_whatever_the_clock_does(
    shop: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, back_ns: int, is_older_copy: bool
) -> None:
    folder = shop.state / SPOOL_FOLDER / "0"
    set_clock(monkeypatch, NOON_NS)
    spool(shop, [make_decision(0)])
    ship(shop)
    shutil.copytree(folder, tmp_path / "copy")
    spool(shop, [make_decision(1)], [make_decision(2)])
    ship(shop)

    shutil.rmtree(folder)
    if is_older_copy:
        shutil.copytree(tmp_path / "copy", folder)
    set_clock(monkeypatch, NOON_NS - back_ns)
    spool(shop, [make_decision(3)], [make_decision(4)])

    assert sum(each.size_bytes for each in summarise(shop).backlog) > 0
    assert ship(shop) == Shipped(2, 0, 0)
    assert count_decisions(shop) == 5


def test_spools_of_two_machines_with_one_database_hide_nothing_of_each_other(
    shop: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(actor="ada", database=str(shop.engine.url))
    other = Workspace(tmp_path / "other", shop.project, settings)
    set_clock(monkeypatch, NOON_NS)
    spool(shop, [make_decision(0)], [make_decision(1)], [make_feedback(0)])
    set_clock(monkeypatch, NOON_NS - HOURS_NS)
    spool(other, [make_decision(2)], [make_decision(3)], [make_feedback(2)])

    assert ship(shop) == Shipped(2, 1, 0)
    assert ship(other) == Shipped(2, 1, 0)
    assert count_decisions(shop) == 4
    other.engine.dispose()


def test_copy_of_a_spool_that_goes_on_doubles_and_hides_nothing(shop: Workspace, tmp_path: Path) -> None:
    settings = Settings(actor="ada", database=str(shop.engine.url))
    folder = shop.state / SPOOL_FOLDER / "0"
    writer = SpoolWriter(folder, DECISIONS)
    writer.append([make_decision(0)])
    writer.append([make_decision(1)])
    other = Workspace(tmp_path / "other", shop.project, settings)
    shutil.copytree(folder, other.state / SPOOL_FOLDER / "0")
    # the copy was made in the middle of a write
    (copied,) = (other.state / SPOOL_FOLDER / "0").glob("decisions-*.log")
    copied.write_bytes(copied.read_bytes()[:-3])
    writer.append([make_decision(2)])

    assert ship(other) == Shipped(1, 0, 0)
    spool(other, [make_decision(3)])
    assert ship(shop) == Shipped(2, 0, 0)
    assert ship(other) == Shipped(1, 0, 0)

    writer.close()
    assert sorted(each.id for each in list_decisions(shop)) == [f"id-{i}" for i in range(4)]
    other.engine.dispose()


def test_segments_of_writers_that_ended_are_removed_but_never_that_of_one_that_writes(shop: Workspace) -> None:
    folder = shop.state / SPOOL_FOLDER / "0"
    writer = SpoolWriter(folder, DECISIONS)
    writer.append([make_decision(0)])
    written = list_segments(folder, DECISIONS)[0]
    # somebody puts a file back whose number is higher
    later = Segment(FAR, "ab" * 16)
    spool(shop, [make_decision(1)], worker="1")
    shutil.copy(oldest_segment(folder.with_name("1"), DECISIONS), segment_path(folder, DECISIONS, later))
    shutil.rmtree(folder.with_name("1"))

    assert ship(shop).decisions == 2
    writer.append([make_decision(2)])

    assert list_segments(folder, DECISIONS) == [written, later]
    assert ship(shop).decisions == 1
    writer.close()


def test_place_of_a_version_without_origins_carries_over(shop: Workspace) -> None:
    folder = shop.state / SPOOL_FOLDER / "0"
    spool(shop, [make_decision(0)], [make_decision(1)], [make_decision(2)])
    for number, segment in enumerate(list_segments(folder, DECISIONS), start=100_001):
        segment_path(folder, DECISIONS, segment).rename(segment_path(folder, DECISIONS, Segment(number)))
    with writing(shop.engine) as connection:
        set_position(connection, shop.name, "0/decisions", Position(100_002, 0))

    shipped = ship(shop)

    # the first may be another machine's, which had the same name for its place; it is not removed unread
    assert [decision.id for decision in list_decisions(shop)] == ["id-2", "id-1"]
    assert "decisions-100001.log" in shipped.damaged[0]
    assert (folder / DAMAGED_FOLDER / "decisions-100001.log").exists()
    assert ship(shop) == Shipped(0, 0, 0)
