"""What the project file says about the data: severities, waivers, expectations."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from petla.core.errors import InvalidError
from petla.core.project import CheckTable, ExpectationTable, SeverityTable, WaiverTable, decode_project
from petla.core.settings import Settings
from petla.data.profile.profiles import profile_frame
from petla.data.rules.declared.expectations import check_columns, check_rows, list_open
from petla.data.rules.declared.verdicts import settle
from petla.data.rules.finding import DataFinding
from petla.data.rules.rows.scanning import Rows
from petla.data.versions import add, check
from petla.storage.workspace import Workspace
from tests.data.checks.tables import draw_flights, load_penguins
from tests.data.projects import PROJECT

TODAY = date(2026, 3, 1)
MOVED = DataFinding(column="x", rule="scale", severity="block", message="column 'x' moved", before="1", after="2")
GONE = DataFinding(column="y", rule="missing_column", severity="block", message="gone", before="1", after="2")


def waive(expires: date, column: str | None = None, rule: str = "scale") -> CheckTable:
    waiver = WaiverTable(rule=rule, column=column, owner="ann", reason="a new sensor", expires=expires)
    return CheckTable(waivers=(waiver,))


def test_severity_of_the_project_file_replaces_the_usual_one() -> None:
    checks = CheckTable(severity=SeverityTable(scale="record", missing_column="warn"))

    assert [f.severity for f in settle([MOVED, GONE], checks, TODAY)] == ["record", "warn"]
    assert not any(f.is_blocking for f in settle([MOVED, GONE], checks, TODAY))


@pytest.mark.parametrize("column", [None, "x"])
def test_waived_finding_does_not_block_until_its_day_is_over(column: str | None) -> None:
    waived, other = settle([MOVED, GONE], waive(TODAY, column), TODAY)

    assert (waived.waived_by, waived.waived_until, waived.waived_because) == ("ann", "2026-03-01", "a new sensor")
    assert (waived.severity, waived.is_blocking) == ("block", False)
    assert other.is_blocking


def test_expired_waiver_does_not_count_and_is_named() -> None:
    finding, expired = settle([MOVED], waive(date(2026, 2, 28), "x"), TODAY)
    (needless,) = settle([], waive(date(2026, 2, 28)), TODAY)

    assert finding.is_blocking
    assert (expired.rule, expired.severity, expired.column) == ("waiver_expired", "warn", "x")
    assert "the waiver of rule 'scale' for column 'x' by ann has expired" in expired.message
    assert needless.severity == "record"


def test_waiver_of_another_column_or_rule_is_no_help() -> None:
    assert settle([MOVED], waive(TODAY, "y"), TODAY)[0].is_blocking
    assert settle([MOVED], waive(TODAY, rule="shift"), TODAY)[0].is_blocking


FAULTS = [
    ("severity.scael = 'warn'", "severity.scael", "unknown key", "did you mean 'scale'?"),
    ("severity.scale = 'blok'", "severity.scale", "'blok'", "did you mean 'block'?"),
    ("waivers = [{owner = 'a', reason = 'b', expires = 2026-12-31}]", "waivers.1.rule", "is missing", ""),
    ("waivers = [{rule = 'scale', reason = 'b', expires = 2026-12-31}]", "waivers.1.owner", "is missing", ""),
    ("waivers = [{rule = 'scale', owner = 'a', reason = 'b'}]", "waivers.1.expires", "a day such as", ""),
    ("waivers = [{rule = 'scale', owner = 'a', reason = 'b', expires = 3}]", "waivers.1.expires", "is 3", ""),
    ("waivers = [{rule = 'scal', owner = 'a', reason = 'b', expires = 2026-12-31}]", "waivers.1.rule", "no rule", "'s"),
    ("waivers = [{rule = 'key', owner = 'a', reason = 'b', expires = 2026-12-31, by = 1}]", "waivers.1.by", "key", ""),
    ("waivers = [3]", "waivers.1", "must be a table", ""),
    ("waivers = 3", "waivers", "must be a list", ""),
    ("disjoint = ['row']", "disjoint", "'row', which is not in [data]", ""),
    ("disjoint = ['rows']", "disjoint", "the dataset itself", ""),
    ("columns.x.minimun = 1", "columns.x.minimun", "unknown key", "did you mean 'minimum'?"),
    ("columns.x = {minimum = 2, maximum = 1}", "columns.x", "the minimum 2 above the maximum 1", ""),
    ("columns.x.pattern = '['", "columns.x", "no regular expression", ""),
]  # fmt: skip


@pytest.mark.parametrize(("line", "place", "message", "hint"), FAULTS, ids=[fault[1] for fault in FAULTS])
def test_fault_of_the_checks_names_its_place(line: str, place: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidError) as caught:
        decode_project(f"{PROJECT}\n[data.rows.checks]\n{line}\n")

    (fault,) = caught.value.faults
    assert fault.field == f"data.rows.checks.{place}"
    assert message in fault.message
    assert hint in fault.hint


EXPECTED: dict[str, tuple[str, ExpectationTable, str]] = {
    "kind": ("carrier", ExpectationTable(kind="number"), "is expected to hold number and holds text: "),
    "whole numbers": ("distance_miles", ExpectationTable(kind="integer"), "is expected to hold integer"),
    "minimum": ("temperature_f", ExpectationTable(minimum=32), "below the 32 expected"),
    "maximum": ("distance_miles", ExpectationTable(maximum=4_000), "has values up to 4,983, above the 4,000"),
    "categories": ("origin", ExpectationTable(categories=("JFK", "LGA")), "values that are not allowed: 'EWR'"),
    "many categories": ("destination", ExpectationTable(categories=("ATL",)), "values that are not allowed in 9"),
    "numbers as categories": (
        "visibility_miles",
        ExpectationTable(categories=(10, "9")),
        "values that are not allowed",
    ),
    "missing share": ("pressure_hpa", ExpectationTable(missing_share=0.05), "more than the 5.0% expected"),
    "unique": ("departure_minute", ExpectationTable(unique=True), "is expected to be unique and repeats"),
    "pattern": ("carrier", ExpectationTable(pattern="[A-Z]{2}"), "values of another shape in"),
    "a column": ("weight", ExpectationTable(minimum=0), "is expected and is not there"),
}
KEPT = {
    "distance_miles": ExpectationTable(kind="number", minimum=0, maximum=5_000),
    "origin": ExpectationTable(kind="text", categories=("EWR", "JFK", "LGA"), missing_share=0),
    "carrier": ExpectationTable(pattern="[A-Z0-9]{2}"),
    "destination": ExpectationTable(pattern="[A-Z]+", missing_share=0.1),
    "late": ExpectationTable(kind="boolean", categories=("false", "true")),
    "scheduled": ExpectationTable(kind="timestamp"),
    "pressure_hpa": ExpectationTable(missing_share=0.2),
    "id": ExpectationTable(unique=True, kind="integer"),
}


@pytest.mark.parametrize(("column", "wanted", "words"), EXPECTED.values(), ids=EXPECTED)
def test_expectation_that_is_not_kept_is_named(
    column: str, wanted: ExpectationTable, words: str, tmp_path: Path
) -> None:
    flights = draw_flights()[0]
    flights.write_parquet(tmp_path / "rows.parquet")
    profile, rows = profile_frame(flights), Rows(tmp_path / "rows.parquet")

    (found,) = check_columns(profile, {column: wanted}) + check_rows(rows, profile, {column: wanted})

    assert (found.column, found.rule, found.severity) == (column, "expectation", "block")
    assert repr(column) in found.message
    assert words in found.message


def test_expectations_that_are_kept_say_nothing_and_read_few_rows(tmp_path: Path) -> None:
    flights = draw_flights()[0].with_row_index("id")
    flights.write_parquet(tmp_path / "rows.parquet")
    profile = profile_frame(flights)

    assert check_columns(profile, KEPT) == []
    assert list_open(profile, KEPT) == ["carrier", "destination"]
    assert check_rows(Rows(tmp_path / "rows.parquet"), profile, KEPT) == []


def test_pattern_that_only_python_knows_is_refused_with_the_key(tmp_path: Path) -> None:
    load_penguins().write_parquet(tmp_path / "rows.parquet")
    rows, profile = Rows(tmp_path / "rows.parquet"), profile_frame(load_penguins())

    with pytest.raises(InvalidError, match="pattern cannot be used") as caught:
        check_rows(rows, profile, {"species": ExpectationTable(pattern="(?=A).*")})

    assert caught.value.field == "columns.species.pattern"


def open_project(root: Path, checks: str, now: datetime = datetime(2026, 3, 1, tzinfo=UTC)) -> Workspace:
    root.mkdir(exist_ok=True)
    text = f'{PROJECT}\n[data.holdout]\npath = "data/holdout.csv"\n\n[models.kind]\ntarget = "species"\n\n{checks}'
    (root / "petla.toml").write_text(text)
    return Workspace(root, decode_project(text), Settings(actor="ada"), clock=lambda: now)


def put(ws: Workspace, frame: pl.DataFrame, name: str = "rows") -> tuple[DataFinding, ...]:
    path = ws.root / "data" / f"{name}.csv"
    path.parent.mkdir(exist_ok=True)
    frame.write_csv(path)
    return add(ws, path).findings


def test_first_version_is_checked_for_what_is_declared(tmp_path: Path) -> None:
    checks = '[data.rows.checks]\nkey = ["island"]\ndisjoint = ["holdout"]\ncolumns.body_mass_g.maximum = 5'
    ws = open_project(tmp_path, checks)
    penguins = load_penguins().with_columns(latin=pl.col("species") + " sp.")

    added = put(ws, penguins)
    put(ws, penguins.head(120), "holdout")

    assert [(f.column, f.rule, f.severity) for f in added] == [("body_mass_g", "expectation", "block")]
    found = {(f.column, f.rule, f.severity) for f in check(ws, "rows")}
    assert found == {
        ("body_mass_g", "expectation", "block"),
        ("latin", "leakage", "warn"),
        ("island", "key", "block"),
        ("", "overlap", "block"),
    }


def test_leak_that_is_new_blocks_and_one_that_was_there_does_not(tmp_path: Path) -> None:
    ws = open_project(tmp_path, "")
    penguins = load_penguins()
    put(ws, penguins)
    put(ws, penguins.with_columns(island=pl.col("species").str.to_uppercase()))
    found = {(f.column, f.rule): f for f in check(ws, "rows")}
    put(ws, penguins.reverse().with_columns(island=pl.col("species").str.to_uppercase()))

    assert found["island", "leakage"].is_blocking
    assert check(ws, "rows") == ()


def test_holdout_that_has_no_version_is_said(tmp_path: Path) -> None:
    ws = open_project(tmp_path, '[data.rows.checks]\ndisjoint = ["holdout"]')
    put(ws, load_penguins())

    (found,) = check(ws, "rows")

    assert (found.rule, found.severity) == ("overlap", "warn")
    assert "was not checked: dataset holdout has no pointer" in found.message


def test_waiver_of_the_project_file_counts_by_the_clock_of_the_workspace(tmp_path: Path) -> None:
    waiver = (
        "[[data.rows.checks.waivers]]\nrule = 'constant'\nowner = 'ann'\nreason = 'one island'\nexpires = 2026-03-01\n"
    )
    ws = open_project(tmp_path, waiver)
    put(ws, load_penguins())
    put(ws, load_penguins().with_columns(island=pl.lit("Dream")))
    later = Workspace(ws.root, ws.project, Settings(actor="ada"), clock=lambda: datetime(2026, 3, 2, tzinfo=UTC))

    assert [f.is_blocking for f in check(ws, "rows")] == [False]
    assert [(f.rule, f.is_blocking) for f in check(later, "rows")] == [("constant", True), ("waiver_expired", False)]
