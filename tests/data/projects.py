"""A small project with data, for the tests of this room."""

from pathlib import Path

import polars as pl

from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.storage.workspace import Workspace

PROJECT = """
[project]
name = "flights"

[data.rows]
path = "data/rows.csv"
"""
CSV = "hour,carrier\n1,AA\n2,UA\n3,AA\n"


def make_project(root: Path, text: str = PROJECT) -> Workspace:
    root.mkdir(parents=True, exist_ok=True)
    (root / "petla.toml").write_text(text)
    return Workspace(root, decode_project(text), Settings(actor="ada"))


def write_rows(ws: Workspace, text: str = CSV) -> Path:
    path = ws.root / "data" / "rows.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def write_folder(ws: Workspace, parts: int = 2) -> Path:
    folder = ws.root / "data" / "parts"
    (folder / "deep").mkdir(parents=True)
    for number in range(parts):
        pl.DataFrame({"n": [number, number]}).write_parquet(folder / "deep" / f"{number}.parquet")
    return folder
