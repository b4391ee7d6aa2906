"""Models that are not part of arcage are tried in a worker process before they run in this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest

from arcage.embedder.engines.onnxruntime import OnnxRuntimeEngine
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.errors import ModelError
from arcage.process import cell

SHAPE = (1, 3, 64, 64)


def engines(name: str) -> Any:
    return OpenVinoEngine() if name == "openvino" else OnnxRuntimeEngine("cpu")


def dividing(divisor: float) -> bytes:
    """Return a network whose output is its input, divided twice."""
    b = graphs.Builder(0)
    x = b.node("Div", "input.1", b.weight(np.float32(divisor)))
    x = b.node("Relu", b.node("Div", x, b.weight(np.float32(divisor))))
    b.nodes[-1].output[0] = "out"
    data: bytes = b.model({"out": list(SHAPE)}, image=list(SHAPE)).SerializeToString()
    return data


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_tried_network_is_that_of_this_process(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = graphs.scrfd().SerializeToString()
    canvas = np.random.default_rng(0).random(SHAPE, np.float32)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tried = engines(engine).load(model, SHAPE, trusted=False)(canvas)
    monkeypatch.setattr(cell, "run_once", None)  # not called again
    again = engines(engine).load(model, SHAPE, trusted=False)(canvas)  # from the folder
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc")
    own = engines(engine).load(model, SHAPE)(canvas)
    for name in (output.name for output in graphs.scrfd().graph.output):
        np.testing.assert_allclose(tried[name], own[name], rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(again[name], tried[name])


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_network_that_returns_infinity_is_refused(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    engines(engine).load(dividing(2), SHAPE, trusted=False)
    kept = set(tmp_path.rglob("*.blob"))
    assert kept
    with pytest.raises(ModelError, match="returns NaN or infinity"):
        engines(engine).load(dividing(1e-30), SHAPE, trusted=False)
    assert set(tmp_path.rglob("*.blob")) == kept


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_network_of_another_shape_is_refused(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ModelError):
        engines(engine).load(graphs.attribute().SerializeToString(), (1, 4, 5), trusted=False)
    assert not list(tmp_path.rglob("*.blob"))
