"""Columns by their names, which may look like patterns."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


def is_pattern(name: str) -> bool:
    """Whether the table library reads a column's name as a pattern: `*`, or a regular expression in `^...$`."""
    return name == "*" or (name.startswith("^") and name.endswith("$"))


def column_of(name: str) -> "pl.Expr":
    """Return the column of exactly this name, also where the name looks like a pattern."""
    import polars as pl

    if is_pattern(name):
        from polars import selectors

        return selectors.by_name(name).as_expr()
    return pl.col(name)
