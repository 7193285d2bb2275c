"""Boosted trees of two classes, as a sum that a sigmoid turns into probabilities (needs the extra `train`).

ONNX Runtime keeps the votes of a tree classifier class by class. The same trees as a regression give one sum, of which
a sigmoid makes the probabilities of both classes: the same to the last digits of float32, in two thirds of the time.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

# names that the converter gives to nothing, since it uses no space
_SUM, _SIGNED, _SIGNS = "sum of votes", "signed sum", "signs of classes"
_DOMAIN = "ai.onnx.ml"


def sum_votes(graph: "onnx.GraphProto") -> bool:
    """Replace a classifier of boosted trees, where the graph has one; return whether it did."""
    import numpy as np
    from onnx import helper, numpy_helper

    for place, node in enumerate(graph.node):
        if node.op_type == "TreeEnsembleClassifier" and (trees := _read_sum(node, graph)) is not None:
            scores = node.output[1]
            regression = helper.make_node(
                "TreeEnsembleRegressor", list(node.input), [_SUM], domain=_DOMAIN, name=node.name, **trees
            )
            signed = helper.make_node("Mul", [_SUM, _SIGNS], [_SIGNED])
            sigmoid = helper.make_node("Sigmoid", [_SIGNED], [scores])
            graph.initializer.append(numpy_helper.from_array(np.array([[-1, 1]], dtype=np.float32), _SIGNS))
            del graph.node[place]
            for new in (sigmoid, signed, regression):
                graph.node.insert(place, new)
            return True
    return False


def _read_sum(node: "onnx.NodeProto", graph: "onnx.GraphProto") -> dict[str, Any] | None:
    """Return the attributes of the regression; None where the votes are not one sum, or the label is used."""
    from onnx import helper

    found = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    labels = found.get("classlabels_int64s") or found.get("classlabels_strings") or []
    used = {name for each in graph.node for name in each.input} | {each.name for each in graph.output}
    is_sum = (
        found.get("post_transform") == b"LOGISTIC"
        and len(labels) == 2
        and set(found.get("class_ids", ())) == {0}
        and len(found.get("base_values", ())) <= 1
        and not any(name.endswith("_as_tensor") for name in found)
    )
    if not is_sum or node.output[0] in used:
        return None
    votes = {f"target_{name}": found[f"class_{name}"] for name in ("ids", "nodeids", "treeids", "weights")}
    trees = {name: value for name, value in found.items() if name.startswith("nodes_")}
    base = {"base_values": found["base_values"]} if found.get("base_values") else {}
    return trees | votes | base | {"n_targets": 1, "post_transform": "NONE"}
