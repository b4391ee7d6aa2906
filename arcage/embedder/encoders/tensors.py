"""Shapes of the tensors of an encoder, and the axis of each that is the batch.

OpenVINO computes them: it follows the shapes that exported transformers compute in their graphs, which the
shape inference of the package onnx often does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from arcage.embedder.encoders.free_batch import free_batch_axis
from arcage.embedder.encoders.image_input import ImageInput
from arcage.embedder.engines.openvino import make_core
from arcage.embedder.onnx_model import fixed_batch
from arcage.errors import ModelError


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor that has one row for each image of a batch."""

    shape: tuple[int, ...]
    """For one image."""
    batch_axis: int
    half: bool
    """Whether it is not float32."""


def batched_tensors(model: Any, image: ImageInput, core: Any | None = None) -> dict[str, Tensor]:
    """Return the tensors of a network that have one row for each image, by name.

    A network that was exported for one image at a time is changed so that it takes any number.

    Args:
        model: ``onnx.ModelProto``, perhaps changed in place.
        image: its input.
        core: ``openvino.Core``; made if None.

    Raises:
        ModelError: OpenVINO cannot read the network, or it takes only one image and cannot be changed.
    """
    core = core or make_core()
    outputs = {output.name for output in model.graph.output}
    try:
        found = _tensors(core, model, image)
        if outputs & found.keys():
            return found
    except RuntimeError:
        found = {}
    try:
        single = _shapes(core, model, image.shape(1))
    except RuntimeError as error:
        lines = [line for line in str(error).splitlines() if line.strip()] or ["unknown reason"]
        raise ModelError(f"OpenVINO cannot read this network: {lines[-1].strip()[:300]}") from error
    shapes = {name: shape for name, (shape, _) in single.items()}
    free_batch_axis(model, image.name, shapes)
    try:
        found = _tensors(core, model, image)
    except RuntimeError:
        found = {}
    if not outputs & found.keys():
        raise fixed_batch()
    return found


def _tensors(core: Any, model: Any, image: ImageInput) -> dict[str, Tensor]:
    """Return the tensors whose shape for 2 and for 3 images differs in one axis only, which has that size."""
    two, three = (_shapes(core, model, image.shape(count)) for count in (2, 3))
    found = {}
    for name, (shape, kind) in two.items():
        other = three.get(name, ((), ""))[0]
        axes = [i for i, size in enumerate(shape) if len(other) == len(shape) and other[i] != size]
        if len(axes) == 1 and (shape[axes[0]], other[axes[0]]) == (2, 3):
            axis = axes[0]
            found[name] = Tensor((*shape[:axis], 1, *shape[axis + 1 :]), axis, kind != "f32")
    return found


def _shapes(
    core: Any, model: Any, shape: tuple[int, int, int, int]
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return the shape and the type of each tensor, for an input of this shape. Raises RuntimeError."""
    graph = core.read_model(model.SerializeToString())
    graph.reshape(list(shape))
    found = {}
    for operation in graph.get_ordered_ops():
        for output in operation.outputs():
            sizes = output.get_partial_shape()
            if sizes.is_static:
                known = (
                    tuple(int(size) for size in sizes.to_shape()),
                    output.get_element_type().get_type_name(),
                )
                found.update(dict.fromkeys(output.get_names(), known))
    return found
