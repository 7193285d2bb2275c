"""CSV and JSON lines as people have them: read right, or refused with the line and the reason."""

import csv
import io
import json
from datetime import date
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from petla.core.errors import InvalidError
from petla.core.project import DateOrder, FormatTable
from petla.data.reading.tables import list_schemas, look, read_frame


def write(folder: Path, text: str, name: str = "t.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("sep=;\na;b\n1;2\n", ["a", "b"], [(1, 2)]),
        ("a,b\r1,2\r3,4\r", ["a", "b"], [(1, 2), (3, 4)]),
        ("a,b\n\n1,2\n\n3,4\n\n\n", ["a", "b"], [(1, 2), (3, 4)]),
        ("# made by x\na,b\n1,2\n# later\n3,4\n", ["a", "b"], [(1, 2), (3, 4)]),
        ("Report\nmade today\n\nday,n,m\n2026-01-02,2,3\n", ["day", "n", "m"], [(date(2026, 1, 2), 2, 3)]),
        ("a,b\n1,2,\n3,4,\n", ["a", "b"], [(1, 2), (3, 4)]),
        ("a,b,\n1,2,\n3,4,\n", ["a", "b"], [(1, 2), (3, 4)]),
        ('a,b\n1,5" pipe\n2,1,\n3,6"\n', ["a", "b"], [(1, '5" pipe'), (2, "1"), (3, '6"')]),
        ('a,b\n1,"two\n\nlines"\n', ["a", "b"], [(1, "two\n\nlines")]),
        ('a,b\n"say \\"hi\\" now",2\n', ["a", "b"], [('say "hi" now', 2)]),
        ("id;price\n1;1,50\n2;1.234,50\n", ["id", "price"], [(1, 1.5), (2, 1234.5)]),
        ('id,price\n1,"1,234.50"\n2,"12.5"\n', ["id", "price"], [(1, 1234.5), (2, 12.5)]),
        ("1,5;2,5\n3,5;4,5\n", ["column_0", "column_1"], [(1.5, 2.5), (3.5, 4.5)]),
        ("town,2019,2020\nA,5,6\n", ["town", "2019", "2020"], [("A", 5, 6)]),
        ("0,1,2,target\n5.5,6.5,7.5,x\n", ["0", "1", "2", "target"], [(5.5, 6.5, 7.5, "x")]),
        ("\ufeffa,b\n1,2\n", ["a", "b"], [(1, 2)]),
        ("a,b\n", ["a", "b"], []),
        ("a,*,^x$\n1,2,3\n", ["a", "*", "^x$"], [(1, 2, 3)]),
    ],
)
def test_dialect_is_found_out(tmp_path: Path, text: str, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    frame = read_frame(write(tmp_path, text))

    assert frame.columns == columns
    assert frame.rows() == rows


def test_header_is_missed_only_where_the_first_line_is_a_row(tmp_path: Path) -> None:
    rows = "".join(f"{i},{i * 2},{i / 3:.2f}\n" for i in range(300))

    assert read_frame(write(tmp_path, rows)).shape == (300, 3)
    assert read_frame(write(tmp_path, "a,b,c\n" + rows, "h.csv")).columns == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["True", "FALSE", "true"], pl.Boolean()),
        (["1", "-2"], pl.Int64()),
        (["12345678901234567890", "1"], pl.UInt64()),
        (["12345678901234567890", "-1"], pl.Int128()),
        (["9" * 60], pl.String()),
        (["12345678901234567890", "0.5"], pl.String()),
        (["1", "0.5", "1e-05", "-inf"], pl.Float64()),
        (["10000", "00123"], pl.String()),
        (["0", "0.5", "-0"], pl.Float64()),
        (["299e97", "123456"], pl.String()),
        (["0.5", "1e16"], pl.Float64()),
        (["+48600700800", "+48600700801"], pl.String()),
        (["+5", "-3"], pl.Int64()),
        ([" 5", "6 "], pl.Int64()),
        (["2026-01-02", "NA"], pl.Date()),
        (["2026-01-02T03:04:05Z"], pl.Datetime("us", "UTC")),
        (["2026-01-02", "yesterday"], pl.String()),
        (["12:00:00", "n.d."], pl.String()),
        (["1", "2026-01-02"], pl.String()),
        (["true", "0.5"], pl.String()),
        (["192.168.100.100"], pl.String()),
        (["12%", "5%"], pl.String()),
    ],
)
@pytest.mark.parametrize("filler", [0, 12_000])
def test_kind_is_that_of_all_values_of_the_column(
    tmp_path: Path, values: list[str], kind: pl.DataType, filler: int
) -> None:
    cells = [values[0]] * filler + values
    path = write(tmp_path, "x;other\n" + "".join(f"{cell};{i}\n" for i, cell in enumerate(cells)))

    frame = read_frame(path)

    assert frame.schema == {"x": kind, "other": pl.Int64()}
    if kind == pl.String():
        assert frame["x"].to_list()[-len(values) :] == values


def test_one_odd_value_changes_no_other_column(tmp_path: Path) -> None:
    rows = "".join(f"{i % 2 == 0},{12345678901234567890 + i},{i}\n" for i in range(20_000))

    frame = read_frame(write(tmp_path, f"member,id,x\n{rows}True,12345678901234567890,0.5\n"))

    assert frame.dtypes == [pl.Boolean(), pl.UInt64(), pl.Float64()]
    assert frame["id"].n_unique() == 20_000


def test_late_letter_decides_the_encoding(tmp_path: Path) -> None:
    text = "id,city\n" + "1,Warszawa\n" * 120_000 + "2,Łódź\n"

    assert read_frame(write(tmp_path, text, encoding="cp1250"))["city"][-1] == "Łódź"


def test_long_fields_and_many_columns_are_read(tmp_path: Path) -> None:
    wide = ",".join(f"c{i}" for i in range(2_000))

    assert read_frame(write(tmp_path, "a,b\n" + "x" * 140_000 + ",1\n"))["a"].str.len_chars()[0] == 140_000
    assert read_frame(write(tmp_path, f"{wide}\n{wide.replace('c', '')}\n", "w.csv")).width == 2_000


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "t.csv",
            "a,b\n1,2\n1,2,3\n",
            r"line 3 of .*t\.csv has 3 fields separated by ',', but the header in line 1 has 2",
        ),
        ("t.csv", 'a,b\n1,2\n1,"two\n3,4\n', "line 3 of .* opens a quotation mark that is never closed"),
        ("t.csv", "a,b\nx,1,2\ny,3,4\nz,5,6\n", "line 2 has 3 fields, but the header in line 1 has 2"),
        ("t.jsonl", '{"a": 1}\n{"a": NaN}\n', r"line 2 of .*t\.jsonl is no JSON: NaN"),
        ("t.jsonl", '{"a": 1}\n\n[1]\n', r"line 3 of .*t\.jsonl is no JSON object"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        read_frame(write(tmp_path, text, name))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_lines_may_begin_with_a_mark(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path, '{"a": 1, "t": "ł"}\n{"a": 2, "t": "x"}\n', "t.jsonl", encoding)

    assert read_frame(path).rows() == [(1, "ł"), (2, "x")]


@pytest.mark.parametrize(
    ("rows", "given_order", "days", "is_open"),
    [
        (["03/01/2026", "25/01/2026"], "", date(2026, 1, 3), False),
        (["03/01/2026", "01/25/2026"], "", date(2026, 3, 1), False),
        (["03/01/2026", "04/02/2026"], "", date(2026, 1, 3), True),
        (["03/01/2026", "04/02/2026"], "mdy", date(2026, 3, 1), True),
        (["03/01/2026", "25/01/2026"], "mdy", date(2026, 1, 3), False),
        (["03.01.2026", "04.02.2026"], "mdy", date(2026, 1, 3), False),
    ],
)
def test_order_of_dates(
    tmp_path: Path, rows: list[str], given_order: DateOrder | Literal[""], days: date, is_open: bool
) -> None:
    path, form = write(tmp_path, "\n".join(["d", *rows, ""])), FormatTable(date_order=given_order)

    assert read_frame(path, form)["d"][0] == days
    assert look(path, form).columns[0].is_order_open is is_open


def test_files_of_a_folder_are_read_in_one_way(tmp_path: Path) -> None:
    write(tmp_path, "d,zip\n03/01/2026,12345\n", "1.csv")
    write(tmp_path, "d,zip\n01/25/2026,01234\n", "2.csv")

    frame = read_frame(tmp_path)

    assert frame.rows() == [(date(2026, 3, 1), "12345"), (date(2026, 1, 25), "01234")]
    assert [dict(schema) for schema in list_schemas(tmp_path).values()] == [dict(frame.schema)] * 2


def test_what_the_project_file_says_is_not_found_out(tmp_path: Path) -> None:
    path = write(tmp_path, "x|y\nnever\nŁ|1,5\n007|2\n", encoding="cp1250")
    form = FormatTable(encoding="cp1250", separator="|", header=False, skip_lines=2, decimal=",", text=("column_0",))

    assert read_frame(path, form).rows() == [("Ł", 1.5), ("007", 2.0)]
    with pytest.raises(InvalidError, match=r"has no column 'lost', which format\.text names"):
        read_frame(path, FormatTable(text=("lost",), encoding="cp1250"))


@pytest.mark.parametrize("name", ["rows[1].csv", "a*b.csv", "what?.csv", "[x].jsonl", "{a}.parquet", "[y].arrow"])
def test_name_of_a_file_is_no_pattern(tmp_path: Path, name: str) -> None:
    frame, other = pl.DataFrame({"a": [1, 2]}), pl.DataFrame({"secret": [7, 8, 9]})
    method = {"csv": "write_csv", "jsonl": "write_ndjson", "parquet": "write_parquet", "arrow": "write_ipc"}
    for place, rows in ((name, frame), (name.replace("[", "").replace("]", "").replace("*", "x"), other)):
        if place != name or rows is frame:
            getattr(rows, method[name.rpartition(".")[2]])(tmp_path / place)

    assert read_frame(tmp_path / name).equals(frame)


Table = tuple[list[str], list[list[str]], list[list[Any]]]

_WORDS = st.text(st.sampled_from("abz ,;|\"'#łéß\n\tNo-.:"), min_size=0, max_size=8)
_CELLS = st.one_of(_WORDS.map(lambda text: f"w{text}w"))
_COLUMNS = st.sampled_from(["integer", "float", "code", "word", "flag", "date", "comma", "id"])


@st.composite
def _tables(draw: st.DrawFn) -> Table:
    """Kinds of columns, rows as texts, and rows as values."""
    kinds = draw(st.lists(_COLUMNS, min_size=2, max_size=5))
    n_rows = draw(st.integers(2, 25))
    texts, values = [], []
    for number in range(n_rows):
        cells = [_draw_cell(draw, kind, is_first=number == 0) for kind in kinds]
        texts.append([text for text, _ in cells])
        values.append([value for _, value in cells])
    return kinds, texts, values


def _draw_cell(draw: st.DrawFn, kind: str, *, is_first: bool) -> tuple[str, Any]:
    number = draw(st.integers(-99_999, 99_999))
    match kind:
        case "integer":
            return str(number), number
        case "float":
            return f"{number / 64!r}", number / 64
        case "code":
            text = f"{abs(number):07d}" if not is_first else "0012"
            return text, text
        case "flag":
            flag = str(number % 2 == 0)
            return draw(st.sampled_from([flag, flag.lower(), flag.upper()])), number % 2 == 0
        case "date":
            day = date.fromordinal(730_000 + abs(number) % 9_000)
            return day.isoformat(), day
        case "comma":
            return f"{abs(number) // 100},{abs(number) % 100:02d}", float(
                f"{abs(number) // 100}.{abs(number) % 100:02d}"
            )
        case "id":
            return str(2**63 + abs(number)), 2**63 + abs(number)
        case _:
            text = draw(_CELLS)
            return text, text


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=_tables(),
    separator=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    before=st.sampled_from(["", "# made by x\n", "sep"]),
    n_blank=st.integers(0, 2),
)
def test_any_dialect_is_read_right(
    tmp_path: Path,
    table: Table,
    separator: str,
    encoding: str,
    ending: str,
    quoting: Literal[0, 1],
    before: str,
    n_blank: int,
) -> None:
    kinds, texts, values = table
    names = [f"name_{kind}_{i}" for i, kind in enumerate(kinds)]
    out = io.StringIO()
    # NOTE: the standard library leaves a line feed unquoted where lines end otherwise
    quoting = csv.QUOTE_ALL if ending == "\r" else quoting
    csv.writer(out, delimiter=separator, quoting=quoting, lineterminator=ending).writerows([names, *texts])
    start = f"sep={separator}{ending}" if before == "sep" else before.replace("\n", ending)
    path = write(tmp_path, start + out.getvalue() + ending * n_blank, encoding=encoding)

    frame = read_frame(path)

    assert frame.columns == names
    assert frame.rows() == [tuple(row) for row in values]


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=_tables(), encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), is_blank=st.booleans())
def test_any_json_lines_are_read_right(tmp_path: Path, table: Table, encoding: str, is_blank: bool) -> None:
    kinds, _, values = table
    names = [f"{kind}_{i}" for i, kind in enumerate(kinds)]
    plain = [[str(cell) if isinstance(cell, date) else cell for cell in row] for row in values]
    lines = [json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in plain]
    path = write(tmp_path, ("\n\n" if is_blank else "\n").join(lines), "t.jsonl", encoding)

    assert read_frame(path).rows() == [tuple(row) for row in plain]
