"""Production as it was: what served, with which data and which configuration, in a folder that runs by itself."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from petla.core.clock import read_moment
from petla.core.errors import ConflictError, InvalidError, NotFoundError
from petla.core.project import RemoteTable
from petla.data.transfer.pushing import push
from petla.data.transfer.remotes import add_remote
from petla.data.upkeep.collecting import Choice, Roots, collect
from petla.data.upkeep.moments import restore_data
from petla.data.versions import add
from petla.deployments.deploy import deploy
from petla.deployments.restoring import look_back, restore
from petla.deployments.snapshot import read_snapshot
from petla.models import registry
from petla.models.package import load_package
from petla.storage.workspace import Workspace, open_workspace
from tests.deployments.tiny import MODEL, PROJECT, add_version, open_shop, states_of

START = datetime(2026, 3, 1, tzinfo=UTC)


class Shop:
    """A shop whose calendar is turned by hand."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.now = START
        shop = open_shop(folder)
        self.ws = Workspace(shop.root, shop.project, shop.settings, clock=lambda: self.now)
        self.git("init", "-q", "-b", "main")

    def git(self, *words: str) -> None:
        name = ("-c", "user.name=ada", "-c", "user.email=ada@example.org")
        moment = {"GIT_AUTHOR_DATE": self.now.isoformat(), "GIT_COMMITTER_DATE": self.now.isoformat()}
        subprocess.run(["git", *name, *words], cwd=self.ws.root, check=True, capture_output=True, env=moment)

    def write(self, n_rows: int) -> None:
        path = self.ws.root / "data" / "orders.parquet"
        path.parent.mkdir(exist_ok=True)
        pl.DataFrame({"amount": [float(number) for number in range(n_rows)]}).write_parquet(path)
        add(self.ws, path)

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "as it is")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """March: 10 orders and version 1. April: 20 orders, version 2, another configuration."""
    shop = Shop(tmp_path / "shop")
    shop.write(10)
    shop.commit()
    deploy(shop.ws, MODEL, add_version(shop.ws), actor="ada")
    shop.now = START + timedelta(days=31)
    (shop.ws.root / "petla.toml").write_text(PROJECT + '\n[data.more]\npath = "data/more.csv"\n')
    shop.write(20)
    shop.commit()
    deploy(shop.ws, MODEL, add_version(shop.ws, -3.0), actor="ada")
    return shop


def test_a_moment_is_known_with_all_that_was_production(shop: Shop) -> None:
    march, april = (look_back(shop.ws, START + timedelta(days=days)) for days in (10, 40))

    assert [(model.model, model.live, model.standby) for model in march.models] == [(MODEL, 1, None)]
    assert [(model.model, model.live, model.standby) for model in april.models] == [(MODEL, 2, 1)]
    assert ([each.version for each in march.data], [each.version for each in april.data]) == ([1], [2])
    assert march.commit != april.commit
    with pytest.raises(NotFoundError, match="nothing is known of 2026-02"):
        look_back(shop.ws, START - timedelta(days=10))


def test_march_comes_back_in_april(shop: Shop, tmp_path: Path) -> None:
    target = tmp_path / "march"

    restore(shop.ws, START + timedelta(days=10), target)

    made = open_workspace(target, shop.ws.settings)
    assert (target / "petla.toml").read_text() == PROJECT
    assert pl.read_parquet(target / "data" / "orders.parquet").height == 10
    snapshot = read_snapshot(made.state)
    assert snapshot is not None
    live = snapshot.routes[MODEL].live
    assert live.version == 1
    assert load_package(made.objects, made.keys, live.package).model == MODEL
    assert states_of(made) == {1: "production"}
    assert registry.get_version(made, MODEL, 1).certificate == registry.get_version(shop.ws, MODEL, 1).certificate
    assert made.ledger.verify() == 2
    # the shop itself is as it was
    assert states_of(shop.ws) == {1: "retired", 2: "production"}


def test_data_that_were_collected_here_come_from_a_remote(shop: Shop) -> None:
    add_remote(shop.ws, "origin", RemoteTable(url="../remote"), is_default=True)
    push(shop.ws, ["orders"], all_versions=True)
    shop.git("checkout", "-q", "--orphan", "fresh")
    shop.commit()
    shop.git("branch", "-D", "main")
    dropped = collect(shop.ws, Choice(keep_days=0, is_meant=True), Roots(objects=registry.list_needed(shop.ws).objects))
    assert [each.version for each in dropped.dropped] == [1]
    shop.now += timedelta(days=1)
    restored = restore_data(shop.ws, START + timedelta(days=10))

    assert [version.version for version in restored] == [1]
    assert pl.read_parquet(shop.ws.root / "data" / "orders.parquet").height == 10


def test_data_go_back_by_themselves(shop: Shop) -> None:
    restored = restore_data(shop.ws, START + timedelta(days=10))

    assert [version.version for version in restored] == [1]
    assert pl.read_parquet(shop.ws.root / "data" / "orders.parquet").height == 10


def test_a_restored_project_leaves_the_database_of_the_original_alone(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop")
    text = PROJECT + f'\n[storage]\ndatabase = "sqlite:///{tmp_path}/shared.db"\n'
    (shop.ws.root / "petla.toml").write_text(text)
    shop.ws = open_workspace(shop.ws.root, shop.ws.settings, clock=lambda: shop.now)
    shop.write(5)
    shop.commit()
    before = (tmp_path / "shared.db").read_bytes()

    restore(shop.ws, START, tmp_path / "copy")

    assert (tmp_path / "shared.db").read_bytes() == before
    assert (tmp_path / "copy" / ".petla" / "petla.db").is_file()


def test_a_folder_in_use_is_left_alone(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")

    with pytest.raises(ConflictError, match="is not empty"):
        restore(shop.ws, START + timedelta(days=10), tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]


def test_a_moment_has_to_be_one() -> None:
    with pytest.raises(InvalidError, match="is no moment"):
        read_moment("last week")
