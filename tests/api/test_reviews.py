"""Reviews by the API: the queue, one decision, and a person's word."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from petla.storage.workspace import Workspace
from tests.api.client import HTML, Client, find_token, make_project, open_client
from tests.web.seed import seed_loop

REVIEW = "01920000-0000-7000-8000-000000000006"


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    opened = make_project(tmp_path)
    seed_loop(opened)
    return opened


@pytest.fixture
def client(ws: Workspace) -> Iterator[Client]:
    with open_client(ws) as opened:
        opened.headers["x-csrf-token"] = find_token(opened.get("/approvals/1", headers=HTML).text)
        yield opened


def test_queue_and_one_review_with_its_decision(client: Client) -> None:
    waiting = client.get("/api/reviews", params={"in_state": "waiting"}).json()
    found = client.get(f"/api/reviews/{REVIEW}").json()

    assert [review["id"] for review in waiting] == [REVIEW, REVIEW[:-1] + "7"]
    assert found["review"]["flags"] == ["range"]
    assert found["decision"]["inputs"]["temperature"] == 30.5
    assert client.get("/api/models/delay").json()["waiting_reviews"] == 2


def test_word_is_taken_once_by_the_session_s_person(client: Client, ws: Workspace) -> None:
    word = {"answer": True, "reason": "looked out of the window"}

    first, second = (client.post(f"/api/reviews/{REVIEW}", json=word) for _ in range(2))

    assert (first.status_code, first.json()["state"], first.json()["decided_by"]) == (200, "decided", ws.actor)
    assert (second.status_code, second.json()["error"]["code"]) == (409, "conflict")


def test_several_are_decided_with_one_word_and_each_outcome_is_told(client: Client, ws: Workspace) -> None:
    other = REVIEW[:-1] + "7"
    client.post(f"/api/reviews/{other}", json={"answer": False, "reason": "first"})

    answer = client.post("/api/reviews", json={"ids": [REVIEW, other, "none"], "answer": True, "reason": "second"})

    done, late, unknown = answer.json()
    assert answer.status_code == 200
    assert (done["id"], done["review"]["answer"], done["review"]["decided_by"]) == (REVIEW, True, ws.actor)
    assert done["error"] is None
    assert (late["review"], late["error"]["code"]) == (None, "conflict")
    assert "was decided by Ada Lovelace already" in late["error"]["message"]
    assert (unknown["id"], unknown["error"]["code"]) == ("none", "not_found")


@pytest.mark.parametrize(
    ("word", "status", "field"),
    [
        ({"ids": [REVIEW], "answer": True, "reason": " "}, 422, "reason"),
        ({"ids": [], "answer": True, "reason": "x"}, 422, "ids"),
        ({"ids": REVIEW, "answer": True, "reason": "x"}, 400, "ids"),
    ],
)
def test_word_for_several_with_a_fault_is_refused(
    client: Client, word: dict[str, object], status: int, field: str
) -> None:
    refused = client.post("/api/reviews", json=word)

    assert (refused.status_code, refused.json()["error"]["field"]) == (status, field)


@pytest.mark.parametrize(
    ("word", "status", "field"),
    [
        ({"answer": True, "reason": ""}, 422, "reason"),
        ({"answer": "perhaps", "reason": "x"}, 422, "answer"),
        ({"answer": True}, 422, "reason"),
    ],
)
def test_word_with_a_fault_is_refused(client: Client, word: dict[str, object], status: int, field: str) -> None:
    refused = client.post(f"/api/reviews/{REVIEW}", json=word)

    assert (refused.status_code, refused.json()["error"]["field"]) == (status, field)


def test_stranger_may_neither_see_nor_decide(ws: Workspace) -> None:
    with open_client(ws, is_signed_in=False) as stranger:
        assert stranger.get("/api/reviews").status_code == 401
        assert stranger.post(f"/api/reviews/{REVIEW}", json={"answer": True, "reason": "x"}).status_code == 401
