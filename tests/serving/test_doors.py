"""The doors of a real server: predictions, feedback, health, metrics, and everything that is sent wrong."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from petla.decisions.log import get_decision
from petla.decisions.shipper import ship
from petla.deployments.deploy import deploy
from petla.serving.doors.feedback import MOST
from petla.storage.workspace import Workspace
from tests.deployments.tiny import MODEL, ROW, add_version, open_shop, score_of
from tests.serving.client import ask, predict, running

BODY_LIMIT = 256 * 1024


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    ws = open_shop(tmp_path_factory.mktemp("shop"))
    deploy(ws, MODEL, add_version(ws), actor="ada")
    return ws


@pytest.fixture(scope="module")
def port(shop: Workspace) -> Iterator[int]:
    with running(shop) as supervisor:
        yield supervisor.server.port


def converse(port: int, content: bytes, *, hangs_up: bool = False) -> bytes:
    """Send raw bytes and read all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(content)
        if hangs_up:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while block := connection.recv(65536):
            answer += block
    return answer


def test_object_is_answered_in_the_project_s_words(port: int) -> None:
    reply = predict(port)

    assert reply.status == 200
    assert list(reply.content) == ["id", "is_fraud", "probability", "version"]
    assert (reply.content["is_fraud"], reply.content["version"]) == (True, 1)
    assert reply.content["probability"] == pytest.approx(score_of(2.5, 3, "de", -4.0), abs=1e-6)


def test_list_is_answered_by_a_list(port: int) -> None:
    rows = [ROW, ROW | {"amount": -1, "items": None}, ROW | {"country": "unseen"}]

    reply = predict(port, rows)

    expected = [score_of(2.5, 3, "de", -4.0), score_of(-1, None, "de", -4.0), score_of(2.5, 3, "unseen", -4.0)]
    assert [each["probability"] for each in reply.content] == pytest.approx(expected, abs=1e-6)
    assert [each["is_fraud"] for each in reply.content] == [True, False, True]
    assert len({each["id"] for each in reply.content}) == 3


def test_list_of_thousands_is_answered(port: int) -> None:
    reply = predict(port, [ROW] * 4_000)

    assert reply.status == 200
    assert len({each["id"] for each in reply.content}) == 4_000


def test_answered_decision_and_its_feedback_reach_the_log(shop: Workspace, port: int) -> None:
    answered = predict(port, ROW | {"amount": 9}, x_request_id="order-17").content
    accepted = ask(port, "/feedback", {"id": answered["id"], "truth": False})
    ship(shop)

    found = get_decision(shop, answered["id"])

    assert (accepted.status, accepted.content) == (202, {"accepted": 1})
    assert found.inputs == {"amount": 9.0, "items": 3, "country": "de"}
    assert (found.label, found.truth, found.request_id) == (True, False, "order-17")
    assert found.score == answered["probability"]
    assert 0 <= found.latency_us < 10_000_000


def test_feedback_may_come_in_lists_and_before_its_decision_is_logged(shop: Workspace, port: int) -> None:
    ids = [each["id"] for each in predict(port, [ROW, ROW]).content]

    accepted = ask(
        port, "/feedback", [{"id": name, "truth": truth} for name, truth in zip(ids, (0, "no"), strict=True)]
    )

    assert (accepted.status, accepted.content) == (202, {"accepted": 2})
    assert ship(shop).unknown_feedback == 0
    assert [get_decision(shop, name).truth for name in ids] == [False, None]
    assert [get_decision(shop, name).feedback[0].status for name in ids] == ["first", "unknown class"]
    page = ask(port, "/metrics", method="GET").content
    assert 'petla_feedback_unknown_class_total{worker="0"} 1' in page


def test_feedback_about_an_unknown_decision_is_taken_and_counted(shop: Workspace, port: int) -> None:
    assert ask(port, "/feedback", {"id": "nobody-knows-me", "truth": 1.5}).status == 202
    assert ship(shop).unknown_feedback == 1


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, ""),
        (b"[]", 422, ""),
        (b"3", 422, ""),
        (b"{", 400, ""),
        ({"id": "a"}, 422, "truth"),
        ({"id": "a", "truth": None}, 422, "truth"),
        ({"id": "", "truth": 1}, 422, "id"),
        ({"id": "a" * 100, "truth": 1}, 422, "id"),
        ({"id": 7, "truth": 1}, 422, "id"),
        ({"id": "a", "truth": 2**70}, 422, "truth"),
        ({"id": "a", "truth": 1, "extra": 1}, 422, "extra"),
        ([{"id": "a", "truth": 1}, {"id": "b"}], 422, "[1].truth"),
    ],
)
def test_wrong_feedback_is_refused(port: int, body: object, status: int, field: str) -> None:
    reply = ask(port, "/feedback", body)

    assert (reply.status, reply.error["field"]) == (status, field)


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b"", 400, "malformed", ""),
        (b"{'amount': 1}", 400, "malformed", ""),
        (b'{"amount": NaN, "items": 1, "country": "pl"}', 400, "malformed", "amount"),
        (b'{"country": "\xff\xfe"}', 400, "malformed", ""),
        (b"[" * 50_000, 400, "malformed", ""),
        (b"[]", 422, "invalid", ""),
        (b"7", 422, "invalid", ""),
        (ROW | {"amount": True}, 422, "invalid", "amount"),
        (ROW | {"amount": "2.5"}, 422, "invalid", "amount"),
        (ROW | {"country": None}, 422, "invalid", "country"),
        ({"amount": 1.0, "items": 2}, 422, "invalid", "country"),
        (ROW | {"amout": 1}, 422, "invalid", "amout"),
        ([ROW, ROW | {"items": 0.5}], 422, "invalid", "[1].items"),
        (ROW | {"country": "x" * BODY_LIMIT}, 413, "too_large", ""),
        (ROW | {"country": "x" * 10_000_000}, 413, "too_large", ""),
    ],
)
def test_wrong_body_is_refused_in_the_one_shape(port: int, body: object, status: int, code: str, field: str) -> None:
    reply = predict(port, body)

    assert (reply.status, reply.error["code"], reply.error["field"]) == (status, code, field)
    assert set(reply.error) == {"code", "message", "field", "hint"}
    assert predict(port).status == 200


def test_several_faults_are_listed(port: int) -> None:
    reply = predict(port, {"amout": 1, "items": "x", "country": 3})

    assert [fault["field"] for fault in reply.content["faults"]] == ["amout", "amount", "items", "country"]
    assert reply.content["faults"][0]["hint"] == "did you mean 'amount'?"


def test_content_type_does_not_matter(port: int) -> None:
    assert predict(port, ROW, content_type="text/plain").status == 200


def test_unknown_model_is_not_found_with_the_nearest_name(port: int) -> None:
    reply = ask(port, "/predict/frod", ROW)

    assert (reply.status, reply.error["field"], reply.error["hint"]) == (404, "model", "did you mean 'fraud'?")


def test_unknown_door_is_not_found(port: int) -> None:
    reply = ask(port, "/feedbak", {})

    assert (reply.status, reply.error["hint"]) == (404, "did you mean '/feedback'?")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", f"/predict/{MODEL}", "POST"), ("PUT", "/feedback", "POST"), ("POST", "/healthz", "GET")],
)
def test_wrong_method_is_refused(port: int, method: str, path: str, allowed: str) -> None:
    reply = ask(port, path, method=method)

    assert (reply.status, reply.headers["allow"]) == (405, allowed)


def test_body_without_a_length_is_read_up_to_the_limit(port: int) -> None:
    head = b"POST /predict/fraud HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    good = json.dumps(ROW).encode()
    parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (good[:9], good[9:]))
    block = b"x" * 65_536
    endless = b"".join(b"%x\r\n%b\r\n" % (len(block), block) for _ in range(8))

    assert converse(port, head + parts + b"0\r\n\r\n").startswith(b"HTTP/1.1 200")
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head.replace(b"connection: close\r\n", b"") + endless)
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "content",
    [
        b"\x00\xff\x17 hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /predict/fraud HTTP/1.1\r\ncontent-length: many\r\n\r\n{}",
        b"POST /predict/fraud HTTP/1.1\r\ncontent-length: 50\r\n\r\n{}",
        b"POST /predict/%ff%00 HTTP/1.1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        b"POST /predict/\xff\xfe HTTP/1.1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nconnection: close\r\n\r\n",
        b"POST /predict/fraud HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_garbage_on_the_wire_harms_nobody(port: int, content: bytes) -> None:
    answer = converse(port, content, hangs_up=True)

    assert not answer.startswith(b"HTTP/1.1 5")
    assert predict(port).status == 200


def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    body = json.dumps(ROW).encode()
    head = b"POST /predict/fraud HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n" % len(body)

    answer = converse(port, 2 * (head + b"\r\n" + body) + head + b"connection: close\r\n\r\n" + body)

    assert answer.count(b"HTTP/1.1 200") == 3


def test_client_that_asks_before_it_sends_is_told_to_go_on(port: int) -> None:
    body = json.dumps(ROW).encode()
    head = b"POST /predict/fraud HTTP/1.1\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head % len(body))
        told = connection.recv(100)
        connection.sendall(body)
        answer = connection.recv(65536)

    assert told.startswith(b"HTTP/1.1 100")
    assert answer.startswith(b"HTTP/1.1 200")


def test_number_that_no_model_can_take_is_blamed_and_not_recorded(shop: Workspace, port: int) -> None:
    ship(shop)

    reply = predict(port, ROW | {"amount": 1e300})

    assert (reply.status, reply.error["code"], reply.error["field"]) == (422, "invalid", "amount")
    assert ship(shop).decisions == 0


def test_health_and_readiness(port: int) -> None:
    assert ask(port, "/healthz", method="GET").content == {"status": "ok"}
    assert ask(port, "/readyz", method="GET").status == 200
    assert ask(port, "/readyz", method="HEAD").status == 200


def test_metrics_count_requests_rows_and_time(port: int) -> None:
    before = read_metrics(port)
    predict(port, [ROW, ROW])
    predict(port, {})

    after = read_metrics(port)

    def rise(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert rise('petla_requests_answered_total{model="fraud",status="200",worker="0"}') == 1
    assert rise('petla_requests_answered_total{model="fraud",status="422",worker="0"}') == 1
    assert rise('petla_rows_answered_total{model="fraud",worker="0"}') == 2
    assert rise('petla_request_latency_seconds_count{model="fraud",worker="0"}') == 1
    assert rise('petla_request_latency_seconds_bucket{model="fraud",worker="0",le="+Inf"}') == 1
    assert after['petla_snapshot_serving_number{worker="0"}'] == 1


def read_metrics(port: int) -> dict[str, float]:
    page: Any = ask(port, "/metrics", method="GET").content
    samples = (line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in samples}


def test_more_labels_than_a_request_may_have_are_refused(port: int) -> None:
    labels = b'{"id":"a","truth":1}'

    taken = ask(port, "/feedback", b"[%b]" % b",".join([labels] * MOST))
    refused = ask(port, "/feedback", b"[%b]" % b",".join([labels] * (MOST + 1)))

    assert (taken.status, taken.content) == (202, {"accepted": MOST})
    assert (refused.status, refused.error["hint"]) == (422, "send them in several requests")
