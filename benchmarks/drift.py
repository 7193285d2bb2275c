"""Drift: a batch of 1,000,000 rows and 30 columns against a stored profile, beside scipy's Kolmogorov-Smirnov test.

Twenty columns are numbers, ten are categories; five truly drifted, two numbers moved by a hundredth of their spread.
The peer tests the twenty numbers only, on the raw rows of both samples, which it has to read. A second peer is numpy
that bins those twenty by a search per value and compares nothing. Live figures: counting a shipped batch of 50,000
decisions of 15 features, and the verdict on one window of 30 columns: its cost does not depend on traffic. Figures are
those of the fastest round: a busy machine only adds time.

    python benchmarks/drift.py [--rows 1000000] [--rounds 3] [--json]
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import polars as pl

from petla.core.ids import DecisionId
from petla.data.profile.binning import count_values
from petla.data.profile.columns import Profile
from petla.data.profile.profiles import profile_frame
from petla.decisions.record import Decision
from petla.models.signature import InputField, Signature
from petla.monitoring.counting import count_batch
from petla.monitoring.drift import measure_drift
from petla.monitoring.reference import Reference

NUMBERS, CATEGORIES = 20, 10
# columns that drifted, and by how much: standard deviations of a number, share of the rows of a category
DRIFTED = {"n0": 0.3, "n1": 0.4, "n2": 0.5, "c0": 0.12, "c1": 0.12}
NEGLIGIBLE = {"n3": 0.01, "n4": 0.01}
LIMIT = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.rows, options.rounds)
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:32} {value if isinstance(value, str) else f'{value:,.4g}'}")


def measure(rows: int, rounds: int) -> dict[str, float | str]:
    reference, live = make_table(rows, 1, {}), make_table(rows, 2, DRIFTED | NEGLIGIBLE)
    started = time.perf_counter()
    profile = profile_frame(reference)
    profile_s = time.perf_counter() - started
    check_s = fastest(lambda: check(profile, live), rounds)
    found = check(profile, live)
    peer_s, peer_found = run_peer(reference, live, rounds)
    edges = np.linspace(-2, 2, 19)
    numbers = [live[f"n{i}"].to_numpy() for i in range(NUMBERS)]
    search_s = fastest(lambda: [np.bincount(np.searchsorted(edges, column)) for column in numbers], rounds)
    counts = {column.name: count_values(column, live[column.name]).tolist() for column in profile.columns}
    verdict_s = fastest(lambda: judge(profile, counts), 20)
    counting_s, decisions = run_counting(rounds)
    return {
        "rows": rows,
        "columns": NUMBERS + CATEGORIES,
        "batch_check_s": check_s,
        "scipy_ks_20_columns_s": peer_s,
        "times_faster_than_scipy": peer_s / check_s,
        "numpy_search_20_columns_s": search_s,
        "profile_once_s": profile_s,
        "found": describe(found),
        "scipy_found": describe(peer_found),
        "live_verdict_ms": verdict_s * 1e3,
        "counted_decisions_per_s": decisions / counting_s,
    }


def make_table(rows: int, seed: int, moved: dict[str, float]) -> pl.DataFrame:
    chance = np.random.default_rng(seed)
    columns = {f"n{i}": chance.normal(moved.get(f"n{i}", 0), 1, rows) for i in range(NUMBERS)}
    names = np.array(["AA", "B6", "DL", "UA", "WN"])
    texts = {}
    for i in range(CATEGORIES):
        step = moved.get(f"c{i}", 0)
        shares = [0.4 - step, 0.2 + step, 0.2, 0.1, 0.1]
        texts[f"c{i}"] = names[chance.choice(len(names), rows, p=shares)]
    return pl.DataFrame(columns | texts)


def check(profile: Profile, live: pl.DataFrame) -> set[str]:
    return judge(profile, {column.name: count_values(column, live[column.name]).tolist() for column in profile.columns})


def judge(profile: Profile, counts: dict[str, list[int]]) -> set[str]:
    return {
        column.name
        for column in profile.columns
        if measure_drift(column.counts, counts[column.name], limit=LIMIT).is_over
    }


def run_peer(reference: pl.DataFrame, live: pl.DataFrame, rounds: int) -> tuple[float, set[str]]:
    from scipy.stats import ks_2samp

    names = [f"n{i}" for i in range(NUMBERS)]
    pairs = [(name, reference[name].to_numpy(), live[name].to_numpy()) for name in names]

    def test() -> set[str]:
        return {name for name, before, after in pairs if ks_2samp(before, after).pvalue < 0.05}

    return fastest(test, rounds), test()


def run_counting(rounds: int) -> tuple[float, int]:
    rows, numbers, texts = 50_000, 8, 7
    table = make_table(rows, 3, {}).select([f"n{i}" for i in range(numbers)] + [f"c{i}" for i in range(texts)])
    profile = profile_frame(table)
    fields = tuple(InputField(column.name, column.kind, False) for column in profile.columns)
    signature = Signature(inputs=fields, target="late", task="binary", classes=(False, True))
    score = profile_frame(pl.DataFrame({"score": np.random.default_rng(4).beta(2, 4, rows)})).columns[0]
    made = [Decision(DecisionId(""), "", 0, "delay", 1, row, False, 0.3, "live", 90, "0") for row in table.iter_rows()]
    reference = Reference(signature=signature, profile=profile, score=score)
    return fastest(lambda: count_batch(reference, made), rounds), rows


def describe(found: set[str]) -> str:
    true, negligible = found & DRIFTED.keys(), found & NEGLIGIBLE.keys()
    others = found - true - negligible
    return f"{len(true)} of {len(DRIFTED)}, {len(negligible)} negligible, {len(others)} false"


def fastest(work: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


if __name__ == "__main__":
    main()
