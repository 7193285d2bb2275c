"""What is imported is downloaded whole or not at all, remembers where it came from, and is asked for again cheaply."""

import base64
import http.server
import threading
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import pytest
import yaml

from petla.core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, UnavailableError
from petla.core.project import decode_project
from petla.data.pointers import find_pointer
from petla.data.statuses import list_statuses
from petla.data.transfer.imports import import_url, update
from petla.data.versions import add, list_versions
from petla.storage.workspace import Workspace
from tests.data.dvc.programs import Dvc
from tests.data.projects import CSV, make_project


class Server:
    """A web server whose one file and manners can be changed."""

    def __init__(self) -> None:
        self.content = CSV.encode()
        self.etag = '"first"'
        self.modified = ""
        self.status = 200
        self.short_by = 0
        self.user = ""
        self.length = ""
        self.bodies = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                status = outer.answer(self.headers, self.path)
                self.send_response(status)
                for name, value in outer.headers(self.path).items():
                    self.send_header(name, value)
                self.end_headers()
                if status == 200 and self.command == "GET":
                    outer.bodies += 1
                    self.wfile.write(outer.content[: len(outer.content) - outer.short_by])

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, headers: Message, path: str) -> int:
        if path.startswith(("/moved", "/astray")):
            return 302
        if self.user and headers.get("Authorization") != f"Basic {base64.b64encode(self.user.encode()).decode()}":
            return 401
        if self.etag and headers.get("If-None-Match") == self.etag:
            return 304
        if self.modified and headers.get("If-Modified-Since") == self.modified:
            return 304
        return self.status

    def headers(self, path: str) -> dict[str, str]:
        if path.startswith("/moved"):
            return {"Location": f"{self.url}/rows.csv", "Content-Length": "0"}
        if path.startswith("/astray"):
            return {"Location": "http://a..b/rows.csv", "Content-Length": "0"}
        length = {"Content-Length": self.length or str(len(self.content))}
        return length | {k: v for k, v in {"ETag": self.etag, "Last-Modified": self.modified}.items() if v}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    ws = make_project(tmp_path / "project", '[project]\nname = "flights"\n')
    monkeypatch.chdir(ws.root)
    return ws


def test_an_import_is_a_version_that_knows_its_origin(ws: Workspace, server: Server) -> None:
    report = import_url(ws, f"{server.url}/rows.csv?year=1")

    assert (ws.root / "rows.csv").read_text() == CSV
    pointer = find_pointer(ws.root / "rows.csv.dvc")
    assert pointer is not None
    assert pointer.origin is not None
    assert (pointer.origin.url, pointer.origin.version) == (f"{server.url}/rows.csv?year=1", '"first"')
    assert report.added is not None
    assert pointer.digest == report.added.version.digest
    written = decode_project((ws.root / "petla.toml").read_text())
    assert written.data["rows"].url == f"{server.url}/rows.csv?year=1"
    assert [status.state for status in list_statuses(ws)] == ["clean"]


@pytest.mark.parametrize("by", ["etag", "date"])
def test_what_has_not_changed_is_not_downloaded_again(ws: Workspace, server: Server, by: str) -> None:
    if by == "date":
        server.etag, server.modified = "", "Sun, 22 Nov 2026 10:00:00 GMT"
    import_url(ws, f"{server.url}/rows.csv")

    assert update(ws, "rows").added is None
    assert import_url(ws, f"{server.url}/rows.csv").added is None
    assert server.bodies == 1

    (ws.root / "rows.csv").unlink()
    update(ws, "rows")
    assert (ws.root / "rows.csv").read_text() == CSV
    assert server.bodies == 1


def test_what_has_changed_is_a_new_version(ws: Workspace, server: Server) -> None:
    import_url(ws, f"{server.url}/rows.csv")
    server.content, server.etag = b"hour,carrier\n4,DL\n", '"second"'

    report = update(ws, "rows")

    assert report.added is not None
    assert report.added.version.version == 2
    assert (ws.root / "rows.csv").read_bytes() == server.content
    pointer = find_pointer(ws.root / "rows.csv.dvc")
    assert pointer is not None
    assert pointer.origin is not None
    assert pointer.origin.version == '"second"'


def test_adding_again_keeps_the_origin(ws: Workspace, server: Server) -> None:
    import_url(ws, f"{server.url}/rows.csv")
    (ws.root / "rows.csv").write_text(CSV + "5,UA\n")

    with pytest.raises(ConflictError, match="updating would lose it"):
        update(ws, "rows")
    add(ws, ws.root / "rows.csv")

    pointer = find_pointer(ws.root / "rows.csv.dvc")
    assert pointer is not None
    assert pointer.origin is not None


def test_a_redirection_is_followed_without_the_password(
    ws: Workspace, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ann password sesame\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    server.user = "ann:sesame"

    import_url(ws, f"{server.url}/rows.csv")
    assert (ws.root / "rows.csv").read_text() == CSV
    # not even to the same host: who knows who answers there
    with pytest.raises(ForbiddenError, match="does not let us in"):
        import_url(ws, f"{server.url}/moved", Path("moved.csv"))
    server.user = ""
    import_url(ws, f"{server.url}/moved", Path("moved.csv"))
    assert (ws.root / "moved.csv").read_text() == CSV


@pytest.mark.parametrize(
    ("status", "error"), [(404, NotFoundError), (401, ForbiddenError), (403, ForbiddenError), (500, UnavailableError)]
)
def test_what_cannot_be_had_changes_nothing(ws: Workspace, server: Server, status: int, error: type[Exception]) -> None:
    server.status = status
    before = (ws.root / "petla.toml").read_text()

    with pytest.raises(error):
        import_url(ws, f"{server.url}/rows.csv")

    assert (ws.root / "petla.toml").read_text() == before
    assert sorted(path.name for path in ws.root.iterdir()) == [".petla", "petla.toml"]
    assert not list(ws.state.glob(".tmp-*"))


def test_half_a_file_is_refused(ws: Workspace, server: Server) -> None:
    import_url(ws, f"{server.url}/rows.csv")
    server.etag, server.short_by = '"second"', 5

    with pytest.raises(UnavailableError, match=r"broke off|cannot be had"):
        update(ws, "rows")

    assert (ws.root / "rows.csv").read_text() == CSV
    assert len(list_versions(ws, "rows")) == 1


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://ann:sesame@localhost/rows.csv", "carries a user or a password"),
        ("ftp://localhost/rows.csv", "is no URL of a file"),
        ("rows.csv", "is no URL of a file"),
        ("https://example.org/", "names no file"),
        ("http://a..b/x.csv", "the URL is not valid"),
        (f"http://{'a' * 64}.org/x.csv", "the URL is not valid"),
        ("http://[::1/x.csv", "the URL is not valid"),
        ("http://h:port/x.csv", "the URL is not valid"),
        ("http://ann:ses/ame@h/x.csv", "the URL is not valid"),
        ("http:///x.csv", "the URL is not valid"),
        ("http://h/a\x1b[2J.csv", "the URL is not valid"),
        ("http://h/a%00.csv", "cannot be the name of a file"),
        ("http://h/%0ax.csv", "cannot be the name of a file"),
        ("http://h/.git", "cannot be the name of a file"),
        ("http://h/.GitIgnore", "cannot be the name of a file"),
        ("http://h/.dvc", "cannot be the name of a file"),
        ("http://h/.petla", "cannot be the name of a file"),
        ("http://h/%2e%2e", "cannot be the name of a file"),
        ("http://h/a%2f..%2fb", "cannot be the name of a file"),
        (f"http://h/{'a' * 252}", "cannot be the name of a file"),
    ],
)
def test_what_is_no_url_is_refused(ws: Workspace, url: str, problem: str) -> None:
    with pytest.raises(InvalidError, match=problem) as caught:
        import_url(ws, url)
    assert "sesame" not in str(caught.value)
    assert "ses/ame" not in str(caught.value)


@pytest.mark.parametrize("etag", ['"\x1b[2J"', '"' + "x" * 60_000 + '"', '"caf\xe9"', '"\x7f"'])
def test_an_etag_that_no_pointer_can_hold_is_none(ws: Workspace, server: Server, etag: str) -> None:
    server.etag = etag

    import_url(ws, f"{server.url}/rows.csv")

    pointer = find_pointer(ws.root / "rows.csv.dvc")
    assert pointer is not None
    assert pointer.origin is not None
    assert pointer.origin.version == f"size:{len(CSV)}"
    yaml.safe_load((ws.root / "rows.csv.dvc").read_text())
    assert [status.state for status in list_statuses(ws)] == ["clean"]
    assert update(ws, "rows").dataset == "rows"


@pytest.mark.parametrize("length", ["abc", "-5", "8, 9", "1e3", "+8", "9" * 5000])
def test_a_length_that_is_no_number_is_refused(ws: Workspace, server: Server, length: str) -> None:
    server.length = length

    with pytest.raises(UnavailableError, match="Content-Length is not one number"):
        import_url(ws, f"{server.url}/rows.csv")

    assert sorted(path.name for path in ws.root.iterdir()) == [".petla", "petla.toml"]


def test_a_length_that_is_said_twice_is_one(ws: Workspace, server: Server) -> None:
    server.length = f"{len(CSV)}, {len(CSV)}"

    assert import_url(ws, f"{server.url}/rows.csv").added is not None


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/zażółć.csv", "zażółć.csv"),
        ("/two words.csv", "two words.csv"),
        ("/za%C5%BC.csv?rok=ż#część", "zaż.csv"),
        ("/100%25.csv", "100%.csv"),
    ],
)
def test_a_url_as_a_person_writes_it(ws: Workspace, server: Server, path: str, name: str) -> None:
    import_url(ws, server.url + path)

    assert (ws.root / name).read_text() == CSV
    assert update(ws, next(iter(ws.project.data))).added is None


def test_a_redirection_to_no_url_is_told(ws: Workspace, server: Server) -> None:
    with pytest.raises(UnavailableError, match="redirects to an address that is not valid"):
        import_url(ws, f"{server.url}/astray")


def test_what_lies_there_already_stays(ws: Workspace, server: Server) -> None:
    (ws.root / "rows.csv").write_text("mine")

    with pytest.raises(ConflictError, match="is there already"):
        import_url(ws, f"{server.url}/rows.csv")
    with pytest.raises(InvalidError, match="outside the project"):
        import_url(ws, f"{server.url}/rows.csv", Path("../rows.csv"))
    assert (ws.root / "rows.csv").read_text() == "mine"
    assert server.bodies == 0


@pytest.mark.slow
def test_dvc_sees_an_import_as_its_own(ws: Workspace, server: Server, tmp_path: Path) -> None:
    ours = f"{server.url}/rows.csv"
    import_url(ws, ours)
    dvc = Dvc(ws.root, tmp_path / "home", "--no-scm")
    dvc("import-url", ours, "theirs.csv")

    assert (
        yaml.safe_load((ws.root / "rows.csv.dvc").read_text())["deps"]
        == (yaml.safe_load((ws.root / "theirs.csv.dvc").read_text())["deps"])
    )
    dvc("commit", "--force", "rows.csv.dvc")
    assert dvc("status") == "Data and pipelines are up to date."
    server.content, server.etag = b"hour,carrier\n4,DL\n", '"second"'
    dvc("update", "rows.csv.dvc")
    assert (ws.root / "rows.csv").read_bytes() == server.content
    pointer = find_pointer(ws.root / "rows.csv.dvc")
    assert pointer is not None
    assert pointer.origin is not None
    assert (pointer.origin.version, pointer.digest) == ('"second"', "")
