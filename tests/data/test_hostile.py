"""A cloned repository, or a remote, of somebody who means harm: nothing outside the project is touched."""

import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petla.core.digests import canonical_json
from petla.core.errors import CorruptError, InvalidError, PetlaError
from petla.core.project import RemoteTable, decode_project
from petla.core.settings import Settings
from petla.data.checkouts import checkout
from petla.data.content.manifest import FileEntry, Manifest, decode_manifest
from petla.data.dvc.implied import make_implied
from petla.data.dvc.outs import list_outs
from petla.data.dvc.settings import read_settings
from petla.data.hooks.events import bring_data
from petla.data.pointers import decode_pointer, encode_pointer, find_pointer
from petla.data.transfer.pulling import pull
from petla.data.transfer.pushing import push
from petla.data.transfer.remotes import add_remote, open_packs
from petla.data.transfer.tombstones import graveyard_of
from petla.data.upkeep.forgetting import find_items, forget
from petla.data.versions import add, get_version
from petla.storage.objects.naming import md5_of
from petla.storage.remotes.addresses import open_bucket
from petla.storage.remotes.packs import Mark
from petla.storage.remotes.tombstones import Graveyard, Tombstone
from petla.storage.workspace import Workspace
from tests.data.projects import CSV, PROJECT, make_project, write_rows

WORD = b"pwned\n"
MD5 = md5_of(WORD).hexdigest()
FACES = PROJECT + '[data.faces]\npath = "data/faces"\n'
# where an attacker would like to write
ELSEWHERE = ["../victim/x", "/victim/x", "a/../../victim/x", "..\\victim\\x", "C:\\x", "C:/x", ".git/hooks/x", "a\0b"]
PIECES = st.lists(st.sampled_from(["..", "/", "\\", "a", "b", ".git", "C:", ".", "\0", ""]), max_size=7).map("".join)


def make_dvc_project(root: Path) -> Path:
    """Make a DVC project whose remote holds one small file."""
    held = root / "remote" / "files" / "md5" / MD5[:2] / MD5[2:]
    held.parent.mkdir(parents=True)
    held.write_bytes(WORD)
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text("[core]\n    remote = r\n['remote \"r\"']\n    url = ../remote\n")
    return root


def open_implied(root: Path) -> Workspace:
    return Workspace(root, make_implied(root), Settings(actor="eve"))


def out_of(path: str) -> str:
    return f"outs:\n- md5: {MD5}\n  size: 6\n  hash: md5\n  path: {msgspec.json.encode(path).decode()}\n"


@pytest.mark.parametrize("path", ELSEWHERE)
def test_a_pointer_writes_nothing_elsewhere(tmp_path: Path, path: str) -> None:
    root = make_dvc_project(tmp_path / "repo")
    (root / "evil.dvc").write_text(out_of(path))

    with pytest.raises(InvalidError, match=r"evil\.dvc"):
        pull(open_implied(root), ["x"])

    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize("wdir", ["../..", "/victim", "../victim"])
def test_a_working_folder_of_dvc_is_no_way_out(tmp_path: Path, wdir: str) -> None:
    root = make_dvc_project(tmp_path / "repo")
    (root / "evil.dvc").write_text(f"wdir: {wdir}\n" + out_of("x"))

    with pytest.raises(InvalidError, match=r"evil\.dvc: the output x has the path"):
        list_outs(root)


def test_a_working_folder_inside_the_project_stays_usable(tmp_path: Path) -> None:
    root = make_dvc_project(tmp_path / "repo")
    (root / "sub").mkdir()
    (root / "sub" / "x.dvc").write_text("wdir: ..\n" + out_of("data/x"))
    (root / "sub" / "y.dvc").write_text(out_of("../sub/y"))

    assert sorted(list_outs(root)) == ["data/x", "sub/y"]


def test_an_output_of_a_stage_writes_nothing_elsewhere(tmp_path: Path) -> None:
    root = make_dvc_project(tmp_path / "repo")
    lock = {
        "schema": "2.0",
        "stages": {"s": {"cmd": "x", "outs": [{"path": "../victim/x", "md5": MD5, "hash": "md5"}]}},
    }
    (root / "dvc.lock").write_bytes(msgspec.json.encode(lock))

    with pytest.raises(InvalidError, match=r"dvc\.lock: the output \.\./victim/x"):
        list_outs(root)


@pytest.mark.parametrize("is_hook", [False, True])
def test_nothing_is_written_through_a_link(tmp_path: Path, is_hook: bool) -> None:
    root, victim = make_dvc_project(tmp_path / "repo"), tmp_path / "victim"
    victim.mkdir()
    (root / "data").mkdir()
    (root / "data" / "link").symlink_to("../../victim")
    lock = {"stages": {"s": {"outs": [{"path": "data/link/authorized_keys", "md5": MD5, "hash": "md5"}]}}}
    (root / "dvc.lock").write_bytes(msgspec.json.encode(lock))
    ws = open_implied(root)
    told: list[str] = []

    if is_hook:
        bring_data(ws, told.append)
    else:
        with pytest.raises(InvalidError, match="symbolic link"):
            pull(ws, list(ws.project.data))

    assert list(victim.iterdir()) == []
    assert not is_hook or "symbolic link" in told[0]


def test_a_dataset_that_is_itself_a_link_is_not_written_through(tmp_path: Path) -> None:
    ws = make_project(tmp_path / "project", FACES)
    (ws.root / "data" / "faces").mkdir(parents=True)
    (ws.root / "data" / "faces" / "a").write_text("a")
    add(ws, ws.root / "data" / "faces")
    (ws.root / "data" / "faces" / "a").unlink()
    (ws.root / "data" / "faces").rmdir()
    (tmp_path / "victim").mkdir()
    (ws.root / "data" / "faces").symlink_to("../../victim")

    for part in (None, "a"):
        with pytest.raises(InvalidError, match=r"next: remove the link"):
            checkout(ws, "faces", path=part)

    assert list((tmp_path / "victim").iterdir()) == []


def test_a_data_folder_may_be_a_link_inside_the_project(tmp_path: Path) -> None:
    ws = make_project(tmp_path / "project")
    path = write_rows(ws)
    add(ws, path)
    (ws.root / "data").rename(ws.root / "stored")
    (ws.root / "data").symlink_to("stored")
    path.unlink()

    checkout(ws, "rows")

    assert (ws.root / "stored" / "rows.csv").read_text() == CSV


def push_manifest(ws: Workspace, manifest: dict[str, Any], layout: str) -> None:
    """Push a version of somebody who writes their manifest by hand, and point to it."""
    digest = ws.objects.put_bytes(canonical_json(manifest))
    bucket = open_bucket("origin", ws.project.remotes["origin"], ws.root)
    md5 = manifest["files"][0]["md5"] + (".dir" if manifest["kind"] == "folder" else "")
    version = msgspec.structs.replace(get_version(ws, "faces"), version=2, digest=digest, md5=md5, profile=None)
    if layout == "dvc":
        bucket.put(f"petla/manifests/{digest}", canonical_json(manifest))
        for entry in manifest["files"]:
            bucket.put(f"files/md5/{entry['md5'][:2]}/{entry['md5'][2:]}", ws.objects.get_bytes(entry["object"]))
    else:
        packs = open_packs(ws, "origin", bucket)
        mark = Mark(digest, md5, "faces", msgspec.to_builtins(version))
        packs.push(ws.objects, [*(entry["object"] for entry in manifest["files"]), digest], mark)
        packs.close()
    pointer = find_pointer(ws.root / "data" / "faces.dvc")
    assert pointer is not None
    changed = msgspec.structs.replace(pointer, md5=md5, digest=digest)
    (ws.root / "data" / "faces.dvc").write_bytes(encode_pointer(changed))


@pytest.fixture(params=["packs", "dvc"])
def mallory(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    ws = make_project(tmp_path / "mallory", FACES)
    remote = RemoteTable(url=str(tmp_path / "remote"), layout=request.param)
    add_remote(ws, "origin", remote, is_default=True)
    (ws.root / "data" / "faces").mkdir(parents=True)
    (ws.root / "data" / "faces" / "a").write_bytes(WORD)
    add(ws, ws.root / "data" / "faces")
    return ws


def clone(ws: Workspace, folder: Path) -> Workspace:
    other = make_project(folder, (ws.root / "petla.toml").read_text())
    (other.root / "data").mkdir()
    (other.root / "data" / "faces.dvc").write_bytes((ws.root / "data" / "faces.dvc").read_bytes())
    return other


def entry_of(ws: Workspace, path: str, mode: int = 0o644) -> dict[str, Any]:
    return {"path": path, "size": len(WORD), "object": ws.objects.put_bytes(WORD), "md5": MD5, "mode": mode}


@pytest.mark.parametrize("paths", [["../../../victim/x"], ["/victim/x"], [".git/x"], ["a", "a/b"], ["a", "a"]])
def test_a_manifest_writes_nothing_elsewhere(mallory: Workspace, tmp_path: Path, paths: list[str]) -> None:
    (tmp_path / "victim").mkdir()
    manifest = {"kind": "folder", "files": [entry_of(mallory, path, 0o4755) for path in paths], "folders": []}
    push_manifest(mallory, manifest, mallory.project.remotes["origin"].layout)
    victim = clone(mallory, tmp_path / "clone")

    with pytest.raises(CorruptError, match="is no dataset version"):
        pull(victim, ["faces"])

    assert list((tmp_path / "victim").iterdir()) == []
    assert not (victim.root / "data" / "faces").exists()


def test_a_manifest_makes_no_program_of_another_user(mallory: Workspace, tmp_path: Path) -> None:
    files = [entry_of(mallory, "a", 0o4755), entry_of(mallory, "b", 0o2777), entry_of(mallory, "c", 0o666)]
    push_manifest(mallory, {"kind": "folder", "files": files, "folders": []}, mallory.project.remotes["origin"].layout)
    victim = clone(mallory, tmp_path / "clone")

    pull(victim, ["faces"])

    modes = {path.name: path.stat().st_mode & 0o7777 for path in (victim.root / "data" / "faces").iterdir()}
    assert modes == {"a": 0o755, "b": 0o755, "c": 0o644}


@pytest.mark.parametrize("path", ["../victim/f", "/etc/x", ".git/hooks", ".petla/keys", ".", "data/../../x"])
def test_the_project_file_names_no_dataset_elsewhere(path: str) -> None:
    for key in (f"[data.x]\npath = '{path}'", f"[models.m]\ntarget = 'y'\npipeline = '{path}'"):
        with pytest.raises(InvalidError, match="has the path"):
            decode_project(f"[project]\nname = 'p'\n{key}\n")


@pytest.mark.parametrize("name", ["..", "../../x", "a/b"])
def test_a_remote_of_dvc_has_the_name_of_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text(f"['remote \"{name}\"']\n    url = ../remote\n")

    with pytest.raises(InvalidError, match="has a remote named"):
        read_settings(tmp_path)


def bury(ws: Workspace, **values: str) -> None:
    """Write a tombstone on the remote by hand."""
    table = ws.project.remotes["origin"]
    folder = "forgotten" if table.layout == "packs" else "petla/forgotten"
    stone = {"reason": "x", "at": "2026-01-01T00:00:00.000000Z", "by": "eve", **values}
    open_bucket("origin", table, ws.root).put(f"{folder}/{stone['digest']}.json", msgspec.json.encode(stone))


@pytest.mark.parametrize("md5", ["../../../victim.txt", "x", "", MD5.upper(), f"{MD5}\n"])
def test_a_tombstone_with_a_path_for_an_md5_removes_nothing(mallory: Workspace, tmp_path: Path, md5: str) -> None:
    (mallory.root / ".dvc" / "cache").mkdir(parents=True)
    (tmp_path / "victim.txt").write_text("precious")
    push(mallory, ["faces"])
    bury(mallory, digest="ab" * 32, md5=md5)

    with pytest.raises(CorruptError, match=r"tombstone .* is damaged"):
        pull(mallory, ["faces"])

    assert (tmp_path / "victim.txt").read_text() == "precious"


def test_a_tombstone_about_another_object_than_its_name_is_refused(mallory: Workspace) -> None:
    table = mallory.project.remotes["origin"]
    bucket = open_bucket("origin", table, mallory.root)
    folder = "forgotten" if table.layout == "packs" else "petla/forgotten"
    stone = Tombstone("a" * 64, MD5, "x", "2026-01-01T00:00:00Z", "eve")
    bucket.put(f"{folder}/{'b' * 64}.json", msgspec.json.encode(stone))

    with pytest.raises(CorruptError, match="it is about object a"):
        list(graveyard_of(bucket, table).list_all())


def test_a_tombstone_erases_no_manifest_and_nothing_that_no_dataset_has(mallory: Workspace) -> None:
    push(mallory, ["faces"])
    other = mallory.objects.put_bytes(b"of a model")
    manifest = get_version(mallory, "faces").digest
    for digest in (other, manifest):
        bury(mallory, digest=digest, md5=MD5)

    report = pull(mallory, ["faces"])

    assert report.forgotten == ()
    assert mallory.objects.get_bytes(other) == b"of a model"
    assert mallory.objects.get_bytes(manifest)


def test_a_tombstone_leaves_another_file_of_dvcs_cache(mallory: Workspace) -> None:
    precious = md5_of(b"precious").hexdigest()
    cached = mallory.root / ".dvc" / "cache" / "files" / "md5" / precious[:2] / precious[2:]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"precious")
    push(mallory, ["faces"])
    bury(mallory, digest=mallory.objects.put_bytes(WORD), md5=precious)

    report = push(mallory, ["faces"])

    assert [(item.dataset, item.path) for item in report.forgotten] == [("faces", "a")]
    assert cached.read_bytes() == b"precious"


def test_forgetting_reaches_a_clone_that_has_everything(mallory: Workspace, tmp_path: Path) -> None:
    (mallory.root / "data" / "faces" / "b").write_text("b")
    add(mallory, mallory.root / "data" / "faces")
    push(mallory, ["faces"])
    by_pull, by_push = clone(mallory, tmp_path / "one"), clone(mallory, tmp_path / "two")
    for each in (by_pull, by_push):
        pull(each, ["faces"])
    forget(mallory, find_items(mallory, "data/faces/a"), reason="she asked")

    told = [pull(by_pull, ["faces"]).forgotten, push(by_push, ["faces"]).forgotten]

    assert [[(item.path, item.reason) for item in items] for items in told] == [[("a", "she asked")]] * 2
    for each in (by_pull, by_push):
        assert [path.name for path in (each.root / "data" / "faces").iterdir()] == ["b"]
        assert push(each, ["faces"]).forgotten == ()


def test_a_push_after_a_table_was_forgotten_does_not_fail(tmp_path: Path) -> None:
    text = PROJECT + '[data.tables]\npath = "tables"\n'
    ws = make_project(tmp_path / "mine", text)
    add_remote(ws, "origin", RemoteTable(url=str(tmp_path / "remote")), is_default=True)
    (ws.root / "tables").mkdir()
    for name in ("a", "b"):
        (ws.root / "tables" / f"{name}.csv").write_text(f"x,y\n1,{name}\n2,{name}\n")
    add(ws, ws.root / "tables")
    push(ws, ["tables"])
    other = make_project(tmp_path / "yours", (ws.root / "petla.toml").read_text())
    (other.root / "tables.dvc").write_bytes((ws.root / "tables.dvc").read_bytes())
    pull(other, ["tables"])
    assert get_version(other, "tables").profile
    forget(ws, find_items(ws, "tables/a.csv"), reason="asked")

    report = push(other, ["tables"])

    assert [item.path for item in report.forgotten] == ["a.csv"]
    assert not (other.root / "tables" / "a.csv").exists()


def test_a_pull_of_what_is_here_needs_no_remote(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ws = make_project(tmp_path / "project")
    path = write_rows(ws)
    add(ws, path)
    (tmp_path / "file").write_text("no folder")
    add_remote(ws, "origin", RemoteTable(url=str(tmp_path / "file" / "remote")), is_default=True)
    path.unlink()

    report = pull(ws, ["rows"])

    assert (report.remote, path.read_text()) == ("", CSV)
    assert [record.message for record in caplog.records] == ["remote.skipped"]


@pytest.mark.parametrize("name", ["a\\b.txt", " x", "-rf", "ż ó", "a:1.png", "...", ".env", "new\nline"])
def test_a_person_may_add_an_odd_name(tmp_path: Path, name: str) -> None:
    ws = make_project(tmp_path / "project", FACES)
    folder = ws.root / "data" / "faces"
    folder.mkdir(parents=True)
    (folder / name).write_text("x")
    add(ws, folder)
    (folder / name).unlink()

    checkout(ws, "faces")

    assert [path.name for path in folder.iterdir()] == [name]


def test_a_name_that_is_another_place_elsewhere_is_refused_when_it_is_added(tmp_path: Path) -> None:
    ws = make_project(tmp_path / "project", FACES)
    folder = ws.root / "data" / "faces"
    folder.mkdir(parents=True)
    (folder / "..\\..\\x").write_text("x")

    with pytest.raises(InvalidError, match=r"leads upwards .*; next: rename the file"):
        add(ws, folder)


@given(PIECES, st.integers(0, 0o7777), PIECES)
@settings(deadline=None, max_examples=300)
def test_no_manifest_that_is_read_leads_out(path: str, mode: int, folder: str) -> None:
    raw = {"kind": "folder", "files": [{"path": path, "size": 1, "object": "a" * 64, "md5": MD5, "mode": mode}]}
    try:
        manifest = decode_manifest(msgspec.json.encode({**raw, "folders": [folder]}), "it")
    except CorruptError:
        return

    assert manifest.files[0].mode in (0o644, 0o755)
    for each in (path, folder):
        assert each
        assert not {"", ".", ".."} & set(each.split("/"))
        assert ".." not in each.replace("\\", "/").split("/")


@given(st.text(alphabet="0123456789abcdefABCg./\\ \n", max_size=70))
@settings(deadline=None, max_examples=300)
def test_no_decoder_takes_another_thing_for_a_digest(text: str) -> None:
    good = {"reason": "x", "at": "x", "by": "x"}
    documents: list[tuple[type[Any], dict[str, Any]]] = [
        (Tombstone, {"digest": text, "md5": MD5, **good}),
        (Tombstone, {"digest": "a" * 64, "md5": text, **good}),
        (Mark, {"digest": text, "md5": MD5, "dataset": "x", "document": {}}),
        (Mark, {"digest": "a" * 64, "md5": MD5, "dataset": "x", "document": {"profile": text}}),
        (FileEntry, {"path": "x", "size": 1, "object": text, "md5": MD5}),
        (FileEntry, {"path": "x", "size": 1, "object": "a" * 64, "md5": text}),
    ]
    for kind, document in documents:
        if len(text) in (32, 64) and not set(text) - set("0123456789abcdef"):
            continue
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(document, kind)
    pointer = f"outs:\n- md5: {msgspec.json.encode(text).decode()}\n  size: 1\n  hash: md5\n  path: x\n"
    if len(text) != 32 or set(text) - set("0123456789abcdef"):
        with pytest.raises(InvalidError):
            decode_pointer(pointer.encode(), Path("x.dvc"))


@given(PIECES, PIECES)
@settings(deadline=None, max_examples=200)
def test_no_output_of_dvc_lies_elsewhere(tmp_path_factory: pytest.TempPathFactory, wdir: str, path: str) -> None:
    root = tmp_path_factory.mktemp("repo")
    stage = {"outs": [{"path": path, "md5": MD5, "hash": "md5"}]}
    (root / "x.dvc").write_bytes(msgspec.json.encode({"wdir": wdir or ".", **stage}))
    try:
        found = list_outs(root)
    except PetlaError:
        return

    for place in found:
        assert (root / place).resolve().is_relative_to(root.resolve())
        assert (root / place).resolve() != root.resolve()
        assert ".git" not in place.split("/")


def test_git_carries_the_link_and_the_pull_refuses_it(tmp_path: Path) -> None:
    root = make_dvc_project(tmp_path / "repo")
    (tmp_path / "victim").mkdir()
    (root / "data").symlink_to("../victim")
    (root / "dvc.lock").write_bytes(
        msgspec.json.encode({"stages": {"s": {"outs": [{"path": "data/x", "md5": MD5, "hash": "md5"}]}}})
    )
    for words in (["init", "-q"], ["add", "-f", "-A"]):
        subprocess.run(["git", *words], cwd=root, check=True)
    identity = ["-c", "user.name=eve", "-c", "user.email=eve@localhost"]
    subprocess.run(["git", *identity, "commit", "-qm", "x"], cwd=root, check=True)
    subprocess.run(["git", "clone", "-q", str(root), str(tmp_path / "clone")], check=True)
    ws = open_implied(tmp_path / "clone")

    with pytest.raises(InvalidError, match=r"data/x leads outside the project"):
        pull(ws, list(ws.project.data))

    assert list((tmp_path / "victim").iterdir()) == []


def test_a_manifest_of_one_file_is_one_file() -> None:
    one = {"path": "", "size": 1, "object": "a" * 64, "md5": MD5}
    for files in ([], [one, one], [{**one, "path": "x"}]):
        with pytest.raises(CorruptError):
            decode_manifest(msgspec.json.encode({"kind": "file", "files": files}), "it")
    assert isinstance(decode_manifest(msgspec.json.encode({"kind": "file", "files": [one]}), "it"), Manifest)


def test_a_graveyard_names_what_it_buries(mallory: Workspace) -> None:
    bucket = open_bucket("origin", mallory.project.remotes["origin"], mallory.root)
    stone = Tombstone("a" * 64, MD5, "x", "2026-01-01T00:00:00Z", "eve")

    Graveyard(bucket, "forgotten").bury(stone)

    assert list(Graveyard(bucket, "forgotten").list_all()) == [stone]
