"""A second `petla up` of the same project says where the first one is."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from petla.api.binding import address_of, bind
from petla.api.sessions import announce_address
from petla.bootstrap import serve
from petla.core.errors import BusyError
from petla.storage.files import lock
from petla.storage.workspace import Workspace
from tests.web.seed import PROJECT, open_project


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Workspace]:
    """A project in which a `petla up` has just begun."""
    ws = open_project(tmp_path, f"{PROJECT}[control]\nport = 0\n")
    with lock(ws.state / "up.lock", purpose="petla up"):
        yield ws


def test_second_one_names_the_address_of_the_first_and_the_next_step(held: Workspace) -> None:
    with bind(held) as listener:
        announce_address(held, address_of(held, listener))
        with pytest.raises(BusyError) as caught:
            serve(held)
        address = address_of(held, listener)

    assert f"petla up (pid {os.getpid()}) is still at work: pages on {address}" in str(caught.value)
    assert "petla link" in caught.value.hint


def test_second_one_says_when_the_first_is_still_starting(held: Workspace) -> None:
    with pytest.raises(BusyError, match="its pages are not there yet") as caught:
        serve(held)

    assert "petla status" in caught.value.hint
