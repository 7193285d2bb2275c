"""What stands before trees, computed in 64 bits as scikit-learn does it (needs the extra `train`).

Trees of scikit-learn look at 32-bit floats of what was scaled in 64 bits. Scaled in 32 bits already, a row that lies on
a threshold may go the other way: of 20,000 rows 36 to 205 did, with rounding in the right place none.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# scikit-learn's estimators that are made of trees, or of such
TREE_MODULES = ("sklearn.ensemble", "sklearn.tree")
_LEAST_STEPS = 2
_ROUNDING = "petla_rounding"


def compute_in_double(estimator: object) -> "Pipeline | None":
    """Return the same pipeline with a step that rounds to 32 bits before its trees; None where no step stands there."""
    from skl2onnx.sklapi import CastTransformer
    from sklearn.pipeline import Pipeline

    if not isinstance(estimator, Pipeline) or len(estimator.steps) < _LEAST_STEPS:
        return None
    *before, (name, last) = estimator.steps
    if not type(last).__module__.startswith(TREE_MODULES):
        return None
    return Pipeline([*before, (_ROUNDING, CastTransformer()), (name, last)])
