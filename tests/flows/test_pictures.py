"""Pictures and arrays from training to the answer: scikit-learn's digits, as PNG files and as arrays of pixels."""

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest
import tritonclient.http
from PIL import Image
from sklearn.datasets import load_digits

from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.data.adding import add
from petla.decisions.export import export_labelled
from petla.decisions.log import get_decision
from petla.decisions.shipper import ship
from petla.deployments.deploy import deploy
from petla.gates.training import train
from petla.models import registry
from petla.models.package import load_package
from petla.pipeline.plan import RunRequest
from petla.storage.workspace import Workspace
from tests.gates.examples import Silence
from tests.serving.client import ask, running

N_DIGITS = 400
PROJECT = """
[project]
name = "digits"

[data.pictures]
path = "pictures"

[models.digit]
pipeline = "pictures.py"
target = "digit"
task = "multiclass"

[models.digit.gates]
latency_ms = 1000

[models.pixels]
pipeline = "pixels.py"
target = "digit"
task = "multiclass"

[serving]
port = 0
"""
PICTURES = """
import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer


def rows(pictures: Path) -> pd.DataFrame:
    files = sorted(pictures.glob("*/*.png"))
    return pd.DataFrame({"picture": [f.read_bytes() for f in files], "digit": [int(f.parent.name) for f in files]})


def training(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows.index % 4 != 0]


def holdout(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows.index % 4 == 0]


def read(table: pd.DataFrame) -> np.ndarray:
    pictures = [Image.open(io.BytesIO(content)).convert("L").resize((8, 8)) for content in table["picture"]]
    return np.stack([np.asarray(picture, dtype=float).ravel() / 255 for picture in pictures])


def model(training: pd.DataFrame):
    return make_pipeline(FunctionTransformer(read), LogisticRegression()).fit(training[["picture"]], training["digit"])
"""
PIXELS = """
import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.linear_model import LogisticRegression


def rows(pictures: Path) -> pd.DataFrame:
    files = sorted(pictures.glob("*/*.png"))
    arrays = [np.asarray(Image.open(file)) for file in files]
    return pd.DataFrame({"pixels": arrays, "digit": [int(file.parent.name) for file in files]})


def training(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows.index % 4 != 0]


def holdout(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows.index % 4 == 0]


def model(training: pd.DataFrame):
    return LogisticRegression(max_iter=2000).fit(np.stack(training["pixels"]).reshape(-1, 64), training["digit"])
"""


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("digits")
    for name, content in (("petla.toml", PROJECT), ("pictures.py", PICTURES), ("pixels.py", PIXELS)):
        (folder / name).write_text(content, encoding="utf-8")
    known = load_digits()
    for i in range(N_DIGITS):
        path = folder / "pictures" / str(known.target[i]) / f"{i:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((known.images[i] * 255 / 16).astype(np.uint8)).save(path)
    ws = Workspace(folder, decode_project(PROJECT), Settings(actor="ada"))
    add(ws, folder / "pictures")
    for model in ("digit", "pixels"):
        made = train(ws, model, RunRequest(), Silence())
        assert made.verdict.passed, made.verdict
        deploy(ws, model, made.version, actor="ada")
    return ws


@pytest.fixture(scope="module")
def port(digits: Workspace) -> Iterator[int]:
    with running(digits) as supervisor:
        yield supervisor.server.port


@pytest.fixture
def picture(digits: Workspace) -> bytes:
    return (digits.root / "pictures" / "7" / "0017.png").read_bytes()


def score(ws: Workspace, model: str) -> tuple[Any, list[float]]:
    """The first golden row and its scores: of the holdout, as the original gave them in training."""
    version = registry.find_champion(ws, model)
    assert version is not None
    package = load_package(ws.objects, ws.keys, version.certificate.package)
    return package.golden[3].row[0], list(package.golden[3].scores)


def test_picture_gets_the_same_answer_in_every_way(digits: Workspace, port: int) -> None:
    text, scores = score(digits, "digit")
    content = base64.b64decode(text)
    form = (
        b'--x\r\ncontent-disposition: form-data; name="picture"; filename="a.png"\r\ncontent-type: image/png\r\n\r\n'
        + content
        + b"\r\n--x--\r\n"
    )
    tensor = tritonclient.http.InferInput("picture", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([content], dtype=np.object_))

    answers = [
        ask(port, "/predict/digit", {"picture": text}).content,
        ask(port, "/predict/digit", [{"picture": f"data:image/png;base64,{text}"}]).content[0],
        ask(port, "/predict/digit", content, content_type="image/png").content,
        ask(port, "/predict/digit", form, content_type="multipart/form-data; boundary=x").content,
    ]
    caller = tritonclient.http.InferenceServerClient(f"127.0.0.1:{port}")
    result = caller.infer("digit", [tensor])
    caller.close()

    assert {answer["digit"] for answer in answers} == {int(np.argmax(scores))} == {int(result.as_numpy("digit")[0])}
    assert [each["probability"] for each in answers] == pytest.approx([max(scores)] * 4)
    assert result.as_numpy("probability")[0] == pytest.approx(max(scores))
    ship(digits)
    assert get_decision(digits, answers[2]["id"]).inputs == {"picture": text}


def test_array_gets_the_same_answer_in_every_way(digits: Workspace, port: int) -> None:
    pixels, scores = score(digits, "pixels")
    version = registry.find_champion(digits, "pixels")
    assert version is not None
    assert version.certificate.kind == "onnx"
    tensor = tritonclient.http.InferInput("pixels", [1, 8, 8], "UINT8")
    tensor.set_data_from_numpy(np.array([pixels], dtype=np.uint8))

    answers = [
        ask(port, "/predict/pixels", {"pixels": pixels}).content,
        ask(port, "/predict/pixels", [{"pixels": pixels}]).content[0],
    ]
    predicted = ask(port, "/invocations/pixels", {"inputs": [pixels]}).content["predictions"]
    caller = tritonclient.http.InferenceServerClient(f"127.0.0.1:{port}")
    metadata = caller.get_model_metadata("pixels")["inputs"]
    result = caller.infer("pixels", [tensor])
    caller.close()

    assert metadata == [{"name": "pixels", "datatype": "UINT8", "shape": [-1, 8, 8]}]
    assert {answer["digit"] for answer in answers} == {int(np.argmax(scores))} == {*predicted}
    assert [each["probability"] for each in answers] == pytest.approx([max(scores)] * 2, abs=1e-4)
    assert result.as_numpy("probability")[0] == pytest.approx(max(scores), abs=1e-4)


def test_labelled_pictures_come_back_as_training_had_them(digits: Workspace, port: int, picture: bytes) -> None:
    answered = ask(port, "/predict/digit", picture, content_type="image/png").content
    ask(port, "/feedback", {"id": answered["id"], "truth": 7})
    ship(digits)

    assert export_labelled(digits, "digit", digits.root / "labelled.parquet", rows=1) == 1
    frame = pl.read_parquet(digits.root / "labelled.parquet")
    assert frame.rows() == [(picture, 7)]


def test_package_knows_pictures_and_arrays(digits: Workspace) -> None:
    found = {}
    for model in ("digit", "pixels"):
        version = registry.find_champion(digits, model)
        assert version is not None
        found[model] = version.certificate.signature.inputs[0]

    assert [str(field.kind) for field in found.values()] == ["image", "tensor"]
    assert (found["pixels"].dtype, found["pixels"].shape) == ("uint8", (8, 8))
