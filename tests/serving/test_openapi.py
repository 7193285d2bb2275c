"""The OpenAPI document: an independent validator accepts it, and its schemas say what the doors say."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from petla.models.runtime.onnx_session import OnnxRuntime
from tests.deployments.tiny import MODEL, ROW, make_onnx, make_package
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


def test_example_has_numbers_of_32_bits_as_people_write_them(tmp_path: Path) -> None:
    doorway = Doorway(tmp_path)
    package = make_package()
    row = (float(np.float32(39.2)), 3, "de")
    golden = (msgspec.structs.replace(package.golden[0], row=row), *package.golden[1:])
    package = msgspec.structs.replace(package, golden=golden)
    doorway.serve(MODEL, package, OnnxRuntime(make_onnx(-4.0), package.signature))

    document = doorway.ask("/openapi.json").content

    body = document["paths"][f"/predict/{MODEL}"]["post"]["requestBody"]["content"]["application/json"]
    assert body["examples"]["golden"]["value"] == {"amount": 39.2, "items": 3, "country": "de"}
    doorway.recorder.close()


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
