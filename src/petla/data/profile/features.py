"""What is measured of texts and of points in time, beside their categories: over all rows, in one pass.

Each of these is fed with the values of one column, some at a time and in their order, and can take in another one that
saw the rows after it.
"""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

# What people write for "nothing"; compared without case and spaces.
BLANKS = ("", "-", "--", "?", ".", "n/a", "na", "nan", "nil", "none", "null", "unknown", "missing", "undefined", "tbd")

_PATTERNS = 20
_LONGEST_PATTERN = 24
# UTF-8 read as a single-byte encoding, and bytes that were no UTF-8
_DAMAGED = r"\x{FFFD}|[ÃÂÅÄ][\x{80}-\x{BF}€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|â€|Ð[\x{80}-\x{BF}]"  # noqa: RUF001


class TextFeatures:
    """Lengths, marks of missing values and damage of a column of texts."""

    def __init__(self) -> None:
        self._n = 0
        self._characters = 0
        self._shortest: int | None = None
        self._longest: int | None = None
        self._blanks: Counter[str] = Counter()
        self._damaged = 0

    def update(self, texts: pl.Series) -> None:
        """Take in the next values."""
        texts = texts.drop_nulls()
        if texts.is_empty():
            return
        lengths = texts.str.len_chars()
        self._add_lengths(len(texts), int(lengths.sum()), int(lengths.min() or 0), int(lengths.max() or 0))  # type: ignore[arg-type] # integers
        short = texts.filter(lengths <= max(map(len, BLANKS)) + 2)
        blank = short.filter(short.str.strip_chars().str.to_lowercase().is_in(BLANKS))
        counted = blank.rename("value").value_counts()
        self._blanks.update(dict(zip(counted["value"], counted["count"], strict=True)))
        self._damaged += int(texts.str.contains(_DAMAGED).sum())

    def merge(self, other: "TextFeatures") -> None:
        """Take in what another one saw."""
        if other._n:
            self._add_lengths(other._n, other._characters, other._shortest or 0, other._longest or 0)
        self._blanks.update(other._blanks)
        self._damaged += other._damaged

    def fields(self) -> dict[str, Any]:
        """Return the fields of a column's profile."""
        return {
            "length_minimum": self._shortest,
            "length_maximum": self._longest,
            "length_mean": self._characters / self._n if self._n else None,
            "blanks": tuple(sorted(self._blanks.items(), key=lambda item: (-item[1], item[0]))),
            "damaged": self._damaged,
        }

    def _add_lengths(self, n: int, characters: int, shortest: int, longest: int) -> None:
        self._n += n
        self._characters += characters
        self._shortest = shortest if self._shortest is None else min(self._shortest, shortest)
        self._longest = longest if self._longest is None else max(self._longest, longest)


class TimeFeatures:
    """Order, gaps and hours of a column of points in time."""

    def __init__(self) -> None:
        # microseconds since 1970
        self._first: int | None = None
        self._last: int | None = None
        self._earliest: int | None = None
        self._latest: int | None = None
        self._backward = 0
        self._longest_step = 0
        self._steps: list[NDArray[np.int64]] = []
        self._hours = np.zeros(24, dtype=np.int64)
        self._has_hours = False

    def update(self, values: pl.Series) -> None:
        """Take in the next values."""
        if values.dtype == pl.Time:
            return
        values = values.drop_nulls()
        if values.is_empty():
            return
        if values.dtype != pl.Date:
            self._has_hours = True
            self._hours += np.bincount(values.dt.hour().to_numpy(), minlength=24)
        numbers = values.cast(pl.Datetime("us")).to_physical().to_numpy()
        self._add(numbers, int(numbers.min()), int(numbers.max()))

    def merge(self, other: "TimeFeatures") -> None:
        """Take in what another one saw in the rows after these."""
        if other._first is None or other._last is None:
            return
        ends = np.array([other._first, other._last])
        last = other._last
        self._add(ends[:1], other._earliest or 0, other._latest or 0)
        self._last = last
        self._backward += other._backward
        self._longest_step = max(self._longest_step, other._longest_step)
        self._steps = _thin([*self._steps, *other._steps])
        self._hours += other._hours
        self._has_hours |= other._has_hours

    def fields(self) -> dict[str, Any]:
        """Return the fields of a column's profile."""
        if self._earliest is None or self._latest is None:
            return {}
        steps = np.concatenate(self._steps) if self._steps else np.zeros(0, dtype=np.int64)
        return {
            "earliest": _show(self._earliest, is_date=not self._has_hours),
            "latest": _show(self._latest, is_date=not self._has_hours),
            "backward": self._backward,
            "step_median_s": float(np.median(steps)) / 1e6 if steps.size else None,
            "step_maximum_s": self._longest_step / 1e6 if steps.size else None,
            "hours": tuple(self._hours.tolist()) if self._has_hours else (),
        }

    def _add(self, numbers: NDArray[np.int64], earliest: int, latest: int) -> None:
        """Take in points in time, in their order."""
        if self._last is not None:
            numbers = np.concatenate(([self._last], numbers))
        steps = np.diff(numbers)
        if steps.size:
            self._backward += int((steps < 0).sum())
            self._longest_step = max(self._longest_step, int(steps.max()))
            self._steps = _thin([*self._steps, steps])
        self._first = int(numbers[0]) if self._first is None else self._first
        self._last = int(numbers[-1])
        self._earliest = earliest if self._earliest is None else min(self._earliest, earliest)
        self._latest = latest if self._latest is None else max(self._latest, latest)


def list_patterns(texts: pl.Series) -> tuple[tuple[str, int], ...]:
    """Return the most frequent shapes of texts: a run of digits is 9, of capitals A, of small letters a.

    Example:
        >>> list_patterns(pl.Series(["B744", "A320", "x"]))
        (('A9', 2), ('a', 1))
    """
    shapes = (
        texts.drop_nulls()
        .rename("value")
        .str.slice(0, 200)
        .str.replace_all(r"\p{Lu}+", "A")
        .str.replace_all(r"[\p{Ll}\p{Lo}]+", "a")
        .str.replace_all(r"\p{Nd}+", "9")
        .str.slice(0, _LONGEST_PATTERN)
        .value_counts()
        .sort("count", "value", descending=[True, False])
        .head(_PATTERNS)
    )
    return tuple(zip(shapes["value"].to_list(), shapes["count"].to_list(), strict=True))


def _thin(steps: list[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Keep at most about 100,000 steps, evenly spread; the middle one needs no more."""
    if sum(part.size for part in steps) <= 200_000:
        return steps
    return [np.concatenate(steps)[::2]]


def _show(microseconds: int, *, is_date: bool) -> str:
    moment = datetime(1970, 1, 1) + timedelta(microseconds=microseconds)  # noqa: DTZ001 - as it is written
    return moment.date().isoformat() if is_date else moment.isoformat()
