"""Links work once, sessions end, tokens can be revoked, and no secret lies on the disk."""

import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from petla.api import sessions
from petla.core.errors import NotFoundError, UnavailableError
from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.storage.workspace import Workspace
from tests.web.seed import EMPTY, NOW, open_project

BASE = "http://127.0.0.1:8000"


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return open_project(tmp_path, EMPTY)


def token_of(link: str) -> str:
    return parse_qs(urlsplit(link).query)["token"][0]


def test_link_opens_one_session_for_who_made_it(ws: Workspace) -> None:
    token = token_of(sessions.make_link(ws, BASE))

    secret = sessions.redeem(ws, token)

    assert secret is not None
    session = sessions.find_session(ws, secret)
    assert session is not None
    assert session.actor == "Ada Lovelace"
    assert sessions.redeem(ws, token) is None


def test_link_leads_to_the_page_it_was_made_for(ws: Workspace) -> None:
    link = sessions.make_link(ws, f"{BASE}/", path="/approvals/3")

    assert link.startswith(f"{BASE}/approvals/3?token=")


def test_link_made_by_another_process_works_here(ws: Workspace) -> None:
    code = (
        "import sys; from pathlib import Path; from petla.core.settings import Settings\n"
        "from petla.storage.workspace import open_workspace; from petla.api.sessions import make_link\n"
        "print(make_link(open_workspace(Path(sys.argv[1]), Settings(actor='Grace')), sys.argv[2]))"
    )
    made = subprocess.run([sys.executable, "-c", code, ws.root, BASE], capture_output=True, text=True, check=True)
    # that process has a real clock, and this project's stands still
    here = Workspace(ws.root, ws.project, ws.settings)

    secret = sessions.redeem(here, token_of(made.stdout.strip()))

    assert secret is not None
    session = sessions.find_session(here, secret)
    assert session is not None
    assert session.actor == "Grace"


@pytest.mark.parametrize(("after", "works"), [(timedelta(hours=23), True), (timedelta(hours=24), False)])
def test_link_ends_after_a_day(tmp_path: Path, after: timedelta, works: bool) -> None:
    moment = [NOW]
    ws = Workspace(tmp_path, decode_project(EMPTY), Settings(actor="ada"), clock=lambda: moment[0])
    token = token_of(sessions.make_link(ws, BASE))

    moment[0] += after

    assert (sessions.redeem(ws, token) is not None) is works


def test_session_ends_after_a_week_and_its_file_goes_with_the_next_link(tmp_path: Path) -> None:
    moment = [NOW]
    ws = Workspace(tmp_path, decode_project(EMPTY), Settings(actor="ada"), clock=lambda: moment[0])
    secret = sessions.redeem(ws, token_of(sessions.make_link(ws, BASE)))
    assert secret is not None

    moment[0] += timedelta(days=7)

    assert sessions.find_session(ws, secret) is None
    sessions.make_link(ws, BASE)
    assert not list((ws.state / "control" / "sessions").iterdir())


def test_session_can_be_ended(ws: Workspace) -> None:
    secret = sessions.redeem(ws, token_of(sessions.make_link(ws, BASE)))
    assert secret is not None

    sessions.end_session(ws, secret)

    assert sessions.find_session(ws, secret) is None


def test_disk_holds_hashes_only_and_for_the_owner_only(ws: Workspace) -> None:
    token = token_of(sessions.make_link(ws, BASE))
    secret = sessions.redeem(ws, token)
    api_token = sessions.make_api_token(ws, "ci")

    files = [path for path in (ws.state / "control").rglob("*") if path.is_file()]

    assert len(files) == 2
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        text = f"{path.name} {path.read_text()}"
        assert not any(str(known) in text for known in (token, secret, api_token))


def test_api_token_is_found_until_it_is_revoked(ws: Workspace) -> None:
    token = sessions.make_api_token(ws, "ci")

    known = sessions.find_api_token(ws, token)

    assert known is not None
    assert (known.actor, known.purpose, known.ends_at) == ("Ada Lovelace", "ci", "")
    assert [each.purpose for each in sessions.list_api_tokens(ws)] == ["ci"]
    sessions.revoke_api_token(ws, "ci")
    assert sessions.find_api_token(ws, token) is None
    with pytest.raises(NotFoundError, match="'ci'"):
        sessions.revoke_api_token(ws, "ci")


@pytest.mark.parametrize("token", ["", "x", "../../keys/signing", "a" * 10_000])
def test_unknown_token_opens_nothing(ws: Workspace, token: str) -> None:
    assert sessions.redeem(ws, token) is None
    assert sessions.find_session(ws, token) is None
    assert sessions.find_api_token(ws, token) is None


def test_address_is_known_only_while_somebody_listens(ws: Workspace) -> None:
    with pytest.raises(UnavailableError, match="no control plane"):
        sessions.running_address(ws)
    sessions.announce_address(ws, "http://127.0.0.1:9")
    with pytest.raises(UnavailableError, match="no control plane"):
        sessions.running_address(ws)
