"""A newcomer's first five minutes, through the command alone: init, add, run, deploy, up, ask, tell, stop."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from petla.decisions.losses import LossCount
from tests.flows.product import Product, petla

PENGUIN = {
    "island": "Biscoe",
    "bill_length_mm": 46.1,
    "bill_depth_mm": 13.2,
    "flipper_length_mm": 211,
    "body_mass_g": 4500,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a starter project with a deployed model."""
    folder = tmp_path_factory.mktemp("newcomer") / "penguins"
    assert petla(folder.parent, "init", "penguins").returncode == 0
    assert petla(folder, "data", "add", "data/penguins.csv").returncode == 0
    assert petla(folder, "run").returncode == 0
    assert petla(folder, "deploy", "species:1").returncode == 0
    return folder


@pytest.fixture(scope="module")
def product(project: Path) -> Iterator[Product]:
    """Return the running product."""
    with Product(project) as running:
        yield running


def test_init_makes_a_git_repository_that_ignores_the_state(project: Path) -> None:
    ignored = subprocess.run(["git", "check-ignore", ".petla/petla.db"], cwd=project, check=False)

    assert ignored.returncode == 0


def test_init_refuses_a_folder_that_is_a_project(project: Path) -> None:
    again = petla(project, "init", ".")

    assert again.returncode == 1
    assert "is there already" in again.stderr


def test_starter_tests_pass(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTEST_ADDOPTS": ""},
    )

    assert done.returncode == 0, done.stdout


def test_run_again_changes_nothing(project: Path) -> None:
    again = json.loads(petla(project, "run", "--json").stdout)

    assert again["is_unchanged"]
    assert again["version"] == 1


def test_predict_answers_in_the_models_own_words(product: Product) -> None:
    answer = product.post("/predict/species", PENGUIN)

    assert answer["species"] == "Gentoo"
    assert 0.5 < answer["probability"] <= 1


def test_decision_and_its_truth_reach_the_log(product: Product, project: Path) -> None:
    answer = product.post("/predict/species", PENGUIN)
    product.post("/feedback", {"id": answer["id"], "truth": "Gentoo"})

    def shown() -> dict[str, Any] | None:
        done = petla(project, "decisions", "show", answer["id"])
        found = json.loads(done.stdout) if done.returncode == 0 else {}
        return found if found.get("truth") is not None else None

    decision = product.wait_for(shown)

    assert decision["inputs"] == PENGUIN
    assert decision["truth"] == "Gentoo"


def test_status_says_in_one_look_what_runs_and_what_was_lost(product: Product, project: Path) -> None:
    lost = LossCount(project / ".petla" / "spool" / "0")
    lost.add(3)
    lost.close()

    said = petla(project, "status").stdout

    assert f"penguins is serving on {product.serving}, pages on http://127.0.0.1:" in said
    assert "species     1        -  -" in said
    assert "3 decisions were answered and not recorded" in said
    assert json.loads(petla(project, "status", "--json").stdout)["lost"]["decisions"] == 3


@pytest.mark.usefixtures("product")
def test_one_time_link_opens_the_pages_once(project: Path) -> None:
    link = json.loads(petla(project, "link", "--json").stdout)["link"]
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

    with opener.open(link, timeout=10) as page:
        assert "species" in page.read().decode()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(link, timeout=10)


def test_second_up_says_who_holds_the_project(product: Product, project: Path) -> None:
    second = petla(project, "up")

    assert second.returncode == 1
    assert f"pid {product.pid}" in second.stderr


def test_sigterm_stops_everything_cleanly(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "another"
    shutil.copytree(project, folder)
    with Product(folder) as running:
        running.post("/predict/species", PENGUIN)
        running.signal(signal.SIGTERM)

        assert running.wait() == 0
    assert petla(folder, "audit", "verify").returncode == 0
