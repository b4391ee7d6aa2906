"""The batch axis of each tensor is found, and exports for one image are freed."""

from __future__ import annotations

from typing import Any

import graphs
import pytest
from onnx import helper

from arcage.embedder.encoders.image_input import read_input
from arcage.embedder.encoders.tensors import Tensor, batched_tensors
from arcage.errors import ModelError


def found(model: Any) -> dict[str, Tensor]:
    return batched_tensors(model, read_input(model))


def test_shapes_are_those_of_one_image() -> None:
    tensors = found(graphs.vit())
    assert tensors["block_3"] == Tensor((1, 17, 12), 0, False)
    assert tensors["embedding"].shape == (1, 12)
    assert not {"w0", "shape_3"} & tensors.keys()
    assert found(graphs.vit(sequence_first=True))["block_3"] == Tensor((17, 1, 12), 1, False)


def test_an_export_for_one_image_is_freed() -> None:
    model = graphs.vit(batch=1)
    tensors = found(model)
    assert tensors["embedding"] == Tensor((1, 12), 0, False)
    assert tensors["block_0"].shape == (1, 17, 12)


def test_what_cannot_be_freed_or_read() -> None:
    b = graphs.Builder()
    x = b.node("Flatten", b.node("ReduceMean", "input.1", axes=[0, 2, 3]))  # of all images
    b.node("MatMul", x, b.normal(3, 8), name="y")
    with pytest.raises(ModelError, match="batch of one face"):
        found(b.model({"y": [1, 8]}, image=[1, 3, 112, 112]))
    model = graphs.vit()
    model.graph.node[-1].output[0] = "before"
    model.graph.node.append(helper.make_node("NoSuchOperator", ["before"], ["embedding"]))
    with pytest.raises(ModelError, match="OpenVINO cannot read"):
        found(model)
