"""Whoever can write to a data remote cannot erase what production serves."""

from pathlib import Path

import msgspec
import pytest

from petla.core.digests import canonical_json
from petla.core.project import RemoteTable
from petla.data.history.intake import adopt
from petla.data.transfer.pulling import pull
from petla.data.transfer.pushing import push
from petla.data.transfer.remotes import add_remote
from petla.data.upkeep.erasing import erase_here
from petla.data.versions import add, get_version
from petla.deployments.deploy import deploy
from petla.models import registry
from petla.models.package import list_objects, load_package
from petla.pipeline.outputs.cache import keep_output, load_output
from petla.pipeline.outputs.formats import encode
from petla.storage.remotes.addresses import open_bucket
from petla.storage.workspace import Workspace
from tests.deployments.tiny import MODEL, add_version, open_shop

MD5 = "c" * 32


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    (tmp_path / "shop").mkdir()
    ws = open_shop(tmp_path / "shop")
    (ws.root / "data").mkdir()
    (ws.root / "data" / "orders.parquet").write_bytes(b"no table")
    (ws.root / "petla.toml").write_text((ws.root / "petla.toml").read_text() + '\n[data.notes]\npath = "notes"\n')
    add_remote(ws, "origin", RemoteTable(url=str(tmp_path / "remote")), is_default=True)
    (ws.root / "notes").mkdir()
    (ws.root / "notes" / "a").write_text("a")
    add(ws, ws.root / "notes")
    push(ws, ["notes"])
    deploy(ws, MODEL, add_version(ws), actor="ada")
    return ws


def bury(ws: Workspace, digest: str) -> None:
    stone = {"digest": digest, "md5": MD5, "reason": "x", "at": "2026-01-01T00:00:00.000000Z", "by": "eve"}
    bucket = open_bucket("origin", ws.project.remotes["origin"], ws.root)
    bucket.put(f"forgotten/{digest}.json", msgspec.json.encode(stone))


def name_as_files(ws: Workspace, digests: list[str], profile: str | None = None) -> None:
    """Make a version whose manifest, written by hand, calls objects its files."""
    files = [{"path": str(n), "size": 1, "object": digest, "md5": MD5} for n, digest in enumerate(digests)]
    digest = ws.objects.put_bytes(canonical_json({"kind": "folder", "files": files, "folders": []}))
    document = msgspec.structs.replace(get_version(ws, "notes"), digest=digest, version=7, profile=profile)
    adopt(ws, "notes", digest, msgspec.to_builtins(document))


@pytest.mark.parametrize("is_named", [False, True])
def test_a_tombstone_erases_no_model_and_no_output(shop: Workspace, is_named: bool) -> None:
    package = registry.get_version(shop, MODEL, 1).package
    record = keep_output(shop, "k" * 64, "clean", encode({"a": 1.0}), 0.1)
    needed = [*list_objects(shop.objects, package), record.output]
    assert len(needed) == 3
    if is_named:
        name_as_files(shop, needed)
    for digest in needed:
        bury(shop, digest)

    reports = [pull(shop, ["notes"]).forgotten, push(shop, ["notes"]).forgotten]

    assert reports == [(), ()]
    assert load_package(shop.objects, shop.keys, package).model == MODEL
    assert load_output(shop, record) == {"a": 1.0}


def test_a_model_that_is_called_a_profile_stays(shop: Workspace) -> None:
    package = registry.get_version(shop, MODEL, 1).package
    file = shop.objects.put_bytes(b"asked to be forgotten")
    name_as_files(shop, [file], profile=package)
    bury(shop, file)

    report = pull(shop, ["notes"])

    assert [(item.dataset, item.path) for item in report.forgotten] == [("notes", "0")]
    assert file not in shop.objects
    assert load_package(shop.objects, shop.keys, package).model == MODEL


def test_erasing_leaves_models_whoever_asks(shop: Workspace) -> None:
    package = registry.get_version(shop, MODEL, 1).package

    erase_here(shop, dict.fromkeys(list_objects(shop.objects, package), MD5))

    assert load_package(shop.objects, shop.keys, package).model == MODEL
