"""The courier: no address ends it, and no receiver holds it up."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from petla.core.project.addresses import split_address
from petla.decisions.reviews import webhook
from petla.decisions.reviews.reviewing import decide, get_review
from petla.decisions.reviews.webhook import Courier
from petla.storage.workspace import Workspace
from tests.decisions.test_reviews import receiving, with_webhook, ws

__all__ = ["ws"]


@pytest.fixture
def silent() -> Iterator[str]:
    """A receiver that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def decide_both(told: Workspace) -> None:
    for name in ("id-1", "id-3"):
        decide(told, name, True, actor="ola", reason="called her")


@pytest.mark.parametrize(
    ("path", "target"),
    [("/przegl\u0105d?k=\u0142", "/przegl%C4%85d?k=%C5%82"), ("/a b%20c?d=%2F", "/a%20b%20c?d=%2F"), ("", "/")],
)
def test_path_of_any_letters_is_called(ws: Workspace, path: str, target: str) -> None:
    assert split_address(f"http://x{path}").target == target
    with receiving() as (address, kept):
        told, _ = with_webhook(ws, address.removesuffix("/hook?key=1") + path)
        decide(told, "id-1", True, actor="ola", reason="called her")

        assert Courier(told).deliver_due() == 1
    assert len(kept.bodies) == 1


def test_name_of_any_letters_is_called_as_the_name_system_knows_it() -> None:
    assert split_address("https://\u017c\u00f3\u0142w.pl:8443/x") == (True, "xn--w-uga1v8h.pl", 8443, "/x")


@pytest.mark.parametrize("address", ["http://a..b/", "http://[::1/x", "http://x:99999/"])
def test_address_that_was_published_and_is_bad_fails_its_own_delivery_only(
    ws: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
) -> None:
    told, _ = with_webhook(ws, "http://127.0.0.1:1/")
    decide_both(told)
    whole = split_address
    # as if the check of petla.toml had let it through
    monkeypatch.setattr(webhook, "split_address", lambda _: whole(address))

    assert Courier(told).deliver_due() == 0

    assert all("Error" in get_review(told, name).delivery_error for name in ("id-1", "id-3"))


def test_stop_is_not_held_up_by_a_receiver_that_hangs(ws: Workspace, silent: str) -> None:
    told, _ = with_webhook(ws, silent)
    decide_both(told)
    stop = threading.Event()
    thread = threading.Thread(target=Courier(told).run, args=(stop,))
    thread.start()
    while not get_review(told, "id-1").attempts and not get_review(told, "id-3").attempts:
        time.sleep(0.01)

    stop.set()
    thread.join(timeout=8)

    assert not thread.is_alive()
    attempts = sorted(get_review(told, name).attempts for name in ("id-1", "id-3"))
    assert attempts == [0, 1]
    assert all(get_review(told, name).deliver_at for name in ("id-1", "id-3"))


def test_receiver_that_drips_is_left_in_time(
    ws: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook, "_CALL_TIMEOUT_S", 0.3)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while not over.wait(0.05):
                    try:
                        connection.sendall(b"x: y\r\n")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        told, _ = with_webhook(ws, f"http://127.0.0.1:{server.getsockname()[1]}/")
        decide(told, "id-1", True, actor="ola", reason="called her")
        delivered = Courier(told).deliver_due()
        over.set()
        thread.join()

    assert delivered == 0
    assert "did not answer in time" in get_review(told, "id-1").delivery_error


def test_courier_off_duty_calls_nobody(ws: Workspace) -> None:
    with receiving() as (address, kept):
        told, _ = with_webhook(ws, address)
        decide(told, "id-1", True, actor="ola", reason="called her")
        stop, looks = threading.Event(), []

        def look() -> bool:
            looks.append(1)
            stop.set()
            return False

        Courier(told, is_on_duty=look).run(stop)

    assert (looks, kept.bodies) == ([1], [])
