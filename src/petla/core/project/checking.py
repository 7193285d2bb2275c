"""How fresh data are checked: `[data.NAME.checks]` of the project file."""

from typing import Annotated

import msgspec
from msgspec import Meta

Text = Annotated[str, Meta(min_length=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]


class CheckTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[data.NAME.checks]`: how far a new version may be from the one before it."""

    # a number column whose median moves by more, in standard deviations of the reference, is worth a warning
    shift_sd: Positive = 3.0
    # largest factor between the spreads of a number column: beyond it, its unit has changed
    scale_factor: Annotated[float, Meta(gt=1)] = 3.0
    # largest rise of the share of missing values; half of it is worth a warning
    missing_rise: Share = 0.15
    # largest share of rows whose category the reference did not have
    unseen_share: Share = 0.05
    # category explosion: more than this many times the categories of the reference
    category_factor: Annotated[float, Meta(gt=1)] = 3.0
    # fewer rows than this are not judged for shares and shifts
    minimum_rows: Annotated[int, Meta(ge=1)] = 100
    # columns that are not judged, such as the month
    ignore: tuple[Text, ...] = ()
