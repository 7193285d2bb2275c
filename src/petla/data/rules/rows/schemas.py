"""A schema of pandera that the project brings, run as one more set of rules.

A table of up to eight million cells is judged whole, a larger one some rows at a time; what must be unique is then
counted over all rows by ourselves.
"""

import importlib.util
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl

from petla.core.errors import InvalidError, NotFoundError, PetlaError, UserCodeError
from petla.core.names import suggest
from petla.data.profile.columns import Profile
from petla.data.rules.finding import DataFinding, show_share, show_values
from petla.data.rules.rows.keys import count_repeats, show_key
from petla.data.rules.rows.scanning import Rows

_WHOLE_CELLS = 8_000_000
_SHOWN = 5
# what pandera calls the checks that need all rows at once
_UNIQUENESS = ("field_uniqueness", "multiple_fields_uniqueness")
_FIELD = "checks.pandera"


def check_schema(rows: Rows, profile: Profile, root: Path, address: str) -> list[DataFinding]:
    """Return what a schema says against the rows, one finding for each of its checks.

    Args:
        rows: the table.
        profile: of the table.
        root: the project's folder.
        address: the schema, as `MODULE.py:NAME`.

    Raises:
        InvalidError: pandera is not installed, or what is named is no schema.
        NotFoundError: there is no such module or name.
        UserCodeError: the module fails.
    """
    schema, is_pandas = load_schema(root, address)
    is_whole = profile.rows * len(rows.columns) <= _WHOLE_CELLS
    batches = _join(rows) if is_whole else rows.batches()
    cases: dict[tuple[str, str], _Case] = {}
    for batch in batches:
        for found in _validate(schema, batch, root, address, is_pandas=is_pandas).iter_rows(named=True):
            if is_whole or found["check"] not in _UNIQUENESS:
                cases.setdefault((found["column"], found["check"]), _Case()).add(found)
    findings = [told for (column, check), case in cases.items() for told in case.tell(column, check, profile.rows)]
    return findings if is_whole else findings + _check_unique(rows, profile, schema)


def load_schema(root: Path, address: str) -> tuple[Any, bool]:
    """Return a schema, and whether it is one for frames of pandas.

    Raises:
        InvalidError, NotFoundError, UserCodeError: as `check_schema`.
    """
    file, _, name = address.partition(":")
    if not name or not file.endswith(".py"):
        hint = 'write it as "schema.py:Schema"'
        raise InvalidError(f"{address!r} names no schema", hint=hint, field=_FIELD)
    if importlib.util.find_spec("pandera") is None:
        hint = "install it with: pip install 'petla[pandera]'"
        raise InvalidError(f"the schema {address} needs pandera, which is not installed", hint=hint, field=_FIELD)
    if not (root / file).is_file():
        hint = "correct the path, which is relative to the project file"
        raise NotFoundError(f"there is no {file} for the schema {address}", hint=hint, field=_FIELD)
    module = _load_module(root, file)
    if not hasattr(module, name):
        hint = suggest(name, [each for each in vars(module) if not each.startswith("_")])
        raise NotFoundError(f"{file} has no {name!r}", hint=hint, field=_FIELD)
    return _as_schema(getattr(module, name), root, address)


def _load_module(root: Path, file: str) -> ModuleType:
    # NOTE: pandera looks up the annotations of its models by their module's name.
    name = f"petla_schema_{Path(file).stem}"
    spec = importlib.util.spec_from_file_location(name, root / file)
    if spec is None or spec.loader is None:
        raise InvalidError(f"{file} is no Python module", hint="name a file that ends in .py", field=_FIELD)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(root))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _blame(error, root, f"the module {file}") from error
    finally:
        sys.path.remove(str(root))
    return module


def _as_schema(found: Any, root: Path, address: str) -> tuple[Any, bool]:  # noqa: ANN401 - whatever the module holds
    schema = found
    if isinstance(found, type) and hasattr(found, "to_schema"):
        try:
            schema = found.to_schema()
        except Exception as error:
            raise _blame(error, root, f"the schema {address}") from error
    home = type(schema).__module__
    if not home.startswith(("pandera.api.polars", "pandera.api.pandas")):
        raise InvalidError(
            f"{address} is a {type(found).__name__}, no schema for Polars or pandas",
            hint="name a DataFrameSchema or a DataFrameModel of pandera.polars or pandera.pandas",
            field=_FIELD,
        )
    return schema, home.startswith("pandera.api.pandas")


def _join(rows: Rows) -> Iterator[pl.DataFrame]:
    batches = list(rows.batches())
    if batches:
        yield pl.concat(batches, how="vertical_relaxed")


def _validate(schema: Any, frame: pl.DataFrame, root: Path, address: str, *, is_pandas: bool) -> pl.DataFrame:  # noqa: ANN401
    """Return the failures, each with column, check, value and whether it is of one row."""
    from pandera.errors import SchemaErrors

    try:
        schema.validate(frame.to_pandas() if is_pandas else frame, lazy=True)
    except SchemaErrors as errors:
        return _list_cases(errors.failure_cases)
    except Exception as error:
        raise _blame(error, root, f"the schema {address}") from error
    return _list_cases(pl.DataFrame())


def _list_cases(found: Any) -> pl.DataFrame:  # noqa: ANN401 - a frame of Polars or pandas
    def texts(name: str) -> list[str | None]:
        values = found[name].to_list() if name in found.columns else []
        return [None if value is None or value != value else str(value) for value in values]  # noqa: PLR0124 - NaN

    columns, checks, values, places = texts("column"), texts("check"), texts("failure_case"), texts("index")
    cases = pl.DataFrame(
        {"column": columns, "check": checks, "value": values, "place": places},
        schema=dict.fromkeys(("column", "check", "value", "place"), pl.String),
    )
    return (
        cases.with_columns(pl.col("column", "check").fill_null(""))
        .group_by("column", "check", maintain_order=True)
        .agg(pl.col("place").count().alias("rows"), pl.col("value").unique(maintain_order=True).head(_SHOWN))
    )


class _Case:
    """What is known of the failures of one check."""

    def __init__(self) -> None:
        # 0: it is not the rows that are wrong
        self._rows = 0
        self._values: dict[str, None] = {}

    def add(self, found: dict[str, Any]) -> None:
        self._rows += found["rows"]
        self._values |= dict.fromkeys(str(value) for value in found["value"])

    def tell(self, column: str, check: str, n_rows: int) -> Iterator[DataFinding]:
        """Write what failed; of columns that are not there, one finding each."""
        values = list(self._values)
        if check == "column_in_dataframe":
            for name in values:
                yield _finding(name, f"column {name!r} of the schema is not there", "a column", "not there")
            return
        examples = show_values(values[:_SHOWN])
        subject = f"column {column!r} fails" if column else "the table fails"
        in_rows = f" in {show_share(self._rows, n_rows)} rows" if self._rows else ""
        yield _finding(column, f"{subject} {check} of the schema{in_rows}: {examples}", check, examples)


def _check_unique(rows: Rows, profile: Profile, schema: Any) -> list[DataFinding]:  # noqa: ANN401
    keys = [[str(name)] for name, column in schema.columns.items() if column.unique]
    if schema.unique:
        keys.append([schema.unique] if isinstance(schema.unique, str) else list(schema.unique))
    return [finding for key in keys if set(key) <= set(rows.columns) for finding in _count(rows, profile, key)]


def _count(rows: Rows, profile: Profile, key: Sequence[str]) -> Iterator[DataFinding]:
    found = count_repeats(rows, key, profile.rows)
    if found.repeated:
        share, examples = show_share(found.repeated, profile.rows), "; ".join(found.examples)
        message = f"column {show_key(key)} fails uniqueness of the schema in {share} rows: {examples}"
        yield _finding(key[0] if len(key) == 1 else "", message, "unique", examples)


def _finding(column: str, message: str, before: str, after: str) -> DataFinding:
    return DataFinding(column=column, rule="pandera", severity="block", message=message, before=before, after=after)


def _blame(error: Exception, root: Path, what: str) -> PetlaError:
    frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename.startswith(f"{root}/")]
    last = traceback.format_exception_only(error)[-1].strip()
    shown = "".join(["Traceback (most recent call last):\n", *traceback.format_list(frames), last])
    return UserCodeError(f"{what} failed: {last}", traceback=shown, hint="correct it and check again", field=_FIELD)
