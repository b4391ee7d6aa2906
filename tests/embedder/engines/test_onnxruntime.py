"""The ONNX Runtime engine: its CPU provider gives the numbers of OpenVINO."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import graphs
import numpy as np
import onnx
import pytest
from runtimes import CPU, CUDA, FakeRuntime

from arcage.embedder.engines import onnxruntime as module
from arcage.embedder.engines.choose import make_engine
from arcage.embedder.engines.onnxruntime import (
    OnnxRuntimeEngine,
    installed_distributions,
    installed_providers,
)
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.embedder.packs.record import BUNDLED_FOLDER
from arcage.errors import DeviceError, ModelError


def test_the_probe_is_the_documented_model() -> None:
    value, floats = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["x", "w"], ["y"])],
        "probe",
        [value("x", floats, [1, 1, 1, 1])],
        [value("y", floats, [1, 1, 1, 1])],
        [onnx.helper.make_tensor("w", floats, [1, 1, 1, 1], [2.0])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=7)
    assert onnx.ModelProto.FromString(module.PROBE) == model


def test_the_installed_runtime_has_a_cpu() -> None:
    assert "cpu" in installed_providers()
    assert "azure" not in installed_providers()
    assert installed_distributions()
    engine = OnnxRuntimeEngine("cpu")
    assert (engine.device, engine.parallel, engine.note) == ("cpu", True, "")
    assert engine.name.startswith("onnxruntime 1.")


def test_a_run_that_fails_on_a_gpu_is_a_device_error(use_runtime: Callable[..., FakeRuntime]) -> None:
    runtime = use_runtime(FakeRuntime([CUDA, CPU]))
    network = make_engine("cuda").load(b"", (1, 3))
    runtime.factor = None  # type: ignore[assignment]
    with pytest.raises(DeviceError, match="the device cpu needs no GPU"):
        network(np.ones((1, 3), np.float32))


def test_an_input_size_that_is_fixed_in_the_file_can_be_changed() -> None:
    model = graphs.scrfd(size=640, batched=True)
    model.graph.value_info.append(
        onnx.helper.make_tensor_value_info("relu_1", onnx.TensorProto.FLOAT, [1, 8, 160, 160])
    )
    data = model.SerializeToString()
    engine = OnnxRuntimeEngine("cpu")
    for side in (640, 320):
        network = engine.load(data, (1, 3, side, side))
        out = network(np.zeros((1, 3, side, side), np.float32))
        assert list(out) == [o.name for o in model.graph.output]
        assert out[model.graph.output[0].name].shape == (1, (side // 8) ** 2 * 2, 1)


def test_a_batch_size_that_is_fixed_in_the_file_can_be_changed() -> None:
    network = OnnxRuntimeEngine("cpu").load(graphs.iresnet(batch=1).SerializeToString(), (-1, 3, 112, 112))
    for n in (1, 3):
        assert network(np.zeros((n, 3, 112, 112), np.float32))["683"].shape == (n, 16)


def test_the_bundled_detector_gives_the_numbers_of_openvino(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    data = (BUNDLED_FOLDER / "face_detection_yunet_2023mar.onnx").read_bytes()
    blob = np.random.default_rng(6).uniform(0, 255, (1, 3, 320, 320)).astype(np.float32)
    ours, theirs = (e.load(data, blob.shape)(blob) for e in (OnnxRuntimeEngine("cpu"), OpenVinoEngine()))
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("data", [b"", b"no model", graphs.attribute().SerializeToString()[:-20]])
def test_a_damaged_model_is_an_error(data: bytes) -> None:
    with pytest.raises(ModelError, match="ONNX Runtime cannot load"):
        OnnxRuntimeEngine("cpu").load(data, (1, 3))


def test_the_runtime_keeps_no_telemetry_in_the_home_folder(tmp_path: Path) -> None:
    script = "from arcage.embedder.engines.onnxruntime import OnnxRuntimeEngine; OnnxRuntimeEngine('cpu')"
    environment = {
        k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    root = Path(module.__file__).parents[3]
    subprocess.run(
        [sys.executable, "-c", script],
        env={**environment, "HOME": str(tmp_path), "PYTHONPATH": str(root)},
        check=True,
        timeout=60,
    )
    assert list(tmp_path.rglob("*.db*")) == []
