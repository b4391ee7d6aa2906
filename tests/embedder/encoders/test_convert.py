"""Encoders are converted in a worker process, the same for the same file; foreign operators are refused."""

from __future__ import annotations

import graphs
import onnx
import pytest
from onnx import helper

from arcage.embedder.encoders.convert import check_operators, convert, convert_isolated
from arcage.embedder.encoders.pixels import PRESETS
from arcage.errors import ModelError


def test_the_same_in_a_worker_process() -> None:
    data = graphs.vit().SerializeToString()
    converted = convert_isolated(data, PRESETS["imagenet"])
    assert converted == convert(data, PRESETS["imagenet"])
    assert converted.dimension == sum(int(level.rsplit(" ", 1)[1]) for level in converted.levels)
    with pytest.raises(ModelError, match="a classifier"):
        convert_isolated(graphs.vit(ending="Softmax").SerializeToString(), PRESETS["imagenet"])


def test_functions_of_the_file_are_replaced_by_their_operators() -> None:
    model = graphs.vit()
    plain = convert(model.SerializeToString(), PRESETS["unit"])
    for node in model.graph.node:
        if node.op_type == "Tanh":
            node.op_type, node.domain = "Squash", "mine"
    squash = helper.make_function(
        "mine",
        "Squash",
        ["x"],
        ["y"],
        [helper.make_node("Tanh", ["x"], ["y"])],
        [helper.make_opsetid("", 11)],
    )
    with pytest.raises(ModelError, match=r"not ONNX's: Squash of 'mine'; export it again"):
        check_operators(model)
    model.functions.append(squash)
    model.opset_import.append(helper.make_opsetid("mine", 1))
    check_operators(model)
    converted = convert(model.SerializeToString(), PRESETS["unit"])
    assert converted.levels == plain.levels
    assert not onnx.load_from_string(converted.data).functions


def test_operators_of_one_runtime_are_refused() -> None:
    model = graphs.vit()
    model.graph.node[3].domain = "com.microsoft"
    with pytest.raises(ModelError, match=r"of 'com.microsoft'; export it again without"):
        check_operators(model)
