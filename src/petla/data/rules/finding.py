"""What a rule says, and how it writes figures."""

import math
from collections.abc import Sequence

import msgspec

from petla.core.project import Severity
from petla.data.profile.columns import ColumnProfile

__all__ = ["DataFinding", "Severity", "chance", "count_present", "is_news"]
__all__ += ["show_number", "show_range", "show_share", "show_values", "soften"]

# how many standard errors are put down to chance
_ERRORS = 4.0
_SHOWN = 5


class DataFinding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a person should look at before a model is trained on it."""

    # empty: the whole table
    column: str
    # one of `petla.core.project.RULES`
    rule: str
    severity: Severity
    # one sentence that names the column
    message: str
    # what was there and what is there now, in words
    before: str
    after: str
    # who answers for it, until which day, and why; empty: nobody
    waived_by: str = ""
    waived_until: str = ""
    waived_because: str = ""

    @property
    def is_blocking(self) -> bool:
        """Whether nothing trains on it unless somebody gives a reason."""
        return self.severity == "block" and not self.waived_by


def soften(finding: DataFinding) -> DataFinding:
    """Return a finding that only warns."""
    return msgspec.structs.replace(finding, severity="warn")


def count_present(column: ColumnProfile) -> int:
    """Return how many values are there."""
    return column.rows - column.missing


def chance(share: float, n_fresh: int, n_reference: int) -> float:
    """Return by how much two samples' shares may differ by chance alone.

    Source: the normal approximation of the binomial distribution, at 4 standard errors: one false alarm in 30,000.
    """
    if min(n_fresh, n_reference) == 0:
        return 1.0
    # a share seen as 0 may be a little above it
    spread = max(share * (1 - share), 1 / n_reference)
    return _ERRORS * math.sqrt(spread * (1 / n_fresh + 1 / n_reference))


def is_news(count: int, n_fresh: int, n_reference: int) -> bool:
    """Whether something seen so often in the fresh rows, and never in the reference, is hardly ever so by chance.

    Had it come in both alike, each of these rows would have been a fresh one with the share of the fresh rows among
    all: once in a million times they all would.

    Example:
        >>> is_news(7, 100, 100), is_news(20, 100, 100)
        (False, True)
    """
    return count * math.log1p(n_reference / max(n_fresh, 1)) > math.log(1e6)


def show_number(value: float | None) -> str:
    """Write a number for people.

    Example:
        >>> show_number(1389.4), show_number(0.51234), show_number(None)
        ('1,389', '0.5123', 'unknown')
    """
    if value is None:
        return "unknown"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"


def show_share(part: float, whole: float) -> str:
    """Write a share with its numerator and denominator.

    Example:
        >>> show_share(20, 1000)
        '2.0% (20 of 1,000)'
    """
    return f"{part / whole if whole else 0:.1%} ({part:,.0f} of {whole:,.0f})"


def show_values(values: Sequence[str], distinct: int | None = None) -> str:
    """Write a few of a column's values.

    Example:
        >>> show_values(["a", "b", "c", "d", "e", "f"], 80)
        "'a', 'b', 'c', 'd', 'e' and 75 more"
    """
    shown = [repr(value if len(value) <= 40 else value[:37] + "...") for value in values[:_SHOWN]]
    more = (len(values) if distinct is None else distinct) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "") if shown else "no value"


def show_range(column: ColumnProfile) -> str:
    """Write where a column's numbers lie."""
    if not column.quantiles:
        return "no number"
    low, middle, high = (show_number(column.quantiles[i]) for i in (5, 10, 15))
    return f"half of the values between {low} and {high}, the median {middle}"
