"""Columns of categories: re-coded, exploded, or with values that were not there before.

Profiles list the 50 most frequent categories. Where a column has more, all counts here are on the side of no alarm.
"""

import math
import re

from petla.core.project import CheckTable
from petla.data.profile.columns import ColumnProfile, Kind
from petla.data.rules.finding import DataFinding, Severity, chance, count_present, show_share, show_values

# a category with a smaller share than this may come and go
_NOTABLE = 0.01
# with fewer rows than this to a category, on average, nobody knows all categories there are
_ROWS_PER_CATEGORY = 10


def check_categories(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> DataFinding | None:
    """Say the worst that can be said of a column's categories."""
    if reference.kind is Kind.TEXT and fresh.kind is Kind.TEXT:
        return _check_case(fresh, reference, limits)
    if reference.kind is not Kind.CATEGORY or not reference.categories or count_present(fresh) == 0:
        return None
    if count_present(reference) < _ROWS_PER_CATEGORY * reference.distinct:
        return _check_spelling(fresh, reference)
    if fresh.kind is Kind.TEXT:
        return _check_text(fresh, reference, limits)
    return (
        _check_spelling(fresh, reference)
        or _check_explosion(fresh, reference, limits)
        or _check_unseen(fresh, reference, limits)
        or _check_vanished(fresh, reference, limits)
    )


def _check_text(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> DataFinding | None:
    if fresh.distinct <= limits.category_factor * reference.distinct:
        return None
    return _explosion(fresh, reference)


def _check_case(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> DataFinding | None:
    """Free text in another case: `AA9` became `aa9`."""
    known = dict(reference.patterns)
    n_fresh, n_reference = count_present(fresh), count_present(reference)
    if sum(known.values()) < (1 - _NOTABLE) * n_reference:
        # so many shapes that a profile does not list all
        return None
    folded = {_fold(shape): shape for shape in reversed(known)}
    changed = [(shape, count) for shape, count in fresh.patterns if shape not in known and _fold(shape) in folded]
    n_changed = sum(count for _, count in changed)
    if n_changed / n_fresh <= limits.unseen_share + chance(_NOTABLE, n_fresh, n_reference):
        return None
    pairs = ", ".join(f"{folded[_fold(shape)]!r} is now {shape!r}" for shape, _ in changed[:3])
    message = f"column {fresh.name!r} is spelled differently in {show_share(n_changed, n_fresh)} rows: {pairs}"
    return DataFinding(
        column=fresh.name,
        rule="recoded",
        severity="block",
        message=f"{message} (A: capitals, a: small letters, 9: digits)",
        before=show_values([shape for shape, _ in reference.patterns]),
        after=show_values([shape for shape, _ in fresh.patterns]),
    )


def _fold(shape: str) -> str:
    return re.sub(r"a+", "a", shape.lower())


def _check_spelling(fresh: ColumnProfile, reference: ColumnProfile) -> DataFinding | None:
    """`jfk` for `JFK`, `1.0` for `1`: the same category to a person, another one to a model."""
    counts = dict(zip(fresh.categories, fresh.counts, strict=False))
    spelled = {_spell(category): category for category in reference.categories}
    known = set(reference.categories)
    renamed = {new: spelled[_spell(new)] for new in fresh.categories if new not in known and _spell(new) in spelled}
    n_renamed = sum(counts[category] for category in renamed)
    if n_renamed < _NOTABLE * count_present(fresh):
        return None
    pairs = ", ".join(f"{before!r} is now {now!r}" for now, before in list(renamed.items())[:3])
    rows = show_share(n_renamed, count_present(fresh))
    message = f"column {fresh.name!r} is spelled differently: {pairs}, in {rows} rows"
    return _finding(fresh, reference, "recoded", "block", message)


def _check_explosion(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> DataFinding | None:
    if fresh.distinct <= limits.category_factor * reference.distinct:
        return None
    # More rows show more of the rare categories; together these are few rows.
    unseen = _unseen_share(fresh, reference)
    return _explosion(fresh, reference) if unseen > _NOTABLE + _expected_unseen(fresh, reference) else None


def _check_unseen(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> DataFinding | None:
    unseen, expected = _unseen_share(fresh, reference), _expected_unseen(fresh, reference)
    if unseen <= _NOTABLE + expected:
        return None
    gone = [name for name in _list_notable(reference) if name not in fresh.categories]
    known = set(reference.categories)
    arrived = [name for name in fresh.categories if name not in known]
    rows = show_share(round(unseen * count_present(fresh)), count_present(fresh))
    donors = _find_donors(fresh, reference, unseen)
    is_much = unseen > limits.unseen_share + expected
    if gone and is_much:
        message = (
            f"column {fresh.name!r} looks re-coded: {show_values(gone)} gone, {show_values(arrived)} new in {rows} rows"
        )
        return _finding(fresh, reference, "recoded", "block", message)
    if donors:
        taken = f"{show_values(arrived)} in {rows} rows, taken from {show_values(donors)}"
        message = f"column {fresh.name!r} looks re-coded in part: {taken}"
        return _finding(fresh, reference, "recoded", "block", message)
    message = f"column {fresh.name!r} has categories that were not there before, {show_values(arrived)}, in {rows} rows"
    return _finding(fresh, reference, "unseen", "block" if is_much else "warn", message)


def _check_vanished(fresh: ColumnProfile, reference: ColumnProfile, limits: CheckTable) -> DataFinding | None:
    if len(fresh.categories) < fresh.distinct:
        return None
    shares = _shares_of(reference)
    lost = sum(share for name, share in shares.items() if name not in fresh.categories)
    # so much of it a sample of that size leaves out
    expected = sum(share * (1 - share) ** count_present(fresh) for share in shares.values())
    if lost <= limits.unseen_share + expected + chance(lost, count_present(fresh), count_present(reference)):
        return None
    gone = [name for name in reference.categories if name not in fresh.categories]
    message = f"column {fresh.name!r} has lost {show_values(gone)}, which had {lost:.1%} of the rows"
    return _finding(fresh, reference, "vanished", "warn", message)


def _explosion(fresh: ColumnProfile, reference: ColumnProfile) -> DataFinding:
    message = f"column {fresh.name!r} had {reference.distinct:,} categories and has {fresh.distinct:,} now"
    return _finding(fresh, reference, "explosion", "block", message)


def _finding(
    fresh: ColumnProfile, reference: ColumnProfile, rule: str, severity: Severity, message: str
) -> DataFinding:
    return DataFinding(
        column=fresh.name,
        rule=rule,
        severity=severity,
        message=message,
        before=show_values(reference.categories, reference.distinct),
        after=show_values(fresh.categories, fresh.distinct) if fresh.categories else f"{fresh.distinct:,} texts",
    )


def _shares_of(column: ColumnProfile) -> dict[str, float]:
    present = max(count_present(column), 1)
    return {name: count / present for name, count in zip(column.categories, column.counts, strict=False)}


def _list_notable(column: ColumnProfile) -> list[str]:
    return [name for name, share in _shares_of(column).items() if share >= _NOTABLE]


def _unseen_share(fresh: ColumnProfile, reference: ColumnProfile) -> float:
    """At least this share of the rows has a category that the reference did not have."""
    shares, known = _shares_of(fresh), set(reference.categories)
    listed = sum(share for name, share in shares.items() if name not in known)
    if len(known) < reference.distinct:
        # Each of them may be one of those that the reference does not list.
        unlisted = _unlisted_share(reference)
        by_chance = chance(unlisted, count_present(fresh), count_present(reference))
        return max(listed - unlisted - by_chance, 0.0)
    # Known ones may be among those that the fresh data do not list, each of them with less than the last one listed.
    hidden = len(known - set(shares)) * min(shares.values(), default=0.0)
    return listed + max(_unlisted_share(fresh) - hidden, 0.0)


def _unlisted_share(column: ColumnProfile) -> float:
    return column.counts[len(column.categories)] / max(count_present(column), 1)


def _expected_unseen(fresh: ColumnProfile, reference: ColumnProfile) -> float:
    """The share that categories too rare to be in the reference have by chance.

    Source: Good (1953), The population frequencies of species, eq. 9: it is about that of the categories seen once.
    A category that is missed once in 10,000 samples of n rows has a share of ln(10,000) / n.
    """
    n_fresh, n_reference = count_present(fresh), max(count_present(reference), 1)
    seen_once = sum(1 for count in reference.counts[: len(reference.categories)] if count == 1) / n_reference
    return seen_once + chance(max(seen_once, _NOTABLE), n_fresh, n_reference) + math.log(1e4) / n_reference


def _find_donors(fresh: ColumnProfile, reference: ColumnProfile, unseen: float) -> list[str]:
    """Return the categories that lost what the unseen ones gained, while all others stayed as they were.

    That is one category that lost it all, or as many as arrived, each of which lost what one of those has.
    """
    n_fresh, n_reference = count_present(fresh), count_present(reference)
    now, before = _shares_of(fresh), _shares_of(reference)
    moved = {name: share - now.get(name, 0.0) for name, share in before.items()}
    allowed = {name: chance(share, n_fresh, n_reference) for name, share in before.items()}
    losers = sorted(before, key=lambda name: moved[name], reverse=True)
    gains = sorted((share for name, share in now.items() if name not in before), reverse=True)
    is_listed = len(before) == reference.distinct and len(now) == fresh.distinct
    for gained in ([unseen], gains if is_listed else []):
        donors, others = losers[: len(gained)], losers[len(gained) :]
        is_whole = 0 < len(donors) == len(gained) and all(
            math.isclose(moved[name], gain, abs_tol=allowed[name]) for name, gain in zip(donors, gained, strict=True)
        )
        is_alone = all(abs(moved[name]) <= allowed[name] for name in others)
        if is_whole and is_alone and sum(moved[name] for name in donors) > max(allowed[name] for name in donors):
            return donors
    return []


def _spell(category: str) -> str:
    """Return what a category is but for case, blanks and the way a number is written."""
    word = " ".join(category.casefold().split())
    try:
        return repr(float(word))
    except ValueError:
        return word
