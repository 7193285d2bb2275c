"""Whatever strangers send: no crash, no 5xx for what is the client's fault, and the next one is answered."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok

from petla.deployments.deploy import deploy
from tests.deployments.tiny import MODEL, ROW, add_version, open_shop
from tests.serving import strategies
from tests.serving.client import ask, predict, running
from tests.serving.doorway import Doorway

PATHS = [
    "/predict/fraud",
    "/predict/fraud?explain=1",
    "/feedback",
    "/invocations",
    "/invocations/fraud",
    "/v2/models/fraud/infer",
    "/v2/models/fraud/versions/7/infer",
    "/v2/repository/index",
    "/v2/repository/models/fraud/load",
]
READ_PATHS = ["/v2", "/v2/models/fraud", "/openapi.json", "/metrics", "/healthz", "/version"]
QUIET = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def doorway(tmp_path_factory: pytest.TempPathFactory) -> Doorway:
    return Doorway(tmp_path_factory.mktemp("doorway")).serve_tiny()


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    ws = open_shop(tmp_path_factory.mktemp("shop"))
    deploy(ws, MODEL, add_version(ws), actor="ada")
    with running(ws) as supervisor:
        yield supervisor.server.port


@QUIET
@given(st.sampled_from(PATHS), strategies.bodies, strategies.headers)
def test_no_body_is_answered_by_a_fault_of_ours(
    doorway: Doorway, path: str, body: bytes, headers: dict[str, str]
) -> None:
    reply = doorway.ask(path, body, method="POST", **headers)

    # 504 is the client's own deadline
    assert reply.status < 500 or (reply.status == 504 and "x-request-timeout-ms" in headers)
    if reply.status >= 400:
        assert json.loads(reply.body)


@settings(QUIET, max_examples=50)
@given(
    st.sampled_from(PATHS + READ_PATHS) | st.text(max_size=40), st.sampled_from(["GET", "HEAD", "PUT", "POST", "BREW"])
)
def test_no_path_and_method_is_answered_by_a_fault_of_ours(doorway: Doorway, path: str, method: str) -> None:
    assert doorway.ask(path, b"", method=method).status < 500


@settings(QUIET, max_examples=100)
@given(strategies.wire)
def test_nothing_on_the_wire_harms_the_next_client(port: int, content: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while block := connection.recv(65536):
                answer += block
        except ConnectionResetError:
            pass

    assert b"HTTP/1.1 5" not in answer
    assert not answer or answer.startswith(b"HTTP/1.1 ")
    assert predict(port).status == 200


def test_huge_and_deep_bodies_are_refused(port: int) -> None:
    for body in (b"x" * 10_000_000, b"[" * 200_000, b'{"a":' * 40_000, json.dumps(ROW).encode() * 1_000):
        assert predict(port, body).status in {400, 413}
    assert predict(port).status == 200


@pytest.mark.slow
def test_document_says_what_the_doors_do(port: int) -> None:
    document = ask(port, "/openapi.json", method="GET").content
    found = list(schemathesis.openapi.from_dict(document).get_all_operations())
    operations = [each.ok() for each in found if isinstance(each, Ok)]
    assert len(operations) == len(found)
    assert len(operations) > 5
    for operation in operations:

        @settings(QUIET, max_examples=25)
        @given(operation.as_strategy())
        def probe(case: schemathesis.Case[Any]) -> None:
            response = case.call(base_url=f"http://127.0.0.1:{port}")
            assert response.status_code < 500, response.text
            case.validate_response(response, checks=[schemathesis.checks.response_schema_conformance])

        probe()
