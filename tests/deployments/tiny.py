"""A project with a tiny real model: two numbers and a text, logistic, in ONNX."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper

from petla.core.project import AnswerTable, decode_project
from petla.core.settings import Settings
from petla.data.profile.columns import ColumnProfile, Kind, Profile
from petla.deployments.deploy import deploy
from petla.models import registry
from petla.models.package import ONNX_FILE, GoldenRow, Package, Parity, read_seal, store_package
from petla.models.runtime.layout import NUMBERS, SCORES, STRINGS
from petla.models.signature import InputField, Signature
from petla.models.states import State
from petla.models.version import Certificate
from petla.pipeline.result import RunResult
from petla.storage.workspace import Workspace

PROJECT = """
[project]
name = "shop"

[data.orders]
path = "data/orders.parquet"

[models.fraud]
target = "is_fraud"

[models.fraud.retrain]
dataset = "orders"

[serving]
port = 0
body_limit_bytes = 262144
"""
MODEL = "fraud"
SIGNATURE = Signature(
    inputs=(
        InputField("amount", Kind.NUMBER, is_nullable=False),
        InputField("items", Kind.INTEGER, is_nullable=True),
        InputField("country", Kind.CATEGORY, is_nullable=False),
    ),
    target="is_fraud",
    task="binary",
    classes=(False, True),
)
COUNTRIES = {"pl": 0.0, "de": 1.0}
ROW = {"amount": 2.5, "items": 3, "country": "de"}


def open_shop(folder: Path, project: str = PROJECT) -> Workspace:
    (folder / "petla.toml").write_text(project, encoding="utf-8")
    return Workspace(folder, decode_project(project), Settings(actor="ada"))


def open_live_shop(folder: Path) -> Workspace:
    """Version 1 is live, version 2 may be; they decide otherwise."""
    ws = open_shop(folder)
    for bias in (-4.0, -3.0):
        add_version(ws, bias)
    deploy(ws, MODEL, 1, actor="ada")
    return ws


def make_onnx(bias: float) -> bytes:
    """P(fraud) = sigmoid(amount + 0.5 items + country + bias); missing items are none, an infinite amount gives NaN."""
    nodes = [
        helper.make_node("IsNaN", [NUMBERS], ["missing"]),
        helper.make_node("Where", ["missing", "zero", NUMBERS], ["known"]),
        helper.make_node("Sub", ["known", "known"], ["nothing"]),
        helper.make_node("Add", ["known", "nothing"], ["finite"]),
        helper.make_node(
            "LabelEncoder",
            [STRINGS],
            ["codes"],
            domain="ai.onnx.ml",
            keys_strings=list(COUNTRIES),
            values_floats=list(COUNTRIES.values()),
            default_float=0.0,
        ),
        helper.make_node("Concat", ["finite", "codes"], ["all"], axis=1),
        helper.make_node("MatMul", ["all", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["positive"]),
        helper.make_node("Sub", ["one", "positive"], ["negative"]),
        helper.make_node("Concat", ["negative", "positive"], [SCORES], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info(NUMBERS, TensorProto.FLOAT, [None, 2]),
            helper.make_tensor_value_info(STRINGS, TensorProto.STRING, [None, 1]),
        ],
        [helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, [None, 2])],
        [
            helper.make_tensor("weights", TensorProto.FLOAT, [3, 1], [1.0, 0.5, 1.0]),
            helper.make_tensor("bias", TensorProto.FLOAT, [1], [bias]),
            helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
            helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def score_of(amount: float, items: int | None, country: str, bias: float) -> float:
    logit = amount + 0.5 * (items or 0) + COUNTRIES.get(country, 0.0) + bias
    return float(1 / (1 + np.exp(-logit)))


def make_package(bias: float = -4.0, *, golden_shift: float = 0.0) -> Package:
    score = score_of(2.5, 3, "de", bias) + golden_shift
    return Package(
        model=MODEL,
        kind="onnx",
        signature=SIGNATURE,
        answer=AnswerTable(),
        profile=Profile(rows=0, columns=()),
        score_profile=ColumnProfile(name="score", kind=Kind.NUMBER, rows=0, missing=0, distinct=0),
        parity=Parity(rows=1, tolerance=1e-4, largest_difference=0.0),
        golden=(GoldenRow((2.5, 3, "de"), (1 - score, score)),),
        files={},
        requirements={},
    )


def add_version(ws: Workspace, bias: float = -4.0, *, golden_shift: float = 0.0) -> int:
    """Package and register a version whose gates have passed; return its number."""
    package = make_package(bias, golden_shift=golden_shift)
    digest = store_package(ws, package, {ONNX_FILE: make_onnx(bias)})
    return register(ws, package, digest)


def register(ws: Workspace, package: Package, digest: str) -> int:
    run_id = len(registry.list_versions(ws)) + 1
    run = RunResult(
        run_id=run_id,
        model=package.model,
        plan_key="",
        steps=(),
        parameters={},
        data={},
        metrics={},
        commit="",
        is_dirty=False,
    )
    certificate = Certificate(
        who="ada",
        when="2026-01-01T00:00:00.000000Z",
        cause="person",
        commit="",
        is_dirty=False,
        data={},
        parameters={},
        environment={},
        python="3.11",
        metrics={"accuracy": 0.9},
        reported={},
        training_rows=1,
        holdout_rows=1,
        kind=package.kind,
        parity=package.parity,
        signature=package.signature,
        package=digest,
        seal=read_seal(ws.objects, digest),
    )
    version = registry.register(ws, run, certificate).version
    with ws.ledger.change(actor="ada", action="model.tested", subject=f"{package.model}:{version}") as change:
        registry.move(change, ws.name, package.model, version, State.TESTING)
    return version


def states_of(ws: Workspace) -> dict[int, str]:
    return {found.version: str(found.state) for found in registry.list_versions(ws, MODEL)}


def actions_of(ws: Workspace) -> Sequence[str]:
    return [entry.action for entry in ws.ledger.list_entries()]
