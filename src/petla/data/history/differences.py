"""How two versions of a dataset differ: files, rows, columns, statistics."""

import msgspec

from petla.data.content.manifest import Manifest
from petla.data.profile.columns import ColumnProfile, Profile
from petla.data.rules.finding import show_number, show_share, show_values


class ColumnDifference(msgspec.Struct, frozen=True):
    """One thing that differs in one column."""

    column: str
    # added, removed, kind, missing, distinct, mean, median, range, categories
    what: str
    before: str
    after: str


class DatasetDiff(msgspec.Struct, frozen=True, kw_only=True):
    """How two versions differ."""

    dataset: str
    old: int
    new: int
    # paths of files; '' where the dataset is one file
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    size_bytes_before: int
    size_bytes_after: int
    # None: not a table
    rows_before: int | None
    rows_after: int | None
    columns: tuple[ColumnDifference, ...]

    def describe(self) -> list[str]:
        """Write the differences, one a line."""
        lines = [f"size: {self.size_bytes_before:,} -> {self.size_bytes_after:,} bytes"]
        if self.rows_before is not None or self.rows_after is not None:
            lines.append(f"rows: {_show_rows(self.rows_before)} -> {_show_rows(self.rows_after)}")
        for what, paths in (("added", self.added), ("removed", self.removed), ("changed", self.changed)):
            lines += [f"{what} file {path}" for path in paths if path]
        lines += [
            f"column {c.column}: {c.what} {c.before or 'nothing'} -> {c.after or 'nothing'}" for c in self.columns
        ]
        return lines


def compare_versions(
    dataset: str,
    numbers: tuple[int, int],
    manifests: tuple[Manifest, Manifest],
    profiles: tuple[Profile | None, Profile | None],
) -> DatasetDiff:
    """Compare two versions by what is stored of them; no data is read."""
    before, after = ({entry.path: entry.object for entry in manifest.files} for manifest in manifests)
    return DatasetDiff(
        dataset=dataset,
        old=numbers[0],
        new=numbers[1],
        added=tuple(path for path in after if path not in before),
        removed=tuple(path for path in before if path not in after),
        changed=tuple(path for path in after if path in before and after[path] != before[path]),
        size_bytes_before=manifests[0].size_bytes,
        size_bytes_after=manifests[1].size_bytes,
        rows_before=profiles[0].rows if profiles[0] else None,
        rows_after=profiles[1].rows if profiles[1] else None,
        columns=compare_profiles(profiles[0], profiles[1]) if profiles[0] and profiles[1] else (),
    )


def compare_profiles(before: Profile, after: Profile) -> tuple[ColumnDifference, ...]:
    """Return what differs, column by column, in the order of the former columns and then of the added ones."""
    found: list[ColumnDifference] = []
    for column in before.columns:
        fresh = after.find(column.name)
        if fresh is None:
            found.append(ColumnDifference(column.name, "removed", column.kind.value, ""))
        else:
            found.extend(_compare_columns(column, fresh))
    names = {column.name for column in before.columns}
    found += [ColumnDifference(c.name, "added", "", c.kind.value) for c in after.columns if c.name not in names]
    return tuple(found)


def _compare_columns(before: ColumnProfile, after: ColumnProfile) -> list[ColumnDifference]:
    pairs = zip(_describe(before), _describe(after), strict=True)
    return [ColumnDifference(before.name, what, was, now) for (what, was), (_, now) in pairs if was != now]


def _describe(column: ColumnProfile) -> list[tuple[str, str]]:
    ends = f"{show_number(column.minimum)} to {show_number(column.maximum)}"
    return [
        ("kind", column.kind.value),
        ("missing", show_share(column.missing, column.rows)),
        ("distinct", f"{column.distinct:,}"),
        ("mean", _of_numbers(column, show_number(column.mean))),
        ("median", _of_numbers(column, show_number(column.median))),
        ("range", _of_numbers(column, ends)),
        ("categories", show_values(sorted(column.categories), column.distinct) if column.categories else ""),
    ]


def _show_rows(rows: int | None) -> str:
    return "no table" if rows is None else f"{rows:,}"


def _of_numbers(column: ColumnProfile, text: str) -> str:
    return text if column.kind.is_numeric else ""
