"""The network for faces gives what the encoder gives for resized, scaled faces and their mirror images."""

from __future__ import annotations

from typing import Any

import cv2
import graphs
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from arcage.embedder.encoders.convert import convert
from arcage.embedder.encoders.encoder_graph import resize_matrix
from arcage.embedder.encoders.pixels import Pixels
from arcage.types import U8, Array

PIXELS = Pixels((120, 110, 100), (60, 50, 40))


def run(model: bytes, name: str, value: Array) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    results: list[Array] = session.run(None, {name: value})
    return results


@pytest.fixture
def faces() -> U8:
    noise = np.random.default_rng(1).integers(0, 256, (2, 112, 112, 3)).astype(np.uint8)
    return np.stack([cv2.GaussianBlur(one, (0, 0), 3) for one in noise])


def expected(model: Any, faces: U8, pixels: Pixels, *, nhwc: bool = False) -> Array:
    """Return the network's output for faces, and the class token and mean of a layer."""
    side = 32
    matrix = resize_matrix(side)
    total: Any = 0
    for images in (faces, faces[:, :, ::-1]):
        x = np.stack([[matrix @ one[..., c] @ matrix.T for c in range(3)] for one in images])
        mean, std = (np.array(part).reshape(3, 1, 1) for part in (pixels.mean, pixels.std))
        x = ((x - mean) / std).astype(np.float32)
        x = x[:, ::-1] if pixels.bgr else x
        name = model.graph.input[0].name
        x = x.transpose(0, 2, 3, 1) if nhwc else x
        total = total + np.concatenate([run(model.SerializeToString(), name, one[None])[0] for one in x])
    result: Array = total / 2
    return result


@pytest.mark.parametrize("batch", ["n", 1])
@pytest.mark.parametrize("bgr", [False, True])
def test_the_embedding(batch: Any, bgr: bool, faces: U8) -> None:
    model = graphs.vit(batch=batch)
    pixels = Pixels(PIXELS.mean, PIXELS.std, bgr)
    converted = convert(model.SerializeToString(), pixels)
    onnx.checker.check_model(onnx.load_from_string(converted.data))
    (descriptors,) = run(converted.data, "faces", faces)
    assert descriptors.shape == (2, converted.dimension)
    np.testing.assert_allclose(descriptors[:, -12:], expected(model, faces, pixels), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("sequence_first", [False, True])
def test_tokens_are_pooled(sequence_first: bool, faces: U8) -> None:
    model = graphs.vit(sequence_first=sequence_first)
    descriptors = run(convert(model.SerializeToString(), PIXELS).data, "faces", faces)[0]
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("block_3", TensorProto.FLOAT, None))
    tokens = expected(model, faces, PIXELS) if not sequence_first else None
    if tokens is not None:
        assert tokens.shape == (2, 17, 12)
        pooled = np.concatenate([tokens[:, 0], tokens[:, 1:].mean(axis=1)], axis=1)
        np.testing.assert_allclose(descriptors[:, -36:-12], pooled, rtol=1e-3, atol=1e-4)
    # The output is the class token of the last layer.
    np.testing.assert_allclose(descriptors[:, -36:-24], descriptors[:, -12:], rtol=1e-5, atol=1e-5)


def test_channels_last_and_other_types(faces: U8) -> None:
    plain = graphs.vit()
    raw = Pixels((0, 0, 0), (1, 1, 1))
    reference = run(convert(plain.SerializeToString(), raw).data, "faces", faces)[0]
    for kind, tolerance in (
        (TensorProto.FLOAT, 1e-4),
        (TensorProto.UINT8, 0.05),
        (TensorProto.FLOAT16, 0.05),
    ):
        model = graphs.vit()
        cast = helper.make_node("Cast", ["given"], ["as_float"], to=TensorProto.FLOAT)
        turn = helper.make_node("Transpose", ["as_float"], ["pixels"], perm=[0, 3, 1, 2])
        nodes = [cast, turn, *model.graph.node]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info("given", kind, ["n", 32, 32, 3]))
        descriptors = run(convert(model.SerializeToString(), raw).data, "faces", faces)[0]
        assert np.abs(descriptors - reference).max() <= tolerance * np.abs(reference).max()


def test_the_resizing_is_linear_interpolation(faces: U8) -> None:
    for side in (224, 336):
        matrix = resize_matrix(side)
        channel = faces[0, ..., 0].astype(np.float32)
        expected = cv2.resize(channel, (side, side), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(matrix @ channel @ matrix.T, expected, atol=0.01)
    np.testing.assert_allclose(resize_matrix(64).sum(axis=1), 1, rtol=1e-6)
    # Every pixel counts when a face is reduced.
    assert (resize_matrix(40).sum(axis=0) > 0.2).all()
