"""The ONNX Runtime engine: the truth about devices, and the same numbers as OpenVINO.

No test here needs a GPU: what a GPU's runtime does is acted by a module that is made up.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import graphs
import numpy as np
import onnx
import pytest

from arcage.embedder.engines import onnxruntime as module
from arcage.embedder.engines.choose import make_engine
from arcage.embedder.engines.onnxruntime import (
    OnnxRuntimeEngine,
    installed_distributions,
    installed_providers,
)
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.errors import DeviceError, ModelError

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class Runtime:
    """Acts the module ``onnxruntime``: what it lists, what a session then has, what it computes."""

    def __init__(
        self,
        listed: list[str],
        works: bool = True,
        *,
        error: str = "",
        factor: float = 2.0,
        preload: Callable[[], None] | None = None,
    ) -> None:
        self.__version__ = "1.31.0"
        self.listed, self.works, self.error, self.factor = listed, works, error, factor
        self.asked: list[Any] = []
        self.preloaded = 0
        self.SessionOptions = SimpleNamespace
        self.runs = 0
        self.preload_dlls = preload or self._preload

    def _preload(self) -> None:
        self.preloaded += 1

    def get_available_providers(self) -> list[str]:
        return self.listed

    def disable_telemetry_events(self) -> None:
        pass

    def set_default_logger_severity(self, level: int) -> None:
        pass

    def InferenceSession(  # noqa: N802
        self, model: bytes, options: Any, *, providers: list[Any], enable_fallback: int
    ) -> Any:
        assert enable_fallback == 0
        assert options.log_severity_level == 3
        self.asked.append(providers)
        if self.error:
            raise RuntimeError(self.error)
        names = [name for name, _ in providers]

        def run(outputs: list[str], inputs: dict[str, Any]) -> list[Any]:
            self.runs += 1
            (x,) = inputs.values()
            return [x * self.factor]

        return SimpleNamespace(
            get_providers=lambda: names if self.works else [CPU],
            disable_fallback=lambda: None,
            get_inputs=lambda: [SimpleNamespace(name="x", shape=["n", 3])],
            get_outputs=lambda: [SimpleNamespace(name="y")],
            run=run,
        )


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Runtime]:
    """Puts a runtime in place of the installed one, under the names of these distributions."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def place(runtime: Any, distributions: tuple[str, ...] = ("onnxruntime-gpu",)) -> Any:
        def version(name: str) -> str:
            if name in distributions:
                return "1.31.0"
            raise importlib.metadata.PackageNotFoundError(name)

        monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
        monkeypatch.setattr(importlib.metadata, "version", version)
        return runtime

    return place


def test_the_probe_is_what_its_comment_says() -> None:
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


def test_the_installed_runtime_gives_a_cpu_and_names_itself() -> None:
    assert "cpu" in installed_providers()
    assert "azure" not in installed_providers()
    assert installed_distributions()
    engine = OnnxRuntimeEngine("cpu")
    assert (engine.device, engine.parallel, engine.note) == ("cpu", True, "")
    assert engine.name.startswith("onnxruntime 1.")


def test_cuda_that_works_is_used_as_asked(act: Callable[..., Runtime]) -> None:
    runtime = act(Runtime([CUDA, CPU]))
    for engine in (make_engine("cuda"), make_engine("auto")):
        assert (engine.device, engine.parallel, engine.note) == ("cuda", False, "")
    assert runtime.preloaded == 2
    assert runtime.runs == 2
    (name, options), cpu = runtime.asked[0]
    assert (name, cpu[0]) == (CUDA, CPU)
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"
    # Descriptors of a GPU and of a CPU meet in one cache: no rounding to fewer bits.
    assert options["use_tf32"] == "0"
    out = engine.load(b"", (-1, 3))(np.ones((1, 3), np.float32))
    assert out["y"].tolist() == [[2, 2, 2]]


def test_tensorrt_leaves_to_cuda_what_it_cannot(act: Callable[..., Runtime]) -> None:
    runtime = act(Runtime(["TensorrtExecutionProvider", CUDA, CPU]))
    assert make_engine("tensorrt").device == "tensorrt"
    assert [name for name, _ in runtime.asked[0]] == ["TensorrtExecutionProvider", CUDA, CPU]


@pytest.mark.parametrize(
    ("runtime", "words"),
    [
        (Runtime([CUDA, CPU], works=False), "fell back to CPU"),
        (Runtime([CUDA, CPU], error="CUDA failure 100: no CUDA-capable device is detected"), "failure 100"),
        (Runtime([CUDA, CPU], factor=0.0), r"2 \* 3 = 0"),
    ],
    ids=["a session on the CPU", "a session that fails", "a wrong result"],
)
def test_cuda_that_is_listed_only_is_no_cuda(
    act: Callable[..., Runtime], runtime: Runtime, words: str
) -> None:
    act(runtime)
    assert "cuda" in installed_providers()
    with pytest.raises(DeviceError, match=words) as caught:
        make_engine("cuda")
    assert "nvidia-smi" in str(caught.value)
    engine = make_engine("auto")
    assert isinstance(engine, OpenVinoEngine)
    assert engine.device == "cpu"
    assert "using the CPU" in engine.note
    assert "\n" not in engine.note


def test_what_the_runtime_prints_becomes_part_of_the_error(
    act: Callable[..., Runtime], capsys: pytest.CaptureFixture[str]
) -> None:
    act(Runtime([CUDA, CPU], works=False, preload=lambda: print("Failed to load libcudnn.so.9")))
    with pytest.raises(DeviceError, match=r"libcudnn\.so\.9"):
        make_engine("cuda")
    assert capsys.readouterr().out == ""


def test_auto_without_the_gpu_package_does_not_import_the_runtime(
    act: Callable[..., Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    act(None, ("onnxruntime",))  # importing None raises
    engine = make_engine("auto")
    assert (engine.device, engine.note) == ("cpu", "")


@pytest.mark.parametrize(
    ("runtime", "distributions", "device", "words"),
    [
        (None, (), "cuda", r"not installed: pip install 'arcage\[gpu\]'"),
        (None, ("onnxruntime-gpu",), "cuda", "broken"),
        (SimpleNamespace(), ("onnxruntime-gpu",), "cuda", "package is empty"),
        (
            Runtime([CPU]),
            ("onnxruntime",),
            "cuda",
            r"uninstall -y onnxruntime && pip install 'arcage\[gpu\]'",
        ),
        (
            Runtime([CPU]),
            ("onnxruntime", "onnxruntime-gpu"),
            "cuda",
            "Both onnxruntime and onnxruntime-gpu .* break each other",
        ),
        (Runtime([CPU]), ("onnxruntime",), "coreml", "macOS"),
        (Runtime([CPU]), ("onnxruntime",), "dml", "pip install onnxruntime-directml"),
        (
            Runtime([CUDA, CPU]),
            ("onnxruntime-gpu",),
            "xpu",
            "no device 'xpu': take auto.*cuda, cpu",
        ),
        (Runtime(["AzureExecutionProvider", CPU]), ("onnxruntime",), "azure", "no device"),
    ],
)
def test_every_refusal_says_what_to_do(
    act: Callable[..., Runtime], runtime: Any, distributions: tuple[str, ...], device: str, words: str
) -> None:
    act(runtime, distributions)
    with pytest.raises(DeviceError, match=words):
        make_engine(device)


def test_a_run_that_fails_on_a_gpu_is_the_devices_fault(act: Callable[..., Runtime]) -> None:
    runtime = act(Runtime([CUDA, CPU]))
    network = make_engine("cuda").load(b"", (1, 3))
    runtime.factor = None  # type: ignore[assignment]
    with pytest.raises(DeviceError, match="--device cpu"):
        network(np.ones((1, 3), np.float32))


def test_a_size_that_is_fixed_in_the_file_can_be_another_one() -> None:
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


def test_a_batch_that_is_fixed_in_the_file_can_be_any() -> None:
    network = OnnxRuntimeEngine("cpu").load(graphs.iresnet(batch=1).SerializeToString(), (-1, 3, 112, 112))
    for n in (1, 3):
        assert network(np.zeros((n, 3, 112, 112), np.float32))["683"].shape == (n, 16)


def test_the_bundled_detector_gives_what_openvino_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from arcage.embedder.packs.record import BUNDLED_FOLDER

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    data = (BUNDLED_FOLDER / "face_detection_yunet_2023mar.onnx").read_bytes()
    blob = np.random.default_rng(6).uniform(0, 255, (1, 3, 320, 320)).astype(np.float32)
    ours, theirs = (e.load(data, blob.shape)(blob) for e in (OnnxRuntimeEngine("cpu"), OpenVinoEngine()))
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("data", [b"", b"no model", graphs.attribute().SerializeToString()[:-20]])
def test_a_damaged_model_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="ONNX Runtime cannot load"):
        OnnxRuntimeEngine("cpu").load(data, (1, 3))


def test_the_runtime_keeps_no_records_in_the_home_folder(tmp_path: Path) -> None:
    script = "from arcage.embedder.engines.onnxruntime import OnnxRuntimeEngine; OnnxRuntimeEngine('cpu')"
    environment = {
        k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    root = Path(module.__file__).parents[2]
    subprocess.run(
        [sys.executable, "-c", script],
        env={**environment, "HOME": str(tmp_path), "PYTHONPATH": str(root)},
        check=True,
        timeout=60,
    )
    assert list(tmp_path.rglob("*.db*")) == []
