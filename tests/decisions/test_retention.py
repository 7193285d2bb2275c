"""Retention: whole days go, with all that belongs to them, once, audited, and no day that is needed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from petla.core.errors import InvalidError
from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.decisions.log import count_decisions, get_decision, list_decisions
from petla.decisions.records import set_trusted
from petla.decisions.retention import Hold, Retention
from petla.decisions.reviews.records import add_reviews, decide_review
from petla.decisions.reviews.reviewing import Review, ReviewState, count_waiting, decide, list_reviews
from petla.decisions.shipper import ship
from petla.decisions.trusted_clock import describe_hold, trust_clock
from petla.storage.database import reading, writing
from petla.storage.partitions import has_days, list_days
from petla.storage.workspace import Workspace, open_workspace
from tests.cli.calling import call
from tests.decisions.logged import SECOND_NS, make_decision, make_feedback, make_shadow, spool
from tests.deployments.tiny import PROJECT, actions_of, add_version

DAY_NS = 86_400 * SECOND_NS
NOW = datetime(2026, 1, 11, 15, tzinfo=UTC)


@pytest.fixture
def shop(tmp_path: Path, database_address: str) -> Iterator[Workspace]:
    """Ten days with two decisions each, from 1 to 10 January, each with a label and a shadow answer."""
    project = decode_project(PROJECT + "[decisions]\nkeep_days = 4\n")
    # a name that would break a statement that was put together carelessly
    named = msgspec.structs.replace(project.project, name="sh'op %s")
    project = msgspec.structs.replace(project, project=named)
    ws = Workspace(tmp_path, project, Settings(actor="ada", database=database_address), clock=lambda: NOW)
    add_version(ws)
    numbers = range(20)
    spool(ws, [_on_day(make_decision(i), i) for i in numbers], [_on_day(make_shadow(i), i) for i in numbers])
    spool(ws, [_on_day(make_feedback(i), i) for i in numbers])
    ship(ws)
    yield ws
    ws.engine.dispose()


def _on_day(record: Any, number: int) -> Any:  # noqa: ANN401 - the same kind of record
    return msgspec.structs.replace(record, at_ns=record.at_ns + number // 2 * DAY_NS)


def wait_for_a_person(ws: Workspace, number: int) -> Review:
    at = f"2026-01-{1 + number // 2:02}T12:00:00.000000Z"
    review = Review(id=f"id-{number}", model="fraud", version=1, at=at, label=False, flags=("range",))
    with writing(ws.engine) as connection:
        add_reviews(connection, ws.name, [review])
    return review


def expire(ws: Workspace, *holds: Hold) -> None:
    retention = Retention(ws, holds)
    while retention.expire():
        pass


def list_kept(ws: Workspace) -> list[str]:
    return sorted({decision.at[:10] for decision in list_decisions(ws)})


def test_days_that_were_kept_long_enough_go_with_all_that_belongs_to_them(shop: Workspace) -> None:
    expire(shop)

    assert list_kept(shop) == [f"2026-01-{day:02}" for day in range(7, 11)]
    tables = shop.ledger.list_newest(limit=1)[0].details
    assert (tables["decisions"], tables["labelled"]) == (12, 12)
    with reading(shop.engine) as connection:
        for table in ("decisions", "shadows", "feedback"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 8  # noqa: S608
    assert len(get_decision(shop, "id-19").shadows) == len(get_decision(shop, "id-19").feedback) == 1


def test_second_pass_removes_and_says_nothing(shop: Workspace) -> None:
    expire(shop)
    expire(shop)

    assert actions_of(shop).count("decisions.expired") == 1
    assert count_decisions(shop) == 8
    assert shop.ledger.verify() > 0


def test_day_that_is_needed_stays_with_those_after_it(shop: Workspace) -> None:
    expire(shop, lambda _: "2026-01-05T23:00:00.000000Z", lambda _: None)

    assert list_kept(shop)[0] == "2026-01-05"


def test_nothing_is_held_for_more_than_a_week(shop: Workspace) -> None:
    late = Workspace(shop.root, shop.project, shop.settings, clock=lambda: datetime(2026, 1, 15, tzinfo=UTC))
    trust_clock(late, actor="ada", reason="was off")

    expire(late, lambda _: "2026-01-01T00:00:00.000000Z")

    assert list_kept(shop)[0] == "2026-01-04"
    late.engine.dispose()


def test_day_with_an_open_review_stays_until_it_is_decided(shop: Workspace) -> None:
    review = wait_for_a_person(shop, number=5)
    expire(shop)
    assert list_kept(shop)[0] == "2026-01-03"

    decide(shop, review.id, True, actor="ada", reason="seen")
    expire(shop)

    assert list_kept(shop)[0] == "2026-01-07"
    assert not list_reviews(shop)


def test_day_whose_webhook_was_not_reached_stays(shop: Workspace) -> None:
    review = wait_for_a_person(shop, number=5)
    undelivered = msgspec.structs.replace(review, state=ReviewState.DECIDED, deliver_at="2026-01-11T15:00:00.000000Z")
    with writing(shop.engine) as connection:
        assert decide_review(connection, shop.name, undelivered)

    expire(shop)

    assert list_kept(shop)[0] == "2026-01-03"


def test_review_that_nobody_decided_in_a_week_goes_and_the_audit_trail_says_so(shop: Workspace) -> None:
    wait_for_a_person(shop, number=5)
    late = Workspace(shop.root, shop.project, shop.settings, clock=lambda: datetime(2026, 1, 16, tzinfo=UTC))
    trust_clock(late, actor="ada", reason="was off")

    expire(late)

    assert list_kept(shop)[0] == "2026-01-05"
    assert count_waiting(shop) == 0
    assert shop.ledger.list_newest(limit=1)[0].details["unreviewed"] == 1
    late.engine.dispose()


def test_everything_is_kept_by_default(shop: Workspace) -> None:
    default = Workspace(shop.root, decode_project(PROJECT), shop.settings, clock=lambda: NOW)

    assert not Retention(default).expire()
    assert count_decisions(shop) == 20


def test_days_are_made_ahead_on_postgresql(shop: Workspace) -> None:
    if not has_days(shop.engine):
        pytest.skip("SQLite has no tables of days")
    with reading(shop.engine) as connection:
        found = list_days(connection, "decisions", shop.name)

    assert found == [f"2026-01-{day:02}" for day in range(1, 14)]


class Machine:
    """A machine whose clock jumps; real time passes apart from it."""

    def __init__(self) -> None:
        self.now, self.seconds = NOW, 0.0

    def pass_days(self, days: float) -> None:
        self.now += timedelta(days=days)
        self.seconds += days * 86_400

    def start(self, shop: Workspace) -> Retention:
        """Begin anew, as after a start of the control plane."""
        shop.clock = lambda: self.now
        return Retention(shop, monotonic=lambda: self.seconds)


def drain(retention: Retention) -> None:
    while retention.expire():
        pass


def test_jump_of_the_clock_removes_no_more_than_real_time_does(
    shop: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine()
    drain(machine.start(shop))

    machine.now += timedelta(days=400)
    # what is decided now bears the wrong time, and starts help nothing
    spool(shop, [_on_day(make_decision(900), 900)])
    ship(shop)
    for _ in range(5):
        drain(machine.start(shop))
    assert list_kept(shop)[:4] == [f"2026-01-{day:02}" for day in range(7, 11)]
    running = machine.start(shop)
    for _ in range(24):
        machine.pass_days(1 / 24)
        drain(running)

    assert list_kept(shop)[0] == "2026-01-08"
    assert "decisions.expiry_held" in [each.message for each in caplog.records]
    assert "400 days ahead" in describe_hold(shop)
    assert "petla decisions trust-clock" in describe_hold(shop)
    trust_clock(shop, actor="ada", reason="the clock is right")
    assert not describe_hold(shop)
    drain(running)
    assert list_kept(shop)[0] > "2027"


@pytest.mark.parametrize("days", [2, 6])
def test_gap_is_caught_up_by_one_further_day_per_day(shop: Workspace, days: int) -> None:
    machine = Machine()
    drain(machine.start(shop))
    machine.now += timedelta(days=days)
    running = machine.start(shop)
    drain(running)
    assert list_kept(shop)[0] == "2026-01-07"

    machine.pass_days(1)
    drain(running)

    assert list_kept(shop)[0] == "2026-01-09"


def test_clock_that_was_ahead_before_the_first_look_is_not_trusted(shop: Workspace) -> None:
    machine = Machine()
    machine.now += timedelta(days=400)

    drain(machine.start(shop))

    assert list_kept(shop)[0] == "2026-01-07"


def test_clock_that_was_put_right_is_followed(shop: Workspace) -> None:
    machine = Machine()
    running = machine.start(shop)
    drain(running)
    machine.now += timedelta(days=400)
    drain(running)
    machine.now -= timedelta(days=400)

    machine.pass_days(1)
    drain(running)

    assert list_kept(shop)[0] == "2026-01-08"
    with pytest.raises(InvalidError, match="reason"):
        trust_clock(shop, actor="ada", reason=" ")


def test_status_names_the_jump_and_the_command_that_ends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "petla.toml").write_text(PROJECT + "[decisions]\nkeep_days = 4\n")
    ws = open_workspace(tmp_path, Settings(actor="ada"))
    with writing(ws.engine) as connection:
        set_trusted(connection, ws.name, datetime.now(UTC) - timedelta(days=400))

    assert call(ws, "status") == 0
    assert "the clock is 400 days ahead" in capsys.readouterr().out
    assert call(ws, "decisions", "trust-clock", "--reason", "was off for a year") == 0
    assert call(ws, "status") == 0

    assert "days ahead" not in capsys.readouterr().out
    assert actions_of(ws)[-1] == "clock.trusted"
    ws.engine.dispose()
