"""Tables from files and folders."""

import json
from pathlib import Path

import polars as pl
import pytest

from petla.core.errors import InvalidError, NotFoundError
from petla.data.reading.tables import convert_table, is_table, read_frame, reading


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
    (tmp_path / "x.csv").write_bytes(bytes(range(256)) * 8)
    (tmp_path / "open.csv").write_text('a,b\n1,"two\n')
    (tmp_path / "none.csv").write_bytes(b"")

    with pytest.raises(NotFoundError, match=r"lost\.csv"):
        read_frame(tmp_path / "lost.csv")
    with pytest.raises(InvalidError, match=r"x\.parquet cannot be read"):
        read_frame(tmp_path / "x.parquet")
    for name in ("open.csv",):
        with pytest.raises(InvalidError, match=f"line 2 of .*{name} opens a quotation mark that is never closed"):
            read_frame(tmp_path / name)


def test_table_is_converted_to_the_format_of_the_name(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, None], "b": ["x", "y"]})
    frame.write_parquet(tmp_path / "x.parquet")

    convert_table(tmp_path / "x.parquet", tmp_path / "x.csv")
    convert_table(tmp_path / "x.csv", tmp_path / "y.parquet")

    assert read_frame(tmp_path / "x.csv").equals(frame)
    assert read_frame(tmp_path / "y.parquet").equals(frame)


class TestCsvAsItComes:
    """Encoding, separator and quotes are found out."""

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1250", "iso-8859-2"])
    def test_encoding(self, tmp_path: Path, encoding: str) -> None:
        words = ["Łódź", "Kraków", "Gdańsk", "żółć", "Świętochłowice", "Częstochowa"]
        rows = [f"{i},{words[i % 6]},Zażółć gęślą jaźń i pójdź" for i in range(200)]
        mark = "\ufeff" if encoding == "utf-16-be" else ""
        (tmp_path / "t.csv").write_bytes((mark + "\n".join(["n,miasto,zdanie", *rows, ""])).encode(encoding))

        frame = read_frame(tmp_path / "t.csv")

        assert frame.columns == ["n", "miasto", "zdanie"]
        assert frame["miasto"].to_list()[:6] == words
        assert frame["n"].to_list() == list(range(200))

    @pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
    @pytest.mark.parametrize("quote", ['"', "'"])
    def test_separator_and_quotes(self, tmp_path: Path, separator: str, quote: str) -> None:
        rows = [["n", "text"]] + [[str(i), f"a{separator}b, c; {i}"] for i in range(20)]
        lines = [separator.join(f"{quote}{cell}{quote}" for cell in row) for row in rows]
        (tmp_path / "t.csv").write_text("\n".join(lines))

        frame = read_frame(tmp_path / "t.csv")

        assert frame.columns == ["n", "text"]
        assert frame["text"][0] == f"a{separator}b, c; 0"

    def test_column_that_begins_empty_has_the_kind_of_its_values(self, tmp_path: Path) -> None:
        rows = ["1,"] * 12_000 + ["2,7"]
        (tmp_path / "t.csv").write_text("\n".join(["a,late", *rows, ""]))

        frame = read_frame(tmp_path / "t.csv")

        assert frame["late"].dtype.is_integer()
        assert frame["late"][-1] == 7


@pytest.mark.parametrize(("name", "write"), [("t.jsonl", "write_ndjson"), ("t.arrow", "write_ipc")])
def test_other_formats(tmp_path: Path, name: str, write: str) -> None:
    frame = pl.DataFrame({"n": [1, 2], "town": ["Łódź", None]})
    getattr(frame, write)(tmp_path / name)

    assert read_frame(tmp_path / name).equals(frame)


def test_cut_off_csv_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,c\n1,2,3\n4,5")
    with reading(tmp_path / "t.csv") as part:
        assert "2 of 3 fields" in part.find_flaw()
    (tmp_path / "t.csv").write_text("a,b,c\n1,2,3\n4,5,6")
    with reading(tmp_path / "t.csv") as part:
        assert part.find_flaw() == ""


def test_lines_are_read_block_by_block_and_go_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("petla.data.reading.lines._BLOCK_BYTES", 64)
    path = tmp_path / "rows.jsonl"
    rows = [{"n": number, "word": "x" * number} for number in range(20)] + [{"n": 0.5, "late": True}]
    path.write_text("\n".join(json.dumps(row) for row in rows))

    with reading(path) as part:
        assert dict(part.schema()) == {"n": pl.Float64(), "word": pl.String(), "late": pl.Boolean()}
        frame = pl.concat(part.batches())

    assert frame.height == 21
    assert frame["n"].to_list() == [*map(float, range(20)), 0.5]
    assert frame["late"].to_list() == [None] * 20 + [True]
    assert frame["word"][19] == "x" * 19
