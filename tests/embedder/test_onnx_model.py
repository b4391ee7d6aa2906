"""ONNX files are read, and their graphs examined."""

from __future__ import annotations

import sys

import graphs
import pytest

from arcage.embedder.onnx_model import drop_unused, image_input, import_onnx, parse, tensor_shapes
from arcage.errors import ModelError


def test_a_model_is_read_from_its_bytes() -> None:
    model = graphs.iresnet()
    assert parse(model.SerializeToString()) == model


def test_the_image_is_the_input_that_is_not_a_weight() -> None:
    assert image_input(graphs.iresnet(weights_are_inputs=True, opset=9, ir_version=3)).name == "input.1"


def test_shapes_follow_the_batch() -> None:
    model = graphs.iresnet()
    for faces in (1, 3):
        shapes = tensor_shapes(model, faces)
        assert shapes["prelu_5"] == (faces, 4, 112, 112)
        assert shapes["683"] == (faces, 16)


def test_nodes_and_weights_without_a_use_are_removed() -> None:
    model = graphs.iresnet()
    nodes, weights = len(model.graph.node), len(model.graph.initializer)
    drop_unused(model.graph)
    assert (len(model.graph.node), len(model.graph.initializer)) == (nodes, weights)
    model.graph.output[0].name = "prelu_2"
    drop_unused(model.graph)
    assert [node.op_type for node in model.graph.node] == ["Conv", "BatchNormalization", "PRelu"]
    assert len(model.graph.initializer) == 7


@pytest.mark.parametrize("data", [b"", b"<html>404</html>", b"version https://git-lfs.github.com/spec/v1\n"])
def test_other_files_than_onnx_are_rejected(data: bytes) -> None:
    with pytest.raises(ModelError, match="not an ONNX file"):
        parse(data)


def test_without_the_onnx_package_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModelError, match="pip install onnx"):
        import_onnx()
