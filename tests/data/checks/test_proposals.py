"""Expectations proposed from data: valid, kept by the data, and a diff that changes nothing else."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from petla.core.errors import InvalidError
from petla.core.project import CheckTable, ExpectationTable, decode_project
from petla.data.profile.profiles import profile_frame
from petla.data.rules.declared.expectations import check_columns
from petla.data.rules.declared.proposals import draft, propose, write
from tests.data.checks.tables import LIMITS, draw_flights, load_flights, load_penguins

TEXT = '# ours\r\n[project]\r\nname = "p"  # a name\r\n\r\n[data.rows]\r\npath = "rows.csv"\r\n'


def test_proposals_say_what_a_person_would() -> None:
    flights = draw_flights(5_000)[0].with_row_index("id")

    proposed = propose(profile_frame(flights), LIMITS)

    assert proposed["origin"] == ExpectationTable(kind="text", categories=("EWR", "JFK", "LGA"), missing_share=0.03)
    assert proposed["carrier"].categories == ()
    assert proposed["late"].kind == "boolean"
    assert proposed["id"].unique
    assert (proposed["departure_minute"].maximum or 0) > 1439
    assert proposed["precipitation_hundredths_in"].maximum is None
    assert 0.1 < (proposed["pressure_hpa"].missing_share or 0) < 0.35


def test_what_is_declared_or_ignored_is_not_proposed() -> None:
    limits = CheckTable(ignore=("island",), columns={"species": ExpectationTable(kind="text")})

    assert set(propose(profile_frame(load_penguins()), limits)).isdisjoint({"island", "species"})


def test_proposals_go_to_the_end_and_every_byte_stays(tmp_path: Path) -> None:
    before = b"\xef\xbb\xbf" + TEXT.encode()
    (tmp_path / "petla.toml").write_bytes(before)
    table = load_penguins().rename({"island": 'is"land\\ ü'})

    proposal = draft(tmp_path, "rows", propose(profile_frame(table), LIMITS))

    assert (tmp_path / "petla.toml").read_bytes() == before
    assert [line for line in proposal.diff.splitlines() if line.startswith("-")] == ["--- petla.toml"]
    assert '+[data.rows.checks.columns."species"]' in proposal.diff
    project = write(tmp_path, proposal)
    after = (tmp_path / "petla.toml").read_bytes()
    assert after.startswith(before)
    assert b"\n" not in after.replace(b"\r\n", b"")
    assert project.data["rows"].checks.columns == propose(profile_frame(table), LIMITS)
    assert decode_project(after.decode("utf-8-sig")) == project
    assert draft(tmp_path, "rows", {}).diff == ""


def test_file_without_a_last_line_end_and_inline_checks(tmp_path: Path) -> None:
    (tmp_path / "petla.toml").write_text(TEXT.rstrip())
    proposed = propose(profile_frame(load_penguins()), LIMITS)

    assert write(tmp_path, draft(tmp_path, "rows", proposed)).data["rows"].checks.columns == proposed

    (tmp_path / "petla.toml").write_text(TEXT + "checks = {shift_sd = 4}\n")
    with pytest.raises(InvalidError, match="the proposals do not go into") as caught:
        draft(tmp_path, "rows", proposed)
    assert "[data.rows.checks]" in caught.value.hint


@pytest.mark.parametrize("n_rows", [100, 1_000, 5_000])
def test_whole_tables_keep_what_their_parts_propose(n_rows: int) -> None:
    whole = profile_frame(load_flights().head(60_000).drop("scheduled"))
    for seed in range(4):
        part = load_flights().head(60_000).drop("scheduled").sample(n_rows, seed=seed)

        assert check_columns(whole, propose(profile_frame(part), LIMITS)) == []


def test_tails_that_are_long_have_no_limit() -> None:
    amounts = pl.DataFrame({"amount": np.random.default_rng(0).lognormal(3, 1.5, 5_000)})

    assert propose(profile_frame(amounts), LIMITS)["amount"].maximum is None
