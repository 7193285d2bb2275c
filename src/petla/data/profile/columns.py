"""What is known of a table: its columns' kinds, ranges, categories and counts."""

from enum import StrEnum

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
    # exact, not counting missing; of lists and bytes: the number of values
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
    counts: tuple[int, ...] = ()

    @property
    def missing_share(self) -> float:
        """Missing values as a share of the rows; 0 for no rows."""
        return self.missing / self.rows if self.rows else 0.0


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a table."""

    rows: int
    columns: tuple[ColumnProfile, ...]

    def find(self, name: str) -> ColumnProfile | None:
        """Return a column's profile, or None."""
        return next((column for column in self.columns if column.name == name), None)
