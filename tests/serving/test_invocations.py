"""MLflow's scoring protocol: every form of input gives the same predictions; wrong ones are refused in its form."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deployments.tiny import MODEL, ROW, score_of
from tests.serving.doorway import Doorway

NAMES = list(ROW)
ROWS: list[list[Any]] = [[2.5, 3, "de"], [-1.0, None, "pl"]]
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]


@pytest.fixture
def doorway(tmp_path: Path) -> Iterator[Doorway]:
    doorway = Doorway(tmp_path).serve_tiny()
    yield doorway
    doorway.recorder.close()


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": NAMES, "data": ROWS}},
        {"dataframe_split": {"index": [0, 1], "columns": NAMES[::-1], "data": [row[::-1] for row in ROWS]}},
        {"dataframe_records": RECORDS},
        {"instances": RECORDS},
        {"instances": ROWS},
        {"inputs": ROWS},
        {"inputs": {name: [row[i] for row in ROWS] for i, name in enumerate(NAMES)}},
        # as MLflow's own client writes what is not known
        {"dataframe_split": {"columns": NAMES, "data": [ROWS[0], [-1.0, math.nan, "pl"]]}},
        {"dataframe_records": [RECORDS[0], RECORDS[1] | {"items": math.nan}]},
        {"instances": [ROWS[0], [-1.0, math.nan, "pl"]], "params": None},
        {"inputs": {"amount": [2.5, -1.0], "items": [3, math.nan], "country": ["de", "pl"]}},
        b"amount,items,country\n2.5,3,de\n-1,,pl\n",
        b'"amount", "items", "country"\n2.5, 3, "de"\n-1, , pl\n',
        '\ufeffcountry,items,amount\r\nde,3.0,2.5\r\n"pl",,-1\r\n'.encode(),
    ],
)
def test_every_form_gives_the_same_predictions(doorway: Doorway, body: object) -> None:
    kind = "text/csv; charset=utf-8" if isinstance(body, bytes) else "application/json"

    reply = doorway.ask("/invocations", body, content_type=kind)

    assert (reply.status, reply.content) == (200, {"predictions": [True, False]})
    assert [decision.inputs for decision in doorway.recorded()] == [tuple(row) for row in ROWS]


def test_columns_are_answered_where_they_are_asked_for(doorway: Doorway) -> None:
    some = doorway.ask("/invocations", {"instances": RECORDS, "params": {"columns": ["probability"]}}).content
    every = doorway.ask("/invocations", {"instances": RECORDS, "params": {"columns": True}}).content

    assert some["predictions"][0] == {"probability": pytest.approx(score_of(2.5, 3, "de", -4.0), abs=1e-6)}
    assert [list(each) for each in every["predictions"]] == [["id", "is_fraud", "probability"]] * 2


def test_model_is_the_only_one_or_the_one_that_is_named(doorway: Doorway) -> None:
    body = {"instances": RECORDS}
    doorway.serve_tiny("other")

    unnamed = doorway.ask("/invocations", body)
    by_path = doorway.ask(f"/invocations/{MODEL}", body)
    by_header = doorway.ask("/invocations", body, x_petla_model="other")

    assert (unnamed.status, unnamed.content["error_code"]) == (400, "BAD_REQUEST")
    assert "x-petla-model" in unnamed.content["message"]
    assert (by_path.status, by_header.status) == (200, 200)
    assert [decision.model for decision in doorway.recorded()] == [MODEL, MODEL, "other", "other"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "empty"),
        (b"[1", 400, "not JSON"),
        ([], 400, "exactly one"),
        (
            {"dataframe_split": {"columns": NAMES, "data": [[2.5, math.inf, "de"]]}},
            400,
            "dataframe_split.data[0][1] is Inf",
        ),
        ({"inputs": {"amount": [-math.inf]}}, 400, "inputs.amount[0] is -Infinity"),
        ({"instances": [[math.nan, 3, "NaN"]]}, 400, "[0].amount is null"),
        ({"instances": RECORDS, "params": {"columns": ["id", "id"]}}, 400, "wanted twice"),
        ({"instances": RECORDS, "inputs": RECORDS}, 400, "exactly one"),
        ({"instances": []}, 400, "a row at least"),
        ({"instances": [[1, 2]]}, 400, "3 values"),
        ({"instances": RECORDS, "params": 3}, 400, "params"),
        ({"instances": RECORDS, "params": {"columns": "probability"}}, 400, "params.columns"),
        ({"instances": RECORDS, "params": {"columns": ["label"]}}, 400, "no output"),
        ({"inputs": {"amount": [1, 2], "items": [1]}}, 400, "one length"),
        ({"inputs": {}}, 400, "one length"),
        ({"dataframe_split": {"data": ROWS}}, 400, "columns"),
        ({"dataframe_split": {"columns": NAMES, "data": [[1]]}}, 400, "data[0]"),
        ({"dataframe_records": [ROW | {"amount": "much"}]}, 400, '[0].amount is "much"'),
        ({"dataframe_records": [3]}, 400, "must be an object"),
    ],
)
def test_wrong_body_is_refused_in_mlflow_s_form(doorway: Doorway, body: object, status: int, said: str) -> None:
    reply = doorway.ask("/invocations", body)

    assert (reply.status, set(reply.content)) == (status, {"error_code", "message"})
    assert said in reply.content["message"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no rows"),
        (b"amount,items,country\n", "no rows"),
        (b"amount,items,country\n1,2\n", "2 values"),
        (b"amount,items,country\nmuch,2,de\n", '[0].amount is "much"'),
        (b"amount,items,country\n1,2.5,de\n", "[0].items is 2.5"),
        (b"\xff\xfe", "UTF-8"),
        (b'amount,"items\n', "no CSV"),
    ],
)
def test_wrong_csv_is_refused(doorway: Doorway, body: bytes, said: str) -> None:
    reply = doorway.ask("/invocations", body, content_type="text/csv")

    assert (reply.status, said in reply.content["message"]) == (400, True), reply.content


def test_what_mlflow_s_server_answers_beside_it(doorway: Doorway) -> None:
    statuses = [doorway.ask(path).status for path in ("/ping", "/health", "/version")]
    doorway.plane.not_ready = "nothing is deployed"

    assert statuses == [200, 200, 200]
    assert doorway.ask("/ping").status == 503
    assert doorway.ask("/invocations/frod", {"instances": RECORDS}).status == 404
