"""API keys: hashed, scoped, limited for all workers together, revoked at once; and planes that do not stand open."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petla.core.errors import ConflictError, ForbiddenError, InvalidError, LimitedError, NotFoundError, UnknownKeyError
from petla.core.project import ControlTable, ServingTable, require_protection
from petla.deployments.access.granting import add, list_keys, publish, revoke
from petla.deployments.access.keys import Scope, find_number, keys_path
from petla.deployments.deploy import deploy
from petla.serving.doors.keys import Keys, scope_for
from petla.serving.supervisor import Supervisor
from petla.storage.workspace import Workspace
from tests.deployments.tiny import MODEL, PROJECT, add_version, open_shop
from tests.serving.client import ask, predict, running, wait_until


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return open_shop(tmp_path)


def bearer(secret: str) -> dict[bytes, bytes]:
    return {b"authorization": b"Bearer " + secret.encode()}


def test_key_opens_what_it_was_made_for_and_nothing_else(ws: Workspace) -> None:
    secret = add(ws, "shop", [Scope.PREDICT, Scope.FEEDBACK])
    keys = Keys(ws.state)

    for header in (bearer(secret), {b"authorization": b"bearer " + secret.encode()}, {b"x-api-key": secret.encode()}):
        keys.check(header, Scope.PREDICT)
        keys.check(header, Scope.FEEDBACK)
        with pytest.raises(ForbiddenError, match="key 'shop' is for predict, feedback, not for read"):
            keys.check(header, Scope.READ)


def test_only_a_hash_is_kept(ws: Workspace) -> None:
    secret = add(ws, "shop", [Scope.PREDICT])
    kept = keys_path(ws.state)

    assert kept.stat().st_mode & 0o777 == 0o600
    for path in ws.state.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes()


def test_wrong_keys_open_nothing(ws: Workspace) -> None:
    secret = add(ws, "shop", [Scope.PREDICT])
    keys = Keys(ws.state)
    keys.check(bearer(secret), Scope.PREDICT)

    wrong = [
        {},
        bearer(""),
        bearer(secret[:-1]),
        bearer(secret + "x"),
        bearer(secret.replace("_1_", "_2_")),
        bearer("\xff"),
    ]
    for header in (*wrong, {b"authorization": b"Basic " + secret.encode()}, {b"authorization": b"Bearer"}):
        with pytest.raises(UnknownKeyError):
            keys.check(header, Scope.PREDICT)


@settings(max_examples=200)
@given(st.binary(max_size=100))
def test_whatever_is_sent_for_a_key_is_refused(value: bytes) -> None:
    keys = Keys(Path(os.devnull).parent / "no-such-folder")
    assert find_number(value) is None or value.startswith(b"petla_")
    with pytest.raises(UnknownKeyError):
        keys.check({b"authorization": value}, Scope.PREDICT)


def test_keys_are_taken_up_and_revoked_without_a_restart(ws: Workspace) -> None:
    keys = Keys(ws.state)
    secret = add(ws, "shop", [Scope.PREDICT])
    keys.look()
    keys.check(bearer(secret), Scope.PREDICT)

    revoke(ws, "shop", reason="it was in a log")
    keys.look()

    with pytest.raises(UnknownKeyError):
        keys.check(bearer(secret), Scope.PREDICT)
    assert [entry.action for entry in ws.ledger.list_entries()] == ["key.added", "key.revoked"]
    assert list_keys(ws)[0].revoked_at is not None


def test_damaged_file_changes_nothing(ws: Workspace) -> None:
    secret = add(ws, "shop", [Scope.PREDICT])
    keys = Keys(ws.state)
    keys_path(ws.state).write_bytes(b"[{")
    keys.look()

    keys.check(bearer(secret), Scope.PREDICT)
    publish(ws)
    keys.look()
    keys.check(bearer(secret), Scope.PREDICT)


def test_rate_holds_for_all_workers_together(ws: Workspace) -> None:
    secret = add(ws, "shop", [Scope.PREDICT], rate_per_s=0.5)
    fast = add(ws, "batch", [Scope.PREDICT], rate_per_s=50)
    one, other = Keys(ws.state), Keys(ws.state)

    one.check(bearer(secret), Scope.PREDICT)
    with pytest.raises(LimitedError) as refused:
        other.check(bearer(secret), Scope.PREDICT)
    for keys in (one, other) * 25:
        keys.check(bearer(fast), Scope.PREDICT)

    assert 1.5 < refused.value.retry_after_s <= 2


def test_rate_outlives_a_clock_that_began_anew(ws: Workspace) -> None:
    secret = add(ws, "shop", [Scope.PREDICT], rate_per_s=1)
    Keys(ws.state)
    keys_path(ws.state).with_name("rates").write_bytes((2**62).to_bytes(8, "little") * 2)

    Keys(ws.state).check(bearer(secret), Scope.PREDICT)


def test_names_scopes_and_rates_that_make_no_sense_are_refused(ws: Workspace) -> None:
    add(ws, "shop", [Scope.PREDICT])

    with pytest.raises(ConflictError, match="there is a key 'shop' already"):
        add(ws, "shop", [Scope.PREDICT])
    with pytest.raises(InvalidError, match="opens nothing"):
        add(ws, "other", [])
    with pytest.raises(InvalidError, match="rate"):
        add(ws, "other", [Scope.PREDICT], rate_per_s=float("nan"))
    with pytest.raises(InvalidError, match="called"):
        add(ws, " ", [Scope.PREDICT])
    with pytest.raises(NotFoundError, match="did you mean 'shop'"):
        revoke(ws, "shopp")


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/healthz", None),
        ("GET", "/v2/health/ready", None),
        ("POST", "/predict/fraud", Scope.PREDICT),
        ("POST", "/v2/models/fraud/infer", Scope.PREDICT),
        ("POST", "/invocations", Scope.PREDICT),
        ("POST", "/feedback", Scope.FEEDBACK),
        ("GET", "/metrics", Scope.READ),
        ("GET", "/v2/models/fraud", Scope.READ),
        ("POST", "/v2/repository/models/fraud/unload", Scope.REPOSITORY),
    ],
)
def test_every_door_needs_its_scope(method: str, path: str, scope: Scope | None) -> None:
    assert scope_for(method, path) is scope


def test_server_with_keys_asks_for_them(tmp_path: Path) -> None:
    ws = open_shop(tmp_path, PROJECT + 'access = "keys"\n')
    deploy(ws, MODEL, add_version(ws), actor="ada")
    with running(ws) as supervisor:
        port = supervisor.server.port
        nobody = predict(port)
        secret = add(ws, "shop", [Scope.PREDICT], rate_per_s=2)
        reader = add(ws, "prometheus", [Scope.READ])
        key = {"authorization": f"Bearer {secret}"}
        wait_until(lambda: ask(port, "/metrics", method="GET", x_api_key=reader).status == 200, "the keys were there")
        replies = [predict(port, **key) for _ in range(3)]
        forbidden = ask(port, "/metrics", method="GET", **key)
        healthy = ask(port, "/healthz", method="GET")
        revoke(ws, "shop")
        wait_until(lambda: predict(port, **key).status == 401, "the key was refused")

    assert (nobody.status, nobody.error["code"], nobody.headers["www-authenticate"]) == (401, "unknown_key", "Bearer")
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert (replies[2].error["code"], replies[2].headers["retry-after"]) == ("limited", "1")
    assert (forbidden.status, forbidden.error["code"]) == (403, "forbidden")
    assert healthy.status == 200


PUBLIC = "0.0.0.0"  # noqa: S104


@pytest.mark.parametrize(
    ("table", "missing"),
    [
        (ServingTable(host=PUBLIC), 'without serving.access = "keys" and serving.certificate'),
        (ServingTable(host=PUBLIC, certificate="a.pem"), 'without serving.access = "keys"'),
        (ServingTable(host=PUBLIC, access="keys"), "without serving.certificate"),
        (ServingTable(host="predict.example.com"), "others can reach"),
        (ControlTable(host=PUBLIC), "without control.certificate"),
    ],
)
def test_plane_does_not_stand_open_without_a_word(table: ServingTable | ControlTable, missing: str) -> None:
    with pytest.raises(InvalidError, match=missing):
        require_protection(table)


@pytest.mark.parametrize(
    "table",
    [
        ServingTable(),
        ServingTable(host="localhost"),
        ServingTable(host="::1"),
        ServingTable(host=PUBLIC, insecure=True),
        ServingTable(host=PUBLIC, access="keys", certificate="a.pem"),
        ControlTable(host=PUBLIC, certificate="a.pem"),
    ],
)
def test_protected_plane_or_one_that_nobody_reaches_may_start(table: ServingTable | ControlTable) -> None:
    require_protection(table)


def test_supervisor_does_not_start_open(tmp_path: Path) -> None:
    ws = open_shop(tmp_path, f"{PROJECT}host = '{PUBLIC}'\n")

    with pytest.raises(InvalidError, match="which others can reach, without"):
        Supervisor(ws).start()
