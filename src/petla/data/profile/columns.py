"""What is known of a table: its columns' kinds, ranges, categories and counts."""

from enum import StrEnum
from typing import Literal

import msgspec


class Kind(StrEnum):
    """What a column holds."""

    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    # text with few distinct values, each of which means something
    CATEGORY = "category"
    # text with many distinct values
    TEXT = "text"
    TIMESTAMP = "timestamp"
    # an array of numbers, of the same shape in every row
    TENSOR = "tensor"
    # an encoded picture, such as the bytes of a PNG file
    IMAGE = "image"

    @property
    def is_numeric(self) -> bool:
        """Whether values have an order and a distance."""
        return self in (Kind.NUMBER, Kind.INTEGER)


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a profile.

    `counts` is the reference for drift. Numbers: one count per bin, where bin i holds values in
    [edges[i-1], edges[i]), the first and the last bin are open to the outside, so len(edges) + 1 bins. Everything else:
    one count per entry of `categories`, then one for all other values. In both cases the last count is that of the
    missing values. So len(counts) is len(edges) + 2, or len(categories) + 2.
    """

    name: str
    kind: Kind
    rows: int
    missing: int
    # not counting missing; of lists and bytes: the number of values; an estimate where `is_exact` is false
    distinct: int
    # numbers only (timestamps: None)
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    sd: float | None = None
    # 21 values at 0, 5, ... 100 per cent
    quantiles: tuple[float, ...] = ()
    # inner edges, strictly rising, at most 19
    edges: tuple[float, ...] = ()
    # the most frequent values as text, at most 50; booleans are "false" and "true"
    categories: tuple[str, ...] = ()
    # categories: the values that are less frequent than those, by frequency; so all values of the column are known
    rare: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    # false: the table is so large that distinct values, quantiles and counts were estimated from every n-th row
    is_exact: bool = True
    # numbers: the most frequent values that come more than once, in at least a thousandth of the rows; at most 10, and
    # after them the smallest and the largest of all values where they are no less frequent than that
    top: tuple[tuple[float, int], ...] = ()
    # text: characters of the shortest, the longest and the average value
    length_minimum: int | None = None
    length_maximum: int | None = None
    length_mean: float | None = None
    # text: shapes of values, such as `A999` for B744; at most 20, each with its rows
    patterns: tuple[tuple[str, int], ...] = ()
    # text: words that mean "nothing", such as `unknown`, each with its rows
    blanks: tuple[tuple[str, int], ...] = ()
    # text: values with signs of a wrong encoding
    damaged: int = 0
    # points in time, as ISO 8601: the first and the last
    earliest: str | None = None
    latest: str | None = None
    # rows whose time is before that of the row above
    backward: int = 0
    # seconds from one row to the next: the middle and the longest
    step_median_s: float | None = None
    step_maximum_s: float | None = None
    # rows in each hour of the day; empty: dates
    hours: tuple[int, ...] = ()

    @property
    def missing_share(self) -> float:
        """Missing values as a share of the rows; 0 for no rows."""
        return self.missing / self.rows if self.rows else 0.0

    @property
    def median(self) -> float | None:
        """The middle one of the quantiles; None where there are none."""
        return self.quantiles[len(self.quantiles) // 2] if self.quantiles else None


class Flaw(msgspec.Struct, frozen=True):
    """Something that is wrong with a file that can be read all the same, or with one of many that cannot."""

    # of the dataset; empty: the dataset is this file
    path: str
    what: str


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a table, or of a folder of images as a table of them."""

    rows: int
    columns: tuple[ColumnProfile, ...]
    of: Literal["table", "images"] = "table"
    # rows that are the same as one above; None: not known
    duplicates: int | None = None
    flaws: tuple[Flaw, ...] = ()
    # of a CSV
    encoding: str = ""
    separator: str = ""

    def find(self, name: str) -> ColumnProfile | None:
        """Return a column's profile, or None."""
        return next((column for column in self.columns if column.name == name), None)
