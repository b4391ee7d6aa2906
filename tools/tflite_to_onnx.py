"""Convert the TFLite graph of MobileFaceNet to ONNX, and fuse each decomposed PReLU into one node.

Supports the operators of that graph only: convolutions, sums, one reshape, and a PReLU decomposed into
``relu(x) + c * (x - |x|)``, which is PRelu with the slope ``2c``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import tflite
from onnx import TensorProto, helper, numpy_helper

OPERATORS = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
PRELU = ["RELU", "ABS", "SUB", "MUL", "ADD"]


def convert(data: bytes) -> onnx.ModelProto:
    """Return the ONNX model, (n, 3, 112, 112) float32 to ``embedding`` (n, 192), of a TFLite file."""
    model = tflite.Model.GetRootAsModel(data, 0)
    graph = model.Subgraphs(0)
    operators = [_Operator(model, graph, i) for i in range(graph.OperatorsLength())]
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def weight(name: str, value: Any) -> str:
        weights.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    i = 0
    while i < len(operators):
        op = operators[i]
        if op.kind == "RELU":
            slope, output = _prelu(operators[i : i + len(PRELU)], model, graph)
            nodes.append(
                helper.make_node("PRelu", [_t(op.inputs[0]), weight(f"slope{output}", slope)], [_t(output)])
            )
            i += len(PRELU)
            continue
        if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            nodes.append(_convolution(op, model, graph, weight))
        elif op.kind == "ADD":
            nodes.append(helper.make_node("Add", [_t(k) for k in op.inputs], [_t(op.output)]))
        elif op.kind == "RESHAPE":
            nodes.append(helper.make_node("Flatten", [_t(op.inputs[0])], ["embedding"]))
        else:
            raise SystemExit(f"unexpected operator {op.kind} in the TFLite graph")
        i += 1

    value = helper.make_tensor_value_info
    built = helper.make_graph(
        nodes,
        "MobileFaceNet",
        [value(_t(graph.Inputs(0)), TensorProto.FLOAT, ["n", 3, 112, 112])],
        [value("embedding", TensorProto.FLOAT, ["n", 192])],
        weights,
    )
    result = helper.make_model(built, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(result)
    return result


class _Operator:
    def __init__(self, model: Any, graph: Any, index: int) -> None:
        self.raw = graph.Operators(index)
        code = model.OperatorCodes(self.raw.OpcodeIndex())
        self.kind = OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        self.inputs = [int(k) for k in self.raw.InputsAsNumpy()]
        self.output = int(self.raw.OutputsAsNumpy()[0])


def _t(index: int) -> str:
    return f"t{index}"


def _constant(model: Any, graph: Any, index: int) -> np.ndarray:
    tensor = graph.Tensors(index)
    data = model.Buffers(tensor.Buffer()).DataAsNumpy()
    if isinstance(data, int):
        raise SystemExit(f"tensor {index} of the TFLite graph is not constant")
    shape = tensor.ShapeAsNumpy() if tensor.ShapeLength() else ()
    return np.frombuffer(data.tobytes(), np.float32).reshape(shape)


def _prelu(group: list[_Operator], model: Any, graph: Any) -> tuple[np.ndarray, int]:
    relu, absolute, minus, times, plus = group
    x = relu.inputs[0]
    factor = [k for k in times.inputs if k != minus.output]
    spelled = (
        [op.kind for op in group] == PRELU
        and absolute.inputs == [x]
        and minus.inputs == [x, absolute.output]
        and len(factor) == 1
        and set(plus.inputs) == {relu.output, times.output}
    )
    if not spelled:
        raise SystemExit("a ReLU in the TFLite graph is not part of a PReLU")
    return 2 * _constant(model, graph, factor[0]).reshape(-1, 1, 1), plus.output


def _convolution(op: _Operator, model: Any, graph: Any, weight: Any) -> onnx.NodeProto:
    depthwise = op.kind == "DEPTHWISE_CONV_2D"
    options = tflite.DepthwiseConv2DOptions() if depthwise else tflite.Conv2DOptions()
    table = op.raw.BuiltinOptions()
    options.Init(table.Bytes, table.Pos)
    if options.FusedActivationFunction() or options.DilationHFactor() != 1:
        raise SystemExit("a convolution in the TFLite graph is fused or dilated")
    kernel = _constant(model, graph, op.inputs[1])
    kernel = kernel.transpose(3, 0, 1, 2) if depthwise else kernel.transpose(0, 3, 1, 2)
    stride, size = options.StrideH(), kernel.shape[2]
    pads = [0, 0, 0, 0]
    if options.Padding() == tflite.Padding.SAME:
        before, after = (int(graph.Tensors(k).ShapeAsNumpy()[1]) for k in (op.inputs[0], op.output))
        total = max((after - 1) * stride + size - before, 0)
        pads = [total // 2, total // 2, total - total // 2, total - total // 2]
    name = _t(op.output)
    return helper.make_node(
        "Conv",
        [
            _t(op.inputs[0]),
            weight(f"w{op.output}", kernel),
            weight(f"b{op.output}", _constant(model, graph, op.inputs[2])),
        ],
        [name],
        kernel_shape=[size, size],
        strides=[stride, stride],
        pads=pads,
        group=kernel.shape[0] if depthwise else 1,
    )
