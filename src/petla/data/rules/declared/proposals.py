"""Expectations proposed from a profile, as lines of the project file and as a diff to be reviewed.

What is proposed has room for chance, so that another part of the same data keeps it: a limit is put well beyond the
extremes, and only where they say something about the rows that were not seen. Where the tails are long, a category is
rare, or rows are few, nothing is proposed.
"""

import difflib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from petla.core.errors import InvalidError
from petla.core.project import PROJECT_FILE, CheckTable, ExpectationTable, Holding, Project, decode_project
from petla.data.profile.columns import ColumnProfile, Kind, Profile
from petla.data.rules.finding import chance, count_present
from petla.data.rules.measurements import list_codes
from petla.storage.files import reported, write_atomic

# with fewer values than this, extremes say little about what else there is
_EXTREMES_ROWS = 1_000
# the extreme may be this many times as far from the median as 95% of the values on its side
_LONGEST_TAIL = 3.0
# a limit is this much further out than the extreme, measured from the median
_ROOM = 2.0
# A list of categories is whole where each came at least so often and in such a share of the rows: where some are rare,
# others may be rarer still.
_LEAST_COUNT, _LEAST_SHARE = 20, 0.02
# so many pairs of equal numbers would have been there had they been drawn by chance
_LIKELY_PAIRS = 20

# what another part of the data may turn out to be is left open: whole numbers or not, few texts or many
_HOLDINGS: dict[Kind, Holding] = {
    Kind.NUMBER: "number",
    Kind.INTEGER: "number",
    Kind.BOOLEAN: "boolean",
    Kind.CATEGORY: "text",
    Kind.TEXT: "text",
    Kind.TIMESTAMP: "timestamp",
}


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """What to add to the project file."""

    columns: tuple[str, ...]
    diff: str
    # the whole file as it would be
    content: bytes


def propose(profile: Profile, limits: CheckTable) -> dict[str, ExpectationTable]:
    """Return an expectation for each column that has none in the project file and is judged at all."""
    judged = (
        column for column in profile.columns if column.name not in limits.columns and column.name not in limits.ignore
    )
    return {column.name: _propose(column, limits) for column in judged if count_present(column)}


def draft(root: Path, dataset: str, proposed: Mapping[str, ExpectationTable]) -> Proposal:
    """Write proposals into the text of the project file; the file itself stays as it is.

    Raises:
        UnavailableError: the file cannot be read.
        InvalidError: it would not be valid with them.
    """
    path = root / PROJECT_FILE
    with reported(path, "read"):
        before = path.read_bytes()
    text = before.decode("utf-8-sig")
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = [line for name, wanted in proposed.items() for line in _write(dataset, name, wanted)]
    end = "" if not text or text.endswith("\n") else newline
    added = (end + newline.join(["", *lines])) if lines else ""
    _decode(text + added, dataset)
    old, new = (part.splitlines(keepends=True) for part in (text, text + added))
    shown = "".join(
        line if line.endswith("\n") else f"{line}\n"
        for line in difflib.unified_diff(old, new, PROJECT_FILE, PROJECT_FILE)
    )
    return Proposal(columns=tuple(proposed), diff=shown, content=before + added.encode())


def write(root: Path, proposal: Proposal) -> Project:
    """Write a proposal to the project file, all of whose bytes stay; return the project as it is then.

    Raises:
        UnavailableError: the file cannot be written; it stays as it was.
    """
    project = decode_project(proposal.content.decode("utf-8-sig"))
    write_atomic(root / PROJECT_FILE, proposal.content)
    return project


def _decode(text: str, dataset: str) -> None:
    try:
        decode_project(text)
    except InvalidError as error:
        raise InvalidError(
            f"the proposals do not go into {PROJECT_FILE}: {error.message}",
            hint=f"write the checks of {dataset!r} as tables of their own, such as [data.{dataset}.checks], not inline",
        ) from error


def _propose(column: ColumnProfile, limits: CheckTable) -> ExpectationTable:
    minimum, maximum = _propose_range(column) if column.kind.is_numeric else (None, None)
    return ExpectationTable(
        kind=_HOLDINGS[column.kind],
        minimum=minimum,
        maximum=maximum,
        categories=_propose_categories(column),
        missing_share=_propose_missing(column, limits),
        unique=_is_key(column),
    )


def _propose_range(column: ColumnProfile) -> tuple[float | None, float | None]:
    if count_present(column) < _EXTREMES_ROWS or not column.quantiles or list_codes(column) or _is_key(column):
        return None, None
    low, near_low, middle, near_high, high = (column.quantiles[i] for i in (0, 1, 10, 19, 20))
    minimum = _beyond(middle, near_low, low)
    if low >= 0 and (low == 0 or (minimum or 0.0) < 0):
        # Nothing is below nothing, as of lengths, counts and prices; where 0 is not seen, that is not sure.
        minimum = 0.0 if low == 0 else None
    return minimum, _beyond(middle, near_high, high)


def _beyond(middle: float, near: float, extreme: float) -> float | None:
    """Return a limit well beyond an extreme, rounded outward to two digits; None: the tail is too long to say."""
    usual, farthest = abs(near - middle), abs(extreme - middle)
    if usual == 0 or farthest > _LONGEST_TAIL * usual:
        return None
    limit = middle + (extreme - middle) * (1 + _ROOM)
    step = 10.0 ** (math.floor(math.log10(abs(limit))) - 1) if limit else 1.0
    rounded = (math.ceil if extreme > middle else math.floor)(limit / step) * step
    return float(f"{rounded:.12g}")


def _propose_categories(column: ColumnProfile) -> tuple[str | int, ...]:
    if column.kind.is_numeric or column.kind is Kind.BOOLEAN or not column.categories:
        return ()
    is_whole = column.distinct == len(column.categories)
    least = min(column.counts[: len(column.categories)])
    is_solid = least >= max(_LEAST_COUNT, _LEAST_SHARE * count_present(column))
    return tuple(sorted(column.categories)) if is_whole and is_solid else ()


def _propose_missing(column: ColumnProfile, limits: CheckTable) -> float | None:
    if column.rows < limits.minimum_rows:
        return None
    # so many there could have been, and in a small part there may be more
    likely = min((column.missing + 4 * math.sqrt(column.missing) + 9) / column.rows, 1.0)
    share = likely + chance(likely, limits.minimum_rows, 1_000_000) + 0.01
    return min(math.ceil(share * 100) / 100, 1.0)


def _is_key(column: ColumnProfile) -> bool:
    n_values = count_present(column)
    if not column.is_exact or n_values < _EXTREMES_ROWS or column.distinct < n_values:
        return False
    if column.kind is Kind.INTEGER and column.minimum is not None and column.maximum is not None:
        # Numbers drawn by chance from this range would not all be different.
        return n_values**2 / (2 * (column.maximum - column.minimum + 1)) > _LIKELY_PAIRS
    word = column.name.lower()
    return column.kind is Kind.TEXT and (word in ("id", "uuid") or word.endswith(("_id", "_uuid")))


def _write(dataset: str, column: str, wanted: ExpectationTable) -> Iterator[str]:
    yield f"[data.{dataset}.checks.columns.{_show(column)}]"
    for name, default in ((field.name, field.default) for field in msgspec.structs.fields(wanted)):
        value = getattr(wanted, name)
        if value != default:
            yield f"{name} = {_show_value(value)}"
    yield ""


def _show_value(value: object) -> str:
    match value:
        case tuple():
            return f"[{', '.join(map(_show_value, value))}]"
        case str():
            return _show(value)
        case _:
            return msgspec.json.encode(value).decode()


def _show(text: str) -> str:
    # A JSON text is a TOML text, but for one sign.
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")
