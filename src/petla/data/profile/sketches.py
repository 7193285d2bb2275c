"""Summaries of more values than fit into memory, each of bounded size, each able to take in another one.

- `HashSample` keeps the hashes below a limit that is halved whenever there are too many: what is kept stands for all.
  Source: Flajolet (1990), On adaptive sampling.
- `RowSample` keeps rows by a hash of their number in the same way: a uniform sample that is the same every time.
- `Moments` adds up means and variances without losing digits.
  Source: Chan, Golub, LeVeque (1983), Algorithms for computing the sample variance.
- `Frequencies` counts texts until there are too many different ones.
"""

import math
from collections import Counter

import numpy as np
import polars as pl
from numpy.typing import NDArray

from petla.data.reading.columns import column_of

# Standard error of an estimate of distinct values: 1 / sqrt(_HASHES / 2), 0.6%.
_HASHES = 1 << 16
# Standard error of a quantile's rank: 0.5 / sqrt(_ROWS / 2), 0.3%.
_ROWS = 1 << 16
_FREQUENCIES = 4_096
_SEED = 7


class HashSample:
    """Hashes of values: how many different ones there are, and how many come again."""

    def __init__(self) -> None:
        self._level = 0
        self._hashes = np.zeros(0, dtype=np.uint64)
        self._counts = np.zeros(0, dtype=np.int64)

    @property
    def is_exact(self) -> bool:
        """Whether nothing was left out."""
        return self._level == 0

    @property
    def distinct(self) -> int:
        """How many different values there were."""
        return self._hashes.size << self._level

    @property
    def repeated(self) -> int:
        """How many values had come before."""
        return int(self._counts.sum() - self._hashes.size) << self._level

    def update(self, hashes: NDArray[np.uint64]) -> None:
        """Take in the hashes of the next values."""
        hashes = _below(_mix(hashes), self._level)
        self._add(hashes, np.ones(hashes.size, dtype=np.int64))

    def merge(self, other: "HashSample") -> None:
        """Take in what another one saw."""
        self._level = max(self._level, other._level)
        self._hashes, self._counts = _keep_below(self._hashes, self._counts, self._level)
        self._add(*_keep_below(other._hashes, other._counts, self._level))

    def _add(self, hashes: NDArray[np.uint64], counts: NDArray[np.int64]) -> None:
        together = np.concatenate((self._hashes, hashes))
        self._hashes, inverse = np.unique(together, return_inverse=True)
        weights = np.concatenate((self._counts, counts))
        self._counts = np.bincount(inverse, weights, minlength=self._hashes.size).astype(np.int64)
        while self._hashes.size > _HASHES:
            self._level += 1
            self._hashes, self._counts = _keep_below(self._hashes, self._counts, self._level)


class RowSample:
    """A uniform sample of rows, in their order."""

    def __init__(self) -> None:
        self._level = 0
        self.n_seen = 0
        self._frames: list[pl.DataFrame] = []
        self._keys: list[NDArray[np.uint64]] = []
        self._n_kept = 0

    @property
    def share(self) -> float:
        """The share of the rows that is kept, in the long run."""
        return 2.0**-self._level

    def update(self, frame: pl.DataFrame) -> None:
        """Take in the next rows."""
        numbers = np.arange(self.n_seen, self.n_seen + frame.height, dtype=np.uint64)
        self.n_seen += frame.height
        self._add(frame, _mix(numbers))

    def merge(self, other: "RowSample") -> None:
        """Take in what another one saw in the rows after these."""
        self.n_seen += other.n_seen
        self._level = max(self._level, other._level)
        frames, keys = [*self._frames, *other._frames], [*self._keys, *other._keys]
        self._frames, self._keys, self._n_kept = [], [], 0
        for frame, own in zip(frames, keys, strict=True):
            self._add(frame, own)

    def collect(self) -> pl.DataFrame:
        """Return the sample."""
        return pl.concat(self._frames, how="vertical_relaxed")

    def _add(self, frame: pl.DataFrame, keys: NDArray[np.uint64]) -> None:
        is_kept = keys <= _limit(self._level)
        self._frames.append(frame.filter(pl.Series(is_kept)))
        self._keys.append(keys[is_kept])
        self._n_kept += int(is_kept.sum())
        while self._n_kept > _ROWS:
            self._level += 1
            whole, own = self.collect(), np.concatenate(self._keys)
            is_kept = own <= _limit(self._level)
            self._frames, self._keys = [whole.filter(pl.Series(is_kept))], [own[is_kept]]
            self._n_kept = int(is_kept.sum())


class Moments:
    """Number, range, mean and standard deviation of the finite values of a column."""

    def __init__(self) -> None:
        self._n = 0
        self._mean = 0.0
        self._squares = 0.0
        self._minimum = math.inf
        self._maximum = -math.inf

    def fields(self, quantiles: tuple[float, ...]) -> dict[str, object]:
        """Return the fields of a column's profile.

        Args:
            quantiles: of a sample of the values.
        """
        if not self._n:
            return {}
        mean = self._mean if math.isfinite(self._mean) else None
        sd = math.sqrt(self._squares / self._n) if math.isfinite(self._squares) else None
        return {
            "minimum": self._minimum,
            "maximum": self._maximum,
            "mean": mean,
            "sd": sd,
            "quantiles": (self._minimum, *quantiles[1:-1], self._maximum),
        }

    def update(self, values: NDArray[np.float64]) -> None:
        """Take in the next values."""
        values = values[np.isfinite(values)]
        if values.size:
            with np.errstate(over="ignore", invalid="ignore"):
                self._add(values.size, float(values.mean()), float(values.var()) * values.size)
            self._minimum = min(self._minimum, float(values.min()))
            self._maximum = max(self._maximum, float(values.max()))

    def merge(self, other: "Moments") -> None:
        """Take in what another one saw."""
        if other._n:
            self._add(other._n, other._mean, other._squares)
            self._minimum, self._maximum = min(self._minimum, other._minimum), max(self._maximum, other._maximum)

    def _add(self, n: int, mean: float, squares: float) -> None:
        apart, total = mean - self._mean, self._n + n
        self._squares += squares + apart * apart * self._n * n / total
        self._mean += apart * n / total
        self._n = total


class Frequencies:
    """How often each text comes."""

    def __init__(self) -> None:
        # None: there were too many
        self.counts: Counter[str] | None = Counter()

    def update(self, texts: pl.Series) -> None:
        """Take in the next values."""
        if self.counts is not None:
            counted = texts.drop_nulls().rename("value").value_counts()
            self._add(Counter(dict(zip(counted["value"], counted["count"], strict=True))))

    def merge(self, other: "Frequencies") -> None:
        """Take in what another one saw."""
        if other.counts is None:
            self.counts = None
        self._add(other.counts or Counter())

    def _add(self, counts: Counter[str]) -> None:
        if self.counts is not None:
            self.counts.update(counts)
            if len(self.counts) > _FREQUENCIES:
                self.counts = None


def hash_values(values: pl.Series) -> NDArray[np.uint64]:
    """Return a hash of each value, the same for the same value as long as this process runs."""
    return values.hash(_SEED).to_numpy()


def hash_rows(frame: pl.DataFrame) -> NDArray[np.uint64]:
    """Return a hash of each row, whatever the order of the columns."""
    return frame.select(column_of(name) for name in sorted(frame.columns)).hash_rows(_SEED).to_numpy()


def _limit(level: int) -> np.uint64:
    return np.uint64((1 << (64 - level)) - 1)


def _below(hashes: NDArray[np.uint64], level: int) -> NDArray[np.uint64]:
    return hashes[hashes <= _limit(level)] if level else hashes


def _keep_below(
    hashes: NDArray[np.uint64], counts: NDArray[np.int64], level: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    is_kept = hashes <= _limit(level)
    return hashes[is_kept], counts[is_kept]


def _mix(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread numbers evenly over all 64 bits, each to another one.

    Source: Steele, Lea, Flood (2014), Fast splittable pseudorandom number generators.
    """
    with np.errstate(over="ignore"):
        z = numbers + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
