"""Rows that no signed audit entry explains decide nothing, and `audit verify` names them."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import insert, text, update

from petla.core.errors import CorruptError, PetlaError
from petla.deployments.access import granting
from petla.deployments.access.keys import Scope
from petla.deployments.deploy import deploy, find_deployment, rollback
from petla.models import registry
from petla.models.package import load_package, load_version, store_package
from petla.models.states import State
from petla.storage.database import writing
from petla.storage.tables import api_keys, approvals, deployments, model_versions, snapshots
from petla.storage.workspace import Workspace
from tests.deployments.tiny import MODEL, add_version, make_package, open_live_shop


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    return open_live_shop(tmp_path)


def tamper(ws: Workspace, statement: object) -> None:
    with writing(ws.engine) as connection:
        connection.execute(statement)  # type: ignore[call-overload]


def reject(ws: Workspace, version: int) -> None:
    with ws.ledger.change(actor="ada", action="model.rejected", subject=f"{MODEL}:{version}") as change:
        registry.move(change, ws.name, MODEL, version, State.REJECTED)


def of(version: int) -> object:
    return (model_versions.c.model == MODEL) & (model_versions.c.version == version)


def test_rejected_version_that_was_set_back_is_not_deployed(shop: Workspace) -> None:
    reject(shop, 2)
    tamper(shop, update(model_versions).where(of(2)).values(state="testing"))  # type: ignore[arg-type]

    with pytest.raises(CorruptError, match="fraud:2 is in state testing, but its audit entries say rejected"):
        deploy(shop, MODEL, 2, actor="eve")
    with pytest.raises(CorruptError, match="fraud:2 is in state testing"):
        shop.ledger.verify()

    live = find_deployment(shop, MODEL)
    assert live is not None
    assert live.live == 1


def test_package_of_another_version_is_not_deployed(shop: Workspace) -> None:
    first = registry.get_version(shop, MODEL, 1).package
    tamper(shop, update(model_versions).where(of(2)).values(package=first))  # type: ignore[arg-type]

    with pytest.raises(CorruptError, match="fraud:2 has another package"):
        deploy(shop, MODEL, 2, actor="eve")
    with pytest.raises(CorruptError, match="fraud:2 has another package"):
        shop.ledger.verify()
    with pytest.raises(CorruptError, match="is of fraud:1, not of fraud:2"):
        load_version(shop.objects, shop.keys, first, MODEL, 2)


def test_package_says_which_version_it_is(shop: Workspace) -> None:
    for number in (1, 2):
        package = load_package(shop.objects, shop.keys, registry.get_version(shop, MODEL, number).package)
        assert (package.model, package.version) == (MODEL, number)


def test_package_that_was_never_registered_is_refused(shop: Workspace) -> None:
    made = store_package(shop, msgspec.structs.replace(make_package(), version=0), {})

    with pytest.raises(CorruptError, match="is of fraud:no version, not of fraud:1"):
        load_version(shop.objects, shop.keys, made, MODEL, 1)


def test_package_of_the_first_release_counts_where_its_entry_names_it(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as 0.1.0 registered: the manifest has no number
    monkeypatch.setattr(registry, "name_package", lambda ws, digest, _: (digest, registry_seal(ws, digest)))
    version, other = add_version(shop, -2.0), add_version(shop, -1.0)

    assert deploy(shop, MODEL, version, actor="ada").live == version
    assert rollback(shop, MODEL, actor="ada", reason="worse").live == 1
    package = registry.get_version(shop, MODEL, version).package
    tamper(shop, update(model_versions).where(of(other)).values(package=package))  # type: ignore[arg-type]
    with pytest.raises(CorruptError, match=f"fraud:{other} has another package"):
        deploy(shop, MODEL, other, actor="eve")


def registry_seal(ws: Workspace, digest: str) -> str:
    from petla.models.package import read_seal

    return read_seal(ws.objects, digest)


TAMPERED: list[tuple[str, Callable[[], object]]] = [
    ("certificate of model version fraud:2", lambda: update(model_versions).where(of(2)).values(certificate="{}")),  # type: ignore[arg-type]
    ("no audit entry deployed fraud:2", lambda: update(deployments).values(live=2)),
    ("no audit entry deployed fraud:1 with 2", lambda: update(deployments).values(standby=2)),
    ("snapshot 1 is not the one", lambda: update(snapshots).values(document='{"routes":{}}')),
    ("fraud:2 was registered, but is not in the database", lambda: model_versions.delete().where(of(2))),  # type: ignore[arg-type]
    (
        "no audit entry registered model version fraud:9",
        lambda: text(
            "INSERT INTO model_versions SELECT project, model, 9, state, run_id, package, certificate, verdict,"
            " created_at FROM model_versions WHERE version = 2"
        ),
    ),
    (
        "no audit entry published snapshot 7",
        lambda: text("INSERT INTO snapshots SELECT project, 7, document, at FROM snapshots WHERE number = 1"),
    ),
    (
        "no audit entry asked for approval 1",
        lambda: insert(approvals).values(
            project="shop",
            model=MODEL,
            version=2,
            state="granted",
            question="?",
            asked_by="controller",
            asked_at="",
            decided_by="eve",
            reason="",
        ),
    ),
    ("no audit entry added the key 'shop'", lambda: update(api_keys).values(scopes="predict feedback")),
    ("no audit entry added the key 'shop'", lambda: update(api_keys).values(hash="0" * 64)),
    ("the key 'gone' was revoked", lambda: update(api_keys).values(revoked_at=None)),
]


@pytest.mark.parametrize(("said", "statement"), TAMPERED, ids=[f"{n} {said}" for n, (said, _) in enumerate(TAMPERED)])
def test_row_that_no_entry_explains_is_named(shop: Workspace, said: str, statement: Callable[[], object]) -> None:
    granting.add(shop, "shop", [Scope.PREDICT])
    granting.add(shop, "gone", [Scope.FEEDBACK])
    granting.revoke(shop, "gone")
    assert shop.ledger.verify() > 0

    tamper(shop, statement())

    with pytest.raises(PetlaError, match=said):
        shop.ledger.verify()
