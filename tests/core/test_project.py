"""The project file: what it may say, and what is said of every fault in it."""

import json
import math
import re
from datetime import UTC, date, datetime, time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petla.core.decoding import describe_allowed
from petla.core.errors import Fault, InvalidError
from petla.core.project import METRICS_OF_TASK, CheckTable, Project, decode_project, tables

MINIMAL = """
[project]
name = "flights"
[data.flights]
path = "data/flights.parquet"
[models.delay]
target = "late"
"""

# what is added to the minimal file, the fault's place, parts of its message, and its hint
FAULTS = [
    ("[serving]\nprot = 1", "serving.prot", ["unknown key"], "did you mean 'port'?"),
    ("[servin]", "servin", ["unknown key"], "did you mean 'serving'?"),
    ("[models.delay.gates]\nzzz = 1", "models.delay.gates.zzz", ["unknown key"], "known: confidence, dirty_rows"),
    ("[serving]\nport = 'x'", "serving.port", ["'x'", "a whole number at least 0 and at most 65535"], ""),
    ("[serving]\nport = true", "serving.port", ["true", "a whole number"], ""),
    ("[serving]\nport = 65536", "serving.port", ["65536", "at most 65535"], ""),
    ("[serving]\nhost = ''", "serving.host", ["''", "a text that is not empty"], ""),
    ("serving = 3", "serving", ["3", "a table"], ""),
    ("[serving]\ndurability = 'powr'", "serving.durability", ["'powr'", "'power', 'process'"], "did you mean 'power'?"),
    ("[data.x]", "data.x.path", ["is missing", "a text"], ""),
    ("[data.Flights]\npath = 'x'", "data.Flights", ["is no name", "lower-case"], ""),
    ('[data."a\\n"]\npath = "x"', "data.a\n", ["is no name"], ""),
    ("[data.x]\npath = 'x'\nchecks.shift_sd = 0", "data.x.checks.shift_sd", ["0", "a number above 0"], ""),
    ("[data.x]\npath = 'x'\nchecks.shift_sd = nan", "data.x.checks.shift_sd", ["nan", "a number above 0"], ""),
    ("[data.x]\npath = 'x'\nchecks.shift_sd = inf", "data.x.checks.shift_sd", ["inf", "a number above 0"], ""),
    ("[models.delay.answer]\nthreshold = 1.5", "models.delay.answer.threshold", ["1.5", "at most 1"], ""),
    ("[models.delay.answer]\nlabel = 'id'", "models.delay.answer.label", ["'id'", "every answer"], "choose"),
    ("[models.delay.answer]\nprobability = 'late'", "models.delay.answer.probability", ["same as the label"], "choose"),
    ("[models.delay.guards.range]\naction = 'rule'", "models.delay.guards.range.answer", ["is missing"], ""),
    ("[models.delay.guards.range]\nanswer = 1", "models.delay.guards.range.answer", ["1", "'off'"], "use 'rule'"),
    ("[models.delay.guards.range]\naction = 'warn'", "models.delay.guards.range.action", ["'warn'", "'flag'"], "known"),
    (
        "[models.delay.guards.unseen]\naction = 'default'",
        "models.delay.guards.unseen.action",
        ["no default answer"],
        "state the default",
    ),
    (
        ("[[models.delay.guards.rules]]\nname = 'big'\nwhen = 'distance > 3'\n"
        "[[models.delay.guards.rules]]\nname = 'own'\nwhen = 'distance >'"),
        "models.delay.guards.rules.2.when",
        ["'distance >'", "at character"],
        "",
    ),
    (
        "[[models.delay.guards.rules]]\nname = 'range'\nwhen = 'distance > 3'",
        "models.delay.guards.rules.1.name",
        ["'range'", "is taken"],
        "choose",
    ),
    *(
        (f"[models.delay.guards]\nwebhook = '{address}'", "models.delay.guards.webhook", [repr(address)], "")
        for address in ("http://a..b/", "http://" + "a" * 64 + ".pl/", "http://[::1/x", "http://x:99999/")
    ),
    ("[models.delay.guards]\nwebhook = 'ftp://x'", "models.delay.guards.webhook", ["'ftp://x'"], ""),
    ("[models.delay.fallback]\nprobability = 0.5", "models.delay.fallback.probability", ["no answer"], ""),
    (
        "[models.price]\ntarget = 'y'\ntask = 'regression'\nguards.confidence.action = 'flag'",
        "models.price.guards.confidence.action",
        ["a regression has no confidence"],
        "",
    ),
    (
        "[models.price]\ntarget = 'y'\ntask = 'regression'\nfallback.answer = true",
        "models.price.fallback.answer",
        ["True", "a number"],
        "",
    ),
    ("[models.delay.gates]\nmetric = 'acuracy'", "models.delay.gates.metric", ["'accuracy'"], "mean 'accuracy'?"),
    ("[models.delay.gates]\nmetric = 'rmse'", "models.delay.gates.metric", ["'rmse'", "a binary model"], "known"),
    ("[models.delay.gates]\nminimum = 79", "models.delay.gates.minimum", ["79", "accuracy", "at most 1"], ""),
    ("[models.delay.gates]\nconfidence = 1", "models.delay.gates.confidence", ["above 0.5 and below 1"], ""),
    ("[models.delay.gates]\ndirty_rows = 'no'", "models.delay.gates.dirty_rows", ["'no'", "true or false"], ""),
    ("[models.delay.monitor]\nwindow_rows = 99", "models.delay.monitor.window_rows", ["99", "at least 100"], ""),
    ("[models.delay.monitor]\nignore = 'x'", "models.delay.monitor.ignore", ["'x'", "a list, each item a text"], ""),
    ("[models.delay.monitor]\nquality_limit = -1", "models.delay.monitor.quality_limit", ["-1", "at least 0"], ""),
    (
        "[models.kind]\ntarget = 'y'\ntask = 'multiclass'\nmonitor = {quality_metric='log_loss', quality_limit=0.3}",
        "models.kind.monitor.quality_limit",
        ["can never be judged", "log_loss"],
        "accuracy",
    ),
    (
        "[models.kind]\ntarget = 'y'\ntask = 'multiclass'\ngates.metric = 'log_loss'\nmonitor.quality_limit = 0.3",
        "models.kind.monitor.quality_limit",
        ["can never be judged", "log_loss"],
        "accuracy",
    ),
    (
        "[models.delay.monitor]\nquality_metric = 'mae'",
        "models.delay.monitor.quality_metric",
        ["'mae'", "which a binary model does not have"],
        "known",
    ),
    ("[models.delay.retrain]\non = ['drfit']", "models.delay.retrain.on", ["'drfit'", "'drift'"], "mean 'drift'?"),
    ("[models.delay.retrain]\ndataset = 'flight'", "models.delay.retrain.dataset", ["not in [data]"], "mean 'fl"),
    ("[models.delay.retrain]\nminimum_rows = 200_000", "models.delay.retrain.minimum_rows", ["fresh_rows"], ""),
    ("[models.delay.deploy]\napproval = 'zzz'", "models.delay.deploy.approval", ["'none', 'person'"], "known: none"),
    ("[models.x]\ntarget = 'y'\ntask = 'binry'", "models.x.task", ["'binry'"], "did you mean 'binary'?"),
    ("models.x = 3", "models.x", ["3", "a table"], ""),
]  # fmt: skip
NO_TOML = ["x = ", "[a]\n[a]", "a = 1\na = 2", "x = " + "9" * 5_000, "x = " + "[" * 5_000, "x = 2013-02-30", "\ufeffx"]


def test_minimal_file_has_defaults_for_the_rest() -> None:
    decoded = decode_project(MINIMAL)

    assert decoded.project.name == "flights"
    assert decoded.serving == tables.ServingTable()
    assert decoded.models["delay"].gate_metric == "accuracy"
    assert decoded.models["delay"].quality_metric == "accuracy"
    assert decoded.data["flights"].checks == CheckTable()


def test_quality_metric_follows_the_gates() -> None:
    decoded = decode_project(MINIMAL + "[models.delay.gates]\nmetric = 'auc'")

    assert decoded.models["delay"].quality_metric == "auc"


@pytest.mark.parametrize(("added", "field", "parts", "hint"), FAULTS, ids=[fault[1] for fault in FAULTS])
def test_fault_names_place_value_what_is_allowed_and_the_nearest(
    added: str, field: str, parts: list[str], hint: str
) -> None:
    # A key at the top of the file has to stand before the first table.
    text = MINIMAL + added if added.startswith("[") else added + MINIMAL

    with pytest.raises(InvalidError) as caught:
        decode_project(text)

    (fault,) = caught.value.faults
    assert fault.field == field
    assert all(part in fault.message for part in parts), fault.message
    assert hint in fault.hint
    assert bool(hint) == bool(fault.hint)
    assert field in str(caught.value)


def test_all_faults_come_at_once() -> None:
    text = "nane = 1\n" + MINIMAL + "[serving]\nport = 'x'\n[models.Bad]\ntask = 'x'\n[control]\nprot = 1"

    with pytest.raises(InvalidError, match="has 6 faults") as caught:
        decode_project(text)

    places = {fault.field for fault in caught.value.faults}
    assert places == {"nane", "serving.port", "models.Bad", "models.Bad.task", "models.Bad.target", "control.prot"}


def test_references_are_checked_in_every_model() -> None:
    text = MINIMAL + "retrain.dataset = 'x'\ngates.metric = 'mae'\n[models.b]\ntarget = 'y'\nretrain.dataset = 'x'"

    with pytest.raises(InvalidError) as caught:
        decode_project(text)

    places = [fault.field for fault in caught.value.faults]
    assert places == ["models.delay.gates.metric", "models.delay.retrain.dataset", "models.b.retrain.dataset"]


@pytest.mark.parametrize("text", NO_TOML, ids=lambda text: text[:10])
def test_text_that_is_no_toml_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match=r"is not valid TOML"):
        decode_project(text)


@pytest.mark.parametrize("value", ["0x" + "f" * 10_000, "[{" + "a." * 3_000 + "a = 1}]", '"' + "x" * 9_999 + '"'])
def test_monstrous_value_is_shown_short(value: str) -> None:
    with pytest.raises(InvalidError) as caught:
        decode_project(MINIMAL + f"[serving]\nport = {value}")

    assert caught.value.faults[0].field == "serving.port"
    assert len(str(caught.value)) < 400


def test_every_metric_of_every_task_takes_a_limit_of_its_range() -> None:
    for task, metrics in METRICS_OF_TASK.items():
        for metric in metrics:
            gates = f"gates = {{ metric = '{metric}', minimum = 0.5 }}"
            decoded = decode_project(MINIMAL + f"task = '{task}'\n{gates}")
            assert decoded.models["delay"].gates.minimum == 0.5


def _struct_keys() -> list[str]:
    structs = [kind for kind in vars(tables).values() if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]
    return sorted({key for kind in structs for key in kind.__struct_fields__} | {"flights", "delay"})


KEYS = st.sampled_from(_struct_keys()) | st.text(max_size=3)
SCALARS = (
    st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(["accuracy", "binary", "drift", "person", "late", "flights"])
    | st.dates()
    | st.times()
    | st.datetimes(timezones=st.just(UTC))
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_no_nested_table_raises_anything_but_invalid(tables: dict[str, object]) -> None:
    text = "\n".join(f"{_write(key)} = {_write(value)}" for key, value in tables.items())
    faults: tuple[Fault, ...] = ()
    try:
        decoded: Project | None = decode_project(text)
    except InvalidError as error:
        decoded, faults = None, error.faults

    assert (decoded is None) == bool(faults)


def _write(value: object) -> str:
    """Write a value as TOML, tables inline."""
    match value:
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case bool():
            return "true" if value else "false"
        case float() if math.isnan(value) or math.isinf(value):
            return str(value)
        case int() | float():
            return repr(value)
        case datetime() | date() | time():
            return value.isoformat()
        case list():
            return f"[{', '.join(map(_write, value))}]"
        case dict():
            return "{" + ", ".join(f"{_write(key)} = {_write(item)}" for key, item in value.items()) + "}"
    raise TypeError(value)


REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "project-file.md"
STRUCTS = [kind for name, kind in vars(tables).items() if name.endswith("Table")]


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
def test_reference_names_every_key_with_type_and_default(kind: type[msgspec.Struct]) -> None:
    heading = (kind.__doc__ or "").partition(":")[0]
    section = REFERENCE.read_text("utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]

    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("| `")]

    plain = [field for field in msgspec.structs.fields(kind) if field.default_factory is msgspec.NODEFAULT]
    expected = [[f"`{field.name}`", describe_allowed(field.type), _show_default(field)] for field in plain]
    assert [row[:3] for row in rows] == expected
    assert all(row[3] for row in rows)


def test_reference_has_a_section_for_every_table_and_no_other() -> None:
    headings = re.findall(r"(?m)^## (`\[.*)$", REFERENCE.read_text("utf-8"))

    assert sorted(headings) == sorted((kind.__doc__ or "").partition(":")[0] for kind in STRUCTS)


def test_example_of_the_reference_is_a_project_file() -> None:
    example = REFERENCE.read_text("utf-8").partition("```toml\n")[2].partition("```")[0]

    assert decode_project(example).models


def _show_default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    if field.default is None:
        return "none"
    return f"`{json.dumps(field.default)}`"
