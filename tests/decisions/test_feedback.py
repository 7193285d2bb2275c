"""Feedback: late, early, repeated, corrected, about nobody's decision; each is kept, counted and shown."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from petla.core.errors import NotFoundError
from petla.core.ids import DecisionId, uuid7_source
from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.decisions.export import export_labelled
from petla.decisions.log import count_labelled, get_decision, list_labelled, list_page, newest_feedback
from petla.decisions.record import NAMED, Feedback, Truth, Wanted
from petla.decisions.shipper import ship
from petla.decisions.summary import summarise
from petla.storage.workspace import Workspace
from tests.decisions.logged import NOON_NS, SECOND_NS, make_decision, make_feedback, spool
from tests.deployments.tiny import MODEL, PROJECT, add_version

DAY_NS = 86_400 * SECOND_NS


@pytest.fixture
def shop(tmp_path: Path, database_address: str) -> Iterator[Workspace]:
    """A shop on SQLite, then one on PostgreSQL; decisions are kept for a hundred days."""
    project = decode_project(PROJECT + "[decisions]\nkeep_days = 100\n")
    settings = Settings(actor="ada", database=database_address)
    ws = Workspace(tmp_path, project, settings, clock=lambda: datetime(2026, 1, 2, tzinfo=UTC))
    add_version(ws)
    yield ws
    ws.engine.dispose()


def make_id(*, days_ago: int) -> DecisionId:
    return uuid7_source(lambda: NOON_NS - days_ago * DAY_NS)()


def statuses_of(ws: Workspace, decision_id: str) -> list[tuple[object, str]]:
    return [(said.truth, said.status.value) for said in get_decision(ws, decision_id).feedback]


def test_repeated_and_corrected_feedback_is_kept_and_the_newest_truth_holds(shop: Workspace) -> None:
    truths = [False, False, 0, True, True, False]
    spool(shop, [make_decision(0)], [make_feedback(0, truth) for truth in truths])
    ship(shop)

    words = ["first", "repeated", "repeated", "corrected", "repeated", "corrected"]
    assert statuses_of(shop, "id-0") == list(zip(truths, words, strict=True))
    # 0 is kept as the class that it means
    assert get_decision(shop, "id-0").feedback[2].truth is False
    assert get_decision(shop, "id-0").truth is False
    assert [row.feedback_seq for row in list_labelled(shop, MODEL, 1)] == [6]


def test_labels_say_which_arm_their_requests_were_given_to(shop: Workspace) -> None:
    named = msgspec.structs.replace(make_decision(1), arm=NAMED, served_by=NAMED)
    spool(shop, [make_decision(0), named], [make_feedback(0), make_feedback(1)])
    ship(shop)

    assert get_decision(shop, "id-1").truth is True
    assert [(row.feedback_seq, row.arm) for row in list_labelled(shop, MODEL, 1)] == [(1, "champion"), (2, NAMED)]


def test_repetition_is_no_fresh_label(shop: Workspace) -> None:
    spool(shop, [make_decision(0)], [make_feedback(0, True)])
    ship(shop)
    seen = newest_feedback(shop)
    spool(shop, [make_feedback(0, True)])
    ship(shop)

    assert count_labelled(shop, MODEL, after_feedback=seen) == 0
    assert statuses_of(shop, "id-0")[1] == (True, "repeated")


def test_early_feedback_waits_and_counts_when_its_decision_comes(shop: Workspace) -> None:
    spool(shop, [make_feedback(0, False), make_feedback(0, True)])
    assert ship(shop).unknown_feedback == 2
    with pytest.raises(NotFoundError, match=r"'id-0' is not in the log; feedback about it came .* kept as waiting"):
        get_decision(shop, "id-0")
    spool(shop, [make_decision(1)], [make_feedback(1, True)])
    ship(shop)
    seen = newest_feedback(shop)

    spool(shop, [make_decision(0)])
    ship(shop)

    assert statuses_of(shop, "id-0") == [(False, "first"), (True, "corrected")]
    # the monitors go by the order of feedback, and have been further than where it first stood
    assert [row.truth for row in list_labelled(shop, MODEL, 1, after_feedback=seen)] == [True]


def test_feedback_about_a_decision_that_is_kept_no_longer_is_late(shop: Workspace) -> None:
    gone, unknown = make_id(days_ago=101), make_id(days_ago=5)
    spool(shop, [Feedback(name, True, NOON_NS) for name in (gone, unknown)])

    assert ship(shop).unknown_feedback == 2

    with pytest.raises(NotFoundError, match="kept as late"):
        get_decision(shop, gone)
    with pytest.raises(NotFoundError, match="kept as waiting"):
        get_decision(shop, unknown)


def test_label_of_another_type_is_kept_as_the_class_that_it_means(shop: Workspace) -> None:
    truths: list[Truth] = ["true", "False", 1, "0", 1.0]
    spool(shop, [make_decision(n) for n in range(5)], [make_feedback(n, truth) for n, truth in enumerate(truths)])
    ship(shop)

    assert [row.truth for row in list_labelled(shop, MODEL, 1)] == [True, False, True, False, True]
    assert [type(get_decision(shop, f"id-{n}").truth) for n in range(5)] == [bool] * 5


def test_label_that_is_no_class_is_kept_and_used_for_nothing(shop: Workspace) -> None:
    spool(shop, [make_decision(n) for n in range(3)], [make_feedback(0, True), make_feedback(0, "maybe")])
    spool(shop, [make_feedback(1, "yes"), make_feedback(2, 7), make_feedback(2, False)])
    ship(shop)

    assert statuses_of(shop, "id-0") == [(True, "first"), ("maybe", "unknown class")]
    assert statuses_of(shop, "id-2") == [(7, "unknown class"), (False, "first")]
    assert (get_decision(shop, "id-0").truth, get_decision(shop, "id-1").truth) == (True, None)
    assert [row.truth for row in list_labelled(shop, MODEL, 1)] == [True, False]
    assert summarise(shop).feedback == {"first": 2, "unknown class": 3}
    assert [found.id for found in list_page(shop, Wanted(labelled=False)).decisions] == ["id-1"]
    assert export_labelled(shop, MODEL, shop.state / "labels.parquet", rows=10) == 2


def test_early_label_that_is_no_class_is_known_so_when_its_decision_comes(shop: Workspace) -> None:
    spool(shop, [make_feedback(0, "maybe")])
    ship(shop)
    spool(shop, [make_decision(0)])
    ship(shop)

    assert statuses_of(shop, "id-0") == [("maybe", "unknown class")]
