"""Keys: columns that together tell rows apart, so that no row has the key of another."""

from collections.abc import Sequence

import msgspec
import numpy as np
import polars as pl

from petla.data.profile.columns import Profile
from petla.data.rules.finding import DataFinding, show_share
from petla.data.rules.rows.scanning import Rows, count_parts, hash_canonical

_SHOWN = 3


class Repeats(msgspec.Struct, frozen=True):
    """How often a key is there again."""

    # rows whose key another row above has
    repeated: int
    # rows where a column of the key has no value
    missing: int
    # a few keys that come again
    examples: tuple[str, ...] = ()


def check_key(rows: Rows, profile: Profile, key: Sequence[str]) -> list[DataFinding]:
    """Say whether rows repeat the key that the project file declares, or lack it."""
    name = key[0] if len(key) == 1 else ""
    told = show_key(key)
    if lost := [column for column in key if column not in rows.columns]:
        message = f"column {lost[0]!r} of the key {told} is not there"
        return [_finding(lost[0], message, "part of the key", "not there")]
    if is_surely_unique(profile, key):
        return []
    found = count_repeats(rows, key, profile.rows)
    findings = []
    if found.repeated:
        share = show_share(found.repeated, profile.rows)
        message = f"the key {told} is not unique: {share} rows repeat one, such as {', '.join(found.examples)}"
        findings.append(_finding(name, message, "each key once", f"{found.repeated:,} repeated"))
    if found.missing:
        share = show_share(found.missing, profile.rows)
        findings.append(_finding(name, f"the key {told} is missing in {share} rows", "each row has one", share))
    return findings


def is_surely_unique(profile: Profile, key: Sequence[str]) -> bool:
    """Whether the profile alone says that one column's values are all there and all different."""
    column = profile.find(key[0]) if len(key) == 1 else None
    return column is not None and column.is_exact and column.distinct == column.rows


def count_repeats(rows: Rows, key: Sequence[str], n_rows: int) -> Repeats:
    """Count the rows whose key came before, exactly; one pass for every eight million rows."""
    parts = count_parts(n_rows)
    repeated, again = 0, np.zeros(0, dtype=np.uint64)
    for part in range(parts):
        hashes = np.concatenate([np.zeros(0, dtype=np.uint64), *rows.hashes(key, part, parts)])
        values, counts = np.unique(hashes, return_counts=True)
        repeated += int(hashes.size - values.size)
        again = np.concatenate((again, values[counts > 1][:_SHOWN]))
    missing = sum(int(batch.select(pl.any_horizontal(pl.all().is_null()).sum()).item()) for batch in rows.batches(key))
    return Repeats(repeated, missing, _find_examples(rows, key, again[:_SHOWN]) if repeated else ())


def show_key(key: Sequence[str]) -> str:
    """Write the columns of a key.

    Example:
        >>> show_key(["day", "shop"])
        "'day' + 'shop'"
    """
    return " + ".join(map(repr, key))


def _find_examples(rows: Rows, key: Sequence[str], hashes: np.typing.NDArray[np.uint64]) -> tuple[str, ...]:
    found: dict[int, str] = {}
    for batch in rows.batches(key):
        own = hash_canonical(batch)
        for place in np.flatnonzero(np.isin(own, hashes))[:1_000]:
            values = ", ".join(str(value) for value in batch.row(int(place)))
            found.setdefault(int(own[place]), values)
        if len(found) == hashes.size:
            break
    return tuple(found.values())


def _finding(column: str, message: str, before: str, after: str) -> DataFinding:
    return DataFinding(column=column, rule="key", severity="block", message=message, before=before, after=after)
