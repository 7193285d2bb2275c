"""What nothing refers to goes, and nothing else does."""

import random
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from petla.core.clock import utc_now
from petla.core.errors import BusyError
from petla.core.project import RemoteTable
from petla.core.settings import Settings
from petla.data.checkouts import checkout
from petla.data.content.manifest import read_manifest
from petla.data.history.profiling import load_profile
from petla.data.history.records import DatasetVersion
from petla.data.transfer.pulling import pull
from petla.data.transfer.pushing import push
from petla.data.transfer.remotes import add_remote
from petla.data.upkeep.collecting import Choice, Collected, Roots, collect, collect_remote
from petla.data.versions import add, get_version
from petla.storage.files import lock
from petla.storage.workspace import Workspace
from tests.data.projects import make_project, write_rows

NOW = Choice(keep_days=0, only_copies=True, is_meant=True)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    ws = make_project(tmp_path / "project")
    git(ws, "init", "-q", "-b", "main")
    return ws


def git(ws: Workspace, *words: str) -> str:
    command = ["git", "-c", "user.name=ada", "-c", "user.email=ada@example.org", *words]
    return subprocess.run(command, cwd=ws.root, capture_output=True, text=True, check=True).stdout


def commit(ws: Workspace, name: str) -> None:
    git(ws, "add", "-A")
    git(ws, "commit", "-q", "-m", name)


def add_rows(ws: Workspace, seed: int, n_rows: int = 20_000) -> DatasetVersion:
    draw = random.Random(seed)
    rows = "".join(f"{draw.randrange(24)},{draw.random()}\n" for _ in range(n_rows))
    return add(ws, write_rows(ws, f"hour,delay\n{rows}")).version


def names(report: Collected) -> list[int]:
    return [each.version for each in report.dropped]


def test_a_version_that_nothing_refers_to_goes_and_what_is_known_of_it_stays(ws: Workspace) -> None:
    first = add_rows(ws, 1)
    second = add_rows(ws, 2)
    commit(ws, "second")
    before = ws.objects.usage().stored_bytes

    dry = collect(ws, Choice(keep_days=0, only_copies=True), Roots())
    assert (names(dry), dry.is_done, ws.objects.usage().stored_bytes) == ([1], False, before)

    report = collect(ws, NOW, Roots())

    assert (names(report), report.is_done) == ([1], True)
    assert report.sweep == dry.sweep
    freed = before - ws.objects.usage().stored_bytes
    assert freed > 0.3 * before
    assert freed == pytest.approx(report.sweep.bytes_freed, rel=0.1)
    assert load_profile(ws, get_version(ws, "rows", digest=first.digest)) is not None
    assert ws.objects.find_missing([entry.object for entry in read_manifest(ws.objects, second.digest).files]) == set()
    assert checkout(ws, "rows") == second


@pytest.mark.parametrize("where", ["branch", "tag", "recent", "work tree", "model"])
def test_what_something_refers_to_stays(ws: Workspace, where: str) -> None:
    first = add_rows(ws, 1)
    if where != "model":
        commit(ws, "first")
    if where in ("branch", "tag"):
        git(ws, where, "kept")
    choice, roots = NOW, Roots(versions=frozenset({first.digest} if where == "model" else ()))
    if where == "recent":
        choice = Choice(keep_days=1, only_copies=True, is_meant=True)
    if where != "work tree":
        add_rows(ws, 2)
        commit(ws, "second")

    assert names(collect(ws, choice, roots)) == []
    assert checkout(ws, "rows", 1) == first


def test_a_version_of_former_commits_goes_once_they_are_old(ws: Workspace) -> None:
    add_rows(ws, 1)
    commit(ws, "first")
    add_rows(ws, 2)
    commit(ws, "second")
    later = Workspace(ws.root, ws.project, ws.settings, clock=lambda: utc_now() + timedelta(days=40))

    assert names(collect(later, Choice(keep_days=50, only_copies=True), Roots())) == []
    assert names(collect(later, Choice(keep_days=30, only_copies=True), Roots())) == [1]


def test_what_is_nowhere_else_is_spared(ws: Workspace, tmp_path: Path) -> None:
    add_rows(ws, 1)
    add_rows(ws, 2)
    commit(ws, "second")
    choice = Choice(keep_days=0, is_meant=True)

    spared = collect(ws, choice, Roots())
    assert (names(spared), [each.version for each in spared.spared]) == ([], [1])
    assert spared.sweep.entries == 0

    add_remote(ws, "origin", RemoteTable(url=str(tmp_path / "remote")), is_default=True)
    push(ws, ["rows"], all_versions=True)

    assert names(collect(ws, choice, Roots())) == [1]
    ws.objects.close()
    git(ws, "stash", "-q")
    pointed = get_version(ws, "rows", version=1)
    checked = pull(ws, ["rows"])
    assert checked.bytes == 0
    with pytest.raises(Exception, match="not in the store"):
        checkout(ws, "rows", digest=pointed.digest)


def test_without_a_repository_no_version_goes(tmp_path: Path) -> None:
    ws = make_project(tmp_path)
    add_rows(ws, 1)
    add_rows(ws, 2)

    assert names(collect(ws, NOW, Roots())) == []
    assert checkout(ws, "rows", 1).version == 1


def test_bytes_that_no_version_ever_had_go_when_they_are_old(ws: Workspace) -> None:
    add_rows(ws, 1)
    commit(ws, "first")
    ws.objects.put_bytes(random.Random(3).randbytes(300_000))
    kept = ws.objects.put_bytes(random.Random(4).randbytes(300_000))

    assert collect(ws, Choice(keep_days=1, is_meant=True), Roots()).sweep.entries == 0
    report = collect(ws, NOW, Roots(objects=(kept,)))

    assert report.sweep.bytes_freed >= 300_000
    assert len(ws.objects.get_bytes(kept)) == 300_000


def test_nobody_may_be_writing(ws: Workspace) -> None:
    add_rows(ws, 1)
    hurried = Workspace(ws.root, ws.project, Settings(actor="ada", wait_s=0))
    with lock(ws.state / "run.lock", purpose="petla run"), pytest.raises(BusyError, match="petla run"):
        collect(hurried, NOW, Roots())


@pytest.mark.parametrize("layout", ["packs", "dvc"])
def test_a_remote_is_swept_and_what_stays_can_be_pulled(ws: Workspace, tmp_path: Path, layout: str) -> None:
    place = tmp_path / "remote"
    add_remote(ws, "origin", RemoteTable(url=str(place), layout=layout), is_default=True)  # type: ignore[arg-type]
    add_rows(ws, 1)
    add_rows(ws, 2)
    commit(ws, "second")
    push(ws, ["rows"], all_versions=True)
    (place / "others").mkdir(exist_ok=True)
    before = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())

    dry = collect_remote(ws, None, Choice(keep_days=0), Roots())
    done = collect_remote(ws, "origin", Choice(keep_days=0, is_meant=True), Roots())

    assert names(dry) == names(done) == [1]
    after = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    assert before - after == pytest.approx(done.sweep.bytes_freed, rel=0.1)
    assert before - after > 0.3 * before
    other = make_project(tmp_path / "other", (ws.root / "petla.toml").read_text())
    (other.root / "data").mkdir()
    (other.root / "data" / "rows.csv.dvc").write_bytes((ws.root / "data" / "rows.csv.dvc").read_bytes())
    pull(other, ["rows"])
    assert (other.root / "data" / "rows.csv").read_bytes() == (ws.root / "data" / "rows.csv").read_bytes()
    assert names(collect_remote(ws, None, Choice(keep_days=0, is_meant=True), Roots())) == []


def test_versions_of_other_projects_and_of_people_who_are_ahead_stay_on_a_remote(ws: Workspace, tmp_path: Path) -> None:
    remote = RemoteTable(url=str(tmp_path / "remote"))
    add_remote(ws, "origin", remote, is_default=True)
    add_rows(ws, 1)
    commit(ws, "first")
    push(ws, ["rows"])
    stranger = make_project(tmp_path / "stranger", '[project]\nname = "other"\n[data.rows]\npath = "data/rows.csv"\n')
    colleague = make_project(tmp_path / "colleague")
    for seed, each in ((5, stranger), (6, colleague)):
        add_remote(each, "origin", remote, is_default=True)
        add_rows(each, seed)
        push(each, ["rows"])

    report = collect_remote(ws, None, Choice(keep_days=0, is_meant=True), Roots())

    assert (names(report), report.sweep.entries) == ([], 0)
    for each in (stranger, colleague):
        each.objects.close()
        content = (each.root / "data" / "rows.csv").read_bytes()
        (each.root / "data" / "rows.csv").unlink()
        subprocess.run(["rm", "-rf", str(each.state / "objects")], check=True)
        fresh = Workspace(each.root, each.project, each.settings)
        pull(fresh, ["rows"])
        assert (each.root / "data" / "rows.csv").read_bytes() == content
