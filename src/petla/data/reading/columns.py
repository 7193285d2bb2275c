"""Columns by their names, which may look like patterns."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


def column_of(name: str) -> "pl.Expr":
    """Return the column of exactly this name.

    NOTE: the table library takes `*` for every column, and `^...$` for a regular expression.
    """
    import polars as pl

    if name == "*" or (name.startswith("^") and name.endswith("$")):
        from polars import selectors

        return selectors.by_name(name).as_expr()
    return pl.col(name)
