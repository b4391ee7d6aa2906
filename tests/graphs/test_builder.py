"""Graphs that are built node by node."""

from __future__ import annotations

import numpy as np
import onnx

from arcage.graphs.builder import GraphBuilder


def test_nodes_and_constants_are_in_order() -> None:
    graph = GraphBuilder(onnx)
    one = graph.constant(np.float32(1), "one")
    total = graph.add("Add", "x", one)
    out = graph.add("Gather", total, np.array([0, 2]), name="out", axis=1)
    assert (one, total, out) == ("one", "v0", "out")
    assert [(node.op_type, list(node.input), list(node.output)) for node in graph.nodes] == [
        ("Add", ["x", "one"], ["v0"]),
        ("Gather", ["v0", "c1"], ["out"]),
    ]
    assert [constant.name for constant in graph.constants] == ["one", "c1"]
    assert [tuple(constant.dims) for constant in graph.constants] == [(), (2,)]
    assert onnx.helper.get_attribute_value(graph.nodes[1].attribute[0]) == 1


def test_a_model_of_it_runs() -> None:
    import onnxruntime

    graph = GraphBuilder(onnx)
    graph.add("Gather", graph.add("Mul", "x", np.float32(2)), np.array([2, 0]), name="y", axis=1)
    value, float32 = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    inputs, outputs = [value("x", float32, ["n", 3])], [value("y", float32, ["n", 2])]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, "test", inputs, outputs, graph.constants),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], 2 * x[:, [2, 0]])
