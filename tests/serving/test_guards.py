"""What the guards of each kind say of a row, and that they cost a usual row nothing but comparisons."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petla.core.project import FallbackTable, GuardTable, decode_project
from petla.data.profile.columns import ColumnProfile, Kind, Profile
from petla.models.package import Package
from petla.models.signature import Row, Value
from petla.serving.path.guards import USUAL as USUAL_MARK
from petla.serving.path.guards import Guards
from tests.deployments.tiny import make_package


def column(name: str, kind: Kind, **values: Any) -> ColumnProfile:  # noqa: ANN401
    return ColumnProfile(name=name, kind=kind, rows=100, missing=0, **{"distinct": 50} | values)


NULLABLE = tuple(msgspec.structs.replace(field, is_nullable=True) for field in make_package().signature.inputs)
PACKAGE: Package = msgspec.structs.replace(
    make_package(),
    signature=msgspec.structs.replace(make_package().signature, inputs=NULLABLE),
    profile=Profile(
        rows=100,
        columns=(
            column("amount", Kind.NUMBER, minimum=0.0, maximum=100.0),
            column("items", Kind.INTEGER, minimum=1.0, maximum=9.0),
            column("country", Kind.CATEGORY, distinct=2, categories=("pl", "de")),
        ),
    ),
    score_profile=column("score", Kind.NUMBER, minimum=0.1, maximum=0.9),
)
USUAL: Row = (50.0, 3, "pl")


def guards_of(toml: str, package: Package = PACKAGE) -> Guards:
    text = f'[project]\nname = "shop"\n[models.fraud]\ntarget = "is_fraud"\n{toml}'
    table = decode_project(text).models["fraud"]
    return Guards(table.guards, table.fallback, package)


def judge(toml: str, row: Row = USUAL, score: float = 0.8) -> tuple[tuple[str, ...], object, str]:
    marks = guards_of(toml).judge([row], [score])
    return marks[0] if marks else ((), None, "")


@pytest.mark.parametrize(
    ("guard", "row", "score"),
    [
        ("range", (110.1, 3, "pl"), 0.8),
        ("range", (-10.1, 3, "pl"), 0.8),
        ("range", (50.0, 99, "pl"), 0.8),
        ("range", (999.0, None, "pl"), 0.8),
        ("unseen", (50.0, 3, "fr"), 0.8),
        ("missing", (50.0, None, None), 0.8),
        ("prediction", USUAL, 0.99),
        ("prediction", USUAL, 0.001),
        ("confidence", USUAL, 0.52),
        ("confidence", USUAL, 0.48),
    ],
)
def test_unusual_row_is_flagged_by_its_guard_and_by_no_other(guard: str, row: Row, score: float) -> None:
    names = ("range", "unseen", "missing", "prediction", "confidence")
    toml = "".join(f'[models.fraud.guards.{name}]\naction = "flag"\n' for name in names)

    assert judge(toml, row, score) == ((guard,), None, "")


@pytest.mark.parametrize("row", [USUAL, (109.9, 9, "de"), (-9.9, None, "pl"), (0, 1, "pl")])
def test_row_within_the_margin_is_usual(row: Row) -> None:
    toml = "".join(f'[models.fraud.guards.{name}]\naction = "flag"\n' for name in ("range", "unseen", "missing"))

    assert guards_of(toml).judge([row], [0.8]) is None


def test_guards_are_off_unless_asked_for() -> None:
    assert not guards_of("")
    assert not Guards(GuardTable(), FallbackTable(), PACKAGE)


def test_ignored_input_is_not_looked_at() -> None:
    toml = '[models.fraud.guards.range]\naction = "flag"\nignore = ["amount"]'

    assert judge(toml, (9e9, 3, "pl")) == ((), None, "")
    assert judge(toml, (9e9, 99, "pl")) == (("range",), None, "")


def test_category_column_with_more_values_than_its_profile_keeps_is_not_judged() -> None:
    wide = column("country", Kind.CATEGORY, distinct=400, categories=("pl", "de"))
    package = msgspec.structs.replace(PACKAGE, profile=Profile(rows=100, columns=(wide,)))

    assert not guards_of('[models.fraud.guards.unseen]\naction = "flag"', package)


RULES = """
[models.fraud.fallback]
answer = false
[models.fraud.guards.range]
action = "default"
[models.fraud.guards.unseen]
action = "review"
[[models.fraud.guards.rules]]
name = "big foreign"
when = "amount > 60 and country == 'fr'"
action = "rule"
answer = true
"""


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ((70.0, 3, "fr"), (("big foreign", "unseen", "review"), True, "rule")),
        ((999.0, 3, "pl"), (("range",), False, "default")),
        ((999.0, 3, "fr"), (("big foreign", "range", "unseen", "review"), True, "rule")),
        ((50.0, 3, "fr"), (("unseen", "review"), None, "")),
    ],
)
def test_rule_comes_before_default_and_review_goes_with_both(row: Row, expected: tuple[object, ...]) -> None:
    assert judge(RULES, row) == expected


def test_stated_answer_is_the_model_s_own_value() -> None:
    signature = msgspec.structs.replace(PACKAGE.signature, classes=(0, 1))
    marks = guards_of(RULES, msgspec.structs.replace(PACKAGE, signature=signature)).judge([(999.0, 3, "pl")], [0.8])

    assert marks is not None
    assert type(marks[0].answer) is int


def test_rule_that_a_returning_version_cannot_follow_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    toml = '[[models.fraud.guards.rules]]\nname = "x"\nwhen = "shoe_size > 3"'

    assert not guards_of(toml)
    assert [record.message for record in caplog.records] == ["rule.ignored"]


_values = st.tuples(
    st.one_of(st.none(), st.floats(allow_nan=True), st.integers()), st.one_of(st.none(), st.integers()), st.text()
)


@given(st.lists(_values, min_size=1, max_size=5), st.floats(0, 1))
def test_marks_of_many_rows_are_those_of_each(rows: list[tuple[Value, ...]], score: float) -> None:
    guards = guards_of(RULES)
    together = guards.judge(rows, [score] * len(rows)) or [USUAL_MARK] * len(rows)

    apart = [(guards.judge([row], [score]) or [USUAL_MARK])[0] for row in rows]

    assert together == apart
