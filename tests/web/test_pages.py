"""Pages on a real database: what they show, what they say when there is nothing, and what changes through them."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from petla.core.clock import to_text
from petla.decisions.losses import LossCount
from petla.decisions.reviews.reviewing import decide
from petla.decisions.spans.wanted import FIELDS
from petla.deployments.deploy import find_deployment
from petla.monitoring.records import add_quality_window
from petla.monitoring.windows import QualityWindow
from petla.storage.database import writing
from petla.storage.workspace import Workspace
from petla.web.pages import decisions
from tests.api.client import BASE, HTML, Client, find_token, make_project, open_client
from tests.web.seed import EMPTY, MORE_MODELS, PROJECT, QUESTION, add_decision, seed_after_swap, seed_loop

REVIEWED, REVIEW = "01920000-0000-7000-8000-000000000002", "01920000-0000-7000-8000-000000000006"
PAGES = (
    "/",
    "/models/delay",
    "/models/delay/versions/3",
    "/decisions?model=delay&flag=far_outside",
    f"/decisions/{REVIEW}",
    "/approvals",
    "/approvals/1",
    "/incidents",
    "/incidents/1",
    "/reviews",
    f"/reviews/{REVIEW}",
    f"/reviews/{REVIEWED}",
    "/audit",
)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return make_project(tmp_path)


@pytest.fixture
def client(ws: Workspace) -> Iterator[Client]:
    with open_client(ws) as opened:
        yield opened


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A visitor who changes nothing in the middle of the loop, shared by all tests of this file."""
    ws = make_project(tmp_path_factory.mktemp("loop"))
    seed_loop(ws)
    with open_client(ws) as opened:
        yield opened


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A visitor of a project in which nothing has happened yet."""
    with open_client(make_project(tmp_path_factory.mktemp("empty"))) as opened:
        yield opened


def text_of(html: str) -> str:
    """What a reader sees, spaces made even."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


@pytest.mark.parametrize("path", PAGES)
def test_page_shows_one_heading_and_a_title(reader: Client, path: str) -> None:
    answer = reader.get(path, headers=HTML)

    assert answer.status_code == 200, answer.text
    assert len(re.findall(r"<h1\b", answer.text)) == 1
    assert re.search(r"<title>\S.* · flights · Pętla</title>", answer.text)
    assert '<html lang="en"' in answer.text
    assert {"<header", "<main", "<nav"} <= set(re.findall(r"<(?:header|main|nav)", answer.text))
    ids = re.findall(r'\bid="([^"]+)"', answer.text)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/", "petla run"),
        ("/models/delay", "petla run"),
        ("/models/delay/decisions", "POST /predict/delay"),
        ("/approvals", "Nothing waits for an answer"),
        ("/incidents", "petla.toml"),
        ("/reviews", "Nothing waits for a person"),
        ("/audit", "petla run"),
    ],
)
def test_empty_page_names_the_next_action(newcomer: Client, path: str, says: str) -> None:
    answer = newcomer.get(path, headers=HTML)

    assert answer.status_code == 200
    assert says in text_of(answer.text)


def test_project_without_models_says_what_to_write(tmp_path: Path) -> None:
    with open_client(make_project(tmp_path, EMPTY)) as client:
        assert "[models.delay]" in client.get("/").text


def test_candidate_that_passed_names_the_command_to_deploy(ws: Workspace, client: Client) -> None:
    seed_loop(ws)
    from petla.storage.database import writing
    from petla.storage.tables import deployments

    with writing(ws.engine) as connection:
        connection.execute(deployments.delete())

    assert "petla deploy delay:3" in client.get("/").text


def test_overview_shows_the_five_things(reader: Client) -> None:
    shown = text_of(reader.get("/").text)

    for said in (
        "delay:2 went live 5 h ago",
        "73,120 decisions",
        "0.702 accuracy",
        "window 14 · 5,000 labelled decisions of delay:2",
        "3 features over 0.250 PSI",
        "1 incident",
        "Should delay:3 go live?",
    ):
        assert said in shown, said


def test_overview_of_several_models_shows_each_in_its_place(tmp_path: Path) -> None:
    ws = make_project(tmp_path, PROJECT + MORE_MODELS)
    seed_loop(ws)
    seed_after_swap(ws, "cancelled")

    with open_client(ws) as client:
        page = client.get("/").text

    assert page.count('<article class="card model"') == 3
    assert "0.779" in page  # the newest window of the live version, not the newest of all
    assert "cancelled:2 begins" in page


def test_approval_shows_its_evidence(reader: Client) -> None:
    shown = text_of(reader.get("/approvals/1").text)

    for said in (
        "0.702",
        "0.745",
        "+0.043",
        "+0.031 to +0.055",
        "12,408",
        "4 of 4 gates passed",
        "80,431 rows",
        "Grant",
        "Refuse",
    ):
        assert said in shown, said
    assert QUESTION in shown


def test_page_and_api_show_the_effect_of_each_input_that_was_explained(reader: Client) -> None:
    shown = text_of(reader.get("/models/delay/decisions").text)
    said = reader.get(f"/api/decisions/{REVIEW}").json()["explanation"]

    assert "month 7 effect on the score +0.100" in shown
    assert "wind_speed null effect on the score +0.010" in shown
    assert (said["month"], said["wind_speed"]) == (0.1, 0.01)


def test_granting_deploys_and_shows_who_and_why(ws: Workspace, client: Client) -> None:
    seed_loop(ws)
    form = {"csrf_token": find_token(client.get("/approvals/1").text), "reason": "July looks right"}

    answer = client.post("/approvals/1/grant", data=form, follow_redirects=False)

    assert (answer.status_code, answer.headers["location"]) == (303, "/approvals/1")
    shown = text_of(client.get("/approvals/1").text)
    assert "by Ada Lovelace" in shown
    assert "July looks right" in shown
    assert "Grant " not in shown
    overview = text_of(client.get("/").text)
    assert "delay:3 went live" in overview
    assert "delay:3 has no closed window yet" in overview


def test_refusing_needs_a_reason_and_keeps_what_was_typed(ws: Workspace, client: Client) -> None:
    seed_loop(ws)
    token = find_token(client.get("/approvals/1").text)

    answer = client.post("/approvals/1/refuse", data={"csrf_token": token, "reason": "  "}, headers=HTML)

    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert 'aria-invalid="true"' in answer.text
    done = client.post("/approvals/1/refuse", data={"csrf_token": token, "reason": "holiday traffic"})
    assert "holiday traffic" in done.text
    assert "delay:2 went live" in text_of(client.get("/").text)


def test_second_answer_is_a_page_that_says_who_was_first(ws: Workspace, client: Client) -> None:
    seed_loop(ws)
    form = {"csrf_token": find_token(client.get("/approvals/1").text), "reason": "no"}
    client.post("/approvals/1/refuse", data=form)

    answer = client.post("/approvals/1/grant", data=form, headers=HTML)

    assert answer.status_code == 409
    assert "Ada Lovelace" in answer.text


def test_incident_shows_playbook_and_is_closed_by_hand(ws: Workspace, client: Client) -> None:
    seed_loop(ws)
    page = client.get("/incidents/1").text
    form = {"csrf_token": find_token(page)}
    assert "Playbook" in page
    assert "accuracy 0.702, limit 0.74" in page

    acknowledged = client.post("/incidents/1/acknowledge", data=form)

    assert "Ada Lovelace answers for it" in acknowledged.text
    empty = client.post("/incidents/1/resolve", data=form, headers=HTML)
    assert empty.status_code == 422
    resolved = client.post("/incidents/1/resolve", data={**form, "reason": "feed mended"})
    assert "feed mended" in resolved.text
    assert "feed mended" in client.get("/audit").text


def test_certificate_of_a_version_is_complete(reader: Client) -> None:
    shown = text_of(reader.get("/models/delay/versions/1").text)

    for said in (
        "Ada Lovelace",
        "8f14e45fceea",
        "with changes that are not in Git",
        "b3f9b3f9b3f9",
        "scikit-learn",
        "largest difference 3.1e-07",
        "Ed25519",
        "learning_rate",
        "retired",
        "Python 3.11.7",
    ):
        assert said in shown, said


@pytest.mark.parametrize("path", ["/models/delai", "/models/delay/versions/9", "/approvals/9", "/incidents/9", "/x"])
def test_what_does_not_exist_is_a_page_too(reader: Client, path: str) -> None:
    answer = reader.get(path, headers=HTML)

    assert answer.status_code == 404
    assert "To the overview" in answer.text


def test_hostile_texts_are_shown_as_texts(ws: Workspace, client: Client) -> None:
    seed_loop(ws)
    hostile = "<script>alert(1)</script>\"'><img src=x>"
    form = {"csrf_token": find_token(client.get("/").text), "reason": hostile}
    client.post("/approvals/1/refuse", data=form)

    pages = [client.get(path, headers=HTML).text for path in PAGES]

    assert "&lt;script&gt;alert(1)" in pages[5]
    assert not [page for page in pages if "<script>alert" in page or "<img src=x" in page]


def test_fragment_leaves_head_and_scripts_out_and_is_not_sent_twice(reader: Client) -> None:
    fragment = reader.get("/", headers={"x-petla-fragment": "1"})
    again = reader.get("/", headers={"x-petla-fragment": "1", "if-none-match": fragment.headers["etag"]})

    assert "<script" not in fragment.text
    assert 'id="overview" data-live' in fragment.text
    assert (again.status_code, again.text) == (304, "")


@pytest.mark.parametrize(
    ("back", "leads_to"),
    [
        ("/audit", "/audit"),
        ("/decisions?a=%20&b=1#c", "/decisions?a=%20&b=1#c"),
        ("/ż\u20ac x", "/%C5%BC%E2%82%AC%20x"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("/a\r\nset-cookie: b=c", "/"),
        ("/a\nb", "/"),
        ("/a\x00b", "/"),
        ("", "/"),
        ("https://evil.example", "/"),
    ],
)
def test_theme_is_remembered_and_leads_back(client: Client, back: str, leads_to: str) -> None:
    form = {"csrf_token": find_token(client.get("/").text), "theme": "dark", "back": back}

    answer = client.post("/theme", data=form, follow_redirects=False)

    assert (answer.status_code, answer.headers["location"]) == (303, leads_to)
    assert 'data-theme="dark"' in client.get("/").text


def test_page_links_to_nothing_that_is_not_there(reader: Client) -> None:
    links = {unescape(link) for path in PAGES for link in re.findall(r'href="(/[^"]*)"', reader.get(path).text)}

    assert len(links) > 12
    broken = {link: reader.get(link).status_code for link in links if reader.get(f"{BASE}{link}").status_code != 200}
    assert not broken


def test_decision_has_a_page_that_the_list_leads_to(reader: Client) -> None:
    listed = reader.get("/models/delay/decisions", headers=HTML).text
    shown = text_of(reader.get(f"/decisions/{REVIEW}", headers=HTML).text)
    missing = reader.get("/decisions/nobody", headers=HTML)

    assert f'href="/decisions/{REVIEW}"' in listed
    for said in (
        "false, said delay:2",
        "Score 0.480",
        "temperature 30.5",
        "passenger-0",
        "Review : waits for a person",
    ):
        assert said in shown
    assert "The truth is not known yet" in text_of(
        reader.get("/decisions/01920000-0000-7000-8000-000000000010", headers=HTML).text
    )
    assert missing.status_code == 404
    assert "not in the log" in missing.text


def ids_of(html: str) -> list[str]:
    """The ends of the decisions' ids, in the order of the page."""
    return re.findall(r'href="/decisions/[0-9a-f-]{34}(\d\d)"', html)


def test_form_leads_to_an_address_that_shows_the_same_to_a_colleague(reader: Client) -> None:
    fields = re.findall(r'<input id="by-\w+" name="(\w+)"', reader.get("/decisions").text)
    sent = dict.fromkeys(fields, "") | {"served_by": "canary", "since": "2026-07-14T09:20Z"}

    answer = reader.get("/decisions", params=sent, headers=HTML)

    assert set(fields) == set(FIELDS) - {"older_than", "newer_than"}
    assert str(answer.url) == f"{BASE}/decisions?served_by=canary&since=2026-07-14T09:20Z"
    assert ids_of(answer.text) == ["08", "04"]
    assert 'value="canary"' in answer.text
    assert "petla decisions list --where served_by=canary --where since=2026-07-14T09:20Z" in text_of(answer.text)
    assert 'value="/decisions?served_by=canary&amp;since=2026-07-14T09:20Z"' in answer.text  # the theme leads back


def test_nothing_that_matches_says_why_and_how_to_go_on(reader: Client) -> None:
    answer = reader.get("/decisions?model=delay&arm=canary&subject=passenger-1", headers=HTML)

    assert answer.status_code == 200
    assert "None of 12 decisions has all of this: model delay, arm canary, subject passenger-1." in text_of(answer.text)
    ways = [unescape(link) for link in re.findall(r'<li><a href="([^"]*)">', answer.text)]
    assert ways[1:] == ["/decisions?model=delay&subject=passenger-1", "/decisions?model=delay&arm=canary", "/decisions"]
    assert [len(ids_of(reader.get(way).text)) for way in ways[1:]] == [6, 3, 12]


def test_what_cannot_be_read_is_said_beside_its_field(reader: Client) -> None:
    answer = reader.get("/decisions?since=yesterday&colour=red&arm=canary", headers=HTML)

    assert answer.status_code == 422
    assert "&#39;yesterday&#39; is no moment: write it as 2026-03-01" in answer.text
    assert re.search(r'value="yesterday"[^>]* aria-invalid="true" aria-describedby="fault-since"', answer.text)
    assert "colour: is nothing that decisions are chosen by" in answer.text
    assert not ids_of(answer.text)


def test_pages_of_decisions_follow_each_other_while_others_come(
    ws: Workspace, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "_SHOWN", 5)
    seed_loop(ws)

    def turn(html: str, name: str) -> str:
        link = re.search(rf'href="([^"]*)"[^>]*>{name}<', html)
        assert link is not None, name
        return client.get(unescape(link[1]), headers=HTML).text

    first = client.get("/decisions?model=delay").text
    add_decision(ws, 12)
    second = turn(first, "Older")
    third = turn(second, "Older")
    back = turn(turn(third, "Newer"), "Newer")
    newest = turn(back, "Newer")

    assert [ids_of(page) for page in (first, second, third)] == [
        ["11", "10", "09", "08", "07"],
        ["06", "05", "04", "03", "02"],
        ["01", "00"],
    ]
    assert (">Older<" in third, ids_of(back), ids_of(newest)) == (False, ids_of(first), ["12"])
    assert ids_of(turn(second, "Newest")) == ["12", "11", "10", "09", "08"]
    beyond = client.get("/decisions?older_than=2000-01-01T00:00:00.000000Z~1").text
    assert "Nothing stands beyond this place" in text_of(beyond)
    assert ids_of(turn(beyond, "the newest"))[0] == "12"


def test_lost_decisions_are_said_where_people_look(ws: Workspace, client: Client) -> None:
    folder = ws.state / "spool" / "0"
    folder.mkdir(parents=True)
    lost = LossCount(folder)
    lost.add(1_204)
    lost.close()

    for path in ("/", "/models/delay/decisions"):
        assert "1,204 decisions were answered and not recorded, the last at 20" in client.get(path, headers=HTML).text


def test_review_shows_inputs_beside_training_and_takes_a_word(ws: Workspace, client: Client) -> None:
    seed_loop(ws)
    asked = client.get(f"/reviews/{REVIEW}", headers=HTML).text
    form = {"csrf_token": find_token(asked), "answer": "true"}

    refused = client.post(f"/reviews/{REVIEW}/decide", data=form | {"reason": " "}, headers=HTML)
    taken = client.post(f"/reviews/{REVIEW}/decide", data=form | {"reason": "looked out of the window"}, headers=HTML)

    shown = text_of(asked)
    assert "delay:2: a number is far outside what training saw" in shown
    assert "temperature ▲ outside: 30.5 -8 to 27.5, median 9.75 +0.200" in shown
    assert refused.status_code == 422
    assert "A decision needs a reason" in refused.text
    assert "Decided: true" in text_of(taken.text)
    assert "looked out of the window" in text_of(client.get("/audit", headers=HTML).text)
    assert "1 decision of delay to be decided by a person" in text_of(client.get("/", headers=HTML).text)


def test_several_reviews_are_decided_at_once_and_each_outcome_is_shown(ws: Workspace, client: Client) -> None:
    seed_loop(ws)
    asked = client.get("/reviews", headers=HTML).text
    ids = re.findall(r'name="ids" value="([^"]+)"', asked)
    form = {"csrf_token": find_token(asked), "ids": ids, "answer": "true", "reason": "asked the crew"}

    refused = client.post("/reviews/decide", data={**form, "reason": " "}, headers=HTML)
    none = client.post("/reviews/decide", data={**form, "ids": []}, headers=HTML)
    decide(ws, ids[1], False, actor="Olga", reason="first")
    mixed = client.post("/reviews/decide", data=form, headers=HTML)

    assert ids == [REVIEW, REVIEW[:-1] + "7"]
    assert (refused.status_code, none.status_code, mixed.status_code) == (422, 422, 409)
    assert "A decision needs a reason" in refused.text
    assert refused.text.count('name="ids"') == refused.text.count(" checked>") - 1 == 2  # and the answer
    assert "0 decisions are named: say which" in none.text
    shown = text_of(mixed.text)
    assert f"decided {ids[0]} true, says Ada Lovelace" in shown
    assert f"not taken {ids[1]} decision {ids[1]} was decided by Olga already" in shown


def test_reviews_that_were_all_decided_lead_to_an_address_that_shows_them(ws: Workspace, client: Client) -> None:
    seed_loop(ws)
    form = {"csrf_token": find_token(client.get("/reviews").text), "answer": "false", "reason": "asked the crew"}

    done = client.post("/reviews/decide", data={**form, "ids": [REVIEW]}, headers=HTML)

    assert (done.status_code, str(done.url)) == (200, f"{BASE}/reviews?decided={REVIEW}")
    assert f"decided {REVIEW} false, says Ada Lovelace" in text_of(done.text)
    assert "Waiting: 1" in done.text
    assert "asked the crew" in client.get("/audit", headers=HTML).text


def add_unjudged_window(ws: Workspace, version: int) -> None:
    """Close a newer window of a version whose labels are no class of it."""
    window = QualityWindow(
        model="delay",
        version=version,
        number=900,
        rows=5_000,
        metrics={},
        absent={"accuracy": "5,000 labels are no class of the model (False, True), such as 'no'"},
        unusable=5_000,
        last_feedback=10_000_000,
        started_at=to_text(ws.clock()),
        ended_at=to_text(ws.clock()),
    )
    with writing(ws.engine) as connection:
        add_quality_window(connection, ws.name, window)


def test_closed_window_without_a_figure_is_said_and_nothing_is_called_healthy(ws: Workspace, client: Client) -> None:
    seed_after_swap(ws, "delay")
    deployed = find_deployment(ws, "delay")
    assert deployed is not None
    assert "healthy" in text_of(client.get("/").text)

    add_unjudged_window(ws, deployed.live)

    for path in ("/", "/models/delay"):
        shown = unescape(text_of(client.get(path).text))
        assert "has no accuracy: 5,000 labels are no class of the model (False, True), such as 'no'" in shown
        assert "healthy" not in shown
        assert "every window is watched" not in shown
    overview = text_of(client.get("/").text)
    assert "All quiet" not in overview
    assert "has no closed window yet" not in overview


def test_rate_is_that_of_the_last_minute(ws: Workspace, client: Client) -> None:
    seed_after_swap(ws, "delay")

    overview = text_of(client.get("/").text)

    assert "0 decisions in the last minute last decision" in overview
    assert "in window" not in overview
