"""What adding says about CSV files, and how names and formats are kept."""

import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from petla.core.errors import InvalidError
from petla.core.project import decode_project
from petla.data.history.registration import ignore_in_git
from petla.data.reading.tables import reading
from petla.data.reading.unpacking import count_bytes
from petla.data.versions import add, load_profile
from petla.pipeline.plan import RunRequest, make_plan
from petla.storage.workspace import Workspace
from tests.data.projects import PROJECT, make_project, write_rows


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return make_project(tmp_path / "project [v2]")


def test_add_says_how_a_csv_is_read(ws: Workspace) -> None:
    path = write_rows(ws)
    path.write_bytes("raport\n\nmiasto;cena;kod\nŁódź;1,50;007\nŻory;2,25;010\n".encode("cp1250"))

    report = add(ws, path)

    line = "read as CSV: cp1250, ';', header in line 3, decimal comma in 'cena', leading zeros kept in 'kod'"
    assert report.read_as == (line,)
    profile = load_profile(ws, report.version)
    assert profile is not None
    assert [(c.name, c.minimum) for c in profile.columns] == [("miasto", None), ("cena", 1.5), ("kod", None)]


def test_order_of_dates_is_kept_for_the_next_file(ws: Workspace) -> None:
    first = add(ws, write_rows(ws, "d\n03/25/2026\n04/01/2026\n"))
    second = add(ws, write_rows(ws, "d\n03/04/2026\n"))
    third = add(ws, write_rows(ws, "d\n25/04/2026\n"))

    assert ws.project.data["rows"].format.date_order == "mdy"
    assert 'date_order = "mdy"' in (ws.root / "petla.toml").read_text()
    assert [report.read_as[0].rpartition(", ")[2] for report in (first, second, third)] == [
        "months first in 'd'",
        "months first in 'd'",
        "days first in 'd'",
    ]
    profile = load_profile(ws, second.version)
    assert profile is not None
    assert (profile.columns[0].earliest or "").startswith("2026-03-04")
    assert "though date_order is 'mdy'" in third.read_as[1]


def test_open_order_of_dates_is_said(ws: Workspace) -> None:
    report = add(ws, write_rows(ws, "d\n03/04/2026\n"))

    assert "no day above 12" in report.read_as[1]
    assert "set date_order" in report.read_as[1]


def test_format_that_the_project_file_gives_counts_for_keys(ws: Workspace) -> None:
    text = PROJECT + '\n[models.m]\ntarget = "y"\n'
    ws.project = decode_project(text)
    (ws.root / "pipeline.py").write_text(
        "def training(rows): return rows\ndef model(training): return training\ndef holdout(rows): return rows\n"
    )
    add(ws, write_rows(ws, "zip,y\n1,2\n"))
    former = make_plan(ws, "m", RunRequest(only_step="training"))

    ws.project = decode_project(text + '[data.rows.format]\ntext = ["zip"]\n')

    assert make_plan(ws, "m", RunRequest(only_step="training")).plan_key != former.plan_key


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('encoding = "cp125O"', "did you mean 'cp125"),
        ('encoding = "base64"', "which is not known"),
        ('separator = "\\n"', "cannot be one"),
        ('decimal = ";"', "must be one of '', ',', '.'"),
        ('date_order = "ymd"', "must be one of '', 'dmy', 'mdy'"),
        ("skip_lines = -1", "must be a whole number at least 0"),
        ('sep = ";"', "is an unknown key"),
    ],
)
def test_every_key_of_a_format_is_checked(line: str, said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        decode_project(f"{PROJECT}\n[data.rows.format]\n{line}\n")


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(" * 5_000 + ")" * 5_000, "nested too deeply"),
        ("a(b", "unterminated subpattern"),
        (r"\p{Unknown}", "bad escape"),
    ],
)
def test_pattern_that_is_none_is_refused(pattern: str, said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        decode_project(f"{PROJECT}\n[data.rows.checks.columns.a]\npattern = '{pattern}'\n")


def test_pattern_that_only_the_table_library_knows_is_taken() -> None:
    project = decode_project(PROJECT + "\n[data.rows.checks.columns.a]\npattern = '\\p{L}+'\n")

    assert project.data["rows"].checks.columns["a"].pattern == r"\p{L}+"


@pytest.mark.parametrize("name", ["rows[1].csv", "a*.csv", "what?.csv", "back\\slash", "end  ", "#x", "!x", "a\nb"])
def test_git_ignores_a_file_of_any_name_and_no_other(tmp_path: Path, name: str) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for each in (name, "rows1.csv", "abc.csv", "what1.csv", "end"):
        (tmp_path / each).write_text("1")

    ignore_in_git(tmp_path / name)

    shown = ["git", "-C", str(tmp_path), "ls-files", "-z", "--others", "--exclude-standard"]
    left = set(subprocess.run(shown, check=True, capture_output=True, text=True).stdout.split("\0")) - {""}
    assert left == {".gitignore", "rows1.csv", "abc.csv", "what1.csv", "end"}


def test_small_parquet_file_is_unpacked_in_bounded_memory(tmp_path: Path) -> None:
    indices, values = pa.array([0] * 100_000, pa.int32()), ["A" * 10_000]
    parquet.write_table(pa.table({"x": pa.DictionaryArray.from_arrays(indices, values)}), tmp_path / "t.parquet")

    with reading(tmp_path / "t.parquet") as part:
        sizes = [(batch.height, count_bytes(batch)) for batch in part.batches()]

    assert sum(height for height, _ in sizes) == 100_000
    assert max(size for _, size in sizes) <= 66 << 20


def test_parquet_rows_that_are_too_large_are_refused(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"x": ["A" * 80_000_000]}), tmp_path / "t.parquet", compression="zstd")

    with pytest.raises(InvalidError, match="has rows of 76 MiB"), reading(tmp_path / "t.parquet") as part:
        list(part.batches())
