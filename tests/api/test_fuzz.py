"""Whatever strangers send to the control plane's API: no 5xx for what is the client's fault."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok

from petla.api.sessions import make_api_token
from tests.api.client import Client, make_project, open_client, open_program, run_server
from tests.serving import strategies
from tests.web.seed import seed_loop

QUIET = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
CHECKS = [schemathesis.checks.status_code_conformance, schemathesis.checks.response_schema_conformance]
WORDS = ["reason", "answer", "outcome", "version", "kind", "arms", "share", "steps", "name"]

_segments = st.sampled_from(["1", "0", "-1", str(2**63), str(2**70), "delay", "x", "%00", "%ff", "%2e%2e", "1" * 300])
_segments |= st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=5)
_queries = st.dictionaries(
    st.sampled_from(
        ["limit", "in_state", "model", "version", "since", "until", "subject", "labelled", "arm", "flag", "token"]
    ),
    st.sampled_from(["", "1", "-1", str(2**70), "x", "2026-13-01", "2026-01-01", "\x00", "\ud7ff", "yes", "waiting"]),
    max_size=3,
)
_bodies = strategies.bodies | st.dictionaries(st.sampled_from(WORDS), strategies.values, max_size=4).map(
    strategies.encode
)
_types = st.sampled_from(
    ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x", ""]
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    ws = make_project(tmp_path_factory.mktemp("fuzz"))
    seed_loop(ws)
    with open_program(ws) as opened:
        yield opened


@pytest.fixture(scope="module")
def operations(client: Client) -> list[tuple[str, str]]:
    """All that the document names."""
    paths = client.get("/schema/openapi.json").json()["paths"]
    found = [(method.upper(), path) for path, methods in paths.items() for method in methods]
    assert len(found) > 20
    return found


@QUIET
@given(data=st.data(), query=_queries, body=_bodies, kind=_types)
def test_no_request_is_answered_by_a_fault_of_ours(
    client: Client,
    operations: list[tuple[str, str]],
    data: st.DataObject,
    query: dict[str, str],
    body: bytes,
    kind: str,
) -> None:
    method, template = data.draw(st.sampled_from(operations))
    parts = [data.draw(_segments) if part.startswith("{") else part for part in template.split("/")]
    content = body if method == "POST" else None

    answer = client.request(
        method, "/".join(parts), params=query, content=content, headers={"content-type": kind}, follow_redirects=False
    )

    assert answer.status_code < 500, (method, parts, answer.text)


@pytest.mark.slow
def test_document_says_what_the_api_does(tmp_path_factory: pytest.TempPathFactory) -> None:
    ws = make_project(tmp_path_factory.mktemp("document"))
    seed_loop(ws)
    headers = {"authorization": f"Bearer {make_api_token(ws, 'test')}"}
    with run_server(ws) as port, open_client(ws) as reader:
        document = reader.get("/schema/openapi.json").json()
        found = list(schemathesis.openapi.from_dict(document).get_all_operations())
        for operation in [each.ok() for each in found if isinstance(each, Ok)]:

            @settings(QUIET, max_examples=10)
            @given(operation.as_strategy())
            def probe(case: schemathesis.Case[Any]) -> None:
                response = case.call(base_url=f"http://127.0.0.1:{port}", headers=headers)
                assert response.status_code < 500, response.text
                case.validate_response(response, checks=CHECKS)

            probe()
