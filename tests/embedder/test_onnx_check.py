"""ONNX files are refused by their structure, before a library reads them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import graphs
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from arcage.embedder import onnx_check
from arcage.embedder.onnx_check import check_onnx
from arcage.embedder.packs.record import bundled_pack
from arcage.errors import ModelError


def first_weight(model: Any) -> Any:
    return next(w for w in model.graph.initializer if w.raw_data)


@pytest.mark.parametrize("make", [graphs.scrfd, graphs.mobilefacenet, graphs.iresnet, graphs.attribute])
def test_networks_pass(make: Callable[[], Any]) -> None:
    check_onnx(make().SerializeToString())


def test_the_bundled_networks_pass(bundled: None) -> None:
    pack = bundled_pack()
    for record in pack.models:
        check_onnx(pack.read(record))


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.INT64, TensorProto.DOUBLE, TensorProto.INT8])
@pytest.mark.parametrize("raw", [False, True])
def test_all_ways_to_store_numbers_pass(kind: int, raw: bool) -> None:
    model = graphs.attribute()
    values = np.arange(-3, 3)
    data = values.astype(helper.tensor_dtype_to_np_dtype(kind)).tobytes() if raw else values.tolist()
    model.graph.initializer.append(helper.make_tensor("w", kind, [2, 3], data, raw=raw))
    model.graph.initializer.append(helper.make_tensor("empty", kind, [0, 3], b"" if raw else [], raw=raw))
    check_onnx(model.SerializeToString())


def external(model: Any) -> None:
    weight = first_weight(model)
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"


def huge(model: Any) -> None:
    first_weight(model).dims[0] = 1 << 40


def overflowing(model: Any) -> None:
    first_weight(model).dims[:] = [1 << 32, 1 << 32]


def negative(model: Any) -> None:
    first_weight(model).dims[0] = -1


def short(model: Any) -> None:
    weight = first_weight(model)
    weight.raw_data = weight.raw_data[:-1]


def long(model: Any) -> None:
    first_weight(model).raw_data += b"\0\0\0\0"


def empty(model: Any) -> None:
    first_weight(model).ClearField("raw_data")


def strange_type(model: Any) -> None:
    first_weight(model).data_type = 77


def in_attribute(model: Any) -> None:
    weight = onnx.TensorProto()
    weight.CopyFrom(first_weight(model))
    weight.dims[0] += 1
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=weight))


def loop(model: Any) -> None:
    body = helper.make_graph([helper.make_node("Identity", ["i"], ["j"])], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["a", "b"], ["c"], body=body))


def loop_in_branch(model: Any) -> None:
    body = helper.make_graph([helper.make_node("Scan", ["i"], ["j"])], "body", [], [])
    model.graph.node.append(helper.make_node("If", ["a"], ["c"], then_branch=body, else_branch=body))


def nested(model: Any) -> None:
    graph = helper.make_graph([], "leaf", [], [])
    for _ in range(8):
        node = helper.make_node("If", ["a"], ["c"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], "g", [], [])
    model.graph.node.append(helper.make_node("If", ["a"], ["c"], then_branch=graph))


def training(model: Any) -> None:
    model.training_info.add().algorithm.name = "train"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external, "in another file"),
        (huge, "is damaged"),
        (overflowing, "is damaged"),
        (negative, "is damaged"),
        (short, "is damaged"),
        (long, "is damaged"),
        (empty, "is damaged"),
        (strange_type, "is damaged"),
        (in_attribute, "is damaged"),
        (loop, r"a loop \(Loop\)"),
        (loop_in_branch, r"a loop \(Scan\)"),
        (nested, "graphs within graphs"),
        (training, "for training"),
    ],
)
def test_what_no_face_network_needs_is_refused(change: Callable[[Any], None], message: str) -> None:
    model = graphs.iresnet()
    check_onnx(model.SerializeToString())
    change(model)
    with pytest.raises(ModelError, match=message):
        check_onnx(model.SerializeToString())


@pytest.mark.parametrize(
    "data",
    [
        b"\x3a\xff\xff\xff\xff\x07",  # a graph of 2 GB
        b"\x3a\x80",  # a length that is cut off
        b"\x3a" + b"\xff" * 11,
        b"\x3b\x3c",  # a group
        b"\x38\x01",  # a number instead of a graph
        b"\x00\x00",
        b"\x3a\x02\x0a\x05",
        bytes(1000),
        b"not a model",
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="not an ONNX file, or it is damaged"):
        check_onnx(data)


def test_the_number_of_parts_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    start = time.perf_counter()
    with pytest.raises(ModelError, match="more than 1,000,000 parts"):
        check_onnx(b"\x3a\x80\x80\x80\x04" + b"\x0a\x00" * (1 << 22))  # four million empty nodes
    assert time.perf_counter() - start < 5
    data = graphs.attribute().SerializeToString()
    monkeypatch.setattr(onnx_check, "_MAX_FIELDS", 50)
    with pytest.raises(ModelError, match="more than 50 parts"):
        check_onnx(data)
