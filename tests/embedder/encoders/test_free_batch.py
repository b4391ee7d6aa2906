"""Sizes of one image are replaced in a graph, and nothing else changes."""

from __future__ import annotations

import graphs
import numpy as np
import onnxruntime

from arcage.embedder.encoders.free_batch import free_batch_axis


def test_the_results_of_single_images_stay() -> None:
    model = graphs.vit(batch=1)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    images = np.random.default_rng(0).normal(size=(3, 3, 32, 32)).astype(np.float32)
    expected = np.concatenate([session.run(None, {"pixels": image[None]})[0] for image in images])

    shapes = {"conv_0": (1, 12, 4, 4), "reshape_1": (1, 12, 16)}
    for node in model.graph.node:
        if node.op_type == "Reshape" and node.output[0] not in shapes:
            merged = not any(
                out.input[0] == node.output[0] for out in model.graph.node if out.op_type != "Gemm"
            )
            shapes[node.output[0]] = (17, 12) if merged else (1, 17, 12)
    free_batch_axis(model, "pixels", shapes)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    freed = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(freed.run(None, {"pixels": images})[0], expected, atol=1e-5)
