"""The input of an encoder: layout, size and type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from arcage.embedder.onnx_model import import_onnx
from arcage.errors import ModelError, UsageError

MIN_SIDE, MAX_SIDE = 32, 1024
"""Range of the side of an image, pixels."""

_TYPES = ("float32", "float16", "uint8")


@dataclass(frozen=True, slots=True)
class ImageInput:
    """The image that an encoder takes."""

    name: str
    channels_last: bool
    """Whether its shape is (n, side, side, 3), not (n, 3, side, side)."""
    side: int
    """Height and width, pixels."""
    dtype: str
    """``float32``, ``float16`` or ``uint8``."""

    def shape(self, images: int) -> tuple[int, int, int, int]:
        """Return the shape of a batch."""
        side = self.side
        return (images, side, side, 3) if self.channels_last else (images, 3, side, side)

    def __str__(self) -> str:
        shape = ", ".join(map(str, self.shape(0)[1:]))
        return f"(n, {shape}) {self.dtype}"


def read_input(model: Any, size: int | None = None) -> ImageInput:
    """Return the image input of an ``onnx.ModelProto``.

    Args:
        model: the network.
        size: side of the image, pixels, if the graph leaves it open.

    Raises:
        ModelError: the network does not take one batch of square colour images.
        UsageError: ``size`` is needed, or it contradicts the graph.
    """
    onnx = import_onnx()
    weights = {weight.name for weight in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(value.name[:50] for value in inputs[:5]) or "none"
        raise ModelError(
            f"the network has {len(inputs)} inputs ({names}), an image encoder has one: export the part that "
            "takes the image"
        )
    tensor = inputs[0].type.tensor_type
    dims = [dim.dim_value for dim in tensor.shape.dim]
    if len(dims) != 4:
        raise ModelError(f"the input {_shown(inputs[0])} is not a batch of images (n, 3, height, width)")
    channels_last = dims[3] == 3 and dims[1] != 3
    if not channels_last and dims[1] not in (0, 3):
        raise ModelError(f"the input {_shown(inputs[0])} is not a colour image: it has no axis of 3 channels")
    if dims[0] > 1:
        raise ModelError(
            f"the network takes batches of exactly {dims[0]} images: export it with a dynamic batch size"
        )
    dtype = _type_name(onnx, tensor.elem_type)
    if dtype not in _TYPES:
        raise ModelError(f"the input is {dtype}: export the network with float32 images")
    height, width = dims[1:3] if channels_last else dims[2:4]
    return ImageInput(inputs[0].name, channels_last, _side(inputs[0], height, width, size), dtype)


def _side(value: Any, height: int, width: int, size: int | None) -> int:
    """Return the side of the image, from the sizes in the graph (0: left open) and that which was given."""
    if height and width and height != width:
        raise ModelError(
            f"the input {_shown(value)} is not square, but faces are: arcage cannot use this network"
        )
    fixed = height or width
    if not fixed and size is None:
        raise UsageError(
            f"the input {_shown(value)} leaves the size of the image open: give the side that the network "
            "was trained with as `size`, such as 224"
        )
    if fixed and size not in (None, fixed):
        raise UsageError(f"the input {_shown(value)} has a fixed size: `size` can only be {fixed}")
    side = fixed or size or 0
    if not MIN_SIDE <= side <= MAX_SIDE:
        raise UsageError(f"the `size` is {side} pixels, and must be from {MIN_SIDE} to {MAX_SIDE}")
    return side


def _shown(value: Any) -> str:
    dims = ", ".join(
        str(dim.dim_value or dim.dim_param[:30] or "?") for dim in value.type.tensor_type.shape.dim
    )
    return f"{value.name[:50]!r} ({dims})"


def _type_name(onnx: Any, number: int) -> str:
    names = {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.FLOAT16: "float16"}
    known = dict(onnx.TensorProto.DataType.items())
    other = next((name.lower() for name, value in known.items() if value == number), "of an unknown type")
    return names.get(number, other)
