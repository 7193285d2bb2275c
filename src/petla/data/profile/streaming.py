"""Profiles of tables of any size, in one pass and bounded memory.

A table of up to eight million cells is kept, and its profile is exact. Of a larger one are exact: rows, missing values,
range, mean, spread, categories, lengths, times. Distinct values, quantiles, bins and patterns rest on samples, and
`is_exact` says so.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from petla.core.progress import SILENT, Progress
from petla.core.project.formats import FOUND_OUT, FormatTable
from petla.data.profile.columns import ColumnProfile, Flaw, Kind, Profile
from petla.data.profile.features import TextFeatures, TimeFeatures
from petla.data.profile.images import list_images, measure_images
from petla.data.profile.profiles import CATEGORIES, find_kind, is_category, profile_frame, profile_series
from petla.data.profile.sketches import Frequencies, HashSample, Moments, RowSample, hash_rows, hash_values
from petla.data.reading.tables import Part, agree, is_table, list_schemas, reading
from petla.data.reading.unpacking import count_bytes

_EXACT_CELLS = 8_000_000
# and of no more bytes: some operations take several times as many
_EXACT_BYTES = 512 << 20


class TableSketch:
    """What is known of the rows seen so far; another one can be taken in, as of the rows that follow.

    Args:
        exact_cells: a table of no more cells is kept whole.
    """

    def __init__(self, *, exact_cells: int = _EXACT_CELLS) -> None:
        self._exact_cells = exact_cells
        self._frames: list[pl.DataFrame] = []
        self._n_cells = self._n_bytes = 0
        self._sample: RowSample | None = None
        self._columns: dict[str, _ColumnSketch] = {}
        self._rows = HashSample()

    def update(self, frame: pl.DataFrame) -> None:
        """Take in the next rows."""
        if self._sample is not None:
            self._feed(frame)
            return
        self._frames.append(frame)
        self._n_cells += frame.height * frame.width
        self._n_bytes += count_bytes(frame)
        if self._n_cells > self._exact_cells or self._n_bytes > _EXACT_BYTES:
            self._let_go()

    def merge(self, other: "TableSketch") -> None:
        """Take in what another one saw in the rows after these; it is of no use afterwards."""
        if other._sample is None:
            for frame in other._frames:
                self.update(frame)
            return
        if self._sample is None:
            self._let_go()
        if self._sample is None or not self._columns:
            self._sample, self._columns, self._rows = other._sample, other._columns, other._rows
            return
        self._sample.merge(other._sample)
        self._rows.merge(other._rows)
        for name, sketch in self._columns.items():
            sketch.merge(other._columns[name])

    def finish(self) -> Profile:
        """Return the profile of all rows seen."""
        if self._sample is None:
            return profile_frame(pl.concat(self._frames, how="vertical_relaxed") if self._frames else pl.DataFrame())
        sample = self._sample.collect()
        columns = tuple(sketch.finish(sample[name], self._sample.n_seen) for name, sketch in self._columns.items())
        return Profile(rows=self._sample.n_seen, columns=columns, duplicates=self._rows.repeated)

    def _let_go(self) -> None:
        frames, self._frames = self._frames, []
        self._sample = RowSample()
        for frame in frames:
            self._feed(frame)

    def _feed(self, frame: pl.DataFrame) -> None:
        if self._sample is None:
            raise TypeError("rows are still kept")
        if not self._columns:
            self._columns = {name: _ColumnSketch(dtype) for name, dtype in frame.schema.items()}
        self._sample.update(frame)
        self._rows.update(hash_rows(frame))
        for name, sketch in self._columns.items():
            sketch.update(frame[name].rename("values"))


class _ColumnSketch:
    """What is known of one column of a table that is not kept."""

    def __init__(self, dtype: pl.DataType) -> None:
        self._kind = find_kind(dtype)
        is_opaque = dtype.is_nested() or dtype in (pl.Binary, pl.Object, pl.Duration)
        self._missing = 0
        self._hashes = None if is_opaque else HashSample()
        self._moments = Moments() if self._kind.is_numeric else None
        is_text = self._kind is Kind.TEXT and not is_opaque
        self._frequencies = Frequencies() if is_text or self._kind is Kind.BOOLEAN else None
        self._texts = TextFeatures() if is_text else None
        self._times = TimeFeatures() if self._kind is Kind.TIMESTAMP else None

    def update(self, values: pl.Series) -> None:
        if self._moments is not None:
            floats = values.cast(pl.Float64).fill_null(np.nan).to_numpy()
            self._missing += int(np.isnan(floats).sum())
            self._moments.update(floats)
        else:
            self._missing += values.null_count()
        if self._hashes is not None:
            present = values.drop_nulls()
            self._hashes.update(hash_values(present.drop_nans() if present.dtype.is_float() else present))
        if self._frequencies is not None:
            self._frequencies.update(values.cast(pl.String))
        if self._texts is not None:
            self._texts.update(values.cast(pl.String))
        if self._times is not None:
            self._times.update(values)

    def merge(self, other: "_ColumnSketch") -> None:
        self._missing += other._missing
        for own, its in (
            (self._hashes, other._hashes),
            (self._moments, other._moments),
            (self._frequencies, other._frequencies),
            (self._texts, other._texts),
            (self._times, other._times),
        ):
            if own is not None and its is not None:
                own.merge(its)  # type: ignore[arg-type] # of the same kind

    def finish(self, sample: pl.Series, n_rows: int) -> ColumnProfile:
        """Return the profile: of the sample, with all that is known of all rows in its place."""
        present = n_rows - self._missing
        column = profile_series(sample)
        known: dict[str, object] = {
            "kind": self._kind,
            "rows": n_rows,
            "missing": self._missing,
            "distinct": present if self._hashes is None else min(self._hashes.distinct, present),
            "is_exact": False,
            "counts": _scale(column.counts, present, self._missing),
            "top": tuple((value, _share_of(count, len(sample), n_rows)) for value, count in column.top),
            "patterns": tuple((shape, _share_of(count, len(sample), n_rows)) for shape, count in column.patterns),
        }
        if self._moments is not None:
            known |= self._moments.fields(column.quantiles)
        if self._texts is not None:
            known |= self._texts.fields() | self._categories(present)
        if self._kind is Kind.BOOLEAN and self._frequencies is not None:
            counts = self._frequencies.counts or Counter[str]()
            known["counts"] = (counts["false"], counts["true"], 0, self._missing)
        if self._times is not None:
            known |= self._times.fields()
        return msgspec.structs.replace(column, **known)

    def _categories(self, present: int) -> dict[str, object]:
        """Return the categories of a column of texts, which are known exactly."""
        counted = self._frequencies.counts if self._frequencies is not None else None
        if counted is None or not is_category(len(counted), present):
            return {"kind": Kind.TEXT, "categories": (), "rare": (), "counts": (present, self._missing)}
        ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
        top = ordered[:CATEGORIES]
        counts = tuple(count for _, count in top)
        return {
            "kind": Kind.CATEGORY,
            "distinct": len(counted),
            "categories": tuple(text for text, _ in top),
            "rare": tuple(text for text, _ in ordered[CATEGORIES:]),
            "counts": (*counts, present - sum(counts), self._missing),
        }


def profile_path(path: Path, progress: Progress = SILENT, given: FormatTable = FOUND_OUT) -> Profile | None:
    """Describe the table or the folder of images at a path, without loading it whole; None: it is neither.

    Args:
        path: file or folder.
        progress: is told of the bytes that were read.
        given: what the project file says about CSV files.

    Raises:
        InvalidError: it cannot be read.
    """
    if is_table(path):
        return _profile_table(path, progress, given)
    if images := list_images(path):
        frame, flaws = measure_images(path, images, progress)
        profile = profile_frame(frame)
        return msgspec.structs.replace(profile, of="images", flaws=flaws)
    return None


def _profile_table(path: Path, progress: Progress, given: FormatTable) -> Profile:
    schemas = list_schemas(path, given)
    given = agree(list(schemas), given)
    wanted = _unify(schemas)
    progress.begin("profiling", sum(place.stat().st_size for place in schemas))
    total, flaws = TableSketch(), list[Flaw]()
    dialect = None
    for place in schemas:
        with reading(place, given) as part:
            sketch = _sketch(part, wanted)
            dialect = dialect or part.dialect
            if flaw := part.find_flaw():
                flaws.append(Flaw(place.relative_to(path).as_posix() if place != path else "", flaw))
        total.merge(sketch)
        progress.advance(place.stat().st_size)
    profile = msgspec.structs.replace(total.finish(), flaws=tuple(flaws))
    if dialect is not None:
        profile = msgspec.structs.replace(profile, encoding=dialect.encoding, separator=dialect.separator)
    return profile


def _sketch(part: Part, wanted: Mapping[str, pl.DataType]) -> TableSketch:
    sketch = TableSketch()
    is_empty = True
    for batch in part.batches():
        sketch.update(batch.cast({name: kind for name, kind in wanted.items() if batch.schema[name] != kind}))
        is_empty = False
    if is_empty:
        sketch.update(pl.DataFrame(schema=part.schema()))
    return sketch


def _unify(schemas: "Mapping[Path, pl.Schema]") -> dict[str, pl.DataType]:
    """Return the kinds that columns need so that whole numbers and others go together in all files."""
    wanted: dict[str, pl.DataType] = {}
    for name in next(iter(schemas.values())):
        kinds = {schema[name] for schema in schemas.values()}
        if len(kinds) > 1 and all(kind.is_numeric() for kind in kinds):
            is_long = bool(kinds & {pl.Int128(), pl.UInt64()})
            whole = pl.Int128() if is_long else pl.Int64()
            wanted[name] = whole if all(kind.is_integer() for kind in kinds) else pl.Float64()
    return wanted


def _scale(counts: tuple[int, ...], present: int, missing: int) -> tuple[int, ...]:
    """Return counts of a sample as those of all rows: the last is that of the missing values, and known."""
    of_sample = np.array(counts[:-1], dtype=np.float64)
    if not of_sample.sum():
        return (*counts[:-1], missing)
    # Rounded so that they add up.
    upto = np.rint(np.cumsum(of_sample) * (present / of_sample.sum())).astype(np.int64)
    return (*np.diff(upto, prepend=0).tolist(), missing)


def _share_of(count: int, n_sample: int, n_rows: int) -> int:
    return round(count * n_rows / n_sample)
