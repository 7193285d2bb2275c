"""Pages of others: refused where no keys are asked for, unless the project file names them."""

from pathlib import Path

import msgspec
import pytest

from petla.core.errors import InvalidError
from petla.core.project import ServingTable, decode_project
from petla.serving.app import App
from tests.deployments.tiny import MODEL, PROJECT, ROW
from tests.serving.doorway import BODY_LIMIT, Doorway

SHOP = "https://shop.example.com"
ANYWHERE = "0.0.0.0"  # noqa: S104 - nobody listens there
OPEN = ServingTable()
PREDICT = f"/predict/{MODEL}"


def make_doorway(folder: Path, table: ServingTable) -> Doorway:
    doorway = Doorway(folder).serve_tiny()
    doorway.app = App(doorway.plane, BODY_LIMIT, table)
    return doorway


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "evil.example:8080"}, 421),
        ({"host": "localhost.evil.example"}, 421),
        ({"host": "[::1"}, 400),
        ({"host": "127.0.0.1:8080", "origin": "http://evil.example"}, 403),
        ({"host": "127.0.0.1:8080", "origin": "null"}, 403),
        ({"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:3000"}, 403),
        ({"host": "127.0.0.1:8080", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 403),
        ({"host": "127.0.0.1:8080", "sec-fetch-site": "same-site"}, 403),
        ({"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:8080", "sec-fetch-site": "same-origin"}, 200),
        ({"host": "127.0.0.1:8080", "sec-fetch-site": "none"}, 200),
        ({"host": "LOCALHOST:8080"}, 200),
        ({"host": "[::1]:8080"}, 200),
        ({"host": "10.1.2.3"}, 200),
        ({}, 200),
    ],
)
def test_foreign_pages_are_refused_where_there_are_no_keys(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    doorway = make_doorway(tmp_path, OPEN)

    answers = [doorway.ask(PREDICT, ROW, **headers), doorway.ask("/feedback", {"id": "a", "truth": True}, **headers)]

    assert [answer.status for answer in answers] == [status, 202 if status == 200 else status]
    assert len(doorway.recorded()) == (status == 200)


def test_link_from_another_page_may_be_followed(tmp_path: Path) -> None:
    doorway = make_doorway(tmp_path, OPEN)
    headers = {"host": "localhost:8080", "sec-fetch-site": "cross-site"}

    assert doorway.ask("/openapi.json", sec_fetch_mode="navigate", **headers).status == 200
    assert doorway.ask("/openapi.json", sec_fetch_mode="no-cors", **headers).status == 403


@pytest.mark.parametrize(
    ("table", "status"),
    [
        (ServingTable(hosts=("api.example.com",)), 200),
        (ServingTable(host=ANYWHERE, insecure=True), 200),
        (ServingTable(host=ANYWHERE, insecure=True, hosts=("other.example.com",)), 421),
        (ServingTable(access="keys"), 200),
    ],
)
def test_name_of_this_server_can_be_written_down(tmp_path: Path, table: ServingTable, status: int) -> None:
    doorway = make_doorway(tmp_path, table)

    assert doorway.ask(PREDICT, ROW, host="api.example.com").status == status


def test_page_that_the_project_file_names_may_ask_and_read(tmp_path: Path) -> None:
    doorway = make_doorway(tmp_path, ServingTable(cors=(SHOP,)))
    headers = {"host": "localhost:8080", "origin": SHOP}

    asked = doorway.ask(
        PREDICT,
        method="OPTIONS",
        access_control_request_method="POST",
        access_control_request_headers="content-type, x-request-id",
        **headers,
    )
    answered = doorway.ask(PREDICT, ROW, **headers)
    refused = doorway.ask(PREDICT, {"amount": "x"}, **headers)

    assert asked.status == 200
    assert asked.headers["access-control-allow-origin"] == SHOP
    assert asked.headers["access-control-allow-methods"] == "POST"
    assert asked.headers["access-control-allow-headers"] == "content-type, x-request-id"
    assert (answered.status, answered.headers["access-control-allow-origin"]) == (200, SHOP)
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (422, SHOP)


def test_question_of_a_page_is_answered_before_a_key_is_asked_for(tmp_path: Path) -> None:
    doorway = make_doorway(tmp_path, ServingTable(access="keys", cors=(SHOP,)))

    def preflight(origin: str) -> int:
        return doorway.ask(PREDICT, method="OPTIONS", origin=origin, access_control_request_method="POST").status

    assert preflight(SHOP) == 200
    assert preflight("https://evil.example") == 405


def test_page_that_is_not_named_may_not_read_an_answer(tmp_path: Path) -> None:
    doorway = make_doorway(tmp_path, ServingTable(access="keys", cors=(SHOP,)))

    answer = doorway.ask(PREDICT, ROW, origin="https://evil.example")

    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("origin", ["*", "null", "shop.example.com", "https://shop.example.com/", "https://a b"])
def test_origin_that_is_none_is_refused_in_the_project_file(origin: str) -> None:
    with pytest.raises(InvalidError, match=r"serving\.cors"):
        decode_project(f'{PROJECT}cors = ["{origin}"]\n')


def test_settings_travel_to_the_worker() -> None:
    table = ServingTable(cors=(SHOP,), hosts=("api.example.com",), grace_s=3, stuck_s=7)

    assert msgspec.json.decode(msgspec.json.encode(table), type=ServingTable) == table
