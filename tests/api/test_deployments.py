"""Deployments by API and by page: the same changes as by command, under the visitor's name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from petla.api.sessions import make_api_token
from petla.decisions.shipper import ship
from petla.deployments.beside.rollout import plan_canary, plan_shadow
from petla.deployments.beside.rollouts import start
from petla.deployments.deploy import deploy
from petla.loop.controller import Controller
from petla.storage.workspace import Workspace
from tests.api.client import HTML, Client, find_token, open_client
from tests.deployments.tiny import MODEL, actions_of, add_version, open_shop, states_of
from tests.monitoring.rollouts.pairs import spool_arm, spool_pairs


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    ws = open_shop(tmp_path)
    for bias in (-4.0, -3.0, -2.0):
        add_version(ws, bias)
    deploy(ws, MODEL, 1, actor="ada")
    return ws


@pytest.fixture
def client(shop: Workspace) -> Iterator[Client]:
    with open_client(shop) as client:
        yield client


def send(client: Client, shop: Workspace, path: str, body: object) -> dict[str, object]:
    headers = {"authorization": f"Bearer {make_api_token(shop, 'tests')}"}
    response = client.post(f"/api/models/{MODEL}/{path}", json=body, headers=headers)
    found: dict[str, object] = response.json() | {"status": response.status_code}
    return found


def test_api_starts_reads_and_ends_rollouts(client: Client, shop: Workspace) -> None:
    shadow = send(client, shop, "deploy", {"version": 2, "shadow": 0.5, "reason": "curious"})
    arms = [{"name": "blue", "version": 3, "share": 0.3}]
    split = send(client, shop, "deploy", {"arms": arms})

    assert (shadow["status"], split["status"]) == (200, 200)
    kinds = [each["kind"] for each in client.get(f"/api/models/{MODEL}/rollouts").json()]
    report = client.get(f"/api/models/{MODEL}/comparison?rollout=1").json()
    (deployed,) = client.get("/api/deployments").json()
    assert (kinds, report["comparison"]["pairs"], len(deployed["rollouts"])) == (["experiment", "shadow"], 0, 2)

    send(client, shop, "stop", {"kind": "shadow"})
    send(client, shop, "rollback", {})

    assert states_of(shop) == {1: "production", 2: "testing", 3: "testing"}
    assert actions_of(shop)[-4:] == ["shadow.started", "experiment.started", "shadow.stopped", "model.rolled_back"]


def test_pages_lead_to_all_that_runs_beside_the_champion(client: Client, shop: Workspace) -> None:
    start(shop, MODEL, plan_shadow(2), actor="ada")
    start(shop, MODEL, plan_canary(3, (0.05, 1.0)), actor="ada")

    pages = [client.get(path, headers=HTML).text for path in ("/", f"/models/{MODEL}", f"/models/{MODEL}/rollouts")]

    for page in pages:
        assert f'href="/models/{MODEL}/rollouts/1"' in page
        assert f"canary {MODEL}:3 5%; then 100%" in page


def test_api_promotes(client: Client, shop: Workspace) -> None:
    send(client, shop, "deploy", {"version": 2, "canary": [0.1, 1.0]})

    done = send(client, shop, "promote", {"version": 2, "reason": "fine"})

    assert (done["live"], done["standby"]) == (2, 1)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"shadow": 0.5}, 422, "version"),
        ({"version": 2, "shadow": 2.0}, 422, "shadow"),
        ({"version": 2, "canary": [0.5, 0.1]}, 422, "canary"),
        ({"version": 2, "arms": [{"name": "blue", "version": 3, "share": 0.3}]}, 422, "version"),
        ({"version": 1, "canary": [0.1]}, 409, ""),
        ({"version": 9}, 404, "version"),
    ],
)
def test_api_refuses_what_cannot_be(client: Client, shop: Workspace, body: object, status: int, field: str) -> None:
    refused = send(client, shop, "deploy", body)

    error = refused["error"]
    assert isinstance(error, dict)
    assert (refused["status"], error["field"]) == (status, field)


def test_page_of_a_shadow_shows_where_versions_differ_and_promotes(client: Client, shop: Workspace) -> None:
    start(shop, MODEL, plan_shadow(2), actor="ada")
    spool_pairs(shop, 60, flipped=30, failed=5)
    controller = Controller(shop)
    controller.tick()
    controller.close()

    page = client.get(f"/models/{MODEL}/rollouts", headers=HTML).text

    for text in ("fraud:2 as shadow beside fraud:1", "50% (30 of 60;", "the newest 60 decisions", "country", "Promote"):
        assert text in page
    answer = client.post(
        f"/models/{MODEL}/promote",
        data={"csrf_token": find_token(page), "version": "2", "reason": "it is better"},
        follow_redirects=False,
    )
    assert (answer.status_code, answer.headers["location"]) == (303, f"/models/{MODEL}/rollouts")
    assert states_of(shop)[2] == "production"
    assert shop.ledger.list_entries()[-1].reason == "it is better"
    over = client.get(f"/models/{MODEL}/rollouts", headers=HTML).text
    assert "It is over" in over
    client.post(f"/models/{MODEL}/rollback", data={"csrf_token": find_token(over)})
    assert states_of(shop)[1] == "production"


def test_page_and_api_of_a_canary_show_where_it_differs_from_the_champion(client: Client, shop: Workspace) -> None:
    start(shop, MODEL, plan_canary(2, (0.05,)), actor="ada")
    empty = client.get(f"/models/{MODEL}/rollouts", headers=HTML).text
    spool_arm(shop, 60, flipped=30)
    ship(shop)

    page = client.get(f"/models/{MODEL}/rollouts", headers=HTML).text
    champion, canary = client.get(f"/api/models/{MODEL}/comparison").json()["arms"]

    assert "The champion was asked nothing yet that canary has answered." in empty
    for text in ("the newest 60 decisions", "50% (30 of 60)", "+50.0 points (+", "Canary, whole request", "country"):
        assert text in page
    assert (champion["comparison"], canary["comparison"]["flipped"]["n"]) == (None, 30)
    assert [(each["answer"], each["difference"]) for each in canary["comparison"]["answers"]] == [
        (False, 0.5),
        (True, -0.5),
    ]


def test_page_ends_a_canary(client: Client, shop: Workspace) -> None:
    start(shop, MODEL, plan_canary(2, (0.05, 0.25)), actor="ada")
    start(shop, MODEL, plan_shadow(3), actor="ada")
    page = client.get(f"/models/{MODEL}/rollouts/1", headers=HTML).text
    assert f"canary {MODEL}:2 5%; then 25%" in page

    client.post(f"/models/{MODEL}/stop", data={"csrf_token": find_token(page), "kind": "canary", "reason": "enough"})

    assert (states_of(shop)[2], states_of(shop)[3]) == ("testing", "shadow")


def test_page_without_a_rollout_says_how_to_start_one(client: Client) -> None:
    page = client.get(f"/models/{MODEL}/rollouts", headers=HTML)
    missing = client.get(f"/models/{MODEL}/rollouts/7", headers=HTML)

    assert (page.status_code, missing.status_code) == (200, 404)
    assert "petla deploy fraud:VERSION --shadow" in page.text
