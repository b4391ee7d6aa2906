"""Read face-recognition networks in ONNX files, and remove what binds them to their export."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from arcage.embedder.align import SIDE
from arcage.embedder.onnx_check import check_onnx
from arcage.errors import ModelError

_PIXEL_NODES = frozenset({"Identity", "Cast", "Sub", "Add", "Mul", "Div"})


def import_onnx() -> Any:
    """Return the package ``onnx``. Only packs that are not bundled, and some GPUs, need it.

    Raises:
        ModelError: it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise ModelError("this needs the package onnx: pip install onnx") from error
    return onnx


def parse(data: bytes) -> Any:
    """Return the ``onnx.ModelProto`` of an ONNX file's bytes.

    Raises:
        ModelError: the file is not an ONNX model.
    """
    check_onnx(data)
    return parse_unchecked(data)


def parse_unchecked(data: bytes) -> Any:
    """Like :func:`parse`, but without checks: for a file of the user whose size is limited.

    Raises:
        ModelError: the file is not an ONNX model.
    """
    onnx = import_onnx()
    try:
        model = onnx.ModelProto.FromString(data)
    except Exception as error:  # protobuf's DecodeError is in different modules in its versions
        raise ModelError("this is not an ONNX file, or it is damaged: get it again") from error
    if not model.graph.node:
        raise ModelError("this is not an ONNX file: it contains no graph")
    return model


def image_input(model: Any) -> Any:
    """Return the ``onnx.ValueInfoProto`` of the image. Old exports also list the weights as inputs.

    Raises:
        ModelError: there is not exactly one input that is not a weight.
    """
    weights = {w.name for w in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in weights]
    if len(inputs) != 1:
        raise ModelError(f"a face embedder has one image input, this model has {len(inputs)}")
    return inputs[0]


def image_tensors_of(model: Any) -> set[str]:
    """Return the names of the tensors that are computed from the image; the others are weights."""
    names = {image_input(model).name}
    for node in model.graph.node:
        if names.intersection(node.input):
            names.update(node.output)
    return names


def normalises(model: Any) -> bool:
    """Return whether the graph scales pixels of 0 to 255 itself.

    InsightFace's ``ArcFaceONNX`` decides this by the names of the first eight nodes, one of which must begin
    with Sub and one with Mul. Here the image is followed up to the first node of another kind. The result is
    the same for InsightFace's packs, and right for an activation that is made of such nodes.
    """
    users: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in set(node.input):
            users.setdefault(name, []).append(node)
    tensor = image_input(model).name
    seen: set[str] = set()
    for _ in model.graph.node:  # a damaged graph may have a circle
        after = users.get(tensor, [])
        if len(after) != 1 or not after[0].output or after[0].op_type not in _PIXEL_NODES:
            break
        seen.add(after[0].op_type)
        tensor = after[0].output[0]
    return bool(seen & {"Sub", "Add"}) and bool(seen & {"Mul", "Div"})


def operator_set(model: Any) -> int:
    """Return the version of the operators of a model; 0 if it has none."""
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)


def constants_of(graph: Any) -> dict[str, Any]:
    """Return the ``onnx.TensorProto`` of each weight and constant of a graph, by name."""
    constants = {w.name: w for w in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            constants.update((node.output[0], a.t) for a in node.attribute if a.name == "value")
    return constants


def check_opset(model: Any) -> None:
    """Check that the operators that arcage adds exist in the model's operator set.

    Raises:
        ModelError: it is older than version 7.
    """
    version = operator_set(model)
    if version < 7:
        raise ModelError(
            f"the model uses ONNX operator set {version}, arcage needs 7 or later: export it again, or "
            "convert it with onnx.version_converter"
        )


def free_batch(model: Any, shapes: dict[str, tuple[int, ...]]) -> None:
    """Change a graph that was exported for a batch of one face so that it accepts any number of faces.

    Such exports contain the batch size 1 in the target shape of each Reshape.

    Args:
        model: ``onnx.ModelProto``, changed in place.
        shapes: of its tensors, from :func:`tensor_shapes`.

    Raises:
        ModelError: the graph contains the batch size in another way.
    """
    onnx = import_onnx()
    graph = model.graph
    targets = constants_of(graph)
    image_tensors = image_tensors_of(model)
    for i, node in enumerate(graph.node):
        if node.op_type != "Reshape" or node.input[0] not in image_tensors or node.input[1] not in targets:
            continue
        target = onnx.numpy_helper.to_array(targets[node.input[1]])
        source, result = shapes.get(node.input[0], ()), shapes.get(node.output[0], ())
        if target.size and target[0] == 1 and source[:1] == (1,) and min(result, default=0) > 0:
            name = f"arcage_reshape_{i}"
            graph.initializer.append(
                onnx.numpy_helper.from_array(np.array([-1, *result[1:]], np.int64), name)
            )
            node.input[1] = name
    embedding = graph.output[0].name
    if shapes[embedding][0] == 1 and tensor_shapes(model, faces=2)[embedding][0] != 2:
        raise fixed_batch()


def fixed_batch() -> ModelError:
    """Return the error for a network that accepts only one image at a time."""
    return ModelError(
        "the model was exported for a batch of one face in a way that arcage cannot change: export it again "
        "with a dynamic batch size"
    )


def tensor_shapes(model: Any, faces: int = 1) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all tensors for a batch of ``faces``, by name; 0 for a size that is unknown.

    Raises:
        ModelError: the input is not an image of float32 numbers, or the graph is not valid.
    """
    onnx = import_onnx()
    graph = model.graph
    image = image_input(model)
    dims = image.type.tensor_type.shape.dim
    wanted = (faces, 3, SIDE, SIDE)
    if len(dims) != 4 or any(
        d.dim_value not in (0, size) for d, size in zip(dims, (1, *wanted[1:]), strict=True)
    ):
        raise ModelError(
            f"the model's input is not an image (n, 3, {SIDE}, {SIDE}): this is not a face embedder"
        )
    if image.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        raise ModelError("the model's input is not float32: export it again in float32")

    # Large weights are replaced by their shapes: inference copies the model, of up to 260 MB.
    value = onnx.helper.make_tensor_value_info
    small = [w for w in graph.initializer if math.prod(w.dims) <= 64]
    large = [w for w in graph.initializer if math.prod(w.dims) > 64]
    probe = onnx.ModelProto()
    probe.ir_version = max(model.ir_version, 4)
    probe.opset_import.extend(model.opset_import)
    probe.functions.extend(model.functions)
    probe.graph.name = "probe"
    probe.graph.node.extend(graph.node)
    probe.graph.initializer.extend(small)
    probe.graph.input.append(value(image.name, image.type.tensor_type.elem_type, wanted))
    probe.graph.input.extend(value(w.name, w.data_type, w.dims) for w in large)
    probe.graph.output.extend(graph.output)
    for output in probe.graph.output:
        # The declared batch size is that of the export.
        if output.type.tensor_type.shape.dim:
            output.type.tensor_type.shape.dim[0].Clear()
    try:
        inferred = onnx.shape_inference.infer_shapes(probe, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(f"the model is not a valid ONNX graph: {str(error).splitlines()[0]}") from error
    return {
        v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim)
        for v in (*inferred.graph.value_info, *inferred.graph.output)
    }


def drop_unused(graph: Any) -> None:
    """Remove nodes and weights that no output needs, such as those after the last level."""
    needed = {output.name for output in graph.output}
    for i in reversed(range(len(graph.node))):
        if needed.intersection(graph.node[i].output):
            needed.update(graph.node[i].input)
        else:
            del graph.node[i]
    for i in reversed(range(len(graph.initializer))):
        if graph.initializer[i].name not in needed:
            del graph.initializer[i]
