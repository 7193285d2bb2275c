"""Choosing decisions, exporting any span of them, and the log in figures."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from petla.core.errors import InvalidError, NotFoundError
from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.decisions import records
from petla.decisions.log import Page, list_decisions, list_page
from petla.decisions.record import LoggedDecision, Place
from petla.decisions.shipper import ship
from petla.decisions.spans.files import FIELDS, export_span
from petla.decisions.spans.wanted import decode_wanted
from petla.decisions.spool import DECISIONS, SPOOL_FOLDER
from petla.decisions.summary import summarise
from petla.storage.workspace import Workspace
from tests.decisions.logged import make_decision, make_feedback, oldest_segment, spool
from tests.deployments.tiny import PROJECT, add_version

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "decision-log.md"


@pytest.fixture
def shop(tmp_path: Path, database_address: str) -> Iterator[Workspace]:
    """Six decisions a second apart, odd ones in the canary, two flagged, one labelled, two subjects."""
    ws = Workspace(tmp_path, decode_project(PROJECT), Settings(actor="ada", database=database_address))
    add_version(ws)
    made = [
        msgspec.structs.replace(
            make_decision(i),
            arm="canary" if i % 2 else "champion",
            flags=("unseen",) if i in (1, 4) else (),
            subject=f"card {i // 3}",
            explanation=(0.5, -0.25, 0.0) if i == 1 else (),
        )
        for i in range(6)
    ]
    spool(ws, made[:3], made[3:], [make_feedback(2)])
    ship(ws)
    yield ws
    ws.engine.dispose()


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({}, [5, 4, 3, 2, 1, 0]),
        ({"model": "fraud:1", "arm": "canary"}, [5, 3, 1]),
        ({"model": "fraud:2"}, []),
        ({"flag": "unseen"}, [4, 1]),
        ({"flag": "uns_en"}, []),
        ({"served_by": "champion", "until": "2026-01-01T12:00:02Z"}, [1, 0]),
        ({"served_by": "standby"}, []),
        ({"subject": "card 1"}, [5, 4, 3]),
        ({"labelled": "yes"}, [2]),
        ({"labelled": "no", "version": "1", "arm": "champion"}, [4, 0]),
        ({"since": "2026-01-01T12:00:02Z", "until": "2026-01-01T13:00:04+01:00"}, [3, 2]),
    ],
)
def test_decisions_are_chosen_by_what_is_wanted(shop: Workspace, wanted: dict[str, str], numbers: list[int]) -> None:
    found = list_decisions(shop, decode_wanted(wanted))

    assert [decision.id for decision in found] == [f"id-{number}" for number in numbers]


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("arms", "x", "did you mean 'arm'?"),
        ("version", "three", "whole number"),
        ("labelled", "maybe", "labelled=yes"),
        ("since", "yesterday", "2026-03-01"),
        ("since", "0001-01-01T00:00+05:00", "2026-03-01"),
        ("model", "fraud:", "MODEL:VERSION"),
        ("version", "9999999999", "whole number"),
        ("subject", "a\0b", "leave it out"),
        ("older_than", "17", "'at' and 'seq'"),
    ],
)
def test_what_is_not_clear_is_named_with_what_to_write(name: str, value: str, hint: str) -> None:
    with pytest.raises(InvalidError) as caught:
        decode_wanted({name: value, "arm": "canary"})

    (fault,) = caught.value.faults
    assert fault.field == name
    assert hint in fault.hint


def test_pages_stay_as_they_are_while_decisions_come(shop: Workspace) -> None:
    def turn(name: str, of: LoggedDecision) -> Page:
        return list_page(shop, decode_wanted({"model": "fraud", name: str(Place(of.at, of.seq))}), limit=4)

    first = list_page(shop, limit=4)
    spool(shop, [make_decision(i) for i in (6, 7, 8, 9, 10)], [msgspec.structs.replace(make_decision(3), id="late")])
    ship(shop)
    second = turn("older_than", first.decisions[-1])
    newer = turn("newer_than", first.decisions[0])
    newest = turn("newer_than", newer.decisions[0])
    back = turn("newer_than", second.decisions[0])

    assert [(ids_of(page), page.has_newer, page.has_older) for page in (first, second, newer, newest, back)] == [
        (["id-5", "id-4", "id-3", "id-2"], False, True),
        (["id-1", "id-0"], True, False),
        (["id-9", "id-8", "id-7", "id-6"], True, True),
        (["id-10"], False, True),
        # the same moment as id-3, and stored behind it
        (["id-4", "late", "id-3", "id-2"], True, True),
    ]


def ids_of(page: Page) -> list[str]:
    return [decision.id for decision in page.decisions]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_span_is_exported_page_by_page_oldest_first(
    shop: Workspace, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "PAGE_ROWS", 2)
    target = tmp_path / "out" / f"span{suffix}"
    target.parent.mkdir()

    n_rows = export_span(shop, decode_wanted({"since": "2026-01-01T12:00:01Z"}), target)

    read: dict[str, Any] = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson}
    frame = read[suffix](target)
    assert n_rows == 5
    assert frame.columns == list(FIELDS)
    assert frame["id"].to_list() == [f"id-{number}" for number in range(1, 6)]
    assert frame["schema"].unique().to_list() == [1]
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    objects = [frame[name][0] for name in ("inputs", "explanation")]
    assert (objects if suffix == ".jsonl" else list(map(msgspec.json.decode, objects))) == [
        {"amount": 1.5, "items": None, "country": "pl"},
        {"amount": 0.5, "items": -0.25, "country": 0.0},
    ]


def test_export_that_fails_leaves_the_file_that_was_there(
    shop: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "span.jsonl"
    target.write_text("before")
    monkeypatch.setattr(records, "_decision_of", None)

    with pytest.raises(TypeError):
        export_span(shop, decode_wanted({}), target)

    assert target.read_text() == "before"
    assert not list(tmp_path.glob(".span*"))


def test_export_names_the_forms_that_it_knows(shop: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"span\.xlsx") as caught:
        export_span(shop, decode_wanted({}), tmp_path / "span.xlsx")

    assert ".parquet or .csv or .jsonl" in caught.value.hint


def test_export_into_a_folder_that_is_not_there_names_it_and_makes_nothing(shop: Workspace, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no folder .*novembr") as caught:
        export_span(shop, decode_wanted({}), tmp_path / "novembr" / "span.jsonl")

    assert f"mkdir -p {tmp_path}/novembr" in caught.value.hint
    assert not (tmp_path / "novembr").exists()


def test_document_names_every_field_in_its_order() -> None:
    table = DOCUMENT.read_text("utf-8").partition("## One decision\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]

    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(FIELDS)


def test_summary_counts_what_is_there_and_what_waits(shop: Workspace) -> None:
    spool(shop, [make_feedback(2), make_feedback(9)])
    ship(shop)
    spool(shop, [make_decision(7)], worker="1")
    spool(shop, [make_decision(8)], [make_decision(9)], worker="2")
    damaged = oldest_segment(shop.state / SPOOL_FOLDER / "2", DECISIONS)
    damaged.write_bytes(b"?" * 64)

    before = summarise(shop)
    ship(shop)
    after = summarise(shop)

    assert (before.decisions, before.feedback) == (6, {"first": 1, "repeated": 1, "waiting": 1})
    assert before.oldest_waiting.startswith("2026-01-01T12:00:09")
    assert [(each.worker, each.stream) for each in before.backlog] == [("1", "decisions"), ("2", "decisions")]
    assert after.backlog == ()
    assert [Path(path).name for path in after.damaged] == [damaged.name]
