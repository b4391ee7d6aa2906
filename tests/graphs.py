"""Small ONNX graphs with the structure of the real ones, and random weights from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 112


class Builder:
    """Builds a graph. Methods append nodes and return the name of the output."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, value: Any, name: str = "") -> str:
        name = name or f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        output = name or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, inputs, [output], name=f"{kind}_{len(self.nodes)}", **attributes)
        )
        return output

    def normal(self, *shape: int, scale: float = 1.0) -> str:
        return self.weight(self.random.normal(0, scale, shape).astype(np.float32))

    def conv(
        self,
        x: str,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        pad: int = -1,
    ) -> str:
        fan_in = inputs // groups * kernel * kernel
        weight = self.normal(outputs, inputs // groups, kernel, kernel, scale=(2 / fan_in) ** 0.5)
        pads = [kernel // 2 if pad < 0 else pad] * 4
        bias = self.normal(outputs, scale=0.1)
        return self.node(
            "Conv", x, weight, bias, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads, group=groups
        )

    def norm(self, x: str, channels: int) -> str:
        scale = self.weight(self.random.uniform(0.5, 1.5, channels).astype(np.float32))
        variance = self.weight(self.random.uniform(0.5, 1.5, channels).astype(np.float32))
        shift, mean = self.normal(channels, scale=0.1), self.normal(channels, scale=0.1)
        return self.node("BatchNormalization", x, scale, shift, mean, variance, epsilon=1e-5)

    def prelu(self, x: str, channels: int) -> str:
        slope = self.random.uniform(0.1, 0.4, (channels, 1, 1)).astype(np.float32)
        return self.node("PRelu", x, self.weight(slope))

    def dense(self, x: str, inputs: int, outputs: int) -> str:
        weight = self.normal(outputs, inputs, scale=inputs**-0.5)
        return self.node("Gemm", x, weight, self.normal(outputs, scale=0.1), transB=1)

    def model(
        self,
        outputs: dict[str, list[Any]],
        *,
        image: list[Any] | None = None,
        name: str = "input.1",
        opset: int = 11,
        weights_are_inputs: bool = False,
        ir_version: int | None = None,
    ) -> Any:
        value = helper.make_tensor_value_info
        inputs = [value(name, TensorProto.FLOAT, image or ["n", 3, SIDE, SIDE])]
        if weights_are_inputs:
            inputs += [value(w.name, w.data_type, w.dims) for w in self.weights]
        graph = helper.make_graph(
            self.nodes,
            "graph",
            inputs,
            [value(o, TensorProto.FLOAT, shape) for o, shape in outputs.items()],
            self.weights,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", opset)],
            ir_version=ir_version or (6 if opset < 15 else 8),
        )
        onnx.checker.check_model(model)
        return model


def iresnet(
    *,
    opset: int = 11,
    batch: Any = "n",
    seed: int = 0,
    weights_are_inputs: bool = False,
    ir_version: int | None = None,
    name: str = "input.1",
    output: str = "683",
    normalises: bool = False,
) -> Any:
    """Return a graph like InsightFace's ``w600k_r50``: residual blocks, Flatten, Gemm, BatchNormalization.

    The blocks halve the resolution four times. With ``normalises``, the graph contains the mean and scale of
    the pixels, as exports from mxnet do.
    """
    b = Builder(seed)
    x = name
    if normalises:
        x = b.node("Mul", b.node("Sub", x, b.weight(np.float32([127.5]))), b.weight(np.float32([1 / 128])))
    x = b.prelu(b.norm(b.conv(x, 3, 4), 4), 4)
    inputs = 4
    for channels in (4, 6, 8, 8):
        for stride in (2, 1):
            y = b.prelu(b.conv(b.norm(x, inputs), inputs, channels), channels)
            y = b.norm(b.conv(y, channels, channels, stride=stride), channels)
            x = b.node("Add", y, x if stride == 1 else b.conv(x, inputs, channels, kernel=1, stride=2))
            inputs = channels
    x = b.node("Flatten", b.norm(x, 8), axis=1)
    x = b.dense(x, 8 * 7 * 7, 16)
    scale, shift, mean, variance = (b.weight(np.full(16, v, np.float32)) for v in (1.0, 0.1, 0.05, 0.8))
    b.node("BatchNormalization", x, scale, shift, mean, variance, name=output)
    return b.model(
        {output: [1, 16]},
        image=[batch, 3, SIDE, SIDE],
        name=name,
        opset=opset,
        weights_are_inputs=weights_are_inputs,
        ir_version=ir_version,
    )


def mobilefacenet(
    *, opset: int = 13, batch: Any = "n", target: list[int] | None = None, seed: int = 1
) -> Any:
    """Return a graph like MobileFaceNet: inverted residuals, a 7x7 depthwise convolution, a matrix product.

    ``target`` is the shape to which the last map is reshaped. By default the batch size is read from the map,
    as torch exports ``x.view(x.size(0), -1)``.
    """
    b = Builder(seed)
    x = b.prelu(b.conv("input.1", 3, 6, stride=2), 6)
    x = b.prelu(b.conv(x, 6, 6, groups=6), 6)
    inputs = 6
    for channels, stride in ((6, 2), (6, 1), (8, 2), (8, 1), (10, 2), (10, 1)):
        wide = 2 * inputs
        y = b.prelu(b.conv(x, inputs, wide, kernel=1), wide)
        y = b.prelu(b.conv(y, wide, wide, stride=stride, groups=wide), wide)
        y = b.conv(y, wide, channels, kernel=1)
        x = b.node("Add", x, y) if stride == 1 else y
        inputs = channels
    x = b.prelu(b.conv(x, inputs, 24, kernel=1), 24)
    x = b.conv(x, 24, 24, kernel=7, groups=24, pad=0)
    if target is None:
        rows = b.node("Gather", b.node("Shape", x), b.weight(np.array([0])), axis=0)
        shape = b.node("Concat", rows, b.weight(np.array([-1])), axis=0)
    else:
        shape = b.weight(np.array(target))
    x = b.node("Reshape", x, shape)
    x = b.node("MatMul", x, b.normal(24, 12, scale=0.2))
    b.norm(x, 12)
    b.nodes[-1].output[0] = "516"
    return b.model({"516": [1, 12]}, image=[batch, 3, SIDE, SIDE], opset=opset)


def scrfd(
    *,
    outputs: int = 9,
    batched: bool = False,
    batch_last: bool = False,
    size: Any = "?",
    seed: int = 2,
    opset: int = 11,
) -> Any:
    """Return a graph like InsightFace's ``det_10g``: scores, boxes, landmarks, finest stride first.

    With ``batch_last``, as in InsightFace's own exports, the batch follows the cells before both become rows.
    """
    strides, anchors = ((8, 16, 32), 2) if outputs in (6, 9) else ((8, 16, 32, 64, 128), 1)
    widths = (1, 4, 10)[: outputs // len(strides)]
    b = Builder(seed)
    x = b.node("Relu", b.conv("input.1", 3, 8, kernel=5, stride=4))
    names: dict[int, list[str]] = {width: [] for width in widths}
    for _ in strides:
        x = b.node("Relu", b.conv(x, 8, 8, stride=2))
        for width in widths:
            y = b.conv(x, 8, width * anchors)
            if width == 1:
                y = b.node("Sigmoid", y)
            if width == 4:
                y = b.node("Add", b.node("Relu", y), b.weight(np.float32([1])))
            y = b.node("Transpose", y, perm=[2, 3, 0, 1] if batch_last else [0, 2, 3, 1])
            names[width].append(
                b.node("Reshape", y, b.weight(np.array([1, -1, width] if batched else [-1, width])))
            )
    shapes = {
        name: ["b", f"cells_{name}", width] if batched else [f"cells_{name}", width]
        for width in widths
        for name in names[width]
    }
    return b.model(shapes, image=[1, 3, size, size], opset=opset)


def attribute(side: int = 96, width: int = 3) -> Any:
    """Return a graph like InsightFace's ``genderage`` (96 pixels) or a landmark model (192): no embedder."""
    b = Builder(3)
    x = b.node("Relu", b.conv("data", 3, 4, stride=4))
    x = b.node("Flatten", b.node("GlobalAveragePool", x))
    b.dense(x, 4, width)
    b.nodes[-1].output[0] = "fc1"
    return b.model({"fc1": [1, width]}, image=["None", 3, side, side], name="data")


def vit(
    *,
    batch: Any = "n",
    side: int = 32,
    class_token: bool = True,
    sequence_first: bool = False,
    output: str = "embedding",
    ending: str = "",
    seed: int = 6,
) -> Any:
    """Return a graph like a vision transformer: patches of 8 pixels, 4 blocks, tokens of 12 numbers.

    Attention is a mean over the tokens. With ``batch=1``, the sizes are constants, as torch exports a model
    that it traced with one image. ``output`` is ``tokens`` for all tokens; ``ending`` is a last operator.
    """
    b, width, count = Builder(seed), 12, (side // 8) ** 2
    x = b.conv("pixels", 3, width, kernel=8, stride=8, pad=0)
    x = b.node("Reshape", x, b.weight(np.array([1 if batch == 1 else 0, width, count])))
    x = b.node("Transpose", x, perm=[0, 2, 1])
    if class_token:
        token, count = b.weight(np.zeros((1, 1, width), np.float32)), count + 1
        if batch != 1:
            rows = b.node("Gather", b.node("Shape", "pixels"), b.weight(np.array([0])), axis=0)
            shape = b.node("Concat", rows, b.weight(np.array([1, width])), axis=0)
            token = b.node("Expand", token, shape)
        x = b.node("Concat", token, x, axis=1)
    x = b.node("Add", x, b.normal(1, count, width, scale=0.05), name="positions")
    axis = 1
    if sequence_first:
        x, axis = b.node("Transpose", x, perm=[1, 0, 2]), 0
    for block in range(4):
        y = b.node("MatMul", x, b.normal(width, width, scale=0.3))
        y = b.node("Sub", y, b.node("ReduceMean", y, axes=[axis], keepdims=1))
        x = b.node("Add", x, y, name=f"attention_{block}")
        if batch == 1 and not sequence_first:  # a matrix product of all rows, as runtimes prefer it
            y = b.node("Reshape", x, b.weight(np.array([count, width])))
            y = b.dense(y, width, width)
            y = b.node("Reshape", y, b.weight(np.array([1, count, width])))
        else:
            y = b.node("MatMul", x, b.normal(width, width, scale=0.3))
        cube = b.node("Mul", b.node("Mul", y, y), y)
        y = b.node("Tanh", b.node("Add", y, cube, name=f"gelu_{block}"))
        x = b.node("Add", x, y, name=f"block_{block}")
    if output == "tokens":
        b.nodes[-1].output[0] = output
        return b.model({output: ["n", "t", width]}, image=[batch, 3, side, side], name="pixels")
    x = b.node("Gather", x, b.weight(np.array(0)), axis=axis)
    if ending:
        x = b.node(ending, x)
    b.nodes[-1].output[0] = output
    return b.model({output: [batch, width]}, image=[batch, 3, side, side], name="pixels")
