"""Tables and cells of the command line."""

import logging

import pytest

from petla.cli.output import note, print_table, say, show, show_bytes
from petla.core.events import EventFormatter


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        ("", "-"),
        (True, "yes"),
        (1234567, "1,234,567"),
        (0.123456, "0.1235"),
        (12345.6, "12,346"),
        ("a", "a"),
        ("first\nsecond", "first …"),
    ],
)
def test_show_writes_a_cell(value: object, shown: str) -> None:
    assert show(value) == shown


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_500_000_000_000, "2500.0 GB")]
)
def test_show_bytes_chooses_the_unit(size: int, shown: str) -> None:
    assert show_bytes(size) == shown


def test_table_aligns_numbers_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "rows"), [("a", 5), ("long", 1200)], empty="nothing")

    assert capsys.readouterr().out.splitlines() == ["name   rows", "a         5", "long  1,200"]


def test_empty_table_names_the_next_action(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name",), [], empty="no model yet; next: petla run")

    assert capsys.readouterr().out == "no model yet; next: petla run\n"


@pytest.mark.parametrize("odd", ["\x1b[2J", "\r", "\x07", "\x9b", "\u202e", "\u2066", "\udcff", "\x7f"])
def test_control_characters_are_shown_escaped(capsys: pytest.CaptureFixture[str], odd: str) -> None:
    say(f"a{odd}b")
    note(f"a{odd}b")
    print_table(("name",), [(f"a{odd}b",)], empty="nothing")
    record = logging.LogRecord("petla", logging.WARNING, "", 0, "data.added", None, None)
    record.place = f"a{odd}b\nforged"
    line = EventFormatter().format(record)

    said = capsys.readouterr()
    for text in (said.out, said.err, line):
        assert odd[0] not in text
        assert f"a\\u{ord(odd[0]):04x}" in text
    assert "\n" not in line


def test_letters_of_any_language_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    say("Łódź\t日本\n😀")

    assert capsys.readouterr().out == "Łódź\t日本\n😀\n"
