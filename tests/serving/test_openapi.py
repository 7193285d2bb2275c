"""The OpenAPI document: an independent validator accepts it, and its schemas say what the doors say."""

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.deployments.tiny import MODEL, ROW
from tests.serving.doorway import Doorway


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    doorway = Doorway(tmp_path).serve_tiny()
    found: dict[str, Any] = doorway.ask("/openapi.json").content
    doorway.recorder.close()
    return found


def test_document_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert not list(OpenAPIV31SpecValidator(document).iter_errors())


def test_schema_takes_what_the_door_takes(document: dict[str, Any], tmp_path: Path) -> None:
    body = document["paths"][f"/predict/{MODEL}"]["post"]["requestBody"]["content"]["application/json"]
    validator = Draft202012Validator(body["schema"] | {"components": document["components"]})
    doorway = Doorway(tmp_path / "doors").serve_tiny()
    bodies: list[object] = [
        body["examples"]["golden"]["value"],
        ROW,
        [ROW, ROW | {"items": None}],
        [],
        ROW | {"amount": None},
        ROW | {"items": 0.5},
        ROW | {"items": 2**70},
        ROW | {"extra": 1},
        {"amount": 1.0},
    ]

    said = [(validator.is_valid(each), doorway.ask(f"/predict/{MODEL}", each).status == 200) for each in bodies]

    assert said == [(True, True)] * 3 + [(False, False)] * 6
    doorway.recorder.close()
