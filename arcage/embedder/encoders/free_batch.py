"""Change networks that were exported for one image at a time, so that they take any number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from arcage.embedder.onnx_model import constants_of, image_tensors_of, import_onnx


def free_batch_axis(model: Any, image: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Replace the number of images by any where an export has written it into the graph.

    These are the target shapes of Reshape, which are assumed to have the batch in their first axis, alone or
    merged with another one; and weights that are concatenated with the tokens of one image. Whether the
    result treats images independently is to be tested by running it.

    Args:
        model: ``onnx.ModelProto``, changed in place.
        image: name of the input.
        shapes: of its tensors, for one image.
    """
    onnx, graph = import_onnx(), model.graph
    constants, from_image = constants_of(graph), image_tensors_of(model)
    for i, node in enumerate(graph.node):
        result = shapes.get(node.output[0], ()) if node.output else ()
        fixed = node.op_type == "Reshape" and node.input[0] in from_image and node.input[1] in constants
        if fixed and min(result, default=0) > 0:
            target = np.array([-1, *result[1:]], np.int64)
            graph.initializer.append(onnx.numpy_helper.from_array(target, f"arcage_target_{i}"))
            node.input[1] = f"arcage_target_{i}"
    nodes = [one for node in graph.node for one in (*_repeat_weights(model, image, node, shapes), node)]
    # Copied, because deleting the nodes of a graph empties them.
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _repeat_weights(model: Any, image: str, node: Any, shapes: Mapping[str, tuple[int, ...]]) -> list[Any]:
    """Change a Concat of tokens and weights, such as the class token, and return the nodes that it needs."""
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    if node.op_type != "Concat" or not axis:
        return []
    onnx, graph = import_onnx(), model.graph
    sizes = {name: tuple(tensor.dims) for name, tensor in constants_of(graph).items()}
    from_image = image_tensors_of(model)
    weights = [name for name in node.input if name not in from_image]
    weights = [name for name in weights if sizes.get(name, shapes.get(name, ()))[:1] == (1,)]
    if not weights or len(weights) == len(node.input):
        return []
    start = f"arcage_{node.output[0]}"
    make = onnx.helper.make_node
    graph.initializer.append(onnx.numpy_helper.from_array(np.array([0], np.int64), f"{start}_first"))
    nodes = [
        make("Shape", [image], [f"{start}_shape"]),
        make("Gather", [f"{start}_shape", f"{start}_first"], [f"{start}_count"], axis=0),
    ]
    for number, name in enumerate(weights):
        rest = np.array(sizes.get(name, shapes.get(name, ()))[1:], np.int64)
        own = f"{start}_{number}"
        graph.initializer.append(onnx.numpy_helper.from_array(rest, f"{own}_rest"))
        nodes.append(make("Concat", [f"{start}_count", f"{own}_rest"], [f"{own}_target"], axis=0))
        nodes.append(make("Expand", [name, f"{own}_target"], [own]))
        for k, taken in enumerate(node.input):
            if taken == name:
                node.input[k] = own
    return nodes
