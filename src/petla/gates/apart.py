"""Training and holdout: rows that training saw flatter every figure that is measured on them."""

from typing import TYPE_CHECKING

import numpy as np

from petla.data.rules.finding import chance, show_share
from petla.data.rules.rows.scanning import hash_canonical
from petla.gates.verdict import Check

if TYPE_CHECKING:
    import polars as pl


def check_apart(training: "pl.DataFrame", holdout: "pl.DataFrame", limit: float) -> Check:
    """Hold the share of holdout rows that training has as well against what repeats anyway.

    Where rows repeat by their nature, a clean holdout shows as many of them again as training does within itself.

    Args:
        training: the rows that the model was trained on, with the target.
        holdout: the rows that it is measured on.
        limit: largest share beyond that.
    """
    training, holdout = _flatten(training), _flatten(holdout)
    columns = sorted(
        name for name in holdout.columns if name in training.columns and not holdout[name].dtype.is_nested()
    )
    if not columns or not holdout.height or not training.height:
        return Check(name="holdout", passed=True, message="training and holdout have no column in common")
    seen, fresh = (hash_canonical(frame.select(columns)) for frame in (training, holdout))
    values, counts = np.unique(seen, return_counts=True)
    shared = int(np.isin(fresh, values).sum())
    expected = int(counts[counts > 1].sum()) / seen.size
    allowed = limit + expected + chance(expected, fresh.size, seen.size)
    told = f"{show_share(shared, fresh.size)} holdout rows are in the training rows as well"
    usual = f"; {expected:.1%} of the training rows repeat anyway" if expected else ""
    return Check(
        name="holdout",
        passed=shared / fresh.size <= allowed,
        message=f"{told}{usual}; at most {allowed:.1%} is allowed",
        figures={"shared": shared / fresh.size, "expected": expected, "allowed": allowed},
    )


def _flatten(frame: "pl.DataFrame") -> "pl.DataFrame":
    """Turn pictures and arrays into texts of their bytes, which can be compared."""
    import polars as pl

    found = []
    for column in frame.get_columns():
        values = column
        if isinstance(column.dtype, pl.Array) and not column.null_count():
            values = pl.Series(column.name, [array.tobytes() for array in column.to_numpy()], dtype=pl.Binary)
        if values.dtype == pl.Binary:
            found.append(values.bin.encode("hex"))
    return frame.with_columns(found)
