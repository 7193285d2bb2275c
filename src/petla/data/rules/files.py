"""The table as a whole: rows that repeat, files that were cut off, texts damaged by a wrong encoding."""

import math

from petla.core.project import CheckTable
from petla.data.profile.columns import ColumnProfile, Profile
from petla.data.rules.finding import DataFinding, chance, count_present, is_news, show_share, soften

_SHOWN = 3
# images are many: one of them may be broken
_NOTABLE = 0.01


def check_duplicates(fresh: Profile, reference: Profile, limits: CheckTable) -> DataFinding | None:
    """Say whether more rows repeat than the reference lets expect.

    The share of repeated rows grows with the number of rows, but no faster, which bounds it for larger tables: the
    expected number of different rows is a concave function of it.
    """
    if fresh.duplicates is None or reference.duplicates is None:
        return None
    # Without one of the columns more rows are the same.
    is_whole = {column.name for column in reference.columns} <= {column.name for column in fresh.columns}
    if not is_whole or min(fresh.rows, reference.rows) < limits.minimum_rows:
        return None
    # had the reference been drawn again, it could have had so many
    likely = reference.duplicates + 4 * math.sqrt(reference.duplicates) + 9
    expected = min(likely / reference.rows * max(fresh.rows / reference.rows, 1.0), 1.0)
    share = fresh.duplicates / fresh.rows
    if share <= expected + limits.duplicate_rise + chance(expected, fresh.rows, reference.rows):
        return None
    return DataFinding(
        column="",
        rule="duplicates",
        severity="block",
        message=f"rows repeat: {show_share(fresh.duplicates, fresh.rows)} are the same as one above",
        before=f"{show_share(reference.duplicates, reference.rows)} repeated",
        after=f"{show_share(fresh.duplicates, fresh.rows)} repeated",
    )


def check_flaws(fresh: Profile, reference: Profile | None) -> DataFinding | None:
    """Say which files are broken: cut off, or not to be read."""
    known = reference.flaws if reference is not None else ()
    flaws = [flaw for flaw in fresh.flaws if flaw not in known]
    if not flaws:
        return None
    told = "; ".join(f"{flaw.path}: {flaw.what}" if flaw.path else flaw.what for flaw in flaws[:_SHOWN])
    more = f"; and {len(flaws) - _SHOWN:,} more" if len(flaws) > _SHOWN else ""
    finding = DataFinding(
        column="",
        rule="truncated",
        severity="block",
        message=f"the data are not whole: {told}{more}",
        before="whole" if reference is not None else "nothing to compare with",
        after="1 broken file" if len(flaws) == 1 else f"{len(flaws):,} broken files",
    )
    is_rare = fresh.of == "images" and len(flaws) <= _NOTABLE * (fresh.rows + len(flaws))
    return soften(finding) if is_rare else finding


def check_encoding(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> DataFinding | None:
    """Say whether a column of texts was written in one encoding and read in another."""
    n_fresh, n_reference = count_present(fresh), count_present(reference)
    former = reference.damaged / n_reference
    by_chance = chance(former, n_fresh, n_reference) if reference.damaged else 0.0
    rise = fresh.damaged / n_fresh - former - by_chance
    is_seen = reference.damaged > 0 or is_news(fresh.damaged, n_fresh, n_reference)
    if not is_seen or rise <= limits.damaged_share / 10:
        return None
    examples = [name for name in fresh.categories if name not in reference.categories and not name.isascii()]
    shown = f", such as {', '.join(map(repr, examples[:_SHOWN]))}" if examples else ""
    finding = DataFinding(
        column=fresh.name,
        rule="encoding",
        severity="block",
        message=f"column {fresh.name!r} has letters damaged by a wrong encoding in "
        f"{show_share(fresh.damaged, n_fresh)} values{shown}",
        before=f"damaged in {show_share(reference.damaged, n_reference)}",
        after=f"damaged in {show_share(fresh.damaged, n_fresh)}",
    )
    return finding if rise > limits.damaged_share else soften(finding)
