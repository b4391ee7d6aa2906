"""The image input of an encoder is read from its graph."""

from __future__ import annotations

from typing import Any

import graphs
import pytest
from onnx import TensorProto, helper

from arcage.embedder.encoders.image_input import ImageInput, read_input
from arcage.errors import ArcageError, ModelError, UsageError


def model(*shapes: list[Any], kind: int = TensorProto.FLOAT) -> Any:
    """Return a model with inputs of these shapes, named a, b, ..."""
    inputs = [helper.make_tensor_value_info(chr(97 + i), kind, s) for i, s in enumerate(shapes)]
    output = helper.make_tensor_value_info("y", kind, None)
    return helper.make_model(helper.make_graph([], "graph", inputs, [output]))


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        (["n", 3, 224, 224], None, ImageInput("a", False, 224, "float32")),
        ([1, 160, 160, 3], 160, ImageInput("a", True, 160, "float32")),
        (["batch", "channels", "height", "width"], 224, ImageInput("a", False, 224, "float32")),
        (["n", 3, 112, "w"], None, ImageInput("a", False, 112, "float32")),
    ],
)
def test_layouts(shape: list[Any], size: int | None, expected: ImageInput) -> None:
    assert read_input(model(shape), size) == expected


def test_shapes_and_types() -> None:
    assert read_input(model(["n", 3, 64, 64])).shape(2) == (2, 3, 64, 64)
    assert read_input(model(["n", 64, 64, 3])).shape(2) == (2, 64, 64, 3)
    assert str(read_input(model(["n", 64, 64, 3], kind=TensorProto.UINT8))) == "(n, 64, 64, 3) uint8"
    assert read_input(model(["n", 3, 64, 64], kind=TensorProto.FLOAT16)).dtype == "float16"
    assert read_input(graphs.iresnet(weights_are_inputs=True, opset=9, ir_version=3)).side == 112


@pytest.mark.parametrize(
    ("shapes", "size", "kind", "words"),
    [
        ([], None, 1, r"0 inputs \(none\)"),
        ([["n", 3, 64, 64], ["n", 77]], None, 1, r"2 inputs \(a, b\)"),
        ([["n", 77]], None, 1, "not a batch of images"),
        ([["n", 1, 64, 64]], None, 1, "no axis of 3 channels"),
        ([[8, 3, 64, 64]], None, 1, "batches of exactly 8"),
        ([["n", 3, 112, 96]], None, 1, "not square"),
        ([["n", 3, 64, 64]], None, 7, "the input is int64"),
        ([["n", 3, "h", "w"]], None, 1, r"'a' \(n, 3, h, w\) leaves the size .* open: .*`size`"),
        ([["n", 3, 64, 64]], 224, 1, "`size` can only be 64"),
        ([["n", 3, 2000, 2000]], None, 1, "from 32 to 1024"),
    ],
)
def test_other_inputs(shapes: list[Any], size: int | None, kind: int, words: str) -> None:
    with pytest.raises(ArcageError, match=words) as caught:
        read_input(model(*shapes, kind=kind), size)
    assert isinstance(caught.value, ModelError | UsageError)
