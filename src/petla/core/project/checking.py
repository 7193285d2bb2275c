"""How fresh data are checked: `[data.NAME.checks]` of the project file."""

import re
import reprlib
from datetime import date
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from petla.core.project.paths import check_place

Text = Annotated[str, Meta(min_length=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]
Factor = Annotated[float, Meta(gt=1)]

# block: nothing trains on it unless somebody gives a reason; record: kept, and nobody is told
Severity = Literal["block", "warn", "record"]
Holding = Literal["number", "integer", "boolean", "category", "text", "timestamp"]


class SeverityTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[data.NAME.checks.severity]`: what each rule's findings do; None: what is usual for the rule."""

    empty: Severity | None = None
    missing_column: Severity | None = None
    extra_column: Severity | None = None
    kind: Severity | None = None
    constant: Severity | None = None
    missing_values: Severity | None = None
    missing_marks: Severity | None = None
    recoded: Severity | None = None
    unseen: Severity | None = None
    vanished: Severity | None = None
    explosion: Severity | None = None
    scale: Severity | None = None
    decimal: Severity | None = None
    shift: Severity | None = None
    swapped: Severity | None = None
    time_backward: Severity | None = None
    time_gap: Severity | None = None
    time_zone: Severity | None = None
    encoding: Severity | None = None
    truncated: Severity | None = None
    duplicates: Severity | None = None
    key: Severity | None = None
    leakage: Severity | None = None
    overlap: Severity | None = None
    expectation: Severity | None = None
    pandera: Severity | None = None
    waiver_expired: Severity | None = None


RULES: tuple[str, ...] = SeverityTable.__struct_fields__


class WaiverTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[[data.NAME.checks.waivers]]`: a finding that somebody answers for until a day."""

    rule: Text
    # None: every column, and the whole table
    column: Text | None = None
    owner: Text
    reason: Text
    # the last day that it counts
    expires: date


class ExpectationTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[data.NAME.checks.columns.COLUMN]`: what must hold for a column, whatever the versions before were like."""

    # `number` also allows whole numbers, `text` also categories; None: any
    kind: Holding | None = None
    minimum: float | None = None
    maximum: float | None = None
    # all values there may be; empty: any
    categories: tuple[str | int, ...] = ()
    # largest share of missing values
    missing_share: Share | None = None
    # no value comes twice
    unique: bool = False
    # regular expression that matches the whole of every value; empty: any
    pattern: str = ""

    def __post_init__(self) -> None:
        """Refuse limits that nothing can keep."""
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"has the minimum {self.minimum:g} above the maximum {self.maximum:g}")
        if self.pattern and (problem := _judge_pattern(self.pattern)):
            raise ValueError(f"has the pattern {reprlib.repr(self.pattern)}, which is no regular expression: {problem}")


class CheckTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[data.NAME.checks]`: how far a new version may be from the one before it."""

    # a number column whose median moves by more, in standard deviations of the reference, is worth a warning
    shift_sd: Positive = 3.0
    # largest factor between the spreads of a number column: beyond it, its unit has changed
    scale_factor: Factor = 3.0
    # largest rise of the share of missing values; half of it is worth a warning
    missing_rise: Share = 0.15
    # largest share of rows with one value that means "missing" and was not there before
    mark_share: Share = 0.01
    # largest share of rows whose category the reference did not have
    unseen_share: Share = 0.05
    # category explosion: more than this many times the categories of the reference
    category_factor: Factor = 3.0
    # largest share of numbers that are 10, 100 or 1,000 times larger or smaller than the others
    decimal_share: Share = 0.05
    # largest share of texts damaged by a wrong encoding, beyond that of the reference; a tenth of it is worth a warning
    damaged_share: Share = 0.01
    # largest share of rows whose time is before that of the row above, where time used to go forward only
    backward_share: Share = 0.01
    # longest step in time, as a multiple of the reference's longest; a third of it is worth a warning
    gap_factor: Factor = 10.0
    # largest rise of the share of rows that are the same as one above
    duplicate_rise: Share = 0.05
    # largest share of rows that another dataset of `disjoint` has as well, beyond those that repeat anyway
    overlap_share: Share = 0.001
    # fewer rows than this are not judged for shares and shifts
    minimum_rows: Annotated[int, Meta(ge=1)] = 100
    # columns that are not judged, such as the month
    ignore: tuple[Text, ...] = ()
    # columns that together tell rows apart
    key: tuple[Text, ...] = ()
    # datasets that share no row with this one, such as the holdout
    disjoint: tuple[Text, ...] = ()
    # a schema of pandera, as MODULE.py:NAME; empty: none
    pandera: str = ""
    severity: SeverityTable = field(default_factory=SeverityTable)
    waivers: tuple[WaiverTable, ...] = ()
    columns: dict[str, ExpectationTable] = {}

    def __post_init__(self) -> None:
        """Refuse a schema outside the project."""
        if self.pandera:
            check_place(self.pandera)


def _judge_pattern(pattern: str) -> str:
    """Say what is wrong with a regular expression; empty: nothing.

    NOTE: the table library matches, and has the last word; what Python's own expressions take is not asked there, since
    loading it takes long. What only Python's take, such as looking ahead, is refused when the column is checked.
    """
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as refused:
        import polars as pl

        try:
            pl.Series([""]).str.contains(f"^(?:{pattern})$")
        except pl.exceptions.PolarsError:
            return "it is nested too deeply" if isinstance(refused, RecursionError) else str(refused)
    return ""
