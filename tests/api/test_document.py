"""The OpenAPI document: what it says of errors is what the API answers."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import validate

from petla.api.refusals import MEANINGS
from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.storage.workspace import Workspace
from tests.api.client import Client, make_project, open_client, open_program
from tests.web.seed import PROJECT, seed_loop

REVIEW = "/api/reviews/01920000-0000-7000-8000-000000000006"
WORD = {"answer": True, "reason": "looked out of the window"}


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    opened = make_project(tmp_path_factory.mktemp("document"))
    seed_loop(opened)
    return opened


@pytest.fixture(scope="module")
def client(ws: Workspace) -> Iterator[Client]:
    with open_program(ws) as opened:
        yield opened


@pytest.fixture(scope="module")
def document(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/schema/openapi.json").json()
    return found


def validate_answer(document: dict[str, Any], method: str, path: str, answer: Any) -> None:  # noqa: ANN401 - httpx
    """Hold an answer against what the document says of its operation and status."""
    templates = {template: re.sub(r"\{\w+\}", "[^/]+", template) for template in document["paths"]}
    (template,) = [name for name, pattern in templates.items() if re.fullmatch(pattern, path.partition("?")[0])]
    said = document["paths"][template][method.lower()]["responses"][str(answer.status_code)]
    schema = said["content"]["application/json"]["schema"] | {"components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(answer.json())


def test_document_is_sound_and_every_error_in_it_has_our_shape(document: dict[str, Any]) -> None:
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    errors = [each for operation in operations for status, each in operation["responses"].items() if status >= "400"]

    validate(document)
    assert len(errors) > 100
    shapes = {each["content"]["application/json"]["schema"]["$ref"] for each in errors}
    assert shapes == {"#/components/schemas/ProblemBody"}
    assert {each["description"] for each in errors} == set(MEANINGS.values())


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("GET", "/api/audit?limit=0", {}, 400),
        ("POST", REVIEW, {"content": b"{"}, 400),
        ("POST", REVIEW, {"json": {"answer": []}}, 400),
        ("GET", "/api/runs/99", {}, 404),
        ("GET", "/api/models/delai", {}, 404),
        ("POST", "/api/reviews/nobody", {"json": WORD}, 404),
        ("POST", "/api/models/delay/stop", {"json": {}}, 409),
        ("POST", REVIEW, {"json": WORD | {"reason": "x" * 1_100_000}}, 413),
        ("GET", "/healthz", {"headers": {"host": "elsewhere"}}, 421),
        ("GET", "/api/status", {"headers": {"host": "elsewhere"}}, 421),
        ("GET", "/api/decisions?labelled=perhaps", {}, 422),
        ("POST", REVIEW, {"json": {"answer": True}}, 422),
        ("GET", f"/api/incidents/{2**70}", {}, 422),
    ],
)
def test_error_is_as_the_document_says(
    client: Client, document: dict[str, Any], method: str, path: str, sent: dict[str, Any], status: int
) -> None:
    answer = client.request(method, path, **sent)

    assert answer.status_code == status, answer.text
    validate_answer(document, method, path, answer)


def test_stranger_and_foreign_form_are_refused_as_the_document_says(ws: Workspace, document: dict[str, Any]) -> None:
    with open_client(ws, is_signed_in=False) as stranger:
        unknown = stranger.get("/api/status")
    with open_client(ws) as visitor:
        foreign = visitor.post("/api/approvals/1/grant", json={})

    assert (unknown.status_code, foreign.status_code) == (401, 403)
    validate_answer(document, "GET", "/api/status", unknown)
    validate_answer(document, "POST", "/api/approvals/1/grant", foreign)


def test_database_that_is_away_and_a_fault_of_ours_are_answered_as_the_document_says(
    tmp_path: Path, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Settings(actor="ada", database="postgresql+psycopg://127.0.0.1:1/nothing")
    with open_program(Workspace(tmp_path, decode_project(PROJECT), away)) as client:
        unavailable = client.get("/api/audit")
        # stands for a fault of ours
        monkeypatch.setattr("petla.api.routes.describe_status", None)
        broken = client.get("/api/status")

    assert (unavailable.status_code, broken.status_code) == (503, 500)
    assert unavailable.headers["retry-after"] == "5"
    validate_answer(document, "GET", "/api/audit", unavailable)
    validate_answer(document, "GET", "/api/status", broken)
