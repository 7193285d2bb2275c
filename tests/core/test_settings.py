"""Settings from the environment."""

from pathlib import Path

import msgspec
import pytest

from petla.core.decoding import describe_allowed
from petla.core.errors import InvalidError
from petla.core.settings import Settings, decode_settings


def test_every_variable_is_read() -> None:
    settings = decode_settings(
        {
            "PETLA_DATABASE": "postgresql://db/petla",
            "PETLA_ACTOR": "ann",
            "PETLA_SERVING_PORT": "0",
            "PETLA_CONTROL_PORT": "8001",
            "PETLA_WORKERS": "2",
            "PETLA_WAIT_S": "1.5",
            "HOME": "elsewhere",
        }
    )

    assert settings == Settings(
        database="postgresql://db/petla", actor="ann", serving_port=0, control_port=8001, workers=2, wait_s=1.5
    )


def test_without_variables_there_are_defaults() -> None:
    assert decode_settings({}) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("PETLA_WORKERS", "two", "is 'two', but must be a whole number at least 1 and at most 256"),
        ("PETLA_WORKERS", "0", "is '0', but must be a whole number at least 1 and at most 256"),
        ("PETLA_WORKERS", "", "is '', but must be a whole number at least 1 and at most 256"),
        ("PETLA_SERVING_PORT", "70000", "is '70000', but must be a whole number at least 0 and at most 65535"),
        ("PETLA_CONTROL_PORT", "-1", "is '-1', but must be a whole number at least 0 and at most 65535"),
        ("PETLA_WAIT_S", "nan", "is 'nan', but must be a number at least 0 and at most 86400"),
        ("PETLA_WAIT_S", "inf", "is 'inf', but must be a number at least 0 and at most 86400"),
    ],
)
def test_value_out_of_range_is_refused(name: str, text: str, message: str) -> None:
    with pytest.raises(InvalidError) as caught:
        decode_settings({name: text})

    (fault,) = caught.value.faults
    assert (fault.field, fault.message) == (name, message)


def test_all_faults_come_at_once_with_the_nearest_name() -> None:
    with pytest.raises(InvalidError) as caught:
        decode_settings({"PETLA_WORKER": "2", "PETLA_WAIT_S": "soon"})

    first, second = caught.value.faults
    assert (first.field, first.hint) == ("PETLA_WORKER", "did you mean 'PETLA_WORKERS'?")
    assert second.field == "PETLA_WAIT_S"
    assert "PETLA_WORKER" in str(caught.value)
    assert "PETLA_WAIT_S" in str(caught.value)


def test_reference_names_every_variable_with_what_is_allowed() -> None:
    reference = (Path(__file__).resolve().parents[2] / "docs" / "project-file.md").read_text("utf-8")
    rows = [line.split(" | ")[:2] for line in reference.splitlines() if line.startswith("| `PETLA_")]

    fields = msgspec.structs.fields(Settings)
    assert rows == [[f"| `PETLA_{field.name.upper()}`", describe_allowed(field.type)] for field in fields]
