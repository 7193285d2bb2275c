"""The API: one shape of error, the families as statuses, and what it answers."""

import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from litestar import get
from litestar.testing import TestClient

from petla.api.app import make_app
from petla.api.binding import address_of, bind
from petla.api.problems import STATUSES, describe, status_of
from petla.api.sessions import announce_address, running_address
from petla.core import errors
from petla.core.errors import Fault, InvalidError, PetlaError, UnavailableError
from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.storage.workspace import Workspace
from tests.api.client import BASE, HTML, Client, make_project, open_program
from tests.web.seed import seed_loop


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    ws = make_project(tmp_path)
    seed_loop(ws)
    return ws


@pytest.fixture
def client(ws: Workspace) -> Iterator[Client]:
    with open_program(ws) as opened:
        yield opened


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A program with a token that changes nothing, shared by all tests of this file."""
    ws = make_project(tmp_path_factory.mktemp("api"))
    seed_loop(ws)
    with open_program(ws) as opened:
        yield opened


def list_families() -> list[type[PetlaError]]:
    found = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, PetlaError)]
    assert len(found) > 8
    return found


@pytest.mark.parametrize("family", list_families(), ids=lambda family: family.__name__)
def test_family_has_status_and_one_shape(family: type[PetlaError]) -> None:
    error = family("it broke", hint="mend it", field="part")

    body = describe(error)

    assert (body.error.code, body.error.message, body.error.field, body.error.hint) == (
        family.code,
        "it broke",
        "part",
        "mend it",
    )
    assert any(issubclass(family, known) and status_of(error) is STATUSES[known] for known in STATUSES)


def test_faults_are_reported_together() -> None:
    faults = (Fault("a", "is wrong"), Fault("b", "is missing", "add it"))

    body = describe(InvalidError("2 faults", faults=faults))

    assert body.faults == faults
    assert body.error.field == "a"


@pytest.mark.parametrize("headers", [{}, HTML], ids=["json", "page"])
def test_unforeseen_error_shows_nothing_of_its_inside(
    ws: Workspace, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    @get("/broken", opt={"is_public": True}, sync_to_thread=False)
    def break_down() -> None:
        raise RuntimeError("the secret inside")

    with TestClient(make_app(ws, base_url=BASE, extra_routes=[break_down]), base_url=BASE) as client:
        answer = client.get("/broken", headers=headers)

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.json()["error"]["code"] == "internal"
    assert [record.message for record in caplog.records if record.name == "petla.api.app"] == ["request.failed"]


@pytest.mark.parametrize(
    ("method", "path", "status", "field"),
    [
        ("GET", "/api/nothing", 404, ""),
        ("GET", "/api/approvals/99", 404, ""),
        ("GET", "/api/models/delai", 404, "models"),
        ("GET", "/api/models/delay/versions/9", 404, "version"),
        ("GET", "/api/incidents/99", 404, ""),
        ("GET", "/api/decisions/nothing", 404, None),
        ("GET", "/api/decisions?labelled=perhaps", 422, "labelled"),
        ("GET", "/api/decisions?colour=red", 422, "colour"),
        ("GET", "/api/decisions?newer_than=here", 422, "newer_than"),
        ("GET", "/api/audit?limit=0", 400, "limit"),
        ("GET", "/api/audit?limit=x", 400, "limit"),
        ("GET", "/api/approvals?in_state=maybe", 400, "in_state"),
        ("DELETE", "/api/audit", 405, ""),
        ("POST", "/api/approvals/1/refuse", 400, None),
    ],
)
def test_bad_request_gets_the_one_shape(
    reader: Client,
    method: str,
    path: str,
    status: int,
    field: str | None,
) -> None:
    answer = reader.request(method, path)

    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "field", "hint"}
    assert error["message"]
    assert field is None or error["field"] == field


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"reasn": "x"}', b'{"reason": 7}', b"\xff", b"null"])
def test_malformed_body_is_refused(reader: Client, content: bytes) -> None:
    answer = reader.post("/api/approvals/1/refuse", content=content, headers={"content-type": "application/json"})

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"]


def test_huge_body_is_refused(reader: Client) -> None:
    answer = reader.post("/api/approvals/1/refuse", json={"reason": "x" * 2_000_000})

    assert answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert answer.json()["error"]["message"]


def test_mistyped_model_suggests_the_near_one(reader: Client) -> None:
    assert "'delay'" in reader.get("/api/models/delai").json()["error"]["hint"]


def test_status_tells_what_is_live_and_what_waits(reader: Client) -> None:
    status = reader.get("/api/status").json()

    model = status["models"][0]
    assert status["project"] == "flights"
    assert (model["model"], model["live"], model["standby"]) == ("delay", 2, 1)
    assert model["traffic"]["total"] == 14 * 5_000 + 3_120
    assert (model["open_incidents"], model["waiting_approvals"]) == ([1], [1])


def test_lists_and_single_things_are_read(reader: Client) -> None:
    def read(path: str) -> Any:  # noqa: ANN401 - JSON
        answer = reader.get(f"/api{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert [each["version"] for each in read("/models/delay/versions")] == [3, 2, 1]
    assert read("/models/delay/versions/3")["verdict"]["checks"][0]["name"] == "minimum"
    assert read("/approvals?in_state=granted") == []
    assert read("/approvals")[0]["id"] == 1
    assert read("/incidents?in_state=open")[0]["kind"] == "quality"
    assert read("/incidents/1")["evidence"][0]["what"] == "accuracy"
    assert read("/runs") == []
    assert [each["seq"] for each in read("/audit?limit=2")] == [3, 2]
    assert read("/decisions/01920000-0000-7000-8000-000000000000")["inputs"]["month"] == 7
    assert read("/decisions/01920000-0000-7000-8000-000000000000")["feedback"][0]["status"] == "first"
    canary = read("/decisions?model=delay&arm=canary&labelled=yes&limit=2")
    place = f"{canary[-1]['at']}~{canary[-1]['seq']}"
    assert [each["id"][-2:] for each in canary] == ["08", "04"]
    assert [each["id"][-2:] for each in read(f"/decisions?served_by=canary&older_than={place}")] == ["00"]


def test_grant_deploys_and_says_who(ws: Workspace, client: Client) -> None:
    answer = client.post("/api/approvals/1/grant", json={"reason": "better"})

    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "granted"
    assert client.get("/api/models/delay").json()["live"] == 3
    again = client.post("/api/approvals/1/grant", json={})
    assert again.status_code == 409
    assert ws.ledger.verify() > 3


def test_incident_is_acknowledged_and_resolved(client: Client) -> None:
    assert client.post("/api/incidents/1/acknowledge").json()["owner"] == "Ada Lovelace"
    empty = client.post("/api/incidents/1/resolve", json={"outcome": " "})
    assert empty.status_code == 422
    assert client.post("/api/incidents/1/resolve", json={"outcome": "feed mended"}).json()["state"] == "resolved"
    assert client.post("/api/incidents/1/acknowledge").status_code == 409


def test_schema_describes_every_address_of_the_api(reader: Client) -> None:
    schema = json.loads(reader.get("/schema").text)

    assert {"/api/status", "/api/approvals/{approval}/grant", "/healthz"} <= set(schema["paths"])
    assert not [path for path in schema["paths"] if path == "/" or path.startswith("/models")]


def test_bind_takes_a_free_port_that_nobody_else_can_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("petla.deployments.listening._PATIENCE_S", 0.0)
    text = '[project]\nname = "x"\n[control]\nport = 0\n'
    ws = Workspace(tmp_path, decode_project(text), Settings())

    with bind(ws) as listener:
        announce_address(ws, address_of(ws, listener))
        assert running_address(ws) == f"http://127.0.0.1:{listener.getsockname()[1]}"
        taken = Workspace(tmp_path, ws.project, Settings(control_port=listener.getsockname()[1]))
        with pytest.raises(UnavailableError, match="cannot listen"):
            bind(taken)


def test_address_that_people_open_is_the_one_that_is_named(tmp_path: Path) -> None:
    text = '[project]\nname = "x"\n[control]\nport = 0\nurl = "https://loop.example.com/"\n'
    ws = Workspace(tmp_path, decode_project(text), Settings())

    with bind(ws) as listener:
        assert address_of(ws, listener) == "https://loop.example.com"
