"""What is forgotten is nowhere: not in the store, in a cache, on a remote or in an old clone; and that is said."""

import random
import shutil
from pathlib import Path

import polars as pl
import pytest

from petla.core.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from petla.core.project import RemoteTable
from petla.data.checkouts import checkout
from petla.data.content.manifest import read_manifest
from petla.data.history.profiling import load_profile
from petla.data.history.tombstones import find_forgotten_in
from petla.data.statuses import list_statuses
from petla.data.transfer.pulling import pull
from petla.data.transfer.pushing import push
from petla.data.transfer.remotes import add_remote
from petla.data.upkeep import erasing
from petla.data.upkeep.forgetting import ForgetReport, find_items, forget
from petla.data.upkeep.verifying import verify, verify_remote
from petla.data.versions import add, get_version
from petla.storage.workspace import Workspace
from tests.data.projects import PROJECT, make_project, write_rows

FACES = PROJECT + '[data.faces]\npath = "faces"\n'
SECRET = random.Random(0).randbytes(600_000)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    ws = make_project(tmp_path / "project", FACES)
    (ws.root / "faces").mkdir()
    (ws.root / "faces" / "ann.txt").write_bytes(SECRET)
    (ws.root / "faces" / "bob.txt").write_bytes(random.Random(1).randbytes(200_000))
    add(ws, ws.root / "faces")
    (ws.root / "faces" / "bob.txt").write_bytes(random.Random(2).randbytes(200_000))
    add(ws, ws.root / "faces")
    return ws


def forget_it(ws: Workspace, what: str = "faces/ann.txt") -> ForgetReport:
    return forget(ws, find_items(ws, what), reason="she asked")


def find_secret(folder: Path) -> list[Path]:
    """Return the files in which a part of the secret can be read; it is noise, so nothing compresses it."""
    return [path for path in folder.rglob("*") if path.is_file() and SECRET[300_000:300_016] in path.read_bytes()]


def clone(ws: Workspace, folder: Path) -> Workspace:
    other = make_project(folder, (ws.root / "petla.toml").read_text())
    shutil.copy(ws.root / "faces.dvc", other.root)
    return other


@pytest.mark.parametrize("what", ["faces/ann.txt", "object", "md5"])
def test_no_byte_of_it_is_left_in_the_project(ws: Workspace, what: str) -> None:
    entry = read_manifest(ws.objects, get_version(ws, "faces").digest).find("ann.txt")
    assert entry is not None
    assert find_secret(ws.root)

    report = forget_it(ws, {"object": entry.object[:12], "md5": entry.md5}.get(what, what))

    assert [(item.path, item.versions) for item in report.items] == [("ann.txt", (1, 2))]
    assert find_secret(ws.root) == []
    assert report.bytes > 0
    assert verify(ws).is_sound


def test_old_versions_come_back_without_it_and_say_so(ws: Workspace) -> None:
    forget_it(ws)

    version = checkout(ws, "faces", 1)

    assert sorted(path.name for path in (ws.root / "faces").iterdir()) == ["bob.txt"]
    assert (ws.root / "faces" / "bob.txt").read_bytes() == random.Random(1).randbytes(200_000)
    (found,) = find_forgotten_in(ws, "faces", read_manifest(ws.objects, version.digest))
    assert found.describe() == f"faces: ann.txt was forgotten on {found.at[:10]} by ada: she asked"
    assert {s.dataset: s.state for s in list_statuses(ws)}["faces"] == "clean"
    with pytest.raises(NotFoundError, match="forgotten on"):
        checkout(ws, "faces", 1, path="ann.txt")


def test_the_work_tree_stays_clean(ws: Workspace) -> None:
    forget_it(ws)

    assert not (ws.root / "faces" / "ann.txt").exists()
    assert {s.dataset: s.state for s in list_statuses(ws)}["faces"] == "clean"


def test_it_is_not_kept_again(ws: Workspace) -> None:
    forget_it(ws)
    (ws.root / "faces" / "ann_again").write_bytes(SECRET)

    with pytest.raises(ConflictError, match="faces: ann_again was forgotten on"):
        add(ws, ws.root / "faces")

    assert find_secret(ws.state) == []
    (ws.root / "faces" / "ann_again").unlink()
    assert add(ws, ws.root / "faces").version.files == 1


@pytest.mark.parametrize("layout", ["packs", "dvc"])
def test_it_leaves_every_remote_and_every_clone_at_the_next_contact(ws: Workspace, tmp_path: Path, layout: str) -> None:
    remote = RemoteTable(url=str(tmp_path / "remote"), layout=layout)  # type: ignore[arg-type]
    add_remote(ws, "origin", remote, is_default=True)
    push(ws, ["faces"], all_versions=True)
    other = clone(ws, tmp_path / "other")
    pull(other, ["faces"])
    assert find_secret(tmp_path / "remote")
    assert find_secret(other.root)

    report = forget_it(ws)

    assert report.remotes == ("origin",)
    assert find_secret(tmp_path / "remote") == []
    assert verify_remote(ws, "origin").is_sound
    pushed = push(other, ["faces"])
    assert pushed.versions
    assert find_secret(other.root) == []
    assert find_secret(tmp_path / "remote") == []
    fresh = clone(ws, tmp_path / "fresh")
    pull(fresh, ["faces"])
    assert sorted(path.name for path in (fresh.root / "faces").iterdir()) == ["bob.txt"]
    assert {s.dataset: s.state for s in list_statuses(fresh)}["faces"] == "clean"


def test_a_remote_that_does_not_answer_can_be_made_up_for(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_remote(ws, "origin", RemoteTable(url=str(tmp_path / "remote")), is_default=True)
    push(ws, ["faces"])

    def fail(*_: object) -> None:
        raise UnavailableError("remote origin cannot be reached")

    with monkeypatch.context() as patch:
        patch.setattr("petla.storage.remotes.bucket.Bucket.put", fail)
        with pytest.raises(UnavailableError):
            forget_it(ws)
    (ws.root / "faces" / "new.txt").write_text("x")
    with pytest.raises(ConflictError, match="was forgotten"):
        add(ws, ws.root / "faces")

    forget_it(ws)

    assert find_secret(tmp_path / "remote") == []
    assert find_secret(ws.root) == []


def test_dying_before_the_bytes_went_is_made_up_for(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("petla.storage.objects.store.ObjectStore.remove", die)
        with pytest.raises(KeyboardInterrupt):
            forget_it(ws)

    forget_it(ws)

    assert find_secret(ws.root) == []
    assert erasing.list_known_versions(ws)
    assert len([entry for entry in ws.ledger.list_entries() if entry.action == "data.forgotten"]) == 2


def test_a_table_takes_its_profile_along(ws: Workspace) -> None:
    first = add(ws, write_rows(ws, "who,n\nAnn Sopot,1\nBob,2\n")).version
    add(ws, write_rows(ws, "who,n\nBob,2\n"))
    assert first.profile is not None

    forget_it(ws, first.digest[:0] + read_manifest(ws.objects, first.digest).files[0].object)

    assert first.profile not in ws.objects
    assert get_version(ws, "rows", version=1).profile is None
    with pytest.raises(NotFoundError, match="rows was forgotten on"):
        checkout(ws, "rows", 1)
    assert (ws.root / "data" / "rows.csv").read_text() == "who,n\nBob,2\n"


def test_a_folder_of_tables_is_profiled_again_without_it(ws: Workspace) -> None:
    folder = ws.root / "parts"
    folder.mkdir()
    for number in range(3):
        pl.DataFrame({"n": [number * 10, number * 10 + 1]}).write_parquet(folder / f"{number}.parquet")
    version = add(ws, folder, name="parts").version

    forget_it(ws, "parts/2.parquet")

    profile = load_profile(ws, get_version(ws, "parts", version=version.version))
    assert profile is not None
    assert (profile.rows, profile.columns[0].maximum) == (4, 11.0)


@pytest.mark.parametrize(
    ("what", "problem"), [("faces/eve.txt", "no version has"), ("faces", "no version has"), ("abc", "no version has")]
)
def test_what_is_not_there_cannot_be_forgotten(ws: Workspace, what: str, problem: str) -> None:
    with pytest.raises(NotFoundError, match=problem):
        find_items(ws, what)


def test_a_reason_is_needed_and_something_to_forget(ws: Workspace) -> None:
    with pytest.raises(InvalidError, match="say why"):
        forget(ws, find_items(ws, "faces/ann.txt"), reason=" ")
    (ws.root / "faces" / "empty.txt").touch()
    add(ws, ws.root / "faces")
    with pytest.raises(InvalidError, match="is empty"):
        find_items(ws, "faces/empty.txt")
