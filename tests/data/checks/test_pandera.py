"""A schema of pandera runs as one more set of rules; pandera is real here."""

import importlib.util
from pathlib import Path

import polars as pl
import pytest

from petla.core.errors import InvalidError, NotFoundError, UserCodeError
from petla.data.profile.profiles import profile_frame
from petla.data.rules.finding import DataFinding
from petla.data.rules.rows import schemas
from petla.data.rules.rows.scanning import Rows
from petla.data.versions import add, check
from tests.data.checks.tables import load_penguins
from tests.data.projects import make_project

POLARS = """
import pandera.polars as pa

class Penguins(pa.DataFrameModel):
    species: str = pa.Field(isin=["Adelie", "Chinstrap", "Gentoo"])
    body_mass_g: int = pa.Field(ge=2_000, le=7_000)
    number: int = pa.Field(unique=True)

AsSchema = Penguins.to_schema()
Broken = pa.DataFrameSchema({"body_mass_g": pa.Column(int, pa.Check(lambda data: 1 / 0))})
limit = 7
"""
PANDAS = """
import pandera.pandas as pa

Penguins = pa.DataFrameSchema({
    "species": pa.Column(str, pa.Check.isin(["Adelie", "Chinstrap", "Gentoo"])),
    "body_mass_g": pa.Column(int, pa.Check.in_range(2_000, 7_000)),
    "number": pa.Column(int, unique=True),
})
"""
CLEAN = load_penguins().drop_nulls().with_row_index("number").with_columns(pl.col("number").cast(pl.Int64))
BROKEN = CLEAN.with_columns(
    species=pl.when(pl.int_range(pl.len()) < 4).then(pl.lit("Emperor")).otherwise("species"),
    body_mass_g=pl.when(pl.int_range(pl.len()) == 9).then(4).otherwise("body_mass_g"),
    number=pl.when(pl.int_range(pl.len()) == 300).then(7).otherwise("number"),
)


def run(
    root: Path, table: pl.DataFrame, address: str = "schema.py:Penguins", module: str = POLARS
) -> list[DataFinding]:
    (root / "schema.py").write_text(module)
    table.write_parquet(root / "rows.parquet")
    return schemas.check_schema(Rows(root / "rows.parquet"), profile_frame(table), root, address)


@pytest.mark.parametrize("module", [POLARS, PANDAS], ids=["polars", "pandas"])
def test_failures_are_summarised_by_column_and_check(tmp_path: Path, module: str) -> None:
    assert run(tmp_path, CLEAN, module=module) == []

    found = {finding.column: finding for finding in run(tmp_path, BROKEN, module=module)}

    assert {(finding.rule, finding.severity) for finding in found.values()} == {("pandera", "block")}
    assert "column 'species' fails isin(" in found["species"].message
    assert "in 1.2% (4 of 342) rows: 'Emperor'" in found["species"].message
    assert "'4'" in found["body_mass_g"].message
    assert "column 'number' fails" in found["number"].message


def test_large_table_is_judged_in_batches_and_uniqueness_over_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schemas, "_WHOLE_CELLS", 10)

    found = {finding.column: finding for finding in run(tmp_path, BROKEN)}

    assert run(tmp_path, CLEAN) == []
    assert set(found) == {"species", "body_mass_g", "number"}
    assert "column 'number' fails uniqueness of the schema in 0.3% (1 of 342) rows: 7" in found["number"].message


def test_lost_column_and_other_kind_are_named(tmp_path: Path) -> None:
    found = run(tmp_path, CLEAN.drop("species").with_columns(pl.col("body_mass_g").cast(pl.String)))

    assert found[0].message == "column 'species' of the schema is not there"
    assert ("body_mass_g", "dtype('Int64')") in {(finding.column, finding.before) for finding in found}


@pytest.mark.parametrize(
    ("address", "kind", "words"),
    [
        ("schema.py", InvalidError, "names no schema"),
        ("lost.py:Penguins", NotFoundError, "there is no lost.py"),
        ("schema.py:Penguin", NotFoundError, "did you mean 'Penguins'?"),
        ("schema.py:limit", InvalidError, "is a int, no schema"),
    ],
)
def test_schema_that_is_not_there_is_said(tmp_path: Path, address: str, kind: type[InvalidError], words: str) -> None:
    with pytest.raises(kind) as caught:
        run(tmp_path, CLEAN, address)

    assert words in str(caught.value)
    assert caught.value.field == "checks.pandera"


def test_module_that_fails_shows_its_own_lines(tmp_path: Path) -> None:
    with pytest.raises(UserCodeError, match="ZeroDivisionError") as caught:
        run(tmp_path, CLEAN, module="limit = 1 / 0\n")

    assert "limit = 1 / 0" in caught.value.traceback


def test_check_that_fails_itself_is_a_finding_or_an_error_of_the_project(tmp_path: Path) -> None:
    (found,) = run(tmp_path, CLEAN, "schema.py:Broken")

    assert "ZeroDivisionError" in found.message


def test_without_pandera_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A real absence would need another environment.
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(InvalidError, match="needs pandera, which is not installed") as caught:
        run(tmp_path, CLEAN)

    assert "pip install 'petla[pandera]'" in caught.value.hint


def test_schema_of_the_project_file_is_run_with_the_other_rules(tmp_path: Path) -> None:
    text = '[project]\nname = "p"\n[data.rows]\npath = "rows.csv"\nchecks.pandera = "schema.py:AsSchema"\n'
    ws = make_project(tmp_path, text)
    (tmp_path / "schema.py").write_text(POLARS)
    BROKEN.write_csv(tmp_path / "rows.csv")
    add(ws, tmp_path / "rows.csv")

    assert {(f.column, f.rule) for f in check(ws, "rows")} == {
        ("species", "pandera"),
        ("body_mass_g", "pandera"),
        ("number", "pandera"),
    }
