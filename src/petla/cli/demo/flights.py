"""The demo's project and its data: real flights, one part to train on and the rest to replay."""

import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from petla.cli.examples import find_example

if TYPE_CHECKING:
    import polars as pl

# the project trains on the flights before this day and is then asked about the others, in order
REPLAY_FROM = datetime(2013, 4, 1)  # noqa: DTZ001 - local time of the airports, as in the data
DATA_FILE = "flights_2013.parquet"
_NOT_COPIED = shutil.ignore_patterns(DATA_FILE, "prepare.py", "__pycache__", ".petla")


def make_project(folder: Path) -> "pl.DataFrame":
    """Make the project with the flights of the first months; return the later ones, in order."""
    import polars as pl

    example = find_example("flights")
    shutil.copytree(example, folder, ignore=_NOT_COPIED, dirs_exist_ok=True)
    flights = pl.read_parquet(example / DATA_FILE)
    local = pl.col("scheduled").dt.replace_time_zone(None)
    (folder / "data").mkdir(exist_ok=True)
    known = flights.filter(local < REPLAY_FROM).drop("scheduled")
    known.write_parquet(folder / "data" / "flights.parquet")
    return flights.filter(local >= REPLAY_FROM)


def commit(folder: Path, message: str) -> str:
    """Commit everything in the project; return the commit."""
    identity = ["-c", "user.name=Pętla demo", "-c", "user.email=demo@localhost"]
    for words in (["add", "--all"], [*identity, "commit", "--quiet", "-m", message]):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True)
    return found.stdout.strip()


def requests_of(flights: "pl.DataFrame") -> list[dict[str, Any]]:
    """Return flights as request bodies: what is known before departure."""
    return flights.drop("scheduled", "late").to_dicts()
