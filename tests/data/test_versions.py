"""Adding, listing, checking out and comparing versions."""

from pathlib import Path

import polars as pl
import pytest

from petla.core.errors import ConflictError, InvalidError, NotFoundError
from petla.core.project import decode_project
from petla.data.checkouts import checkout
from petla.data.content.manifest import read_manifest
from petla.data.current import current_digest
from petla.data.pointers import find_pointer
from petla.data.reading.tables import read_frame
from petla.data.statuses import list_statuses
from petla.data.versions import (
    add,
    add_content,
    check,
    diff,
    get_version,
    list_versions,
    load_profile,
    materialize,
    pointer_bytes,
)
from petla.storage.workspace import Workspace
from tests.data.projects import CSV, make_project, write_folder, write_rows


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return make_project(tmp_path / "project")


def _state(ws: Workspace) -> list[tuple[str, int | None]]:
    return [(status.state, status.version) for status in list_statuses(ws)]


def test_add_makes_version_pointer_and_audit_entry(ws: Workspace) -> None:
    path = write_rows(ws)

    report = add(ws, path)

    version = report.version
    assert (version.version, version.rows, version.files, version.size_bytes) == (1, 3, 1, len(CSV))
    assert (report.is_new, report.registered, version.source, version.created_by) == (True, False, "person", "ada")
    pointer = find_pointer(path.with_name("rows.csv.dvc"))
    assert pointer is not None
    assert (pointer.digest, pointer.md5) == (version.digest, version.md5)
    assert (ws.root / "data" / ".gitignore").read_text() == "/rows.csv\n"
    assert [(e.action, e.subject, e.actor) for e in ws.ledger.list_entries()] == [("dataset.added", "rows:1", "ada")]


def test_add_of_same_content_makes_no_version(ws: Workspace) -> None:
    path = write_rows(ws)
    first = add(ws, path)

    again = add(ws, path)

    assert (again.version, again.is_new) == (first.version, False)
    assert len(ws.ledger.list_entries()) == 1


def test_add_of_former_content_points_back_to_its_version(ws: Workspace) -> None:
    path = write_rows(ws)
    add(ws, path)
    add(ws, write_rows(ws, CSV + "4,UA\n"))

    report = add(ws, write_rows(ws))

    assert (report.version.version, report.is_new) == (1, False)
    assert _state(ws) == [("clean", 1)]


def test_add_of_unknown_path_registers_it_in_project_file(ws: Workspace) -> None:
    folder = write_folder(ws)

    report = add(ws, folder)

    assert (report.registered, report.version.dataset, report.version.rows) == (True, "parts", 4)
    assert ws.project.data["parts"].path == "data/parts"
    assert decode_project((ws.root / "petla.toml").read_text()) == ws.project
    assert _state(ws)[1] == ("clean", 1)


def test_add_takes_name_and_refuses_one_that_is_taken(ws: Workspace) -> None:
    write_rows(ws)
    folder = write_folder(ws)

    with pytest.raises(InvalidError, match=r"'rows' is data/rows\.csv already"):
        add(ws, folder, name="rows")
    with pytest.raises(InvalidError, match="dataset 'rows' already"):
        add(ws, ws.root / "data" / "rows.csv", name="other")
    with pytest.raises(InvalidError, match="is no name"):
        add(ws, folder, name="My-Parts")
    assert not (ws.root / "data" / "parts.dvc").exists()
    assert ws.ledger.list_entries() == []

    assert add(ws, folder, name="pieces").version.dataset == "pieces"


def test_add_registers_in_a_project_file_that_begins_with_a_mark(ws: Workspace) -> None:
    file = ws.root / "petla.toml"
    file.write_text(file.read_text(encoding="utf-8"), encoding="utf-8-sig")

    assert add(ws, write_folder(ws)).registered


def test_add_takes_files_that_are_no_tables(ws: Workspace) -> None:
    (ws.root / "notes").mkdir()
    (ws.root / "notes" / "read me.txt").write_text("hello")

    version = add(ws, ws.root / "notes").version

    assert (version.rows, version.profile, load_profile(ws, version)) == (None, None, None)


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "is empty"), ("a,b\n1,2\n3,4,5,6\n", "line 3 of .* has 4 fields")],
)
def test_add_of_broken_table_is_refused_and_leaves_no_version(ws: Workspace, content: str, said: str) -> None:
    path = write_rows(ws, content)

    with pytest.raises(InvalidError, match=said):
        add(ws, path)

    assert list_versions(ws, "rows") == []
    assert not path.with_name("rows.csv.dvc").exists()


def test_add_names_what_is_not_there_or_outside(ws: Workspace, tmp_path: Path) -> None:
    (tmp_path / "outside.csv").write_text(CSV)
    (ws.root / "empty").mkdir()
    (ws.root / "linked").mkdir()
    (ws.root / "linked" / "away").symlink_to(tmp_path)

    with pytest.raises(NotFoundError, match=r"no lost\.csv"):
        add(ws, Path("lost.csv"))
    with pytest.raises(InvalidError, match="outside the project"):
        add(ws, tmp_path / "outside.csv")
    with pytest.raises(NotFoundError, match="holds no file"):
        add(ws, ws.root / "empty")
    with pytest.raises(InvalidError, match=r"linked/away is neither a file nor a folder"):
        add(ws, ws.root / "linked")


def test_add_reports_what_stands_out_against_version_before(ws: Workspace) -> None:
    rows = "".join(f"{hour % 24},{'AA' if hour % 3 else 'UA'}\n" for hour in range(500))
    add(ws, write_rows(ws, "hour,carrier\n" + rows))

    report = add(ws, write_rows(ws, "hour,carrier\n" + rows.replace("UA", "A").replace("AA", "B")))

    assert [(f.column, f.rule, f.severity) for f in report.findings] == [("carrier", "recoded", "block")]
    assert check(ws, "rows") == report.findings
    assert add(ws, ws.root / "data" / "rows.csv").findings == ()


def test_checkout_brings_back_version_and_pointer(ws: Workspace) -> None:
    path = write_rows(ws)
    add(ws, path)
    add(ws, write_rows(ws, "hour\n9\n"))

    version = checkout(ws, "rows", 1)

    assert (version.version, path.read_text()) == (1, CSV)
    assert _state(ws) == [("clean", 1)]


def test_checkout_without_number_follows_pointer(ws: Workspace) -> None:
    path = write_rows(ws)
    add(ws, path)
    path.unlink()
    assert _state(ws) == [("missing", 1)]

    assert checkout(ws, "rows").version == 1

    assert path.read_text() == CSV


def test_checkout_of_folder_removes_what_the_version_lacks(ws: Workspace) -> None:
    folder = write_folder(ws)
    first = add(ws, folder).version
    (folder / "extra.parquet").write_bytes((folder / "deep" / "0.parquet").read_bytes())
    assert [status.state for status in list_statuses(ws)] == ["missing", "changed"]
    add(ws, folder)

    checkout(ws, "parts", 1)

    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.parquet")) == [
        "deep/0.parquet",
        "deep/1.parquet",
    ]
    assert current_digest(ws.root, ws.state, ws.project.data["parts"], "parts") == first.digest


def test_checkout_does_not_lose_what_is_no_version_yet(ws: Workspace) -> None:
    path = write_rows(ws)
    add(ws, path)
    path.write_text("hour\n7\n")

    with pytest.raises(ConflictError, match="would lose it"):
        checkout(ws, "rows", 1)

    assert path.read_text() == "hour\n7\n"


def test_checkout_names_missing_version_and_missing_pointer(ws: Workspace) -> None:
    write_rows(ws)

    with pytest.raises(NotFoundError, match="has no pointer"):
        checkout(ws, "rows")
    with pytest.raises(NotFoundError, match="no version 7"):
        checkout(ws, "rows", 7)
    with pytest.raises(NotFoundError, match="'rwos'"):
        checkout(ws, "rwos", 1)


def test_versions_are_listed_newest_first_and_found(ws: Workspace) -> None:
    for number in range(3):
        add(ws, write_rows(ws, CSV + f"{number},UA\n"))

    assert [version.version for version in list_versions(ws, "rows", limit=2)] == [3, 2]
    assert get_version(ws, "rows").version == 3
    assert get_version(ws, "rows", digest=get_version(ws, "rows", version=2).digest).version == 2
    with pytest.raises(NotFoundError):
        get_version(ws, "rows", digest="0" * 64)


def test_diff_shows_files_rows_columns_and_statistics(ws: Workspace) -> None:
    add(ws, write_rows(ws))
    add(ws, write_rows(ws, "hour,airport\n1,JFK\n20,LGA\n3,JFK\n,JFK\n"))

    found = diff(ws, "rows", 1, 2)

    assert (found.rows_before, found.rows_after, found.changed) == (3, 4, ("",))
    told = {(c.column, c.what): (c.before, c.after) for c in found.columns}
    assert told["carrier", "removed"] == ("category", "")
    assert told["airport", "added"] == ("", "category")
    assert told["hour", "range"] == ("1 to 3", "1 to 20")
    assert told["hour", "missing"] == ("0.0% (0 of 3)", "25.0% (1 of 4)")
    assert "rows: 3 -> 4" in found.describe()


def test_diff_of_folders_names_files(ws: Workspace) -> None:
    folder = write_folder(ws)
    add(ws, folder)
    (folder / "deep" / "0.parquet").unlink()
    (folder / "two.parquet").write_bytes((folder / "deep" / "1.parquet").read_bytes())
    add(ws, folder)

    found = diff(ws, "parts", 1, 2)

    assert (found.added, found.removed, found.changed) == (("two.parquet",), ("deep/0.parquet",), ())


def test_add_content_leaves_working_copy_and_pointer(ws: Workspace, tmp_path: Path) -> None:
    path = write_rows(ws)
    add(ws, path)
    pointer = path.with_name("rows.csv.dvc").read_bytes()
    (tmp_path / "fresh.csv").write_text("hour,carrier\n5,DL\n")

    version = add_content(ws, "rows", tmp_path / "fresh.csv", actor="controller", origin="retraining:7")

    assert (version.version, version.source, version.created_by) == (2, "retraining:7", "controller")
    assert (path.read_text(), path.with_name("rows.csv.dvc").read_bytes()) == (CSV, pointer)
    assert _state(ws) == [("clean", 1)]
    assert materialize(ws, version.digest, tmp_path / "out.csv").read_text() == "hour,carrier\n5,DL\n"


def test_add_content_is_written_in_the_format_of_the_dataset(ws: Workspace, tmp_path: Path) -> None:
    add(ws, write_rows(ws))
    add(ws, write_folder(ws))
    pl.DataFrame({"hour": [5], "carrier": ["DL"]}).write_parquet(tmp_path / "fresh.parquet")

    as_csv = add_content(ws, "rows", tmp_path / "fresh.parquet", actor="controller", origin="decisions")
    as_folder = add_content(ws, "parts", tmp_path / "fresh.parquet", actor="controller", origin="decisions")

    assert materialize(ws, as_csv.digest, tmp_path / "out.csv").read_text() == "hour,carrier\n5,DL\n"
    assert [f.path for f in read_manifest(ws.objects, as_folder.digest).files] == ["fresh.parquet"]
    assert read_frame(materialize(ws, as_folder.digest, tmp_path / "folder")).rows() == [(5, "DL")]


def test_missing_column_of_exported_content_is_a_warning(ws: Workspace, tmp_path: Path) -> None:
    add(ws, write_rows(ws))
    (tmp_path / "fresh.csv").write_text("hour\n1\n2\n3\n")
    add_content(ws, "rows", tmp_path / "fresh.csv", actor="controller", origin="decisions")
    checkout(ws, "rows", 2)

    assert [(f.column, f.rule, f.severity) for f in check(ws, "rows")] == [("carrier", "missing_column", "warn")]


def test_pointer_bytes_are_those_that_adding_writes(ws: Workspace) -> None:
    version = add(ws, write_rows(ws)).version

    where, content = pointer_bytes(ws, version)

    assert where == "data/rows.csv.dvc"
    assert (ws.root / where).read_bytes() == content


def test_same_content_has_same_digest_in_another_project(ws: Workspace, tmp_path: Path) -> None:
    other = make_project(tmp_path / "other", '[project]\nname = "other"\n')
    (other.root / "elsewhere.csv").write_text(CSV)

    assert add(ws, write_rows(ws)).version.digest == add(other, other.root / "elsewhere.csv").version.digest
