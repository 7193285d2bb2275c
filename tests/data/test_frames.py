"""Tables from files and folders."""

from pathlib import Path

import polars as pl
import pytest

from petla.core.errors import InvalidError, NotFoundError
from petla.data.frames import convert_table, is_table, read_frame


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_csv_is_read_with_its_kinds(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "x.csv"
    lines = ["n,x,word,day,flag", "1,1.5,a,2013-01-01,true", "NA,,N/A,2013-01-02,false"]
    path.write_text("\n".join(lines).replace(",", separator))

    frame = read_frame(path)

    assert frame.dtypes == [pl.Int64, pl.Float64, pl.String, pl.Date, pl.Boolean]
    assert frame.row(1)[:3] == (None, None, None)


def test_kind_comes_from_all_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("n\n" + "1\n" * 20_000 + "x\n")

    assert read_frame(path).dtypes == [pl.String]


def test_folder_is_one_table(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1], "b": ["x"]}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame({"b": ["y"], "a": [2.5]}).write_parquet(tmp_path / "2.parquet")
    (tmp_path / "_SUCCESS").write_text("")
    (tmp_path / ".hidden").write_text("")

    assert is_table(tmp_path)
    assert read_frame(tmp_path).rows() == [(1.0, "x"), (2.5, "y")]


def test_files_of_a_folder_that_do_not_fit_are_named(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a\n1\n")
    (tmp_path / "2.csv").write_text("b\n1\n")
    with pytest.raises(InvalidError, match=r"2\.csv and .*1\.csv do not have the same columns.* a, b"):
        read_frame(tmp_path)

    (tmp_path / "2.csv").write_text("a\n2013-01-01\n")
    with pytest.raises(InvalidError, match=r"column 'a' is number in .*1\.csv and Date in .*2\.csv"):
        read_frame(tmp_path)


@pytest.mark.parametrize("name", ["x.txt", "x.json", "x"])
def test_other_files_are_no_tables(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a\n1\n")

    assert not is_table(tmp_path / name)
    assert not is_table(tmp_path)
    with pytest.raises(InvalidError, match="is no table"):
        read_frame(tmp_path / name)


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 nothing")
    (tmp_path / "x.csv").write_bytes("a\nzażółć\n".encode("utf-16"))
    (tmp_path / "head.csv").write_bytes("zażółć\n1\n".encode("iso-8859-2"))

    with pytest.raises(NotFoundError, match=r"lost\.csv"):
        read_frame(tmp_path / "lost.csv")
    with pytest.raises(InvalidError, match=r"x\.parquet cannot be read"):
        read_frame(tmp_path / "x.parquet")
    for name in ("x.csv", "head.csv"):
        with pytest.raises(InvalidError, match=f"{name} cannot be read"):
            read_frame(tmp_path / name)


def test_table_is_converted_to_the_format_of_the_name(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, None], "b": ["x", "y"]})
    frame.write_parquet(tmp_path / "x.parquet")

    convert_table(tmp_path / "x.parquet", tmp_path / "x.csv")
    convert_table(tmp_path / "x.csv", tmp_path / "y.parquet")

    assert read_frame(tmp_path / "x.csv").equals(frame)
    assert read_frame(tmp_path / "y.parquet").equals(frame)
