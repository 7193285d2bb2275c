"""What stands before trees, computed in 64 bits as scikit-learn does it (needs the extra `train`).

Trees of scikit-learn look at 32-bit floats of what was scaled in 64 bits. Scaled in 32 bits already, a row that lies on
a threshold may go the other way: of 20,000 rows 36 to 205 did, with rounding in the right place none.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# scikit-learn's estimators that are made of trees, or of such
_TREE_MODULES = ("sklearn.ensemble", "sklearn.tree")
_LEAST_STEPS = 2
_ROUNDING = "petla_rounding"


def compute_in_double(estimator: object) -> "Pipeline | None":
    """Return the same pipeline with a step that rounds to 32 bits before its trees; None where no step stands there."""
    from skl2onnx.sklapi import CastTransformer
    from sklearn.pipeline import Pipeline

    if not isinstance(estimator, Pipeline) or len(estimator.steps) < _LEAST_STEPS:
        return None
    *before, (name, last) = estimator.steps
    if not type(last).__module__.startswith(_TREE_MODULES):
        return None
    return Pipeline([*before, (_ROUNDING, CastTransformer()), (name, last)])


def list_converters() -> dict[type, Any]:
    """Return converters for what ONNX Runtime has in 32 bits only."""
    from sklearn.impute import SimpleImputer

    return {SimpleImputer: _convert_imputer}


def _convert_imputer(scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401 - the converter's own types
    import numpy as np
    from onnx import TensorProto
    from skl2onnx.common.data_types import DoubleTensorType
    from skl2onnx.operator_converters.common import concatenate_variables
    from skl2onnx.operator_converters.imputer_op import convert_sklearn_imputer

    imputer = operator.raw_operator
    is_plain = isinstance(imputer.missing_values, float) and np.isnan(imputer.missing_values)
    if not is_plain or imputer.add_indicator or not isinstance(operator.inputs[0].type, DoubleTensorType):
        convert_sklearn_imputer(scope, operator, container)
        return
    known = imputer.statistics_
    values, missing = (scope.get_unique_variable_name(name) for name in ("imputed_values", "is_missing"))
    container.add_initializer(values, TensorProto.DOUBLE, [1, len(known)], known.astype(np.float64).tolist())
    source = concatenate_variables(scope, operator.inputs, container)
    container.add_node("IsNaN", source, missing, name=scope.get_unique_operator_name("IsNaN"), op_version=9)
    container.add_node(
        *("Where", [missing, values, source], operator.outputs[0].full_name),
        name=scope.get_unique_operator_name("Where"),
        op_version=9,
    )
