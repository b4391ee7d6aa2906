"""The ONNX Runtime engine: its CPU provider gives the numbers of OpenVINO."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
from arcage.errors import DeviceError, DeviceMemoryError, ModelError


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
    assert (engine.device, engine.note) == ("cpu", "")
    assert engine.name.startswith("onnxruntime 1.")


def test_a_run_that_fails_on_a_gpu_is_a_device_error(use_runtime: Callable[..., FakeRuntime]) -> None:
    runtime = use_runtime(FakeRuntime([CUDA, CPU]))
    network = make_engine("cuda").load(b"", (1, 3))
    runtime.factor = None  # type: ignore[assignment]
    with pytest.raises(DeviceError, match="the device cpu needs no GPU"):
        network(np.ones((1, 3), np.float32))


def test_each_shape_has_a_session(use_runtime: Callable[..., FakeRuntime]) -> None:
    """A session that sees two shapes in turn prepares its convolutions at each run."""
    runtime = use_runtime(FakeRuntime([CUDA, CPU]))
    network = make_engine("cuda").load(b"", (-1, 3))
    before = len(runtime.asked)
    for rows in (1, 8, 1, 8, 8, 1):
        assert network(np.ones((rows, 3), np.float32))["y"].tolist() == [[2, 2, 2]] * rows
    # The first session was made when the network was loaded.
    assert len(runtime.asked) == before + 1
    assert sorted(session.rows for session in runtime.sessions) == [1, 8]


def test_sessions_run_at_the_same_time_but_each_only_once(use_runtime: Callable[..., FakeRuntime]) -> None:
    both = threading.Barrier(2, timeout=20)
    runtime = use_runtime(FakeRuntime([CUDA, CPU]))
    network = make_engine("cuda").load(b"", (-1, 3))
    rows = [np.ones((n, 3), np.float32) for n in (1, 2)]
    for batch in rows:
        network(batch)
    runtime.during = both.wait
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(network, rows))  # each run waits for the other
    running = threading.Semaphore(1)

    def during() -> None:
        assert running.acquire(blocking=False)
        time.sleep(0.01)
        running.release()

    runtime.during = during
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(network, [rows[0]] * 4))


def test_other_sessions_are_freed_if_a_batch_does_not_fit(use_runtime: Callable[..., FakeRuntime]) -> None:
    runtime = use_runtime(FakeRuntime([CUDA, CPU], memory=10))
    engine = make_engine("cuda")
    one, two = (engine.load(b"", (-1, 3)) for _ in range(2))
    assert len(one(np.ones((8, 3), np.float32))["y"]) == 8
    assert len(two(np.ones((8, 3), np.float32))["y"]) == 8
    assert [session.rows for session in runtime.sessions] == [8]
    with pytest.raises(
        DeviceMemoryError,
        match=r"^ONNX Runtime failed on 'cuda': .*Message: Failed to allocate memory for requested buffer of "
        "size 1073741824; another program may use its memory; the device cpu needs no GPU$",
    ):
        one(np.ones((11, 3), np.float32))
    assert len(one(np.ones((10, 3), np.float32))["y"]) == 10


def test_what_the_runtime_prints_on_import_is_discarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """ONNX Runtime 1.24 prints a warning for a graphics card of a virtual machine."""
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text("import os\nos.write(2, b'W: no card0/vendor')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    with pytest.raises(DeviceError, match="its package is empty"):
        OnnxRuntimeEngine("cpu")
    os.write(2, b"later")
    assert capfd.readouterr().err == "later"


def test_messages_name_no_place_in_code_and_no_computer(use_runtime: Callable[..., FakeRuntime]) -> None:
    code = "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:129 std::conditional_t<true, void, "
    code += "onnxruntime::common::Status> onnxruntime::CudaCall(ERRTYPE, const char*) [with ERRTYPE = x]"
    end = " ; GPU=-1 ; hostname=alice-pc ; file=/onnxruntime_src/cuda.cc ; line=282 ; expr=cudaSetDevice(0);"
    use_runtime(FakeRuntime([CUDA, CPU], error=f"{code} CUDA failure 100: no device is detected{end}"))
    with pytest.raises(DeviceError, match=r"CUDA failure 100: no device is detected\. Check") as caught:
        make_engine("cuda")
    assert "alice" not in str(caught.value)
    assert "_src" not in str(caught.value)


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
