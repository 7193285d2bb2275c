"""The queue of reviews and its webhook, with a real receiver."""

import hashlib
import hmac
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from petla.core.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    PetlaError,
    UnavailableError,
)
from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.decisions.log import get_decision
from petla.decisions.record import Truth
from petla.decisions.reviews.reviewing import (
    MOST,
    Review,
    ReviewState,
    count_waiting,
    decide,
    decide_each,
    decide_typed,
    find_review,
    get_review,
    list_reviews,
    make_collector,
    read_answer,
)
from petla.decisions.reviews.webhook import Courier
from petla.decisions.shipper import ship
from petla.storage.workspace import Workspace
from tests.cli.calling import call
from tests.decisions.logged import make_decision, spool
from tests.deployments.tiny import PROJECT, add_version, open_shop

SECRET = "between us"
NOON = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)


class Clock:
    """A clock that a test moves; a real one would make it wait."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


class Receiver:
    """A real HTTP server that answers with what it is told, and keeps what it got."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.bodies: list[bytes] = []
        self.signatures: list[str] = []


@contextmanager
def receiving() -> Iterator[tuple[str, Receiver]]:
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            kept.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            kept.signatures.append(self.headers["x-petla-signature"])
            self.send_response(kept.statuses.pop(0) if kept.statuses else 204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook?key=1", kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def flagged(number: int, *flags: str) -> Any:  # noqa: ANN401 - a decision
    return msgspec.structs.replace(make_decision(number), flags=flags)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    """Three decisions, the last two of which wait for a person."""
    opened = open_shop(tmp_path)
    add_version(opened)
    spool(
        opened,
        [flagged(0), flagged(1, "unseen", "review"), flagged(2, "range")],
        [flagged(3, "confidence", "review")],
    )
    ship(opened, [make_collector(opened)])
    return opened


def with_webhook(ws: Workspace, address: str, *, secret: str = SECRET) -> tuple[Workspace, Clock]:
    """The same project with a webhook, as after a restart."""
    clock = Clock()
    project = decode_project(f'{PROJECT}\n[models.fraud.guards]\nwebhook = "{address}"')
    return Workspace(ws.root, project, Settings(actor="ada", webhook_secret=secret), clock=clock), clock


def test_queue_holds_what_a_guard_sent_there_once(ws: Workspace) -> None:
    ship(ws, [make_collector(ws)])

    waiting = list_reviews(ws, "waiting")

    assert [(review.id, review.flags) for review in waiting] == [("id-1", ("unseen",)), ("id-3", ("confidence",))]
    assert count_waiting(ws) == count_waiting(ws, "fraud") == 2
    assert count_waiting(ws, "other") == 0
    assert find_review(ws, "id-2") is None


def test_batch_that_is_shipped_again_after_a_crash_fills_the_queue_once(tmp_path: Path) -> None:
    ws = open_shop(tmp_path)
    add_version(ws)
    spool(ws, [flagged(1, "unseen", "review")])

    def die(*_: object) -> None:
        # stands for a kill behind the insert, inside the transaction
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ship(ws, [make_collector(ws), die])
    assert count_waiting(ws) == 0

    ship(ws, [make_collector(ws)])
    assert count_waiting(ws) == 1


def test_person_decides_once_with_a_reason_and_the_audit_trail_has_it(ws: Workspace) -> None:
    before = get_decision(ws, "id-1")

    done = decide(ws, "id-1", True, actor="ola", reason=" called her ")

    assert (done.state, done.answer, done.decided_by, done.reason) == (ReviewState.DECIDED, True, "ola", "called her")
    entry = ws.ledger.list_newest(limit=1)[0]
    assert (entry.action, entry.actor, entry.reason) == ("decision.reviewed", "ola", "called her")
    assert entry.details == {"decision": "id-1", "provisional": False, "answer": True, "flags": ["unseen"]}
    assert get_decision(ws, "id-1") == before
    assert [review.id for review in list_reviews(ws, "waiting")] == ["id-3"]


@pytest.mark.parametrize(
    ("review", "answer", "actor", "reason", "family", "says"),
    [
        ("id-1", True, "ola", "  ", InvalidError, "needs a reason"),
        ("id-1", "maybe", "ola", "x", InvalidError, "does not answer 'maybe'; next: answer false or true"),
        ("id-1", True, "", "x", ForbiddenError, "nobody decides"),
        ("id-2", True, "ola", "x", NotFoundError, "waits for nobody"),
    ],
)
def test_word_that_does_not_count_changes_nothing(
    ws: Workspace, review: str, answer: Truth, actor: str, reason: str, family: type[PetlaError], says: str
) -> None:
    with pytest.raises(family) as caught:
        decide(ws, review, answer, actor=actor, reason=reason)

    assert says in str(caught.value)
    assert count_waiting(ws) == 2


def test_of_two_who_decide_at_once_one_is_told_that_it_is_over(ws: Workspace) -> None:
    def say(actor: str) -> str:
        try:
            return decide(ws, "id-1", True, actor=actor, reason="mine").decided_by
        except ConflictError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(say, ("ola", "jan")), key=len)

    assert said[0] in ("ola", "jan")
    assert f"was decided by {said[0]} already" in said[1]


def test_of_several_each_is_decided_for_itself_as_one_alone_is(ws: Workspace) -> None:
    with receiving() as (address, kept):
        told, _ = with_webhook(ws, address)
        decide(told, "id-1", False, actor="jan", reason="I was first")
        settle = partial(decide_typed, told, text="true", actor="ola", reason=" called them ")

        outcomes = decide_each(["id-1", "id-9", "id-3", "id-3"], settle)
        Courier(told).deliver_due()

    taken = outcomes[2].result
    assert [each.id for each in outcomes] == ["id-1", "id-9", "id-3"]
    assert "id-1 was decided by jan already" in str(outcomes[0].result)
    assert isinstance(outcomes[1].result, NotFoundError)
    assert isinstance(taken, Review)
    assert (taken.answer, taken.decided_by, taken.reason) == (True, "ola", "called them")
    assert get_review(told, "id-1").decided_by == "jan"
    entry = ws.ledger.list_newest(limit=1)[0]
    assert (entry.action, entry.actor, entry.reason) == ("decision.reviewed", "ola", "called them")
    assert entry.details["decision"] == "id-3"
    assert [json.loads(body)["id"] for body in kept.bodies] == ["id-1", "id-3"]


@pytest.mark.parametrize(
    ("ids", "reason", "field"),
    [
        (["id-1", "id-3"], " ", "reason"),
        ([], "x", "ids"),
        ([f"id-{number}" for number in range(MOST + 1)], "x", "ids"),
    ],
)
def test_word_that_counts_for_none_is_refused_as_a_whole(
    ws: Workspace, ids: list[str], reason: str, field: str
) -> None:
    with pytest.raises(InvalidError) as caught:
        decide_each(ids, partial(decide_typed, ws, text="true", actor="ola", reason=reason))

    assert caught.value.field == field
    assert count_waiting(ws) == 2


def test_when_the_database_goes_away_the_rest_is_reported_and_not_tried(ws: Workspace) -> None:
    tried = []

    def settle(name: str) -> Review:
        # stands for a server that goes away behind the first decision
        tried.append(name)
        if len(tried) > 1:
            raise UnavailableError("the database does not answer")
        return decide(ws, name, True, actor="ola", reason="x")

    outcomes = decide_each(["id-1", "id-3", "id-2"], settle)

    assert [type(each.result) for each in outcomes] == [Review, UnavailableError, UnavailableError]
    assert tried == ["id-1", "id-3"]


def test_command_reports_what_came_of_each(ws: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("reviews", "decide", "id-1", "id-3", "--answer", "true", "--reason", "called them")
    decide(ws, "id-1", True, actor="jan", reason="first")

    statuses = [call(ws, *words), call(ws, *words, "--json")]

    said, _, document = capsys.readouterr().out.partition("\n[")
    assert statuses == [1, 1]
    assert "1 of 2 decisions decided" in said
    assert re.search(r"id-1 +decision id-1 was decided by jan already\nid-3 +true, says ada\n", said)
    assert [(each["id"], each["review"], each["error"]["code"]) for each in json.loads("[" + document)] == [
        ("id-1", None, "conflict"),
        ("id-3", None, "conflict"),
    ]


@pytest.mark.parametrize(("typed", "read"), [("true", True), (" FALSE ", False)])
def test_typed_answer_is_the_model_s_own_value(ws: Workspace, typed: str, read: bool) -> None:
    assert read_answer(ws, get_review(ws, "id-1"), typed) is read


def test_webhook_is_told_signed_and_once(ws: Workspace) -> None:
    with receiving() as (address, kept):
        told, _ = with_webhook(ws, address)
        decide(told, "id-1", True, actor="ola", reason="called her")
        courier = Courier(told)

        assert [courier.deliver_due(), courier.deliver_due()] == [1, 0]

    body = json.loads(kept.bodies[0])
    assert (body["event"], body["id"], body["answer"], body["decided_by"]) == ("decision.reviewed", "id-1", True, "ola")
    assert body["inputs"] == {"amount": 1.5, "items": None, "country": "pl"}
    expected = hmac.new(SECRET.encode(), kept.bodies[0], hashlib.sha256).hexdigest()
    assert kept.signatures == [f"sha256={expected}"]
    assert get_review(told, "id-1").delivered_at is not None


def test_call_that_fails_is_made_again_later_also_after_a_restart(ws: Workspace) -> None:
    with receiving() as (address, kept):
        kept.statuses = [500, 302, 200]
        told, clock = with_webhook(ws, address)
        decide(told, "id-1", True, actor="ola", reason="called her")
        waits = []
        for attempt in range(3):
            assert Courier(told).deliver_due() == (attempt == 2)
            found = get_review(told, "id-1")
            if found.deliver_at is not None:
                # not before its time
                assert Courier(told).deliver_due() == 0
                due = datetime.fromisoformat(found.deliver_at)
                waits.append((due - clock.now).total_seconds())
                told, clock = with_webhook(ws, address)
                clock.now = due
        done = get_review(told, "id-1")

    assert waits == [11, 12]
    assert len(kept.bodies) == 3
    assert (done.attempts, done.delivery_error, done.deliver_at) == (3, "", None)


def test_call_that_died_halfway_is_made_again(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> str:
        # stands for a kill in the middle of the call
        raise KeyboardInterrupt

    with receiving() as (address, kept):
        told, clock = with_webhook(ws, address)
        decide(told, "id-1", True, actor="ola", reason="called her")
        with monkeypatch.context() as patch:
            patch.setattr("petla.decisions.reviews.webhook._post", die)
            with pytest.raises(KeyboardInterrupt):
                Courier(told).deliver_due()
        clock.now += timedelta(seconds=30)

        assert Courier(told).deliver_due() == 1
    assert len(kept.bodies) == 1


@pytest.mark.parametrize(
    ("address", "secret", "says"),
    [("http://127.0.0.1:1/", SECRET, "ConnectionRefusedError"), ("http://127.0.0.1:1/", "", "PETLA_WEBHOOK_SECRET")],
)
def test_what_cannot_be_delivered_says_why_and_stays_due(ws: Workspace, address: str, secret: str, says: str) -> None:
    told, _ = with_webhook(ws, address, secret=secret)
    decide(told, "id-1", True, actor="ola", reason="called her")

    assert Courier(told).deliver_due() == 0

    found = get_review(told, "id-1")
    assert says in found.delivery_error
    assert found.deliver_at is not None


def test_courier_goes_on_until_it_is_told_to_stop(ws: Workspace) -> None:
    with receiving() as (address, kept):
        told, _ = with_webhook(ws, address)
        stop = threading.Event()
        thread = threading.Thread(target=Courier(told).run, args=(stop,))
        thread.start()
        decide(told, "id-1", True, actor="ola", reason="called her")
        while not kept.bodies:
            stop.wait(0.01)
        stop.set()
        thread.join()

    assert len(kept.bodies) == 1


def test_without_a_webhook_nothing_is_due(ws: Workspace) -> None:
    assert decide(ws, "id-1", True, actor="ola", reason="x").deliver_at is None
    assert Courier(ws).deliver_due() == 0
