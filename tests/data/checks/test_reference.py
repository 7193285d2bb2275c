"""docs/project-file.md and docs/data-checks.md name every key and rule of the checks."""

import re
from pathlib import Path

import msgspec
import pytest

from petla.core.decoding import describe_allowed
from petla.core.project import RULES, CheckTable, ExpectationTable, SeverityTable, WaiverTable, decode_project

DOCS = Path(__file__).parents[3] / "docs"
SECTIONS = {"Severities": SeverityTable, "Waivers": WaiverTable, "Expectations": ExpectationTable}


@pytest.mark.parametrize(("title", "kind"), SECTIONS.items(), ids=SECTIONS)
def test_reference_names_every_key_of_the_tables_below_the_checks(title: str, kind: type[msgspec.Struct]) -> None:
    section = (DOCS / "project-file.md").read_text("utf-8").partition(f"\n## {title}: ")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("| `")]

    allowed = {
        field.name: "a day such as 2026-12-31" if field.name == "expires" else describe_allowed(field.type)
        for field in msgspec.structs.fields(kind)
    }
    assert [row[:2] for row in rows] == [[f"`{name}`", words] for name, words in allowed.items()]
    assert all(row[3] for row in rows)


def test_every_rule_and_limit_is_explained() -> None:
    text = (DOCS / "data-checks.md").read_text("utf-8")

    explained = re.findall(r"(?m)^\| `(\w+)` \|", text)
    assert sorted(explained) == sorted(RULES)
    assert [name for name in CheckTable.__struct_fields__ if f"`{name}`" not in text] == []


def test_examples_of_the_page_are_project_files() -> None:
    text = (DOCS / "data-checks.md").read_text("utf-8")
    examples = re.findall(r"(?s)```toml\n(.*?)```", text)

    for example in examples:
        known = "".join(f'\n[data.{name}]\npath = "{name}.csv"\n' for name in ("flights", "holdout"))
        assert decode_project(f'[project]\nname = "p"\n{known}\n{example}').data["flights"].checks != CheckTable()
    assert len(examples) >= 4
