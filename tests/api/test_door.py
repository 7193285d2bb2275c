"""Nobody comes in without a link or a token, and no foreign page can act for somebody who is in."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar.routes import HTTPRoute

from petla.api.app import make_app
from petla.api.door import SECURITY_HEADERS
from petla.api.sessions import make_api_token, make_link
from petla.storage.workspace import Workspace
from petla.web.rendering import find_asset
from petla.web.routes import make_routes
from tests.api.client import BASE, HTML, Client, find_token, make_project, open_client
from tests.web.seed import seed_loop

PUBLIC = {"/healthz", "/assets/{name:str}"}


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return make_project(tmp_path)


@pytest.fixture
def client(ws: Workspace) -> Iterator[Client]:
    with open_client(ws) as opened:
        yield opened


@pytest.fixture
def stranger(ws: Workspace) -> Iterator[Client]:
    with open_client(ws, is_signed_in=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def passer_by(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A stranger who changes nothing, shared by all tests of this file."""
    with open_client(make_project(tmp_path_factory.mktemp("door")), is_signed_in=False) as opened:
        yield opened


def list_addresses(ws: Workspace) -> list[tuple[str, str]]:
    """Every method and path of the whole application, with examples in place of parameters."""
    app = make_app(ws, base_url=BASE, extra_routes=make_routes(ws))
    found: list[tuple[str, str]] = []
    for route in app.routes:
        assert isinstance(route, HTTPRoute)
        if route.path in PUBLIC:
            continue
        path = "/".join("1" if part.startswith("{") else part for part in route.path.split("/"))
        found += [(method, path) for method in sorted(route.methods - {"OPTIONS"})]
    assert len(found) > 25
    return found


def test_every_address_needs_a_session(ws: Workspace, stranger: Client) -> None:
    for method, path in list_addresses(ws):
        answer = stranger.request(method, path)
        assert answer.status_code == 401, (method, path, answer.text)
        assert answer.json()["error"]["code"] == "unauthorized"
        assert "petla link" in answer.json()["error"]["hint"]


def test_page_without_session_says_how_to_get_a_link(passer_by: Client) -> None:
    answer = passer_by.get("/approvals/1", headers=HTML)

    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("text/html")
    assert "petla link" in answer.text


@pytest.mark.parametrize("path", ["/healthz", "/assets/petla.css", "/assets/tokens.css", "/assets/refresh.js"])
def test_health_and_assets_are_public(passer_by: Client, path: str) -> None:
    assert passer_by.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/assets/petla.css", "/nothing/here", "/api/nothing"])
def test_every_answer_carries_the_security_headers(passer_by: Client, path: str) -> None:
    answer = passer_by.get(path)

    assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert "unsafe" not in answer.headers["content-security-policy"]


def test_link_becomes_a_strict_cookie_and_leaves_the_address(ws: Workspace, stranger: Client) -> None:
    link = make_link(ws, BASE, path="/audit")

    answer = stranger.get(f"{link}&x=1", follow_redirects=False)

    assert answer.status_code == 303
    assert answer.headers["location"] == "/audit?x=1"
    cookie = answer.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("petla_session_8000=", "httponly", "samesite=strict", "path=/"))
    assert stranger.get("/audit").status_code == 200


def test_link_works_once(ws: Workspace) -> None:
    link = make_link(ws, BASE)

    with open_client(ws, is_signed_in=False) as first, open_client(ws, is_signed_in=False) as second:
        assert first.get(link).status_code == 200
        assert second.get(link).status_code == 401


def test_link_followed_from_a_foreign_page_still_arrives(ws: Workspace, stranger: Client) -> None:
    answer = stranger.get(make_link(ws, BASE), headers={"sec-fetch-site": "cross-site"}, follow_redirects=False)

    assert answer.status_code == 200
    assert 'http-equiv="refresh" content="0;url=/"' in answer.text
    assert stranger.get("/").status_code == 200


@pytest.mark.parametrize("path", ["//evil.example/", "//evil.example/..", "//audit", "/%5Cevil.example", "///"])
def test_link_cannot_lead_to_a_foreign_host(passer_by: Client, path: str) -> None:
    answer = passer_by.get(f"{BASE}{path}?token=x", follow_redirects=False)

    location = answer.headers.get("location", "/")
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))


@pytest.mark.parametrize("path", ["%ff", "%00", "%0d%0aset-cookie:a=b", "\u2603"])
def test_link_to_an_odd_path_leads_there_in_one_line(passer_by: Client, path: str) -> None:
    answer = passer_by.get(f"{BASE}/models/{path}?token=x", follow_redirects=False)

    assert answer.status_code == 303
    assert answer.headers["location"].isascii()
    assert answer.headers["location"].isprintable()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1:8001", "127.0.0.1", ""])
def test_foreign_host_is_refused(passer_by: Client, host: str) -> None:
    answer = passer_by.get("/", headers={"host": host})

    assert answer.status_code == 421
    assert answer.json()["error"]["code"] == "unknown_host"


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:8000"])
def test_names_of_this_machine_are_accepted(passer_by: Client, host: str) -> None:
    assert passer_by.get("/healthz", headers={"host": host}).status_code == 200


def test_api_token_acts_without_a_cookie(ws: Workspace, stranger: Client) -> None:
    token = make_api_token(ws, "ci")

    assert stranger.get("/api/audit", headers={"authorization": f"Bearer {token}"}).status_code == 200
    assert stranger.get("/api/audit", headers={"authorization": f"Bearer {token}x"}).status_code == 401
    assert stranger.get("/api/audit", headers={"authorization": f"Basic {token}"}).status_code == 401


def test_change_needs_the_token_of_its_own_session(ws: Workspace, client: Client) -> None:
    seed_loop(ws)
    with open_client(ws) as other:
        foreign = find_token(other.get("/").text)
    for token in ("", "0" * 64, foreign, "ü"):
        answer = client.post("/approvals/1/grant", data={"csrf_token": token})
        assert answer.status_code == 403, token
        assert answer.json()["error"]["code"] == "forbidden"
    assert client.post("/api/approvals/1/grant", json={}).status_code == 403
    assert client.get("/api/approvals/1").json()["state"] == "waiting"


def test_change_from_a_foreign_origin_is_refused(ws: Workspace, client: Client) -> None:
    seed_loop(ws)
    form = {"csrf_token": find_token(client.get("/").text)}

    for origin in ("https://evil.example", "null", "http://127.0.0.1:8001"):
        assert client.post("/approvals/1/grant", data=form, headers={"origin": origin}).status_code == 403
    own = client.post("/approvals/1/grant", data=form, headers={"origin": BASE}, follow_redirects=False)
    assert own.status_code == 303


def test_session_changes_through_the_api_with_the_token_in_a_header(ws: Workspace, client: Client) -> None:
    seed_loop(ws)
    headers = {"x-csrf-token": find_token(client.get("/").text)}

    answer = client.post("/api/approvals/1/refuse", json={"reason": "not in July"}, headers=headers)

    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["decided_by"]) == ("refused", "Ada Lovelace")


def test_names_that_visitors_ask_for_are_not_kept() -> None:
    assert find_asset("petla.css") is not None
    tracemalloc.start()
    try:
        assert [find_asset(f"{n}{'x' * 30_000}") for n in range(300)] == [None] * 300
        kept_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    # all names together have 9 MB
    assert kept_bytes < 1_000_000
